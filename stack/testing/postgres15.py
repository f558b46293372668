"""A small server of PostgreSQL 15, which hosted projects still run, beside the 17 of the local stack.

`python -m stack.testing.postgres15` runs pgTAP on it. plpgsql_check and pg_cron, packaged for 15 alone, have
theirs in `stack.testing.plpgsql` and `tests/contract/test_pg_cron.py`. Debian 12 has the packages, and
`.ci/run` installs them. The server is looked for in TALLYBASE_POSTGRES15, then where Debian installs it;
without root,

    apt-get download postgresql-15 postgresql-15-plpgsql-check postgresql-15-pgtap postgresql-15-cron
    for package in *.deb; do dpkg-deb -x "$package" root; done
    export TALLYBASE_POSTGRES15=$PWD/root/usr/lib/postgresql/15

will do. Where there is none these checks say that they did not run.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from stack.postgres import BOOTSTRAP_DIR, SUPERUSER, unprivileged_prefix
from stack.settings import HOST, REPOSITORY
from stack.testing import pgtap

NOT_HERE = "no PostgreSQL 15 with {} here (see stack/testing/postgres15.py)"
_DEBIAN = Path("/usr/lib/postgresql/15")
_START_SECONDS = 60


class Postgres15Error(Exception):
    """The server cannot be made or started; the text says why."""


def home(extension: str) -> Path | None:
    """Return the folder of a PostgreSQL 15 that has an extension, None where there is none."""
    named = os.environ.get("TALLYBASE_POSTGRES15")
    for folder in ([Path(named)] if named else []) + [_DEBIAN]:
        control = folder.parents[2] / "share" / "postgresql" / "15" / "extension" / f"{extension}.control"
        if control.exists() and (folder / "bin" / "postgres").exists():
            return folder
    return None


@contextmanager
def server(folder: Path, settings: Mapping[str, object] | None = None) -> Iterator[str]:
    """Run a throw-away server with what a Supabase database has before the first migration.

    Args:
        folder: the server's programs, from `home`.
        settings: more of its settings.

    Yields:
        The superuser's connection string.

    Raises:
        Postgres15Error: it cannot be made or started.
    """
    prefix = list(unprivileged_prefix())
    with tempfile.TemporaryDirectory(prefix="tallybase-15-") as place:
        if prefix and prefix[0] == "setpriv":
            shutil.chown(place, 65534, 65534)
        data = Path(place) / "data"
        made = [*prefix, str(folder / "bin" / "initdb"), "-D", str(data), "--username", SUPERUSER]
        _run([*made, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
        port = _free_port()
        options = {"listen_addresses": HOST, "port": port, "unix_socket_directories": "", "fsync": "off"}
        flags = [
            part
            for name, value in (options | dict(settings or {})).items()
            for part in ("-c", f"{name}={value}")
        ]
        command = [*prefix, str(folder / "bin" / "postgres"), "-D", str(data), *flags]
        with (Path(place) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=place)
        try:
            url = f"postgresql://{SUPERUSER}@{HOST}:{port}/postgres"
            _await(process, url, Path(place) / "log")
            with psycopg.connect(url) as connection:
                for file in sorted(BOOTSTRAP_DIR.glob("*.sql")):
                    connection.execute(file.read_bytes())
            yield url
        finally:
            process.terminate()
            process.wait()


def migrate(url: str) -> str:
    """Apply the migrations as their owner, and return the owner's connection string.

    Args:
        url: the superuser's connection string.
    """
    owner = url.replace(SUPERUSER, "postgres", 1)
    with psycopg.connect(owner, autocommit=True) as connection:
        for file in sorted((REPOSITORY / "supabase" / "migrations").glob("*.sql")):
            connection.execute(file.read_bytes())
    return owner


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as opened:
        return int(opened.getsockname()[1])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode != 0:
        raise Postgres15Error(f"initdb failed:\n{done.stderr.strip() or done.stdout.strip()}")


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    patience = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < patience:
        try:
            psycopg.connect(url, connect_timeout=5).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
            continue
        return
    raise Postgres15Error(f"PostgreSQL 15 did not start:\n{log.read_text()}")


def main() -> int:
    """Run all of pgTAP's files on a migrated PostgreSQL 15.

    Returns:
        The exit status: 1 when anything failed.
    """
    folder = home("pgtap")
    if folder is None:
        print(f"NOT RUN: {NOT_HERE.format('pgTAP')}")
        return 0
    with server(folder) as url:
        os.environ["DATABASE_URL"] = migrate(url)
        return pgtap.main([])


if __name__ == "__main__":
    sys.exit(main())
