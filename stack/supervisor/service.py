"""What the supervisor knows about a service: command, environment, readiness, how to stop it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psycopg

from stack.settings import HOST


class Probe(Protocol):
    """Tells whether a service answers yet."""

    async def __call__(self) -> bool:
        """Return True once the service is usable."""


@dataclass(frozen=True)
class TcpProbe:
    """Ready when the port accepts a connection."""

    port: int

    async def __call__(self) -> bool:
        """Return True once the port accepts a connection."""
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(HOST, self.port), timeout=1)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True


@dataclass(frozen=True)
class DatabaseProbe:
    """Ready when a session opens; the port alone answers earlier, while Postgres still recovers."""

    url: str

    async def __call__(self) -> bool:
        """Return True once a session opens."""
        try:
            connection = await psycopg.AsyncConnection.connect(self.url, connect_timeout=2)
        except psycopg.OperationalError:
            return False
        await connection.close()
        return True


@dataclass(frozen=True)
class HttpProbe:
    """Ready when GET on the path answers, with a status of at most `highest_status`."""

    port: int
    path: str
    highest_status: int = 399

    async def __call__(self) -> bool:
        """Return True once the path answers."""
        try:
            status = await asyncio.wait_for(self._status(), timeout=2)
        except (OSError, TimeoutError, ValueError, IndexError):
            return False
        return 200 <= status <= self.highest_status

    async def _status(self) -> int:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            writer.write(f"GET {self.path} HTTP/1.0\r\nHost: {HOST}:{self.port}\r\n\r\n".encode())
            await writer.drain()
            return int((await reader.readline()).split()[1])
        finally:
            writer.close()


@dataclass(frozen=True)
class Service:
    """One long-running process.

    Attributes:
        name: its name in `make status` and `make logs`; also the log file's.
        command: program and arguments.
        ready: see `Probe`.
        needs: names of steps that must be finished before it starts.
        environment: added to the supervisor's own environment.
        folder: working directory.
        stop_signal: the polite request to end.
        stop_seconds: how long it may take after that before it is killed.
        ready_seconds: how long it may take to answer its probe.
        attempts: a service that dies this often before it ever answered is broken, and `make up` says so.
    """

    name: str
    command: Sequence[str]
    ready: Probe
    folder: Path
    needs: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 8
    ready_seconds: float = 60
    attempts: int = 3
