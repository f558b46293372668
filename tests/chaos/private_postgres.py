"""A Postgres of a test's own, without a supervisor: started, killed with SIGKILL, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from stack.postgres import command
from stack.settings import StackSettings
from stack.testing.instance import running_instance, stack_command

PATIENCE_SECONDS = 60


class PrivatePostgres:
    """The server of an instance's data directory; commits are flushed as in production."""

    def __init__(self, settings: StackSettings) -> None:
        self._command = command(settings, durable=True)
        self._log = (settings.log_dir / "killed-postgres.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = settings.database_url()

    def start(self) -> float:
        """Start the server and wait until it has recovered; return the seconds that took."""
        begun = time.monotonic()
        self._process = subprocess.Popen(
            self._command, stdout=self._log, stderr=self._log, start_new_session=True
        )
        while time.monotonic() < begun + PATIENCE_SECONDS:
            assert self._process.poll() is None, "Postgres ended at its start; see killed-postgres.log"
            with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=5):
                return time.monotonic() - begun
            time.sleep(0.02)
        raise AssertionError(f"Postgres did not come back within {PATIENCE_SECONDS} s")

    def kill(self) -> int:
        """Kill the postmaster and every process of it with SIGKILL; return how many there were."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)  # so that it starts none meanwhile
        family = [self._process.pid, *_children(self._process.pid)]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(_runs(pid) for pid in family[1:]):
            time.sleep(0.005)
        return len(family)

    def stop(self) -> None:
        """Stop it in an orderly way."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_SECONDS)
        self._log.close()


@contextmanager
def private_postgres(folder: Path) -> Iterator[PrivatePostgres]:
    """Make an instance with migrations and seed, stop all of it, and run its Postgres alone.

    Args:
        folder: where the instance lives; what was there before is deleted.
    """
    variables = {"TALLYBASE_FRONTEND": "0", "TALLYBASE_DURABLE": "1"}
    with running_instance(folder, variables) as environment:
        stack_command(environment, "down")
        with _as_environment(environment):
            server = PrivatePostgres(StackSettings.load())
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _as_environment(environment: Mapping[str, str]) -> Iterator[None]:
    names = ("TALLYBASE_STACK_DIR", "TALLYBASE_PORT_OFFSET")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: environment[name] for name in names})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _runs(pid: int) -> bool:
    """Whether a process is there and not only waiting to be collected by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
