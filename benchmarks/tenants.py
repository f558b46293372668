"""The organizations, keys and floor tables of the benchmarks, made through the product's own functions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

_CREDITS = 1_000_000_000
_FLOOR = """
create schema if not exists tallybase_bench;
create table if not exists tallybase_bench.balances (
  organization_id uuid primary key, amount numeric not null
) with (fillfactor = 50);
"""
# The cheapest ledger whose entries are gap-free in the order of commit: one lock, one keyed row that carries
# the balance. No caller, price, limit, grant or receipt. What it reaches bounds what any such ledger can.
_BARE_LEDGER = """
create table if not exists tallybase_bench.bare_entries (
  organization_id uuid, sequence bigint, balance numeric not null, idempotency_key text not null,
  primary key (organization_id, sequence), unique (organization_id, idempotency_key)
);
create or replace function tallybase_bench.append(p_organization_id uuid, p_key text)
returns numeric language plpgsql security definer set search_path = '' as $$
declare
  v_balance numeric;
begin
  perform pg_catalog.pg_advisory_xact_lock(1, pg_catalog.hashtext(p_organization_id::text));
  insert into tallybase_bench.bare_entries as e (organization_id, sequence, balance, idempotency_key)
  select p_organization_id, t.sequence + 1, t.balance - 1, p_key
  from (
    select e.sequence, e.balance from tallybase_bench.bare_entries as e
    where e.organization_id = p_organization_id order by e.sequence desc limit 1
  ) as t
  where t.balance >= 1
  on conflict do nothing
  returning e.balance into strict v_balance;
  return v_balance;
end
$$;
grant usage on schema tallybase_bench to anon;
grant execute on function tallybase_bench.append(uuid, text) to anon;
create or replace function billing.bench_entry(
  agent_type text, action text, amount numeric, idempotency_key text
)
returns numeric language plpgsql volatile set search_path = '' as $$
begin
  return tallybase_bench.append('00000000-0000-4000-8000-000000000000', idempotency_key);
end
$$;
revoke all on function billing.bench_entry(text, text, numeric, text) from public;
grant execute on function billing.bench_entry(text, text, numeric, text) to anon, authenticated;
insert into tallybase_bench.bare_entries values ('00000000-0000-4000-8000-000000000000', 1, 1e12, 'opening')
on conflict do nothing;
"""
_NOTHING = """
create or replace function billing.bench_nothing(
  agent_type text, action text, amount numeric, idempotency_key text
)
returns integer language sql volatile set search_path = '' return 1;
revoke all on function billing.bench_nothing(text, text, numeric, text) from public;
grant execute on function billing.bench_nothing(text, text, numeric, text) to anon, authenticated;
create table if not exists billing.bench_entries (like billing.credit_transactions);
revoke all on table billing.bench_entries from public;
grant select on table billing.bench_entries to authenticated;
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

    @property
    def headers(self) -> dict[str, str]:
        """The header of a request of its agent."""
        return {"x-agent-key": self.agent_key}


@dataclass(frozen=True)
class Project:
    """Where the project under test is, and who owns the benchmark's organizations.

    Attributes:
        url: of the project's API.
        database_url: of its database, as the schema's owner.
        publishable_key: what every client has.
        owner_id: the person who owns the organizations.
        token: their access token.
        environment: all that `make env` prints.
    """

    url: str
    database_url: str
    publishable_key: str
    owner_id: str
    token: str
    environment: Mapping[str, str]

    @property
    def rest_url(self) -> str:
        """Base address of PostgREST."""
        return f"{self.url}/rest/v1"

    def headers(self, agent_key: str | None = None) -> dict[str, str]:
        """The headers of a request to PostgREST, of an agent or of nobody yet."""
        schema = {"Content-Profile": "billing", "Accept-Profile": "billing"}
        agent = {} if agent_key is None else {"x-agent-key": agent_key}
        return {"apikey": self.publishable_key, **schema, **agent}


def open_project(environment: Mapping[str, str]) -> Project:
    """Make a user who will own the organizations, and sign them in.

    Args:
        environment: what `make env` prints.
    """
    owner = _sign_up(environment)
    return Project(
        url=environment["SUPABASE_URL"],
        database_url=environment["DATABASE_URL"],
        publishable_key=environment["SUPABASE_PUBLISHABLE_KEY"],
        owner_id=owner.user_id,
        token=owner.token,
        environment=environment,
    )


@dataclass(frozen=True)
class Person:
    """Somebody who has signed in.

    Attributes:
        user_id: their id.
        token: their access token.
    """

    user_id: str
    token: str


def add_owner(connection: psycopg.Connection[Any], project: Project, organization_id: str) -> Person:
    """Make an owner of one organization who belongs to no other, unlike the project's, who owns them all.

    Args:
        connection: of the schema's owner, in autocommit.
        project: in which they sign up.
        organization_id: what they own.
    """
    person = _sign_up(project.environment)
    connection.execute(
        "insert into billing.organization_members (organization_id, user_id, role) values (%s, %s, 'owner')",
        (organization_id, person.user_id),
    )
    return person


def _sign_up(environment: Mapping[str, str]) -> Person:
    url, secret_key = environment["SUPABASE_URL"], environment["SUPABASE_SECRET_KEY"]
    person = {"email": f"bench-{secrets.token_hex(6)}@bench.test", "password": secrets.token_urlsafe(24)}
    with httpx.Client(base_url=f"{url}/auth/v1", timeout=60) as auth:
        headers = {"apikey": secret_key, "Authorization": f"Bearer {secret_key}"}
        made = auth.post("/admin/users", json=person | {"email_confirm": True}, headers=headers)
        made.raise_for_status()
        headers = {"apikey": environment["SUPABASE_PUBLISHABLE_KEY"]}
        session = auth.post("/token", params={"grant_type": "password"}, json=person, headers=headers)
        session.raise_for_status()
    return Person(made.json()["id"], session.json()["access_token"])


def one(connection: psycopg.Connection[Any], query: str, *arguments: object) -> Any:
    """The one value that a query answers."""
    row = connection.execute(query, arguments).fetchone()
    assert row is not None
    return row[0]


def make_organization(connection: psycopg.Connection[Any], project: Project) -> str:
    """Make an organization without credits and return its id."""
    name = f"bench {secrets.token_hex(4)}"
    made = "select (billing.create_organization(%s, %s)).organization_id"
    return str(one(connection, made, name, project.owner_id))


def equip(
    connection: psycopg.Connection[Any], organization_id: str, credits_granted: int = _CREDITS
) -> Tenant:
    """Give an organization credits, a capped agent key and a row in the floor's table.

    Args:
        connection: of the schema's owner, in autocommit.
        organization_id: of an organization, new or with a past.
        credits_granted: 0: it has its own.
    """
    if credits_granted:
        grant = "select billing.grant_credits(%s, %s, 'adjustment')"
        connection.execute(grant, (organization_id, credits_granted))
    key = one(
        connection,
        "select (billing.create_agent_key(%s, 'bench', spend_limit => 1e12, spend_window => 'month')).key",
        organization_id,
    )
    connection.execute("insert into tallybase_bench.balances values (%s, 1e12)", (organization_id,))
    connection.execute(
        "insert into tallybase_bench.bare_entries values (%s, 1, 1e12, 'opening')", (organization_id,)
    )
    return Tenant(organization_id, key)


def make_tenants(connection: psycopg.Connection[Any], project: Project, count: int) -> list[Tenant]:
    """Make so many organizations, each with 1e9 credits, a capped key and a row in the floor's table."""
    return [equip(connection, make_organization(connection, project)) for _ in range(count)]


def add_floors(connection: psycopg.Connection[Any]) -> None:
    """Make the floor's table, the bare ledger, and PostgREST's floors: a plain table and an idle RPC."""
    connection.execute(_FLOOR)
    connection.execute(_BARE_LEDGER)
    connection.execute(_NOTHING)


def clean_up(connection: psycopg.Connection[Any]) -> None:
    """Drop what only the benchmark needs; its organizations stay, as every organization does."""
    for name in ("bench_nothing", "bench_entry"):
        connection.execute(f"drop function if exists billing.{name}(text, text, numeric, text)")
    connection.execute("drop table if exists billing.bench_entries")
    connection.execute("set client_min_messages = warning")
    connection.execute("drop schema if exists tallybase_bench cascade")
    connection.execute("notify pgrst, 'reload schema'")
