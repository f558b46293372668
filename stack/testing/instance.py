"""Starts a stack instance of its own beside whatever else runs, for tests, and removes it again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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
    base |= {"TALLYBASE_STACK_DIR": str(state_dir), "TALLYBASE_DURABLE": "0", **(variables or {})}
    _delete(state_dir, base)
    offset = free_offset()
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


def free_offset() -> int:
    """Return a port offset at which every public port is free.

    Raises:
        InstanceError: there is none in the range that is tried.
    """
    for offset in range(_FIRST_OFFSET, _LAST_OFFSET, _OFFSET_STEP):
        if all(is_free(port + offset) for port in PUBLIC_PORTS.values()):
            return offset
    raise InstanceError(f"no free ports between offsets {_FIRST_OFFSET} and {_LAST_OFFSET}")


def _delete(state_dir: Path, environment: Mapping[str, str]) -> None:
    if state_dir.exists():
        stack_command({**environment, "TALLYBASE_PORT_OFFSET": "0"}, "down")
        shutil.rmtree(state_dir)
