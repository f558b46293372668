"""The bootstrap gives migrations what a hosted project gives them, and nothing more."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

Database = psycopg.Connection[dict[str, Any]]


def test_postgres_is_the_owner_and_no_superuser(database: Database) -> None:
    row = database.execute(
        "select rolsuper, rolcreatedb, rolcreaterole, rolbypassrls from pg_roles where rolname = 'postgres'"
    ).fetchone()
    assert row == {"rolsuper": False, "rolcreatedb": True, "rolcreaterole": True, "rolbypassrls": True}


def test_api_roles_cannot_log_in_and_only_service_role_bypasses_policies(database: Database) -> None:
    rows = database.execute(
        "select rolname, rolcanlogin, rolbypassrls from pg_roles"
        " where rolname in ('anon', 'authenticated', 'service_role', 'authenticator') order by rolname"
    ).fetchall()
    assert rows == [
        {"rolname": "anon", "rolcanlogin": False, "rolbypassrls": False},
        {"rolname": "authenticated", "rolcanlogin": False, "rolbypassrls": False},
        {"rolname": "authenticator", "rolcanlogin": True, "rolbypassrls": False},
        {"rolname": "service_role", "rolcanlogin": False, "rolbypassrls": True},
    ]


@pytest.mark.parametrize(
    ("role", "timeout"), [("anon", "3s"), ("authenticated", "8s"), ("authenticator", "8s")]
)
def test_api_roles_have_a_statement_timeout(database: Database, role: str, timeout: str) -> None:
    row = database.execute("select rolconfig from pg_roles where rolname = %s", [role]).fetchone()
    assert row is not None
    assert f"statement_timeout={timeout}" in row["rolconfig"]


def test_extensions_live_in_their_schema(database: Database) -> None:
    rows = database.execute(
        "select extname from pg_extension where extnamespace = 'extensions'::regnamespace"
    ).fetchall()
    assert {"pgcrypto", "uuid-ossp", "pg_stat_statements"} <= {row["extname"] for row in rows}


@pytest.mark.parametrize("schema", ["auth", "realtime", "storage"])
def test_postgres_creates_nothing_in_the_platforms_schemas(database: Database, schema: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        database.execute(f"create table {schema}.intruder (id integer)")


def test_claims_are_read_from_the_request(database: Database) -> None:
    with database.transaction(force_rollback=True):
        claims = (
            '{"sub": "11111111-1111-4111-8111-000000000001", "role": "authenticated", "email": "a@b.test"}'
        )
        database.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        row = database.execute(
            "select auth.uid()::text as uid, auth.role(), auth.email(), auth.jwt()"
        ).fetchone()
    assert row is not None
    assert (row["uid"], row["role"], row["email"]) == (
        "11111111-1111-4111-8111-000000000001",
        "authenticated",
        "a@b.test",
    )
    assert row["jwt"]["role"] == "authenticated"


def test_empty_claims_are_nobody(database: Database) -> None:
    with database.transaction(force_rollback=True):
        database.execute("select set_config('request.jwt.claims', '', true)")
        row = database.execute("select auth.uid(), auth.role()").fetchone()
    assert row == {"uid": None, "role": None}


def test_new_objects_in_public_are_not_exposed(database: Database) -> None:
    with database.transaction(force_rollback=True):
        database.execute("create table public.fresh (id integer)")
        row = database.execute(
            "select has_table_privilege('anon', 'public.fresh', 'select') as reads,"
            " has_table_privilege('authenticated', 'public.fresh', 'insert') as writes"
        ).fetchone()
    assert row == {"reads": False, "writes": False}


def test_exposed_schemas_are_stored_where_lints_look(database: Database) -> None:
    row = database.execute("select current_setting('pgrst.db_schemas') as schemas").fetchone()
    assert row is not None
    assert "billing" in row["schemas"].split(", ")
    assert "billing_private" not in row["schemas"]


def test_realtime_publication_belongs_to_postgres(database: Database) -> None:
    row = database.execute(
        "select pubowner::regrole::text as owner from pg_publication where pubname = 'supabase_realtime'"
    ).fetchone()
    assert row == {"owner": "postgres"}


def test_a_broadcast_that_cannot_be_stored_does_not_break_the_caller(database: Database) -> None:
    with database.transaction(force_rollback=True):
        database.execute("select realtime.send('{}'::jsonb, 'event', null, true)")
        row = database.execute("select count(*) from realtime.messages where topic is null").fetchone()
    assert row == {"count": 0}
