"""Checks every PL/pgSQL body with plpgsql_check: `python -m stack.testing.plpgsql`.

plpgsql_check (what `supabase db lint` runs) is packaged by Debian alone, for PostgreSQL 15, so the migrations
are applied to a small server of this check's own: which also proves that they are valid on 15. It is looked
for in TALLYBASE_POSTGRES15, then where Debian installs it; without root,

    apt-get download postgresql-15 postgresql-15-plpgsql-check
    for package in *.deb; do dpkg-deb -x "$package" root; done
    export TALLYBASE_POSTGRES15=$PWD/root/usr/lib/postgresql/15

will do. Where there is none the check says that it did not run.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from stack.postgres import BOOTSTRAP_DIR, SUPERUSER, unprivileged_prefix
from stack.settings import HOST, REPOSITORY
from stack.testing.lints import Finding, problems

_DEBIAN = Path("/usr/lib/postgresql/15")
#: Its messages name the rule; what they quote is an object's name.
_QUOTED = re.compile(r' ?"[^"]*"')
_CONTROL = "share/postgresql/15/extension/plpgsql_check.control"
#: Every function of both schemas; bodies of triggers are checked with their tables.
_CHECK = """
select p.oid::regprocedure::text as function, c.level, c.lineno, c.message
from pg_proc as p
inner join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
left join pg_trigger as t on t.tgfoid = p.oid and t.tgparentid = 0
cross join lateral extensions.plpgsql_check_function_tb(
  p.oid, coalesce(t.tgrelid, 0), performance_warnings => false
) as c
where p.pronamespace in ('billing'::regnamespace, 'billing_private'::regnamespace)
order by 1, 3
"""


def server_home() -> Path | None:
    """Return the folder of a PostgreSQL 15 that has plpgsql_check, None where there is none."""
    candidates = [Path(os.environ["TALLYBASE_POSTGRES15"])] if os.environ.get("TALLYBASE_POSTGRES15") else []
    for home in (*candidates, _DEBIAN):
        if (home.parents[2] / _CONTROL).exists() and (home / "bin" / "postgres").exists():
            return home
    return None


@contextmanager
def _server(home: Path) -> Iterator[str]:
    """Run a throw-away cluster and yield the superuser's connection."""
    prefix = list(unprivileged_prefix())
    with tempfile.TemporaryDirectory(prefix="tallybase-15-") as folder:
        if prefix and prefix[0] == "setpriv":
            shutil.chown(folder, 65534, 65534)
        data = Path(folder) / "data"
        initdb = ["initdb", "-D", str(data), "--username", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
        _run([*prefix, str(home / "bin" / initdb[0]), *initdb[1:], "--locale=C.UTF-8", "--no-sync"])
        port = _free_port()
        settings = {"listen_addresses": HOST, "port": port, "unix_socket_directories": "", "fsync": "off"}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [*prefix, str(home / "bin" / "postgres"), "-D", str(data), *flags],
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        try:
            url = f"postgresql://{SUPERUSER}@{HOST}:{port}/postgres"
            _await(process, url, Path(folder) / "log")
            yield url
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as opened:
        return int(opened.getsockname()[1])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode != 0:
        raise RuntimeError(f"{command[-1]}: {done.stderr.strip()}")


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    while process.poll() is None:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            continue
        return
    raise RuntimeError(f"PostgreSQL 15 ended at its start:\n{log.read_text()}")


def findings(home: Path, further: str = "") -> list[Finding]:
    """Apply bootstrap and migrations to a PostgreSQL 15 and return what plpgsql_check finds, waived or not.

    Args:
        home: the server's folder.
        further: statements to run after the migrations.
    """
    with _server(home) as url:
        with psycopg.connect(url) as connection:
            for file in sorted(BOOTSTRAP_DIR.glob("*.sql")):
                connection.execute(file.read_bytes())
        owner = url.replace(SUPERUSER, "postgres", 1)
        with psycopg.connect(owner, autocommit=True) as connection:
            for file in sorted((REPOSITORY / "supabase" / "migrations").glob("*.sql")):
                connection.execute(file.read_bytes())
            connection.execute(further.encode())
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create extension plpgsql_check with schema extensions")
            # Immutable, a refusal of constants would be raised when the check plans it, and end it.
            connection.execute("alter function billing_private.fail(integer, text, jsonb, text) volatile")
            rows = connection.execute(_CHECK).fetchall()
    return [
        Finding(_QUOTED.sub("", text), function.partition("(")[0], f"{level} in line {line}: {text}")
        for function, level, line, text in rows
    ]


def main() -> int:
    """Print what is found.

    Returns:
        The exit status: 1 when something is.
    """
    home = server_home()
    if not home:
        print("NOT RUN: no PostgreSQL 15 with plpgsql_check here (see stack/testing/plpgsql.py)")
        return 0
    found = problems("plpgsql", findings(home))
    print("\n".join(found) or "no problems, on PostgreSQL 15")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
