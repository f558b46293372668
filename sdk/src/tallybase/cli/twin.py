"""The commands of the local Stripe twin: what a person does in Stripe's dashboard, or a bank decides."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from tallybase.cli.output import AsJson, console, reported
from tallybase.twin import Object, Twin

app = typer.Typer(
    no_args_is_help=True,
    help="The local Stripe twin (STRIPE_TWIN_URL, by default port 12111 of this machine). Without an id, the "
    "newest object is meant.",
)
dispute_app = typer.Typer(no_args_is_help=True, help="Disputes: open, win, lose.")
app.add_typer(dispute_app, name="dispute")

ChargeId = Annotated[str | None, typer.Argument(help="ch_…; default: the newest.")]
RefundId = Annotated[str | None, typer.Argument(help="re_…; default: the newest.")]
DisputeId = Annotated[str | None, typer.Argument(help="du_…; default: the newest.")]
CustomerId = Annotated[str | None, typer.Argument(help="cus_…; default: the newest.")]
Amount = Annotated[int | None, typer.Option(help="In the currency's smallest unit; default: all.")]


@contextmanager
def _twin() -> Iterator[Twin]:
    with reported():
        twin = Twin()
        try:
            yield twin
        finally:
            twin.close()


def _show(found: Object, text: str, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        console.print(escape(text))


@app.command()
def refund(
    charge_id: ChargeId = None,
    amount: Amount = None,
    reason: Annotated[
        str | None, typer.Option(help="duplicate, fraudulent or requested_by_customer.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Refund a charge, in part or all that is left."""
    with _twin() as twin:
        made = twin.refund(charge_id or twin.latest("charges"), amount, reason)
    _show(made, f"{made['id']}: {made['amount']} {made['currency']} {made['status']}", as_json=as_json)


@app.command("fail-refund")
def fail_refund(
    refund_id: RefundId = None,
    reason: Annotated[str | None, typer.Option(help="Stripe's failure reason.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a refund come back from the bank."""
    with _twin() as twin:
        made = twin.fail_refund(refund_id or twin.latest("refunds"), reason)
    _show(made, f"{made['id']}: {made['status']}", as_json=as_json)


@dispute_app.command("open")
def open_dispute(
    charge_id: ChargeId = None,
    amount: Amount = None,
    reason: Annotated[str, typer.Option(help="Stripe's reason.")] = "fraudulent",
    inquiry: Annotated[bool, typer.Option("--inquiry", help="The bank only asks; no money moves.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let the bank dispute a charge."""
    with _twin() as twin:
        made = twin.open_dispute(charge_id or twin.latest("charges"), amount, reason, inquiry=inquiry)
    _show(made, f"{made['id']}: {made['amount']} {made['currency']} {made['status']}", as_json=as_json)


@dispute_app.command()
def win(dispute_id: DisputeId = None, as_json: AsJson = False) -> None:
    """Let a dispute be won: the money comes back."""
    with _twin() as twin:
        made = twin.close_dispute(dispute_id or twin.latest("disputes"), "win")
    _show(made, f"{made['id']}: {made['status']}", as_json=as_json)


@dispute_app.command()
def lose(dispute_id: DisputeId = None, as_json: AsJson = False) -> None:
    """Let a dispute be lost: the money stays away."""
    with _twin() as twin:
        made = twin.close_dispute(dispute_id or twin.latest("disputes"), "lose")
    _show(made, f"{made['id']}: {made['status']}", as_json=as_json)


@app.command("decline-next")
def decline_next(
    customer_id: CustomerId = None,
    code: Annotated[str, typer.Option(help="Stripe's decline code.")] = "insufficient_funds",
    times: Annotated[int, typer.Option(min=1, help="How many charges.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Let the bank decline a customer's next charges, whatever the card."""
    with _twin() as twin:
        customer = customer_id or twin.latest("customers")
        made = twin.decline_next(customer, code, times)
    _show(made, f"{customer}: the next {times} declined ({code})", as_json=as_json)


@app.command("require-3ds")
def require_3ds(customer_id: CustomerId = None, as_json: AsJson = False) -> None:
    """Let the bank ask for 3-D Secure at a customer's next charge."""
    with _twin() as twin:
        customer = customer_id or twin.latest("customers")
        made = twin.require_3ds(customer)
    _show(made, f"{customer}: the next charge asks for 3-D Secure", as_json=as_json)


@app.command()
def advance(
    of: Annotated[str | None, typer.Argument(help="cus_… or clock_…; default: the newest customer.")] = None,
    months: Annotated[int, typer.Option(min=0)] = 0,
    days: Annotated[int, typer.Option(min=0)] = 0,
    to: Annotated[datetime | None, typer.Option(help="An instant (UTC) instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Move the time of a customer or a test clock on; all that falls due on the way happens."""
    if not months and not days and to is None:
        raise typer.BadParameter("say how far: --months, --days or --to")
    with _twin() as twin:
        subject = of or twin.latest("customers")
        until = None if to is None else to.replace(tzinfo=UTC)
        made = twin.advance(subject, months=months, days=days, to=until)
    now = datetime.fromtimestamp(int(made.get("now", made.get("frozen_time", 0))), UTC)
    _show(made, f"{subject}: now {now:%Y-%m-%d %H:%M} UTC", as_json=as_json)


@app.command()
def renew(
    subscription_id: Annotated[str | None, typer.Argument(help="sub_…; default: the newest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Move a subscription past its renewal and the attempt to collect it."""
    with _twin() as twin:
        made = twin.renew(subscription_id or twin.latest("subscriptions"))
    _show(made, f"{made['id']}: {made['status']}", as_json=as_json)


@app.command()
def resend(
    event_id: Annotated[str | None, typer.Argument(help="evt_…; default: the newest.")] = None,
    times: Annotated[int, typer.Option(min=1, help="So many times at once.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Deliver an event again."""
    with _twin() as twin:
        event = event_id or twin.latest("events")
        made = twin.resend(event, times)
    _show(made, f"{event}: {len(made['delivery_ids'])} on their way", as_json=as_json)


@app.command()
def shuffle(
    seconds: Annotated[float, typer.Option(min=0, help="Each delivery waits up to this; 0: no more.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Let deliveries overtake one another from now on."""
    _misbehave(lambda twin: twin.also_misbehave(shuffle_seconds=seconds), as_json=as_json)


@app.command()
def drop(
    attempts: Annotated[int, typer.Option(min=0, help="So many of each delivery are lost; 0: none.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Let the first attempts of each delivery be lost from now on."""
    _misbehave(lambda twin: twin.also_misbehave(drop_attempts=attempts), as_json=as_json)


@app.command()
def behave(as_json: AsJson = False) -> None:
    """End shuffling and dropping."""
    _misbehave(lambda twin: twin.misbehave(), as_json=as_json)


def _misbehave(change: Callable[[Twin], Object], *, as_json: bool) -> None:
    with _twin() as twin:
        made = change(twin)
    said = ", ".join(f"{name} {value:g}" for name, value in made.items() if value)
    _show(made, f"Deliveries: {said or 'well-behaved'}", as_json=as_json)
