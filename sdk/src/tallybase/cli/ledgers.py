"""Commands that put something into ledgers or take it out: grant, export, simulate."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from tallybase.cli.output import AsJson, console, print_json, print_table, reported, typed_or_confirmed
from tallybase.client import Credits
from tallybase.errors import plain
from tallybase.management import LedgerEntry, Management
from tallybase.operations import Operations
from tallybase.simulation import Simulation, Story

_PAGE = 1000
#: A cell that begins so is a formula to spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Instant = Annotated[datetime | None, typer.Option(help="UTC.")]


def grant(
    amount: Annotated[str, typer.Argument(help="Credits.")],
    organization: Annotated[
        str | None, typer.Option("--organization", help="Its id; default: TALLYBASE_ORGANIZATION_ID.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="purchase, trial, promotion, referral, adjustment, …")
    ] = "promotion",
    reference: Annotated[
        str | None, typer.Option(help="Names it: granted once under this name. Default: a new one.")
    ] = None,
    expires_at: Instant = None,
    effective_at: Instant = None,
    department: Annotated[str | None, typer.Option(help="Id; spendable by it alone.")] = None,
    agent_type: Annotated[list[str] | None, typer.Option(help="Spendable as this alone; repeatable.")] = None,
    reason: Annotated[str | None, typer.Option(help="Kept with the grant.")] = None,
    as_json: AsJson = False,
) -> None:
    """Grant credits. For services."""
    with reported(), Credits.from_env() as credits:
        operations = Operations(credits)
        receipt = operations.grant(
            _number(amount),
            organization_id=organization or credits.organization_id,
            source=source,
            source_reference=reference,
            expires_at=_utc(expires_at),
            effective_at=_utc(effective_at),
            department_id=department,
            agent_types=agent_type or None,
            metadata=None if reason is None else {"reason": reason},
        )
        operations.close()
    if as_json:
        print_json(receipt)
        return
    said = "had been granted before" if receipt.replayed else "granted"
    console.print(f"{plain(receipt.amount)} credits {said}; {plain(receipt.available)} available.")


def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; default: standard output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the ledger's movements as CSV, or as JSON lines. For owners, admins, billing and services."""
    with reported(), Credits.from_env() as credits:
        entries = _all_entries(Management(credits))
        if as_json and output is None:
            for entry in entries:
                print_json(entry)
        elif output is None:
            _write_csv(entries, sys.stdout)
        else:
            with output.open("w", encoding="utf-8", newline="") as file:
                if as_json:
                    file.writelines(entry.model_dump_json() + "\n" for entry in entries)
                else:
                    _write_csv(entries, file)


def _all_entries(management: Management) -> Iterator[LedgerEntry]:
    last = 0
    while page := management.ledger(_PAGE, after_sequence=last):
        yield from page
        last = page[-1].sequence


def _write_csv(entries: Iterator[LedgerEntry], file: IO[str]) -> None:
    columns = list(LedgerEntry.model_fields)
    writer = csv.writer(file)
    writer.writerow(columns)
    for entry in entries:
        writer.writerow([_cell(getattr(entry, column)) for column in columns])


def _cell(value: object) -> str:
    """Write a value so that no spreadsheet takes a text for a formula; amounts keep their sign."""
    if isinstance(value, Decimal):
        return plain(value)
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def simulate(
    organizations: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 50,
    days: Annotated[int, typer.Option(min=1, max=3_650, help="How many days each lives.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed tells the same stories.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask on this machine.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let made-up organizations live through days in seconds, and prove their ledgers. For services."""
    with reported(), Credits.from_env() as credits:
        typed_or_confirmed(credits.url, f"Make {organizations} organizations", yes=yes)
        simulation = Simulation(credits, organizations=organizations, days=days, seed=seed)
        done: dict[object, Story] = {}
        with Progress(console=Console(stderr=True), disable=as_json) as progress:
            task = progress.add_task("days", total=organizations * days)
            for story in simulation.stories():
                done[story.organization_id] = story
                progress.advance(task)
        simulation.close()
    stories = list(done.values())
    if as_json:
        print_json(stories)
    else:
        _summarize(stories)
    if any(story.violations for story in stories):
        raise typer.Exit(1)


def _summarize(stories: list[Story]) -> None:
    sums = [
        ["Organizations", str(len(stories))],
        ["Spends", str(sum(story.spends for story in stories))],
        ["Refused", str(sum(story.refused for story in stories))],
        ["Granted", plain(sum((story.granted for story in stories), Decimal(0)))],
        ["Charged", plain(sum((story.charged for story in stories), Decimal(0)))],
        ["Expired", plain(sum((story.expired for story in stories), Decimal(0)))],
        ["Left", plain(sum((story.balance for story in stories), Decimal(0)))],
    ]
    print_table("", ["", "credits"], sums)
    broken = [story for story in stories if story.violations]
    for story in broken:
        console.print(f"{story.organization_id}: {story.violations} violations.")
    if not broken:
        console.print("All invariants hold.")


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a number", param_hint="AMOUNT") from None


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.replace(tzinfo=UTC)
