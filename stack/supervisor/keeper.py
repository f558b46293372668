"""Keeps one service running: start, wait until it answers, restart with a growing pause when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from stack.supervisor.events import EventLog
from stack.supervisor.record import ProcessRecord, creation_time
from stack.supervisor.service import Service

_PROBE_PAUSE_SECONDS = 0.03
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
#: A service that ran this long starts again with the first pause.
_STEADY_SECONDS = 20.0
_LOG_LIMIT_BYTES = 8 * 1024 * 1024


class ServiceFailedError(Exception):
    """A service could not be started; the text holds the end of its log."""


class Keeper:
    """Runs one service for as long as the stack is up."""

    def __init__(
        self, service: Service, log_dir: Path, events: EventLog, changed: Callable[[], None]
    ) -> None:
        """Prepare to run a service.

        Args:
            service: what to run.
            log_dir: folder for its log file.
            events: the supervisor's log.
            changed: called after each change of `record`.
        """
        self.service = service
        self.record = ProcessRecord()
        self.ready = asyncio.Event()
        self._log = log_dir / f"{service.name}.log"
        self._events = events
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._asked = False

    async def run(self) -> None:
        """Run the service until `stop` is called.

        Raises:
            ServiceFailedError: it never answered.
        """
        pause = _FIRST_PAUSE_SECONDS
        attempts = 0
        while not self._stopping:
            began = time.monotonic()
            await self._start()
            answered = await self._wait_until_ready()
            if answered:
                self._set_state("running")
                if self.ready.is_set():
                    self._events.write("service_recovered", service=self.service.name, pid=self.record.pid)
                else:
                    self._events.write("service_ready", service=self.service.name, seconds=_since(began))
                self.ready.set()
                attempts = 0
            else:
                attempts += 1
            exit_text = await self._wait_for_exit()
            if self._stopping:
                break
            if self._asked:
                self._asked = False
                continue
            if not self.ready.is_set() and attempts >= self.service.attempts:
                self._set_state("stopped")
                raise ServiceFailedError(
                    f"{self.service.name} does not start ({exit_text}):\n{self.log_tail()}"
                )
            ran = time.monotonic() - began
            pause = _FIRST_PAUSE_SECONDS if ran > _STEADY_SECONDS else min(pause * 2, _LONGEST_PAUSE_SECONDS)
            self.record.restarts += 1
            self._set_state("restarting")
            self._events.write(
                "service_died",
                service=self.service.name,
                how=exit_text,
                ran_seconds=round(ran, 1),
                restart_in_seconds=pause,
            )
            await asyncio.sleep(pause)
        self._set_state("stopped")

    async def stop(self) -> None:
        """Ask the service to end, and kill its process group when it does not in time."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._signal(self.service.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), self.service.stop_seconds)
        except TimeoutError:
            self._events.write("service_killed", service=self.service.name, reason="did not stop in time")
        self._signal(signal.SIGKILL)
        await process.wait()

    def ask_restart(self, reason: str) -> None:
        """End the process politely; `run` starts it again.

        Args:
            reason: why, for the log.
        """
        if self._process is not None and self._process.returncode is None:
            self._asked = True
            self._events.write("service_restarting", service=self.service.name, reason=reason)
            self._signal(self.service.stop_signal)

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the service's log."""
        with self._log.open(errors="replace") as file:
            return "".join(deque(file, maxlen=lines)).rstrip()

    async def _start(self) -> None:
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.service.command,
                cwd=self.service.folder,
                env=os.environ | dict(self.service.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.record.pid = self._process.pid
        self.record.created = creation_time(self._process.pid)
        self._set_state("starting")

    async def _wait_until_ready(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + self.service.ready_seconds
        while self._process.returncode is None and time.monotonic() < deadline:
            if await self.service.ready() and self._process.returncode is None:
                return True
            await asyncio.sleep(_PROBE_PAUSE_SECONDS)
        if self._process.returncode is None and not self._stopping:
            self._events.write(
                "service_not_ready", service=self.service.name, seconds=self.service.ready_seconds
            )
            self._signal(signal.SIGKILL)
        return False

    async def _wait_for_exit(self) -> str:
        assert self._process is not None
        code = await self._process.wait()
        self._signal(signal.SIGKILL)
        text = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        self.record.last_exit = text
        self.record.pid = self.record.created = None
        return text

    def _signal(self, number: signal.Signals) -> None:
        """Signal the leader, which passes it on as it sees fit; SIGKILL goes to the whole group."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if number is signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)

    def _set_state(self, state: str) -> None:
        self.record.state = state
        self.record.since = time.time()
        self._changed()


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)
