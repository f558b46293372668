"""Turns the supervisor's events into the lines that `make up` shows."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

_TITLES = {
    "cluster": "database files",
    "bootstrap": "database bootstrap",
    "migrations": "migrations",
    "frontend": "front end",
}


def describe(event: dict[str, Any]) -> str:
    """Return the line for an event, empty when it is not worth one.

    Args:
        event: a line of the supervisor's log.
    """
    match event:
        case {"event": "service_ready", "service": name, "seconds": seconds}:
            return f"[green]✓[/green] {name} answers [dim]({seconds} s)[/dim]"
        case {"event": "step_done", "step": step, "result": result} if result:
            return f"[green]✓[/green] {_TITLES[step]}: {result}"
        case {"event": "step_failed", "step": step, "reason": reason}:
            return f"[red]✗ {_TITLES[step]}:[/red] {escape(reason)}"
        case {"event": "service_died", "service": name, "how": how}:
            return f"[red]✗[/red] {name} died ({how}); starting it again"
        case {"event": "leftovers_ended", "services": services} if services:
            return f"ended what a killed supervisor had left: {', '.join(services)}"
        case {"event": "service_not_ready", "service": name, "seconds": seconds}:
            return f"[red]✗[/red] {name} did not answer within {seconds} s"
    return ""
