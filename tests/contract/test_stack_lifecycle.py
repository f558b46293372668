"""The supervisor: it says what died and restarts it, survives its own death, and explains a refused start."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from stack.settings import HOST
from stack.supervisor.events import read_from
from stack.supervisor.record import StackRecord, read
from stack.testing.instance import reserved_offset, running_instance, stack_command

pytestmark = [pytest.mark.xdist_group("own-instance"), pytest.mark.timeout(240)]

PATIENCE_SECONDS = 40


class Instance:
    """A running instance and the files in which it tells about itself."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Take the environment that `running_instance` yields."""
        self.environment = environment
        self.state_dir = Path(environment["TALLYBASE_STACK_DIR"])

    def run(self, *arguments: str) -> str:
        """Run a command of the stack and return all that it printed."""
        done = stack_command(self.environment, *arguments)
        return done.stdout + done.stderr

    def record(self) -> StackRecord:
        """Return the record of processes."""
        found = read(self.state_dir / "run" / "processes.json")
        assert found is not None
        return found

    def pid(self, service: str) -> int:
        """Return a service's process id."""
        pid = self.record().services[service].pid
        assert pid is not None
        return pid

    def events(self) -> list[dict[str, Any]]:
        """Return everything that the supervisor logged."""
        return read_from(self.state_dir / "logs" / "supervisor.log", 0)[0]

    def reads_plans(self) -> bool:
        """Tell whether a read through gateway, PostgREST and Postgres succeeds."""
        headers = {"apikey": self.environment["SUPABASE_PUBLISHABLE_KEY"], "Accept-Profile": "billing"}
        address = f"{self.environment['SUPABASE_URL']}/rest/v1/subscription_plans"
        try:
            return httpx.get(address, headers=headers, timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance that these tests may mistreat."""
    folder = tmp_path_factory.mktemp("lifecycle") / "stack"
    with running_instance(folder, {"TALLYBASE_FRONTEND": "0"}) as environment:
        yield Instance(environment)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.mark.parametrize(
    "service", ["postgrest", "gateway", "services", "stripe-twin", "workers", "postgres"]
)
def test_a_killed_service_is_named_and_restarted(instance: Instance, service: str) -> None:
    old = instance.pid(service)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: instance.record().services[service].pid not in (None, old))
    wait_until(lambda: instance.record().services[service].state == "running")
    wait_until(instance.reads_plans)
    died = [
        event
        for event in instance.events()
        if event["event"] == "service_died" and event["service"] == service
    ]
    assert died[-1]["how"] == "killed by SIGKILL"
    row = next(line for line in instance.run("status").splitlines() if line.startswith(f"{service} "))
    assert "killed by SIGKILL" in row


def test_a_second_up_says_that_it_runs(instance: Instance) -> None:
    supervisor = instance.record().supervisor.pid
    text = instance.run("up")
    assert "already running" in text
    assert instance.environment["SUPABASE_URL"] in text
    assert instance.record().supervisor.pid == supervisor


def test_a_second_up_brings_what_has_come_to_the_tree(instance: Instance) -> None:
    address = instance.environment["FRONTEND_URL"]
    assert httpx.get(address).status_code == 404, "this instance was started without the page"
    (instance.state_dir / "migrations.applied").unlink()
    text = stack_command({**instance.environment, "TALLYBASE_FRONTEND": "1"}, "up").stdout
    assert "applied now" in text
    assert '<div id="root">' in httpx.get(address).text
    again = instance.run("up")
    assert "applied now" not in again
    assert "built anew" not in again


def test_what_a_killed_supervisor_leaves_is_ended_by_the_next_start(instance: Instance) -> None:
    record = instance.record()
    children = [one.process() for one in record.services.values()]
    supervisor = record.supervisor.process()
    assert supervisor is not None
    supervisor.kill()
    supervisor.wait(10)
    assert "is not running" in instance.run("status")
    text = instance.run("up")
    assert "ended what a killed supervisor had left" in text
    assert not [child for child in children if child is not None and _is_alive(child)]
    wait_until(instance.reads_plans)


def test_data_survives_a_stop(instance: Instance) -> None:
    keys = (instance.state_dir / "keys.json").read_text()
    assert "is stopped" in instance.run("down")
    assert "was not running" in instance.run("down")
    assert "existing database" in instance.run("up")
    assert (instance.state_dir / "keys.json").read_text() == keys
    wait_until(instance.reads_plans)


def test_secrets_are_readable_by_their_owner_only(instance: Instance) -> None:
    run = instance.state_dir / "run"
    for file in (instance.state_dir / "keys.json", run / "Caddyfile", run / "postgrest.conf"):
        assert file.stat().st_mode & 0o077 == 0, file


def test_no_secret_is_logged(instance: Instance) -> None:
    secrets = [instance.environment["SUPABASE_SECRET_KEY"], instance.environment["STRIPE_WEBHOOK_SECRET"]]
    instance.run("status")
    for log in (instance.state_dir / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], log.name


def test_a_taken_port_is_named_with_its_owner(tmp_path: Path) -> None:
    with reserved_offset() as offset, socket.create_server((HOST, 54322 + offset)):
        environment = {
            **os.environ,
            "TALLYBASE_STACK_DIR": str(tmp_path),
            "TALLYBASE_PORT_OFFSET": str(offset),
        }
        done = stack_command(environment, "up")
    assert done.returncode == 1
    assert f"port {54322 + offset} (database) is taken by process {os.getpid()}" in done.stderr
    assert "TALLYBASE_PORT_OFFSET" in done.stderr
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize("offset", ["many", "60000", "-60000"])
def test_an_impossible_offset_is_explained(tmp_path: Path, offset: str) -> None:
    environment = {**os.environ, "TALLYBASE_STACK_DIR": str(tmp_path), "TALLYBASE_PORT_OFFSET": offset}
    done = stack_command(environment, "up")
    assert done.returncode == 1
    assert "TALLYBASE_PORT_OFFSET" in done.stderr
    assert "Traceback" not in done.stderr


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
