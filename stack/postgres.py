"""The database server: makes the cluster, gives it what a Supabase database has, and says how to run it."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from stack.install import POSTGRES_HOME
from stack.settings import HOST, POSTGRES_PASSWORD, StackSettings

BOOTSTRAP_DIR = Path(__file__).parent / "bootstrap"
SUPERUSER = "supabase_admin"
_REVOKED_DEFAULTS = "31_default_privileges_revoked.sql"
_NOBODY = 65534


class PostgresError(Exception):
    """The cluster cannot be made or used; the text says why and what to do."""


def command(settings: StackSettings, *, durable: bool) -> list[str]:
    """Return the command line of the server.

    Args:
        settings: the instance.
        durable: write through to the disk at each commit. Tests turn it off: a killed process still loses
            nothing then, only a machine that loses power does.
    """
    options = {
        "listen_addresses": HOST,
        "port": settings.ports.database,
        "unix_socket_directories": "",
        "shared_preload_libraries": "pg_stat_statements",
        "shared_buffers": "64MB",
        "max_connections": 120,
        "max_worker_processes": 8,
        "wal_level": "logical",
        "max_wal_size": "512MB",
        "max_locks_per_transaction": 256,
        "timezone": "UTC",
        "jit": "off",
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] %q%u ",
    }
    flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
    return [
        *unprivileged_prefix(),
        str(POSTGRES_HOME / "bin" / "postgres"),
        "-D",
        str(settings.data_dir),
        *flags,
    ]


@functools.cache
def unprivileged_prefix() -> tuple[str, ...]:
    """Return what must stand before a Postgres command, which refuses to run as root.

    Root gets a user namespace in which it is an ordinary user: no account is made and files keep their owner.
    Where namespaces are forbidden the command runs as `nobody`. Others need nothing.

    Raises:
        PostgresError: this is root and neither way works.
    """
    if os.geteuid() != 0:
        return ()
    candidates = (
        ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--"),
        ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--"),
    )
    for prefix in candidates:
        probe = [*prefix, str(POSTGRES_HOME / "bin" / "postgres"), "--version"]
        if (
            shutil.which(prefix[0])
            and subprocess.run(probe, capture_output=True, check=False).returncode == 0
        ):
            return prefix
    raise PostgresError(
        "Postgres refuses to run as root, and neither a user namespace (unshare) nor the user nobody "
        "(setpriv) can run it here. Run `make up` as an ordinary user."
    )


def ensure_cluster(settings: StackSettings) -> bool:
    """Make the data directory when there is none; a half-made one is replaced.

    Args:
        settings: the instance.

    Returns:
        True when a new, empty cluster was made, which still needs `bootstrap`.

    Raises:
        PostgresError: initdb failed, or the existing cluster was made from other bootstrap files.
    """
    marker = _marker(settings)
    if settings.data_dir.exists() and marker.exists():
        if marker.read_text() != bootstrap_hash(settings):
            raise PostgresError(
                "stack/bootstrap or [api] auto_expose_new_tables changed since this database was made; "
                "`make destroy` removes the local database, `make up` then makes a new one"
            )
        return False
    shutil.rmtree(settings.data_dir, ignore_errors=True)
    marker.unlink(missing_ok=True)
    _initdb(settings)
    return True


def bootstrap(settings: StackSettings) -> None:
    """Give a fresh cluster the roles, schemas and functions of a Supabase project, in one transaction."""
    with psycopg.connect(settings.database_url(SUPERUSER)) as connection:
        connection.execute("set password_encryption = 'scram-sha-256'")
        for file in _bootstrap_files(settings):
            connection.execute(file.read_bytes())
        for statement in _password_statements(
            {"postgres": POSTGRES_PASSWORD} | settings.keys.database_passwords
        ):
            connection.execute(statement)
    _marker(settings).write_text(bootstrap_hash(settings))


def set_passwords(settings: StackSettings, passwords: Mapping[str, str]) -> None:
    """Give roles of a stopped cluster other passwords, without knowing the old ones.

    Where there is no cluster yet, nothing is done. The server runs alone for it, without a network.
    Interrupted, it can be run again.

    Args:
        settings: the instance.
        passwords: role → password.

    Raises:
        PostgresError: the cluster is in use or broken.
    """
    if not _marker(settings).exists():
        return
    program = [*unprivileged_prefix(), str(POSTGRES_HOME / "bin" / "postgres"), "--single"]
    # An error ends it, and no log repeats the statement.
    options = ["-c", "exit_on_error=on", "-c", "log_min_error_statement=panic"]
    lines = [f"{statement.as_string()}\n" for statement in _password_statements(passwords)]
    done = subprocess.run(
        [*program, "-D", str(settings.data_dir), *options, "postgres"],
        input="".join(lines),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if done.returncode != 0:
        raise PostgresError(f"The passwords were not changed:\n{done.stderr.strip()}")


def _password_statements(passwords: Mapping[str, str]) -> Iterator[sql.Composed]:
    for role, password in passwords.items():
        yield sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(password))


def publish_api_settings(settings: StackSettings) -> None:
    """Store the exposed schemas on the database, where Supabase's lints look for them."""
    schemas = sql.Literal(", ".join(settings.project.api.schemas))
    with psycopg.connect(settings.database_url(SUPERUSER), autocommit=True) as connection:
        connection.execute(sql.SQL("alter database postgres set pgrst.db_schemas = {}").format(schemas))


def bootstrap_hash(settings: StackSettings) -> str:
    """Return a hash of everything that `bootstrap` would run."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in _bootstrap_files(settings))).hexdigest()


def _bootstrap_files(settings: StackSettings) -> list[Path]:
    exposed = settings.project.api.auto_expose_new_tables
    return [
        file
        for file in sorted(BOOTSTRAP_DIR.glob("*.sql"))
        if not (exposed and file.name == _REVOKED_DEFAULTS)
    ]


def _marker(settings: StackSettings) -> Path:
    return settings.state_dir / "postgres.bootstrapped"


def _initdb(settings: StackSettings) -> None:
    prefix = unprivileged_prefix()
    settings.data_dir.mkdir(parents=True, mode=0o700)
    password_file = settings.run_dir / "initdb.password"
    password_file.touch(mode=0o600)
    password_file.write_text(settings.keys.database_passwords[SUPERUSER])
    if prefix and prefix[0] == "setpriv":
        os.chown(settings.data_dir, _NOBODY, _NOBODY)
        os.chown(password_file, _NOBODY, _NOBODY)
    program = [*prefix, str(POSTGRES_HOME / "bin" / "initdb"), "-D", str(settings.data_dir)]
    flags = ["--username", SUPERUSER, "--pwfile", str(password_file), "--auth=scram-sha-256"]
    flags += ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    try:
        done = subprocess.run([*program, *flags], capture_output=True, text=True, check=False, cwd="/")
    finally:
        password_file.unlink(missing_ok=True)
    if done.returncode != 0:
        shutil.rmtree(settings.data_dir, ignore_errors=True)
        raise PostgresError(f"initdb failed:\n{done.stderr.strip() or done.stdout.strip()}")
