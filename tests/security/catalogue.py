"""What there is to attack, from the database's catalogue: a new object is covered without a new test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

Database = psycopg.Connection[dict[str, Any]]
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Relation:
    """A table or view of schema `billing`.

    Attributes:
        name: without the schema.
        columns: in their order.
        is_view: whether it is a view.
        has_organization: whether its rows belong to organizations.
    """

    name: str
    columns: tuple[str, ...]
    is_view: bool

    @property
    def has_organization(self) -> bool:
        """Whether its rows belong to organizations."""
        return "organization_id" in self.columns


@dataclass(frozen=True)
class Function:
    """An exposed function.

    Attributes:
        name: without the schema.
        arguments: name → type, in their order.
        roles: the API roles that may execute it.
        comment: what it says of itself.
        is_read_only: whether it may be called by GET.
    """

    name: str
    arguments: dict[str, str]
    roles: frozenset[str]
    comment: str
    is_read_only: bool


_RELATIONS = (_HERE / "sql/relations.sql").read_text()
_FUNCTIONS = (_HERE / "sql/functions.sql").read_text()


def relations(database: Database) -> list[Relation]:
    """Return every table and view of schema `billing`."""
    rows = database.execute(_RELATIONS).fetchall()
    return [Relation(row["name"], tuple(row["columns"]), row["is_view"]) for row in rows]


def functions(database: Database) -> list[Function]:
    """Return every function of schema `billing`."""
    return [
        Function(
            name=row["name"],
            arguments=dict(zip(row["names"] or [], row["types"], strict=True)),
            roles=frozenset(row["roles"]),
            comment=row["comment"],
            is_read_only=row["is_read_only"],
        )
        for row in database.execute(_FUNCTIONS)
    ]


def money_digest(database: Database, *organization_ids: str) -> str:
    """Return a hash of everything that organizations have: all their rows in all tables of both schemas.

    Rollups are left out: the scheduled job may fold them at any moment, and verify_ledger proves them.

    Args:
        database: a session of the schema's owner.
        organization_ids: whose rows.
    """
    tables = database.execute(
        """
        select c.oid::regclass::text as name
        from pg_class as c
        inner join pg_attribute as a on a.attrelid = c.oid and a.attname = 'organization_id'
        where c.relnamespace in ('billing'::regnamespace, 'billing_private'::regnamespace)
          and c.relkind in ('r', 'p') and not c.relispartition
          and c.relname not in (
            'credit_usage_daily', 'credit_usage_runs', 'credit_usage_watermarks', 'credit_usage_active'
          )
        order by 1
        """
    ).fetchall()
    parts = " union all ".join(
        f"select '{table['name']}', md5(coalesce(string_agg(t::text, '|' order by t::text), ''))"
        f" from {table['name']} as t where organization_id = any(%(ids)s)"
        for table in tables
    )
    query = f"select md5(string_agg(p::text, '|' order by p::text)) as digest from ({parts}) as p"
    row = database.execute(query, {"ids": list(organization_ids)}).fetchone()
    assert row is not None
    return str(row["digest"])
