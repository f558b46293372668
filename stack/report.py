"""What the commands print: addresses and sign-ins, the table of processes, the logs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from stack.settings import StackSettings
from stack.supervisor.events import read_from
from stack.supervisor.record import ProcessRecord, StackRecord

_TAIL_BYTES = 4000
_FOLLOW_SECONDS = 0.3

DEMO_PASSWORD = "tallybase-demo"
_DEMO_USERS = (
    "owner@acme.test",
    "billing@acme.test",
    "member@acme.test",
    "owner@globex.test",
    "operator@tallybase.test",
)


def print_welcome(console: Console, settings: StackSettings, seconds: float | None = None) -> None:
    """Print where everything is and who can sign in.

    Args:
        console: where to print.
        settings: the instance.
        seconds: how long the start took, when there was one.
    """
    if seconds is not None:
        console.print(f"\nTallybase is up after {seconds:.1f} s.")
    payments = (
        "real Stripe (STRIPE_SECRET_KEY is set)"
        if os.environ.get("STRIPE_SECRET_KEY")
        else settings.stripe_twin_url
    )
    table = Table.grid(padding=(0, 2))
    for name, value in {
        "Page": settings.frontend_url,
        "Supabase API": settings.gateway_url,
        "Workers": settings.workers_url,
        "Database": settings.database_url(),
        "Mailbox": settings.mailbox_url,
        "Stripe": payments,
    }.items():
        table.add_row(name, value)
    console.print(table)
    console.print(f"\nSign in as {', '.join(_DEMO_USERS)} with the password {DEMO_PASSWORD}")
    console.print("Next: make demo · make status · make logs · make env · make down")


def print_status(console: Console, running: StackRecord) -> None:
    """Print the table of processes with their memory (proportional set size, children included)."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("process", "pid", "state", "uptime", "restarts", "memory", "last exit"):
        table.add_column(
            title, justify="right" if title in ("pid", "uptime", "restarts", "memory") else "left"
        )
    total = 0
    for name, one in {"supervisor": running.supervisor, **running.services}.items():
        memory = _memory(one, with_children=name != "supervisor")
        total += memory
        since = _duration(time.time() - one.since) if one.pid else ""
        table.add_row(
            name,
            str(one.pid or ""),
            one.state,
            since,
            str(one.restarts),
            _megabytes(memory),
            one.last_exit or "",
        )
    console.print(table)
    console.print(f"phase {running.phase}, memory in all {_megabytes(total)}")


def print_logs(folder: Path, name: str, *, follow: bool) -> None:
    """Print the ends of the logs, then what is added to them.

    Args:
        folder: the log folder.
        name: one service's name; empty for all.
        follow: go on until interrupted.
    """
    positions: dict[Path, int] = {}
    try:
        while True:
            for file in sorted(folder.glob(f"{name or '*'}.log")):
                _print_new(file, positions, prefix="" if name else f"{file.stem:<12} ")
            if not follow:
                return
            time.sleep(_FOLLOW_SECONDS)
    except KeyboardInterrupt:
        return


def _print_new(file: Path, positions: dict[Path, int], prefix: str) -> None:
    size = file.stat().st_size
    start = positions.get(file, max(0, size - _TAIL_BYTES))
    if file.stem == "supervisor":
        events, positions[file] = read_from(file, start)
        for event in events:
            print(prefix + " ".join(f"{key}={json.dumps(value)}" for key, value in event.items()), flush=True)
        return
    with file.open("rb") as opened:
        opened.seek(start if start <= size else 0)
        data = opened.read()
    positions[file] = size if start <= size else len(data)
    for line in data.decode(errors="replace").splitlines():
        print(prefix + line, flush=True)


def _memory(one: ProcessRecord, *, with_children: bool) -> int:
    process = one.process()
    if process is None:
        return 0
    return sum(map(_proportional, [process, *(process.children(recursive=True) if with_children else [])]))


def _proportional(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.0f} MB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
