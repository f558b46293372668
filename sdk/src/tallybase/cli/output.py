"""How the command line shows things: a table for people, JSON for programs, errors without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Annotated
from urllib.parse import urlsplit

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tallybase import _json
from tallybase.errors import TallybaseError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

console = Console(highlight=False)

_ON_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


def print_json(value: object) -> None:
    """Print a model, a dataclass or a list of them as one line of JSON; amounts are exact numbers."""
    sys.stdout.write(_json.encode(_plain(value)).decode() + "\n")
    sys.stdout.flush()


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text; columns whose name ends in credits are right-aligned."""
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column.endswith("credits") else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


@contextmanager
def reported() -> Iterator[None]:
    """Show an error of the billing API as a sentence and end with status 1."""
    try:
        yield
    except TallybaseError as error:
        Console(stderr=True, highlight=False).print(
            f"[red]Error ({error.slug}):[/red] {escape(str(error))}", soft_wrap=True
        )
        raise typer.Exit(1) from None


def typed_or_confirmed(url: str, what: str, *, yes: bool) -> None:
    """Ask before what cannot be taken back; away from this machine the project's host must be typed.

    Raises:
        typer.Abort: for any other answer.
    """
    host = urlsplit(url).hostname or ""
    if host in _ON_THIS_MACHINE:
        if not yes:
            typer.confirm(f"{what} at {host}?", abort=True, err=True)
    elif typer.prompt(f"{what} at {host}? Type its name to go on", err=True) != host:
        raise typer.Abort
