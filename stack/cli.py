"""The commands behind the Makefile: up, down, status, logs, env, reset, destroy, rotate, types, dev, lock."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Annotated, NoReturn, cast, get_args

import psutil
import typer
from rich.console import Console

from stack import frontend, keys, migrations, postgres
from stack.environment import load_dotenv, public_environment
from stack.install import VENV, npm_environment
from stack.report import print_logs, print_status, print_welcome
from stack.settings import REPOSITORY, SettingsError, StackSettings
from stack.supervisor import record
from stack.supervisor.events import read_from
from stack.supervisor.progress import describe

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="The Docker-free local stack of Tallybase."
)
console = Console(highlight=False, soft_wrap=True)

_LOCK_HEADER = "# Written by `python -m stack lock` from requirements.in; do not edit."
_START_LIMIT_SECONDS = 180
_STOP_LIMIT_SECONDS = 45
_POLL_SECONDS = 0.05


@app.command()
def up() -> None:
    """Start the stack, show its progress, and return when everything answers."""
    settings = _settings()
    running = _running(settings)
    if running is not None and running.phase == "ready":
        console.print("The stack is already running.")
        _catch_up(settings)
        print_welcome(console, settings)
        return
    began = time.monotonic()
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    log = settings.log_dir / "supervisor.log"
    position = log.stat().st_size if log.exists() else 0
    process = None if running is not None else _spawn_supervisor(settings)
    while True:
        events, position = read_from(log, position)
        for event in events:
            if text := describe(event):
                console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {text}")
            if event["event"] == "stack_ready":
                print_welcome(console, settings, seconds=time.monotonic() - began)
                if failed := event["failed_steps"]:
                    _fail(f"The servers run, but not all is well: {', '.join(failed)} failed (see above).")
                return
            if event["event"] in ("start_failed", "stack_stopping"):
                _wait_for_end(process)
                _fail(f"The stack did not start: {event.get('reason', 'it was asked to stop')}")
        if process is not None and process.poll() is not None and not events:
            _fail(f"The supervisor ended with status {process.returncode}:\n{_tail(settings)}")
        if time.monotonic() - began > _START_LIMIT_SECONDS:
            _fail(f"The stack did not answer within {_START_LIMIT_SECONDS} s; see `make logs`.")
        time.sleep(_POLL_SECONDS)


def _catch_up(settings: StackSettings) -> None:
    """Give a running stack what has come to the tree since it started: migrations, and the page's sources."""
    try:
        if migrations.bring_up_to_date(settings):
            console.print("Its database has new migrations or a new seed, which are applied now.")
        if frontend.build(settings) == "built":
            console.print("Its page was built anew.")
    except (migrations.MigrationError, frontend.FrontendError) as error:
        _fail(f"It serves what it served before: {error}")


@app.command()
def down() -> None:
    """Stop the stack; does nothing when it is not running."""
    settings = _settings()
    running = _running(settings)
    if running is None:
        ended = _end_leftovers(settings)
        console.print(
            f"The stack was not running{'; ended leftovers: ' + ', '.join(ended) if ended else ''}."
        )
        return
    began = time.monotonic()
    process = running.supervisor.process()
    if process is not None:
        process.terminate()
        try:
            process.wait(_STOP_LIMIT_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            _end_leftovers(settings)
    console.print(f"The stack is stopped ({time.monotonic() - began:.1f} s).")


@app.command()
def status() -> None:
    """Show every process: state, uptime, restarts, memory."""
    settings = _settings()
    running = _running(settings)
    if running is None:
        console.print("The stack is not running. `make up` starts it.")
        raise typer.Exit(1)
    print_status(console, running)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="a service's name; empty for all")] = "", follow: bool = True
) -> None:
    """Print the end of the logs and what is added to them until interrupted."""
    print_logs(_settings().log_dir, name, follow=follow)


@app.command()
def env() -> None:
    """Print addresses and keys as shell assignments."""
    load_dotenv(str(REPOSITORY / ".env"))
    for name, value in public_environment(_settings()).items():
        print(f"{name}={value}")


@app.command()
def reset() -> None:
    """Drop everything in the database, apply all migrations, seed; with Supabase's own `db reset`."""
    settings = _require_running()
    began = time.monotonic()
    try:
        migrations.reset(settings)
    except migrations.MigrationError as error:
        _fail(str(error))
    postgres.publish_api_settings(settings)
    _restart_twin(settings)
    console.print(f"The database is new: migrations applied and seeded ({time.monotonic() - began:.1f} s).")


@app.command()
def destroy() -> None:
    """Stop the stack and delete this instance's data, logs and keys; installed packages stay."""
    down()
    settings = _settings()
    for name in ("postgres", "run", "logs", "cli"):
        shutil.rmtree(settings.state_dir / name, ignore_errors=True)
    for name in ("keys.json", "signing_key.json", "migrations.applied", "postgres.bootstrapped"):
        (settings.state_dir / name).unlink(missing_ok=True)
    console.print("The instance's data is deleted.")


@app.command()
def rotate(name: Annotated[str, typer.Argument(help=", ".join(get_args(keys.Rotatable)))]) -> None:
    """Replace one of this instance's secrets, as after a leak; takes effect with the next `up`."""
    settings = _settings()
    if name not in get_args(keys.Rotatable):
        _fail(f"{name} is none of {', '.join(get_args(keys.Rotatable))}")
    if _running(settings) is not None:
        _fail("The stack is running: `make down` first.")
    fresh = keys.rotated(settings.keys, cast("keys.Rotatable", name))
    if fresh.database_passwords != settings.keys.database_passwords:
        try:
            postgres.set_passwords(settings, fresh.database_passwords)
        except postgres.PostgresError as error:
            _fail(str(error))
    keys.write(settings.state_dir / "keys.json", fresh)
    console.print(f"{name} is new; `make up` starts with it.")


@app.command()
def types(
    output: Annotated[str, typer.Option(help="file to write")] = "frontend/src/billing/database.types.ts",
) -> None:
    """Write TypeScript types of the exposed schema, read from the running database."""
    settings = _require_running()
    schemas = [
        flag for schema in settings.project.api.schemas if schema != "public" for flag in ("--schema", schema)
    ]
    try:
        text = migrations.run_cli(
            settings, ["gen", "types", "typescript", f"--remote={settings.database_url()}", *schemas]
        )
    except migrations.MigrationError as error:
        _fail(str(error))
    target = REPOSITORY / output
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    console.print(f"wrote {output}")


@app.command()
def dev() -> None:
    """Run the front end's development server, one port above the built page, against the running stack."""
    settings = _require_running()
    folder = REPOSITORY / "frontend"
    command = [str(VENV / "bin" / "npm"), "run", "dev", "--", "--port", str(settings.ports.frontend + 1)]
    os.chdir(folder)
    os.execve(command[0], command, npm_environment() | public_environment(settings))


@app.command()
def lock() -> None:
    """Resolve requirements.in anew and write requirements.lock: names and versions, no addresses."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--dry-run",
        "--ignore-installed",
        "--report",
        "-",
    ]
    done = subprocess.run(
        [*command, "-r", "requirements.in"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        _fail(done.stderr)
    found = [item["metadata"] for item in json.loads(done.stdout)["install"]]
    pins = sorted(f"{item['name'].lower().replace('_', '-')}=={item['version']}" for item in found)
    (REPOSITORY / "requirements.lock").write_text("\n".join([_LOCK_HEADER, *pins, ""]))
    console.print(f"wrote requirements.lock with {len(pins)} packages")


def _settings() -> StackSettings:
    try:
        return StackSettings.load()
    except SettingsError as error:
        _fail(str(error))


def _running(settings: StackSettings) -> record.StackRecord | None:
    """Return the record of a supervisor that is alive, None otherwise."""
    found = record.read(settings.run_dir / "processes.json")
    return found if found is not None and found.supervisor.process() is not None else None


def _require_running() -> StackSettings:
    settings = _settings()
    if _running(settings) is None:
        _fail("The stack is not running. `make up` starts it.")
    return settings


def _end_leftovers(settings: StackSettings) -> list[str]:
    file = settings.run_dir / "processes.json"
    found = record.read(file)
    ended = record.end_leftovers(found) if found is not None else []
    file.unlink(missing_ok=True)
    return ended


def _spawn_supervisor(settings: StackSettings) -> subprocess.Popen[bytes]:
    with (settings.log_dir / "supervisor.out").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "stack.supervisor.daemon"],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _wait_for_end(process: subprocess.Popen[bytes] | None) -> None:
    """Let a failed supervisor take down what it had started; the next command finds nothing half done."""
    if process is not None:
        try:
            process.wait(_STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _restart_twin(settings: StackSettings) -> None:
    """Have the Stripe twin started anew, since the reset dropped its schema, and wait for it."""
    running = _running(settings)
    twin = running.services.get("stripe-twin") if running is not None else None
    if running is None or twin is None or running.supervisor.pid is None:
        return
    os.kill(running.supervisor.pid, signal.SIGUSR1)
    old = twin.pid
    for _ in range(int(20 / _POLL_SECONDS)):
        time.sleep(_POLL_SECONDS)
        now = _running(settings)
        if now is not None and (one := now.services["stripe-twin"]).pid != old and one.state == "running":
            return
    _fail("the Stripe twin did not come back after the reset; see `make logs S=stripe-twin`")


def _tail(settings: StackSettings) -> str:
    return (settings.log_dir / "supervisor.out").read_text(errors="replace")[-3000:]


def _fail(text: str) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, style="red", markup=False)
    raise typer.Exit(1)
