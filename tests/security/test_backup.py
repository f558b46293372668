"""A project is backed up and restored into a new database: the same rows and balances, and it goes on."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from stack.backup import BackupError, dump, restore
from stack.postgres import SUPERUSER
from stack.settings import StackSettings
from stack.testing import postgres15
from tests.security.acl import VARIANTS, fresh_database
from tests.security.cast import make_cast, speak
from tests.security.catalogue import Database

_TABLES = """
select c.oid::regclass::text as name from pg_class as c
where c.relkind in ('r', 'p') and not c.relispartition
  and c.relnamespace in ('billing'::regnamespace, 'billing_private'::regnamespace)
order by 1
"""
_BALANCES = "select organization_id, balance, held, available from billing.credit_balances order by 1"

_PACK = "insert into billing.credit_packages (key, name, unit_amount, credits) values ('p', 'P', 1, 1)"


def _digests(database: Database) -> dict[str, Any]:
    """A hash of every table of the product."""
    tables = [row["name"] for row in database.execute(_TABLES)]
    query = "select count(*) as n, md5(string_agg(t::text, '|' order by t::text)) as hash from {} as t"
    return {table: database.execute(query.format(table).encode()).fetchone() for table in tables}


def _as_superuser(settings: StackSettings, url: str) -> str:
    """The same database as the role that may set session_replication_role here; hosted, `postgres` may."""
    return f"{settings.database_url(SUPERUSER).rpartition('/')[0]}/{url.rpartition('/')[2]}"


def test_a_restored_project_has_the_same_rows_and_goes_on_spending(tmp_path: Path) -> None:
    settings, file = StackSettings.load(), tmp_path / "today's backup.sql"
    with fresh_database(settings, VARIANTS[0]) as old, fresh_database(settings, VARIANTS[1]) as new:
        with psycopg.connect(old, autocommit=True, row_factory=dict_row) as source:
            source.execute(_PACK)
            cast = make_cast(source, furnished=True)
            before, balances = _digests(source), source.execute(_BALANCES).fetchall()
        dump(old, file)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert restore(_as_superuser(settings, new), file) == 2
        with psycopg.connect(new, row_factory=dict_row) as restored:
            assert _digests(restored) == before
            assert restored.execute(_BALANCES).fetchall() == balances
            assert restored.execute("select * from billing.verify_ledger()").fetchall() == []
            speak(restored, cast, "agent")
            spend = "select (billing.consume_credits(%s, 'do', amount => 1)).balance as balance"
            row = restored.execute(spend, (cast.ids["agent_type"],)).fetchone()
            acme = next(b["balance"] for b in balances if b["organization_id"] == cast.acme)
            assert row is not None
            assert row["balance"] == acme - 1
        with pytest.raises(BackupError, match="already"):
            restore(_as_superuser(settings, new), file)


def test_a_backup_is_restored_on_postgresql_15(tmp_path: Path) -> None:
    """Rows are read as text, and servers print them alike; balances and verify_ledger() are 15's own."""
    home, file = postgres15.home("plpgsql"), tmp_path / "backup.sql"
    if home is None:
        pytest.skip(postgres15.NOT_HERE.format("PL/pgSQL"))
    with fresh_database(StackSettings.load(), VARIANTS[0]) as old, postgres15.server(home) as superuser:
        with psycopg.connect(old, autocommit=True, row_factory=dict_row) as source:
            cast = make_cast(source, furnished=True)
            before, balances = _digests(source), source.execute(_BALANCES).fetchall()
        dump(old, file)
        new = postgres15.migrate(superuser)
        assert restore(superuser, file) == 2
        with psycopg.connect(new, row_factory=dict_row) as restored:
            assert _digests(restored) == before
            assert restored.execute(_BALANCES).fetchall() == balances
            speak(restored, cast, "agent")
            spend = "select (billing.consume_credits(%s, 'do', amount => 1)).replayed as replayed"
            assert restored.execute(spend, (cast.ids["agent_type"],)).fetchone() == {"replayed": False}


def test_a_backup_that_was_tampered_with_is_not_restored(tmp_path: Path) -> None:
    settings, file = StackSettings.load(), tmp_path / "backup.sql"
    with fresh_database(settings, VARIANTS[0]) as old, fresh_database(settings, VARIANTS[0]) as new:
        with psycopg.connect(old, autocommit=True, row_factory=dict_row) as source:
            cast = make_cast(source)
        dump(old, file)
        lines = file.read_text().splitlines(keepends=True)
        head = "COPY billing_private.credit_grant_lots "
        block = next(n for n, line in enumerate(lines) if line.startswith(head))
        place = next(n for n in range(block, len(lines)) if cast.ids["grant"] in lines[n])
        del lines[place]
        file.write_text("".join(lines))
        with pytest.raises(BackupError, match="broken"):
            restore(_as_superuser(settings, new), file)
        with psycopg.connect(new) as untouched:
            assert untouched.execute("select count(*) from billing.organizations").fetchone() == (0,)
