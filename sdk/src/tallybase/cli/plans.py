"""The commands of the plans: pull them into a file, compare, push."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tallybase.cli.output import AsJson, console, print_json, reported, typed_or_confirmed
from tallybase.client import Credits
from tallybase.plans import PlanChange, Plans, read_plans, write_plans

app = typer.Typer(no_args_is_help=True, help="Plans as a file under review. For services.")

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON, as `plans pull` writes it.")]


@app.command()
def pull(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; default: standard output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the project's plans as JSON; with --json on one line, defaults included."""
    with reported(), Credits.from_env() as credits:
        plans = Plans(credits).pull()
    if as_json:
        print_json(plans)
    elif output is None:
        sys.stdout.write(write_plans(plans))
    else:
        output.write_text(write_plans(plans), encoding="utf-8")


@app.command()
def diff(file: File, as_json: AsJson = False) -> None:
    """Say what a push would do; status 1 when there is something."""
    with reported(), Credits.from_env() as credits:
        changes = Plans(credits).diff(read_plans(file.read_bytes()))
    _show(changes, as_json=as_json)
    if any(change.action != "extra" for change in changes):
        raise typer.Exit(1)


@app.command()
def push(
    file: File,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask on this machine.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make and edit plans so that the project has those of the file; none is deleted."""
    with reported(), Credits.from_env() as credits:
        plans, wanted = Plans(credits), read_plans(file.read_bytes())
        changes = [change for change in plans.diff(wanted) if change.action != "extra"]
        if changes:
            if not as_json:
                _show(changes, as_json=False)
            typed_or_confirmed(credits.url, f"Change {len(changes)} plans", yes=yes)
        done = plans.push(wanted)
    if as_json:
        print_json(done)
    elif not changes:
        _show(done, as_json=False)
    else:
        console.print("Done. `tallybase catalogue sync` brings Stripe in line.")


def _show(changes: list[PlanChange], *, as_json: bool) -> None:
    if as_json:
        print_json(changes)
        return
    if not any(change.action != "extra" for change in changes):
        console.print("The project has the plans of the file.")
    for change in changes:
        words = ", ".join(
            f"{name}: {change.before[name]} → {value}" if name in change.before else f"{name}: {value}"
            for name, value in change.after.items()
        )
        console.print(escape(f"{change.key}: {change.action} {words}".rstrip()), soft_wrap=True)
