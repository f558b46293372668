"""The commands around spends that a limit has parked: approvals list, approve, reject."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, cast

import typer
from rich.markup import escape

from tallybase.cli.output import AsJson, console, print_json, reported
from tallybase.client import Credits
from tallybase.errors import plain
from tallybase.management import ApprovalStatus, Management
from tallybase.models import Approval

app = typer.Typer(no_args_is_help=True, help="Spends that wait for a decision. For owners, admins, services.")

_STATUSES = ("pending", "approved", "rejected", "all")
ApprovalId = Annotated[str, typer.Argument(help="As the refusal and `approvals list` name it.")]


@app.command("list")
def list_approvals(
    status: Annotated[str, typer.Option(help="pending, approved, rejected or all.")] = "pending",
    as_json: AsJson = False,
) -> None:
    """Show what waits for a decision, or what was decided."""
    if status not in _STATUSES:
        raise typer.BadParameter("pending, approved, rejected or all", param_hint="--status")
    wanted = None if status == "all" else cast(ApprovalStatus, status)
    with reported(), Credits.from_env() as credits:
        found = Management(credits).approvals(wanted)
    if as_json:
        print_json(found)
    elif not found:
        console.print("Nothing waits for a decision." if status == "pending" else "There are none.")
    else:
        for approval in found:
            console.print(_line(approval), soft_wrap=True)


def _line(approval: Approval) -> str:
    parts = [str(approval.id), f"{approval.created_at:%Y-%m-%d %H:%M}", approval.status]
    if approval.required is not None:
        parts.append(f"{plain(approval.required)} credits")
    if approval.action is not None:
        parts.append(f"{approval.agent_type}.{approval.action}")
    if approval.run_id is not None:
        parts.append(f"run {approval.run_id}")
    if approval.additional is not None:
        parts.append(f"{plain(approval.additional)} more until the window ends")
    return escape("  ".join(parts))


@app.command()
def approve(
    approval_id: ApprovalId,
    additional: Annotated[
        str | None,
        typer.Option(
            help="Credits by which the limit is wider for its window; default: this spend passes once."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a parked spend pass."""
    try:
        credits_added = None if additional is None else Decimal(additional)
    except InvalidOperation:
        raise typer.BadParameter(f"{additional!r} is not a number", param_hint="--additional") from None
    _resolve(approval_id, approve=True, additional=credits_added, as_json=as_json)


@app.command()
def reject(approval_id: ApprovalId, as_json: AsJson = False) -> None:
    """Refuse a parked spend: sent again, it is refused by the limit."""
    _resolve(approval_id, approve=False, additional=None, as_json=as_json)


def _resolve(approval_id: str, *, approve: bool, additional: Decimal | None, as_json: bool) -> None:
    with reported(), Credits.from_env() as credits:
        decided = Management(credits).resolve_approval(approval_id, approve, additional)
    if as_json:
        print_json(decided)
    else:
        console.print(f"{decided.status.capitalize()}: {decided.id}.")
