"""Applies migrations and the seed with Supabase's own CLI, as a hosted project's owner would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psycopg

from stack.files import hash_files
from stack.install import SUPABASE_CLI
from stack.settings import StackSettings


class MigrationError(Exception):
    """The CLI refused a migration or the seed; the text holds its last lines."""


def fingerprint(settings: StackSettings) -> str:
    """Return a hash of all migrations and seed files, to tell whether a database is up to date."""
    files = [*(settings.supabase_dir / "migrations").glob("*.sql"), *_seed_files(settings)]
    return hash_files(files, settings.supabase_dir)


def bring_up_to_date(settings: StackSettings) -> bool:
    """Apply what is missing.

    Returns:
        True when the CLI had to run, False when nothing had changed since the last time.

    Raises:
        MigrationError: a statement failed, or a migration was edited after it had been applied.
    """
    wanted = fingerprint(settings)
    applied = _read(_record(settings))
    if applied.get("fingerprint") == wanted:
        return False
    edited = [name for name, digest in _digests(settings).items() if applied.get(name, digest) != digest]
    if edited:
        raise MigrationError(
            f"already applied, and edited since: {', '.join(edited)}. `make reset` builds the database anew "
            "from the migrations and the seed (its data is lost)."
        )
    push(settings)
    return True


def _name_own_page(settings: StackSettings) -> None:
    """Tell the product where this instance's page is, since its default knows the standard port only."""
    with psycopg.connect(settings.database_url(), autocommit=True) as connection:
        row = connection.execute("select to_regclass('billing_private.settings') is not null").fetchone()
        if settings.port_offset and row is not None and row[0]:
            connection.execute(
                "insert into billing_private.settings (name, value) values ('app_url', %s)"
                " on conflict (name) do update set value = excluded.value",
                [settings.frontend_url],
            )


def push(settings: StackSettings) -> None:
    """Run `supabase db push --include-seed` and note what was applied.

    Raises:
        MigrationError: the CLI failed.
    """
    run_cli(settings, ["db", "push", f"--remote={settings.database_url()}", "--include-seed", "--yes"])
    _name_own_page(settings)
    _note_applied(settings)


def reset(settings: StackSettings) -> None:
    """Run `supabase db reset`: drop everything, apply all migrations, seed.

    Raises:
        MigrationError: the CLI failed.
    """
    _record(settings).unlink(missing_ok=True)
    run_cli(settings, ["db", "reset", f"--remote={settings.database_url()}", "--yes"])
    _name_own_page(settings)
    _note_applied(settings)


def run_cli(settings: StackSettings, arguments: Sequence[str]) -> str:
    """Run Supabase's CLI on this repository without its telemetry, update notice or TLS warning.

    Args:
        settings: the instance; the CLI's own state is kept in its state folder.
        arguments: what follows `supabase`.

    Returns:
        Standard output.

    Raises:
        MigrationError: it ended with another status than 0.
    """
    environment = os.environ | {
        "SUPABASE_HOME": str(settings.state_dir / "cli"),
        "SUPABASE_TELEMETRY_DISABLED": "1",
        "SUPABASE_NO_UPDATE_NOTIFIER": "1",
        "PGSSLMODE": "disable",
        # The CLI takes a database on `[db] port` for its own container and would look for Docker.
        "SUPABASE_DB_PORT": "1",
    }
    command = [str(SUPABASE_CLI), *arguments, "--workdir", str(settings.repository)]
    done = subprocess.run(
        command,
        env=environment,
        cwd=settings.repository,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    with (settings.log_dir / "supabase-cli.log").open("a") as log:
        log.write(f"$ supabase {' '.join(arguments[:2])}\n{done.stdout}{done.stderr}\n")
    if done.returncode != 0:
        raise MigrationError(
            f"supabase {' '.join(arguments[:2])} failed:\n{_essence(done.stdout + done.stderr)}"
        )
    return done.stdout


def _essence(output: str) -> str:
    """Return the file that was being applied and the error with the start of its statement."""
    lines = output.strip().splitlines()
    errors = [number for number, line in enumerate(lines) if "ERROR" in line]
    if not errors:
        return "\n".join(lines[-15:])
    applying = [line for line in lines[: errors[0]] if line.startswith(("Applying", "Seeding"))][-1:]
    return "\n".join(
        [
            *applying,
            *lines[errors[0] : errors[0] + 10],
            "(all of it: logs/supabase-cli.log in the state folder)",
        ]
    )


def _seed_files(settings: StackSettings) -> list[Path]:
    if not settings.project.db.seed.enabled:
        return []
    return [
        file for pattern in settings.project.db.seed.sql_paths for file in settings.supabase_dir.glob(pattern)
    ]


def _digests(settings: StackSettings) -> dict[str, str]:
    migrations = (settings.supabase_dir / "migrations").glob("*.sql")
    return {file.name: hash_files([file], settings.supabase_dir) for file in sorted(migrations)}


def _record(settings: StackSettings) -> Path:
    return settings.state_dir / "migrations.applied"


def _note_applied(settings: StackSettings) -> None:
    record = {"fingerprint": fingerprint(settings)} | _digests(settings)
    _record(settings).write_text("".join(f"{name} {digest}\n" for name, digest in record.items()))


def _read(record: Path) -> dict[str, str]:
    if not record.exists():
        return {}
    return dict(line.split(" ", 1) for line in record.read_text().splitlines())
