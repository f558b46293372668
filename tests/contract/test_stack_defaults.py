"""A project that exposes new objects by itself and one that does not end up with the same rights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from stack.testing.instance import running_instance
from tests.conftest import StackUnderTest

pytestmark = [pytest.mark.xdist_group("own-instance"), pytest.mark.timeout(180)]

RIGHTS = """
select n.nspname as schema, c.relname as name, c.relacl::text[] as rights, 'relation' as what
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where n.nspname in ('billing', 'billing_private')
union all
select n.nspname, p.oid::regprocedure::text, p.proacl::text[], 'function'
from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
where n.nspname in ('billing', 'billing_private')
union all
select null, n.nspname, n.nspacl::text[], 'schema'
from pg_namespace as n
where n.nspname in ('billing', 'billing_private')
order by 4, 1, 2
"""


@pytest.fixture(scope="module")
def exposing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A session in a project with the platform's legacy default privileges."""
    variables = {"TALLYBASE_FRONTEND": "0", "TALLYBASE_AUTO_EXPOSE_NEW_TABLES": "true"}
    with (
        running_instance(tmp_path_factory.mktemp("exposing") / "stack", variables) as environment,
        psycopg.connect(environment["DATABASE_URL"], autocommit=True, row_factory=dict_row) as connection,
    ):
        yield connection


def test_the_legacy_default_exposes_what_is_made_in_public(
    exposing: psycopg.Connection[dict[str, Any]],
) -> None:
    with exposing.transaction(force_rollback=True):
        exposing.execute("create table public.fresh (id integer)")
        row = exposing.execute(
            "select has_table_privilege('anon', 'public.fresh', 'select') as reads,"
            " has_table_privilege('service_role', 'public.fresh', 'delete') as deletes"
        ).fetchone()
    assert row == {"reads": True, "deletes": True}


def test_the_products_rights_are_the_same_under_both_defaults(
    exposing: psycopg.Connection[dict[str, Any]], stack: StackUnderTest
) -> None:
    with psycopg.connect(stack.database_url, row_factory=dict_row) as connection:
        revoked = connection.execute(RIGHTS).fetchall()
    assert len(revoked) > 50
    assert exposing.execute(RIGHTS).fetchall() == revoked
