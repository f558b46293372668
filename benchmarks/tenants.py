"""The organizations, keys and floor table of the benchmarks, made through the product's own functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

_FLOOR = """
create schema if not exists tallybase_bench;
create table if not exists tallybase_bench.balances (
  organization_id uuid primary key, amount numeric not null
) with (fillfactor = 50);
"""
_NOTHING = """
create or replace function billing.bench_nothing(
  agent_type text, action text, amount numeric, idempotency_key text
)
returns integer language sql volatile set search_path = '' return 1;
revoke all on function billing.bench_nothing(text, text, numeric, text) from public;
grant execute on function billing.bench_nothing(text, text, numeric, text) to anon;
notify pgrst, 'reload schema';
"""


@dataclass(frozen=True)
class Tenant:
    """An organization with plenty of credits, an agent key and one limit on that key.

    Attributes:
        organization_id: its id.
        agent_key: the whole key.
    """

    organization_id: str
    agent_key: str


def _one(connection: psycopg.Connection[Any], query: str, *arguments: object) -> Any:
    row = connection.execute(query, arguments).fetchone()
    assert row is not None
    return row[0]


def make_tenants(connection: psycopg.Connection[Any], count: int) -> list[Tenant]:
    """Make so many organizations, each with 1e9 credits, a capped key and a row in the floor's table."""
    connection.execute(_FLOOR)
    owner = _one(connection, "select id from auth.users order by created_at, id limit 1")
    tenants = []
    for number in range(count):
        organization_id = _one(
            connection,
            "select (billing.create_organization(%s, %s)).organization_id",
            f"bench {number}",
            owner,
        )
        connection.execute("select billing.grant_credits(%s, 1e9, 'adjustment')", (organization_id,))
        key = _one(
            connection,
            """select (
                 billing.create_agent_key(%s, 'bench', spend_limit => 1e12, spend_window => 'month')
               ).key""",
            organization_id,
        )
        connection.execute("insert into tallybase_bench.balances values (%s, 1e12)", (organization_id,))
        tenants.append(Tenant(str(organization_id), key))
    return tenants


def add_nothing_rpc(connection: psycopg.Connection[Any]) -> None:
    """Expose an RPC that does nothing, with the spend's arguments: the floor of PostgREST."""
    connection.execute(_NOTHING)


def clean_up(connection: psycopg.Connection[Any]) -> None:
    """Drop what only the benchmark needs; its organizations stay, as every organization does."""
    connection.execute("drop function if exists billing.bench_nothing(text, text, numeric, text)")
    connection.execute("drop schema if exists tallybase_bench cascade")
    connection.execute("notify pgrst, 'reload schema'")
