"""reconcile_stripe: catches up with lost events, and reports where Stripe and our rows differ.

Run every 15 minutes. Events that Stripe could not deliver go through the same ingest as a delivery,
oldest first. Once a day the objects of the last 30 days are compared with our rows; differences are
reported and never mended, because a difference that nobody understands is no reason to grant credits.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import stripe
from flask import Request
from pydantic import BaseModel, ConfigDict, Field

from billing import database, http
from billing.errors import WorkerError
from billing.logs import get_logger
from billing.operators import require_operator
from billing.reversal_facts import withdrawn_of
from billing.rows import Row
from billing.settings import get_settings
from billing.stripe_client import explain, get_client
from billing.stripe_facts import CHECKOUT_MARK, id_of
from billing.webhook import ingest

#: Stripe lists events for 30 days, and so far back objects are compared.
WINDOW = timedelta(days=30)
PAGE = 100

_log = get_logger("reconcile")


class ReconcileRequest(BaseModel):
    """Body of reconcile_stripe.

    Attributes:
        comparison: compare objects, or do not; when left out, once a day.
        limit: at most so many events are caught up with; the rest waits for the next run.
    """

    model_config = ConfigDict(extra="forbid")

    comparison: bool | None = None
    limit: int = Field(default=500, ge=1, le=10_000)


class Run(Row):
    """`billing.reconciliation_run`."""

    run_id: uuid.UUID
    is_comparison: bool


class Result(BaseModel):
    """What a run did.

    Attributes:
        missed: events that Stripe could not deliver and that we had not applied.
        applied: of those, how many are done with now (applied, or only stored).
        failed: of those, how many failed again; they come again in the next run.
        compared: objects compared, by kind; empty when nothing was compared.
        differing: differences found among them.
        open: differences that stand, of this and earlier runs.
    """

    missed: int = 0
    applied: int = 0
    failed: int = 0
    compared: dict[str, int] = Field(default_factory=dict)
    differing: int = 0
    open: int = 0


def reconcile(request: Request) -> http.Answer:
    """Handle POST reconcile_stripe, for the holder of the secret key.

    Raises:
        WorkerError: 403, 422, 502, 503. What was caught up with before stays; the next run goes on.
    """
    require_operator(request)
    body = http.parse(request, ReconcileRequest)
    return http.Answer(run(comparison=body.comparison, limit=body.limit).model_dump())


def run(*, comparison: bool | None = None, limit: int = 500) -> Result:
    """Catch up with lost events and, when it is due, compare.

    Args:
        comparison: as in `ReconcileRequest`.
        limit: as in `ReconcileRequest`.

    Raises:
        WorkerError: Stripe or the database refused or did not answer.
    """
    livemode = get_settings().livemode
    opened = database.call_for(Run, "open_reconciliation", {"livemode": livemode, "comparison": comparison})
    result = Result()
    try:
        _catch_up(get_client(), limit, result)
        if opened.is_comparison:
            _compare_all(get_client(), livemode, result)
    except stripe.StripeError as error:
        raise explain(error) from error
    counts = result.model_dump(exclude={"open"})
    found = database.call("close_reconciliation", {"run_id": str(opened.run_id), "counts": counts})
    result.open = int(str(found))
    _log.info("reconciled", **result.model_dump())
    return result


def _catch_up(client: stripe.StripeClient, limit: int, result: Result) -> None:
    events = {str(event["id"]): event for event in undelivered_events(client)}
    missed = database.call("missed_stripe_events", {"event_ids": list(events)}) if events else []
    ids = [str(event_id) for event_id in missed] if isinstance(missed, list) else []
    result.missed = len(ids)
    for event_id in ids[:limit]:
        try:
            ingest(events[event_id])
        except WorkerError as error:
            _log.warning("missed_event_failed", event_id=event_id, slug=error.slug)
            result.failed += 1
        else:
            result.applied += 1


def undelivered_events(client: stripe.StripeClient) -> list[dict[str, Any]]:
    """Return the events that no endpoint of ours has acknowledged, oldest first, as Stripe wrote them.

    Args:
        client: Stripe.

    Raises:
        stripe.StripeError: Stripe did not answer.
    """
    found: list[dict[str, Any]] = []
    parameters: dict[str, object] = {"delivery_success": "false", "limit": PAGE}
    while True:
        # The raw body: the library's objects would turn decimals of the body into other types.
        page: Any = msgspec.json.decode(client.raw_request("get", "/v1/events", **parameters).body)
        found.extend(page["data"])
        if not page["has_more"] or not page["data"]:
            return found[::-1]
        parameters["starting_after"] = page["data"][-1]["id"]


def _compare_all(client: stripe.StripeClient, livemode: bool, result: Result) -> None:
    since: Any = {"gte": int((datetime.now(UTC) - WINDOW).timestamp())}
    kinds: dict[str, Callable[[], Iterator[dict[str, Any] | None]]] = {
        "checkout_session": lambda: map(
            _session, client.v1.checkout.sessions.list({"created": since, "limit": PAGE}).auto_paging_iter()
        ),
        "refund": lambda: map(
            _refund, client.v1.refunds.list({"created": since, "limit": PAGE}).auto_paging_iter()
        ),
        "dispute": lambda: map(
            _dispute, client.v1.disputes.list({"created": since, "limit": PAGE}).auto_paging_iter()
        ),
        "invoice": lambda: map(
            _invoice, client.v1.invoices.list({"created": since, "limit": PAGE}).auto_paging_iter()
        ),
        "subscription": lambda: map(
            _subscription, client.v1.subscriptions.list({"status": "all", "limit": PAGE}).auto_paging_iter()
        ),
    }
    for kind, read in kinds.items():
        objects = [found for found in read() if found is not None]
        result.compared[kind] = len(objects)
        for start in range(0, len(objects), PAGE):
            differing = database.call(
                "compare_with_stripe",
                {"kind": kind, "objects": objects[start : start + PAGE], "livemode": livemode},
            )
            result.differing += int(str(differing))


def _object(
    stripe_id: str, facts: dict[str, Any], *, customer: object = None, payment_intent: object = None
) -> dict[str, Any]:
    return {
        "id": stripe_id,
        "customer": id_of(customer),
        "payment_intent": id_of(payment_intent),
        "facts": facts,
    }


def _session(session: stripe.checkout.Session) -> dict[str, Any] | None:
    read = session.to_dict()
    if not (read.get("metadata") or {}).get(CHECKOUT_MARK):
        return None  # a card's set-up, or another product's
    is_paid = read["payment_status"] in ("paid", "no_payment_required") or read["mode"] == "subscription"
    facts = {"status": read["status"], "is_paid": read["status"] == "complete" and is_paid}
    return _object(read["id"], facts, customer=read.get("customer"))


def _refund(refund: stripe.Refund) -> dict[str, Any]:
    read = refund.to_dict()
    facts = {"amount": read["amount"], "status": read["status"]}
    return _object(read["id"], facts, payment_intent=read.get("payment_intent"))


def _dispute(dispute: stripe.Dispute) -> dict[str, Any]:
    read = dispute.to_dict()
    facts = {"amount": read["amount"], "status": read["status"], "withdrawn": withdrawn_of(read)}
    return _object(read["id"], facts, payment_intent=read.get("payment_intent"))


def _invoice(invoice: stripe.Invoice) -> dict[str, Any] | None:
    read = invoice.to_dict()
    if (read.get("parent") or {}).get("type") != "subscription_details":
        return None
    facts = {"status": read["status"], "amount_paid": read["amount_paid"]}
    return _object(read["id"], facts, customer=read.get("customer"))


def _subscription(subscription: stripe.Subscription) -> dict[str, Any]:
    read = subscription.to_dict()
    items = read["items"]["data"]
    ends = items[0]["current_period_end"] if items else None
    facts = {"status": read["status"], "current_period_end": ends}
    return _object(read["id"], facts, customer=read.get("customer"))
