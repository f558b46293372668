"""Starts a stack instance of its own beside whatever else runs, for tests, and removes it again."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack.settings import PUBLIC_PORTS, REPOSITORY
from stack.supervisor.ports import is_free

_FIRST_OFFSET = 10_000
_LAST_OFFSET = 11_200
_OFFSET_STEP = 50


class InstanceError(Exception):
    """The instance did not come up; the text holds what `make up` said."""


@contextmanager
def running_instance(state_dir: Path, variables: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Run a fresh, empty, seeded instance on free ports for as long as the context is open.

    Args:
        state_dir: where it lives; what was there before is deleted. Logs stay behind for reading.
        variables: added to its environment.

    Yields:
        The instance's environment: what `make env` prints, and what makes `python -m stack` mean it.

    Raises:
        InstanceError: it did not come up.
    """
    base = {
        name: value for name, value in os.environ.items() if not name.startswith(("SUPABASE_", "STRIPE_"))
    }
    base |= {
        "TALLYBASE_STACK_DIR": str(state_dir),
        "TALLYBASE_DURABLE": "0",
        "TALLYBASE_SCHEDULED_WORKERS": "0",
        **(variables or {}),
    }
    _delete(state_dir, base)
    with reserved_offset() as offset:
        environment = base | {"TALLYBASE_PORT_OFFSET": str(offset)}
        try:
            started = stack_command(environment, "up")
            if started.returncode != 0:
                raise InstanceError(started.stdout + started.stderr)
            lines = stack_command(environment, "env").stdout.splitlines()
            yield environment | dict(line.split("=", 1) for line in lines)
        finally:
            stack_command(environment, "down")


def stack_command(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m stack …` for the instance that `environment` names and return what it printed."""
    command = [sys.executable, "-m", "stack", *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, env=dict(environment), capture_output=True, text=True, check=False
    )


@contextmanager
def reserved_offset() -> Iterator[int]:
    """Yield a port offset at which every public port is free, kept from other test processes meanwhile.

    Raises:
        InstanceError: there is none in the range that is tried.
    """
    folder = Path(tempfile.gettempdir()) / f"tallybase-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for offset in range(_FIRST_OFFSET, _LAST_OFFSET, _OFFSET_STEP):
        with (folder / str(offset)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if all(is_free(port + offset) for port in PUBLIC_PORTS.values()):
                yield offset
                return
    raise InstanceError(f"no free ports between offsets {_FIRST_OFFSET} and {_LAST_OFFSET}")


def _delete(state_dir: Path, environment: Mapping[str, str]) -> None:
    if state_dir.exists():
        stack_command({**environment, "TALLYBASE_PORT_OFFSET": "0"}, "down")
        shutil.rmtree(state_dir)
