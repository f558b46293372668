"""What there is to attack, read from the database's catalogue, so that a new object is covered without a new test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

Database = psycopg.Connection[dict[str, Any]]


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


_RELATIONS = """
    select c.relname as name, c.relkind = 'v' as is_view, array_agg(a.attname::text order by a.attnum) as columns
    from pg_class as c
    inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'billing'::regnamespace and c.relkind in ('r', 'p', 'v')
    group by c.oid order by c.relname
"""
_FUNCTIONS = """
    select p.proname as name, p.provolatile <> 'v' as is_read_only, coalesce(obj_description(p.oid, 'pg_proc'), '') as comment,
      p.proargnames[1:p.pronargs] as names,
      array(select format_type(t.type, null) from unnest(p.proargtypes) with ordinality as t (type, place) order by t.place) as types,
      array(
        select r.rolname::text from aclexplode(p.proacl) as a inner join pg_roles as r on r.oid = a.grantee where r.rolname <> 'postgres'
      ) as roles
    from pg_proc as p where p.pronamespace = 'billing'::regnamespace order by p.proname
"""


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
          and c.relname not in ('credit_usage_daily', 'credit_usage_watermarks')
        order by 1
        """
    ).fetchall()
    parts = " union all ".join(
        f"select '{table['name']}', md5(coalesce(string_agg(t::text, '|' order by t::text), ''))"  # noqa: S608
        f" from {table['name']} as t where organization_id = any(%(ids)s)"
        for table in tables
    )
    query = f"select md5(string_agg(p::text, '|' order by p::text)) as digest from ({parts}) as p"  # noqa: S608
    row = database.execute(query, {"ids": list(organization_ids)}).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return str(row["digest"])
