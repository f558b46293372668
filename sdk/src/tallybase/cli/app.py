"""The commands of agents and their owners; those of operators and of the Stripe twin are put beside them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, cast

import typer
from rich.markup import escape

from tallybase import doctor as checks
from tallybase.cli import approvals, ledgers, operations, plans, twin
from tallybase.cli.output import AsJson, console, print_json, print_table, reported
from tallybase.client import Credits
from tallybase.errors import plain
from tallybase.management import AgentKey, CreatedAgentKey, LedgerEntry, Management, Scope, SpendWindow
from tallybase.models import Balance

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Credits for what agents do. Reads TALLYBASE_URL, TALLYBASE_KEY (publishable or secret), and as "
    "needed TALLYBASE_AGENT_KEY, TALLYBASE_ACCESS_TOKEN, TALLYBASE_ORGANIZATION_ID, TALLYBASE_OUTBOX.",
)
ledger_app = typer.Typer(no_args_is_help=True, help="The ledger's movements.")
agents_app = typer.Typer(no_args_is_help=True, help="Agents and their keys.")
key_app = typer.Typer(no_args_is_help=True, help="Agent keys: create, list, revoke.")
outbox_app = typer.Typer(no_args_is_help=True, help="Spends that wait on this machine.")
app.add_typer(ledger_app, name="ledger")
app.add_typer(agents_app, name="agents")
agents_app.add_typer(key_app, name="key")
app.add_typer(approvals.app, name="approvals")
app.add_typer(operations.events_app, name="events")
app.add_typer(operations.catalogue_app, name="catalogue")
app.add_typer(plans.app, name="plans")
app.add_typer(twin.app, name="twin")
app.command()(operations.reconcile)
app.command()(ledgers.grant)
app.command()(ledgers.export)
app.command()(ledgers.simulate)
ledger_app.command()(operations.verify)
ledger_app.command()(operations.rebuild)
app.add_typer(outbox_app, name="outbox")

_FOLLOW_SECONDS = 1.0
_MAX_TAIL = 1000


@app.command()
def balance(as_json: AsJson = False) -> None:
    """Show what the organization has."""
    with reported(), Credits.from_env() as credits:
        found = credits.balance()
    if as_json:
        print_json(found)
        return
    print_table(f"Organization {found.organization_id}", ["", "credits"], _balance_rows(found))
    if found.restricted_reason:
        console.print(f"Spending is restricted: {found.restricted_reason}.")


def _balance_rows(found: Balance) -> list[list[str]]:
    rows = [
        ["Available", plain(found.available)],
        ["Held by running agents", plain(found.held)],
        ["Balance", plain(found.balance)],
    ]
    if found.debt:
        rows.append(["Debt", plain(found.debt)])
    rows += [
        [f"From {grant.effective_at:%Y-%m-%d %H:%M}", plain(grant.amount)] for grant in found.pending_grants
    ]
    rows += [[f"Expiring {lot.expires_at:%Y-%m-%d %H:%M}", plain(lot.amount)] for lot in found.expiring]
    return rows


@ledger_app.command()
def tail(
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=_MAX_TAIL, help="How many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing what comes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the last movements. For owners, admins, billing and services."""
    with reported(), Credits.from_env() as credits:
        management = Management(credits)
        entries = management.ledger(lines)
        _print_entries(entries, as_json=as_json)
        last = entries[-1].sequence if entries else 0
        try:
            while follow:
                time.sleep(_FOLLOW_SECONDS)
                entries = management.ledger(_MAX_TAIL, after_sequence=last)
                for entry in entries:
                    print_json(entry) if as_json else console.print(_line(entry), soft_wrap=True)
                last = entries[-1].sequence if entries else last
        except KeyboardInterrupt:
            return


def _print_entries(entries: list[LedgerEntry], *, as_json: bool) -> None:
    if as_json:
        for entry in entries:
            print_json(entry)
        return
    for entry in entries:
        console.print(_line(entry), soft_wrap=True)


def _line(entry: LedgerEntry) -> str:
    what = f"{entry.agent_type}.{entry.action}" if entry.agent_type else (entry.reason or "")
    amount = f"{'+' if entry.amount > 0 else ''}{plain(entry.amount)}"
    run = f"  run {entry.run_id}" if entry.run_id else ""
    return escape(
        f"{entry.sequence:>8}  {entry.created_at:%Y-%m-%d %H:%M:%S}  {entry.kind:<9} {amount:>14}"
        f"  -> {plain(entry.balance_after):>14}  {what}{run}"
    )


@key_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="For people.")],
    department: Annotated[str | None, typer.Option(help="Id of the department that pays.")] = None,
    agent_type: Annotated[list[str] | None, typer.Option(help="May act as this; repeatable.")] = None,
    expires_at: Annotated[datetime | None, typer.Option(help="From when on it is refused (UTC).")] = None,
    spend_limit: Annotated[str | None, typer.Option(help="Most credits in each window.")] = None,
    spend_window: Annotated[str, typer.Option(help="day, week, month or lifetime.")] = "month",
    scope: Annotated[
        list[str] | None, typer.Option(help="check, consume, hold or read; repeatable. All, if none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an agent key. It is shown this once. For owners, admins and services."""
    if spend_window not in ("day", "week", "month", "lifetime"):
        raise typer.BadParameter("day, week, month or lifetime", param_hint="--spend-window")
    if not set(scope or ()) <= {"check", "consume", "hold", "read"}:
        raise typer.BadParameter("check, consume, hold or read", param_hint="--scope")
    with reported(), Credits.from_env() as credits:
        created = Management(credits).create_agent_key(
            name,
            department_id=department,
            agent_types=agent_type or None,
            expires_at=None if expires_at is None else expires_at.replace(tzinfo=UTC),
            spend_limit=_credits(spend_limit),
            spend_window=cast(SpendWindow, spend_window),
            scopes=cast(list[Scope], scope) or None,
        )
    _show_new_key(created, as_json=as_json)


@key_app.command("rotate")
def rotate_key(
    key_id: Annotated[str, typer.Argument(help="The 16 characters after tb_<environment>_.")],
    overlap_hours: Annotated[float, typer.Option(help="How long the old key goes on working.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Make a successor of a key, with the same rights. It is shown this once."""
    with reported(), Credits.from_env() as credits:
        created = Management(credits).rotate_agent_key(key_id, timedelta(hours=overlap_hours))
    _show_new_key(created, as_json=as_json)


def _show_new_key(created: CreatedAgentKey, *, as_json: bool) -> None:
    if as_json:
        print_json(created)
        return
    console.print(f"Key {created.key_id} ({escape(created.name)}). It is not shown again:")
    console.print(created.key, soft_wrap=True)


def _credits(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a number", param_hint="--spend-limit") from None


@key_app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """Show the organization's agent keys."""
    with reported(), Credits.from_env() as credits:
        keys = Management(credits).agent_keys()
    if as_json:
        print_json(keys)
        return
    columns = ["key id", "name", "state", "agent types", "cap in credits"]
    print_table("", columns, [_key_row(key) for key in keys])


def _key_row(key: AgentKey) -> list[str]:
    if key.revoked_at:
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}"
    elif key.expires_at:
        state = f"until {key.expires_at:%Y-%m-%d %H:%M}"
    else:
        state = "in use"
    cap = f"{plain(key.spend_limit)} a {key.spend_window}" if key.spend_limit is not None else "none"
    return [key.key_id, escape(key.name), state, escape(", ".join(key.agent_types or ("all",))), cap]


@key_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The 16 characters after tb_<environment>_.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Revoke an agent key: every later call with it is refused."""
    if not yes:
        typer.confirm(f"Revoke {key_id}? Agents that use it stop at once.", abort=True, err=True)
    with reported(), Credits.from_env() as credits:
        revoked = Management(credits).revoke_agent_key(key_id)
    if as_json:
        print_json(revoked)
    else:
        console.print(f"Revoked {revoked.key_id} ({escape(revoked.name)}).")


@outbox_app.command("list")
def list_outbox(as_json: AsJson = False) -> None:
    """Show what waits to be booked and what was refused."""
    with reported(), Credits.from_env() as credits:
        outbox = credits.require_outbox()
        entries = outbox.waiting() + outbox.refused()
        credits.outbox = None  # closing would settle; this command only looks
    if as_json:
        print_json(entries)
        return
    rows = [
        [entry.idempotency_key, f"{entry.queued_at:%Y-%m-%d %H:%M:%S}", entry.refusal or "waits"]
        for entry in entries
    ]
    print_table("", ["idempotency key", "queued at", "state"], rows)


@outbox_app.command("retry")
def retry_refused(
    key: Annotated[str, typer.Argument(help="Idempotency key, as `outbox list` shows it.")],
) -> None:
    """Let a refused spend wait again, such as after a top-up."""
    with reported(), Credits.from_env() as credits:
        found = credits.require_outbox().retry(key)
        credits.outbox = None  # closing would settle; `outbox settle` does that
    console.print("It waits again." if found else "No refused spend has this key.")
    if not found:
        raise typer.Exit(1)


@outbox_app.command("settle")
def settle_outbox(as_json: AsJson = False) -> None:
    """Book what waits."""
    with reported(), Credits.from_env() as credits:
        outcomes = credits.settle_outbox()
        waiting = len(credits.require_outbox().waiting())
    booked = sum(outcome.receipt is not None for outcome in outcomes)
    refused = [outcome for outcome in outcomes if outcome.error is not None]
    if as_json:
        print_json({"booked": booked, "refused": len(refused), "waiting": waiting})
    else:
        console.print(f"{booked} booked, {len(refused)} refused, {waiting} still waiting.")
    if waiting:
        raise typer.Exit(1)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check settings, connection, keys, clock and ledger; say how to mend what is wrong."""
    findings = checks.examine()
    if as_json:
        print_json(findings)
    else:
        marks = {
            "ok": "[green]ok[/green]",
            "problem": "[red]problem[/red]",
            "warning": "[yellow]warning[/yellow]",
        }
        for finding in findings:
            console.print(
                f"{marks.get(finding.state, finding.state)}  {finding.check}: {escape(finding.message)}"
            )
            if finding.fix:
                console.print(f"    -> {escape(finding.fix)}", soft_wrap=True)
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)
