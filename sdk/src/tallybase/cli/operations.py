"""The commands of an operator: Stripe's events, the catalogue, reconciliation, proving a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, cast

import typer
from rich.markup import escape

from tallybase.cli.output import AsJson, console, print_json, print_table, reported
from tallybase.client import Credits
from tallybase.operations import EventStatus, Operations, ReplayedEvent, StripeEvent

events_app = typer.Typer(no_args_is_help=True, help="Stripe's events as they came in. For services.")
catalogue_app = typer.Typer(no_args_is_help=True, help="Plans and packs at Stripe. For services.")

_STATUSES = ("received", "processed", "ignored", "failed", "parked")
_DONE = frozenset({"processed", "ignored"})
Organization = Annotated[
    str | None, typer.Option("--organization", help="Its id; default: TALLYBASE_ORGANIZATION_ID, or all.")
]


@contextmanager
def _operations() -> Iterator[tuple[Operations, Credits]]:
    with reported(), Credits.from_env() as credits:
        operations = Operations(credits)
        try:
            yield operations, credits
        finally:
            operations.close()


@events_app.command("list")
def list_events(
    status: Annotated[str | None, typer.Option(help=", ".join(_STATUSES) + ".")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=1000, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the latest events, or those of a status."""
    if status is not None and status not in _STATUSES:
        raise typer.BadParameter(", ".join(_STATUSES), param_hint="--status")
    with _operations() as (operations, _):
        found = operations.events(cast(EventStatus | None, status), lines)
    if as_json:
        print_json(found)
        return
    for event in found:
        console.print(_line(event), soft_wrap=True)


def _line(event: StripeEvent) -> str:
    received = "" if event.received_at is None else f"{event.received_at:%Y-%m-%d %H:%M:%S}"
    parts = [event.event_id, received, event.status, event.type, event.object_id, event.error]
    return escape("  ".join(part for part in parts if part))


@events_app.command()
def replay(
    event_ids: Annotated[list[str], typer.Argument(help="evt_…, one or more.")], as_json: AsJson = False
) -> None:
    """Run events again, each read anew at Stripe."""
    with _operations() as (operations, _):
        replayed = operations.replay(event_ids)
    _show_replayed(replayed, as_json=as_json)


@events_app.command("replay-failed")
def replay_failed(
    parked: Annotated[bool, typer.Option("--parked", help="The parked ones instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run all failed events again, at most 100 in one go."""
    with _operations() as (operations, _):
        replayed = operations.replay(status="parked" if parked else "failed")
    _show_replayed(replayed, as_json=as_json)


def _show_replayed(replayed: list[ReplayedEvent], *, as_json: bool) -> None:
    if as_json:
        print_json(replayed)
    elif not replayed:
        console.print("There are none.")
    else:
        print_table("", ["event", "now"], [[event.event_id, event.status] for event in replayed])
    if any(event.status not in _DONE for event in replayed):
        raise typer.Exit(1)


@catalogue_app.command("sync")
def sync_catalogue(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take, and do nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before changing live mode.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring Stripe's products and prices in line with plans and packs; prices are replaced, never edited."""
    with _operations() as (operations, _):
        if not dry_run and not yes and operations.sync_catalogue(dry_run=True).livemode:
            typer.confirm("This changes products and prices in live mode. Go on?", abort=True, err=True)
        done = operations.sync_catalogue(dry_run=dry_run)
    if as_json:
        print_json(done)
        return
    if not done.changes:
        console.print("Stripe is in line with plans and packs.")
    for change in done.changes:
        words = " ".join(f"{name}: {change.before.get(name)!r} → {to!r}" for name, to in change.after.items())
        line = f"{change.subject_type} {change.key}: {change.action} {change.stripe_id or ''} {words}"
        console.print(escape(" ".join(line.split())), soft_wrap=True)


def reconcile(
    compare: Annotated[
        bool | None, typer.Option("--compare/--no-compare", help="Compare objects; default: once a day.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Catch up with Stripe's lost events, and report where Stripe and our rows differ. For services."""
    with _operations() as (operations, _):
        found = operations.reconcile(compare=compare)
    if as_json:
        print_json(found)
    else:
        compared = ", ".join(f"{count} {kind}" for kind, count in found.compared.items()) or "nothing"
        console.print(f"Lost events: {found.missed} found, {found.applied} applied, {found.failed} failed.")
        console.print(f"Compared: {compared}; {found.differing} differ, {found.open} differences stand.")
    if found.failed or found.open:
        raise typer.Exit(1)


def verify(organization: Organization = None, as_json: AsJson = False) -> None:
    """Check every invariant of one organization's ledger, or of all. For services."""
    with _operations() as (operations, credits):
        violations = operations.verify_ledger(organization or credits.organization_id)
    if as_json:
        print_json(violations)
    elif not violations:
        console.print("All invariants hold.")
    else:
        rows = [
            [str(row.organization_id), row.invariant, str(row.expected), str(row.actual)]
            for row in violations
        ]
        print_table("", ["organization", "invariant", "expected", "actual"], rows)
    if violations:
        raise typer.Exit(1)


def rebuild(organization: Organization = None, as_json: AsJson = False) -> None:
    """Put what is derived from the entries right: grants, counters of limits, usage. For services."""
    with _operations() as (operations, credits):
        rebuilt = operations.rebuild_ledger(organization or credits.organization_id)
    wrong = [row for row in rebuilt if row.changed]
    if as_json:
        print_json(rebuilt)
    elif not wrong:
        console.print("Nothing was wrong.")
    else:
        rows = [[str(row.organization_id), row.kind, str(row.changed)] for row in wrong]
        print_table("", ["organization", "kind", "rows put right"], rows)
