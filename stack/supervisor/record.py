"""The record of running processes: for `make status`, and to find what a killed supervisor left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import psutil
from pydantic import BaseModel, Field, ValidationError

from stack.files import write_private


class ProcessRecord(BaseModel):
    """One service as last seen.

    Attributes:
        pid: process id, None while it is not running.
        created: the process' creation time in seconds since 1970; tells a reused pid from the process meant.
        state: waiting | starting | running | restarting | stopped.
        since: when that state began, seconds since 1970.
        restarts: how often it was restarted after dying.
        last_exit: how it ended the last time.
    """

    pid: int | None = None
    created: float | None = None
    state: str = "waiting"
    since: float = Field(default_factory=time.time)
    restarts: int = 0
    last_exit: str | None = None

    def process(self) -> psutil.Process | None:
        """Return the recorded process if it still runs, and None for another one with its id."""
        if self.pid is None:
            return None
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            same = self.created is None or abs(process.create_time() - self.created) < 1
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None


class StackRecord(BaseModel):
    """All processes of one instance.

    Attributes:
        supervisor: the supervisor itself.
        phase: starting | ready | stopping | failed.
        services: by name, in starting order.
    """

    supervisor: ProcessRecord
    phase: str = "starting"
    services: dict[str, ProcessRecord] = Field(default_factory=dict)


def read(path: Path) -> StackRecord | None:
    """Return the record at `path`, or None when there is none that can be read."""
    try:
        return StackRecord.model_validate_json(path.read_text())
    except (OSError, ValidationError):
        return None


def write(path: Path, record: StackRecord) -> None:
    """Replace the record at `path`."""
    write_private(path, record.model_dump_json(indent=1))


def creation_time(pid: int) -> float | None:
    """Return when process `pid` was created, or None when it is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def end_leftovers(record: StackRecord) -> list[str]:
    """End the services that a killed supervisor left running: politely first, after 8 seconds by force.

    Args:
        record: what that supervisor wrote last. Its services lead process groups of their own.

    Returns:
        Names of the services that were still there.
    """
    found = {name: process for name, one in record.services.items() if (process := one.process())}
    for name, process in found.items():
        _signal_group(process.pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
    _, alive = psutil.wait_procs(list(found.values()), timeout=8)
    for process in alive:
        _signal_group(process.pid, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=3)
    return list(found)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
