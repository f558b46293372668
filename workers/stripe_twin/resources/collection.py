"""Collecting an invoice, and what its payment or the lack of it does to the subscription behind it.

Source: https://docs.stripe.com/billing/revenue-recovery/smart-retries; the pauses and the end are set through
the control API.
"""

from __future__ import annotations

from stripe_twin.periods import DAY
from stripe_twin.preferences import read_preferences
from stripe_twin.resources import invoicing
from stripe_twin.resources.common import update
from stripe_twin.resources.invoice_drafts import subscription_of
from stripe_twin.resources.invoicing import mark_paid, note_failure
from stripe_twin.resources.payments import Outcome, attempt
from stripe_twin.resources.subscription_states import (
    FINAL,
    change,
    end_subscription,
    lock_subscription,
    set_delinquent,
)
from stripe_twin.resources.subscription_updates import apply_pending_update
from stripe_twin.shapes import Json
from stripe_twin.timers import timer
from stripe_twin.unit import Record, UnitOfWork

_NO_METHOD: Json = {
    "code": "invoice_payment_intent_requires_action",
    "message": "Cannot charge a customer that has no active card.",
    "type": "card_error",
}


def lock_invoice(unit: UnitOfWork, invoice_id: str) -> tuple[Record | None, Record]:
    """Return an invoice and the subscription that made it, both locked, in that order of locks."""
    subscription_id = subscription_of(unit.get("invoice", invoice_id).data)
    subscription = lock_subscription(unit, subscription_id) if subscription_id else None
    return subscription, unit.get("invoice", invoice_id, lock=True)


def collect(
    unit: UnitOfWork,
    subscription: Record | None,
    invoice: Record,
    *,
    off_session: bool = True,
    method_id: str | None = None,
    return_url: str | None = None,
) -> Outcome:
    """Try to pay a locked open invoice, and let its subscription feel it.

    Args:
        unit: The unit of work.
        subscription: The locked subscription that made it, if one did.
        invoice: The locked invoice.
        off_session: Whether the customer is away.
        method_id: What to charge; the default of invoice, subscription or customer when left out.
        return_url: Where a challenge page sends the customer afterwards.
    """
    chosen = method_id or default_method(unit, subscription, invoice)
    if chosen is None:
        outcome = Outcome("declined", _NO_METHOD)
    else:
        intent = unit.get("payment_intent", invoice.hidden["payment_intent"], lock=True)
        method = unit.get("payment_method", chosen, param="payment_method")
        outcome = attempt(
            unit, intent, method, off_session=off_session, asks_when_away=True, return_url=return_url
        )
    settle(unit, subscription, invoice, outcome)
    return outcome


def default_method(unit: UnitOfWork, subscription: Record | None, invoice: Record) -> str | None:
    """Return the id of the payment method that an invoice is charged to; None when there is none."""
    customer = unit.get("customer", invoice.data["customer"]).data
    candidates = [
        invoice.data["default_payment_method"],
        subscription.data["default_payment_method"] if subscription else None,
        customer["invoice_settings"]["default_payment_method"],
    ]
    for method_id in candidates:
        record = unit.find("payment_method", method_id) if method_id else None
        if record is not None and record.data["customer"] == invoice.data["customer"]:
            return record.id
    return None


def settle(unit: UnitOfWork, subscription: Record | None, invoice: Record, outcome: Outcome) -> None:
    """Note on a locked invoice and its subscription how an attempt to pay it ended."""
    if outcome.kind == "succeeded":
        mark_paid(unit, invoice)
        after_payment(unit, subscription, invoice)
    elif outcome.kind in ("declined", "requires_action"):
        _after_failure(unit, subscription, invoice, asked=outcome.kind == "requires_action")


def after_payment(unit: UnitOfWork, subscription: Record | None, invoice: Record) -> None:
    """Let a subscription go on whose invoice was just paid."""
    if subscription is None or subscription.data["status"] in FINAL:
        set_delinquent(unit, invoice.data["customer"], delinquent=False)
        return
    if subscription.hidden.get("pending_invoice") == invoice.id:
        apply_pending_update(unit, subscription)
    is_latest = subscription.data["latest_invoice"] == invoice.id
    status = subscription.data["status"]
    if status == "paused" and subscription.hidden.get("resumes_with") == invoice.id:
        change(unit, subscription, {"status": "active", "status_details": None}, None)
        unit.emit("customer.subscription.updated", subscription.data, {"status": "paused"})
        unit.emit("customer.subscription.resumed", subscription.data)
    elif is_latest and status in ("incomplete", "past_due", "unpaid"):
        changes: Json = {"status": "active"}
        if _saves_method(subscription):
            changes["default_payment_method"] = _method_used(unit, invoice)
        change(unit, subscription, changes)
    set_delinquent(unit, invoice.data["customer"], delinquent=False)


def _saves_method(subscription: Record) -> bool:
    settings = subscription.data["payment_settings"] or {}
    return settings.get("save_default_payment_method") == "on_subscription"


def _method_used(unit: UnitOfWork, invoice: Record) -> str | None:
    intent_id = invoice.hidden.get("payment_intent")
    return unit.get("payment_intent", intent_id).data["payment_method"] if intent_id else None


def _after_failure(unit: UnitOfWork, subscription: Record | None, invoice: Record, *, asked: bool) -> None:
    status = subscription.data["status"] if subscription else None
    is_retried = status in ("active", "past_due", "trialing") and not _is_pending_update(
        subscription, invoice
    )
    pauses = read_preferences(unit).retry_after_days if is_retried and invoice.data["auto_advance"] else ()
    made = invoice.data["attempt_count"]
    next_attempt = unit.now + pauses[made] * DAY if made < len(pauses) else None
    note_failure(unit, invoice, asked=asked, next_attempt=next_attempt)
    if subscription is None or not is_retried:
        return
    set_delinquent(unit, invoice.data["customer"], delinquent=True)
    if invoice.data["auto_advance"] and next_attempt is None:
        _give_up(unit, subscription)
    else:
        change(unit, subscription, {"status": "past_due"})


def _is_pending_update(subscription: Record | None, invoice: Record) -> bool:
    return subscription is not None and subscription.hidden.get("pending_invoice") == invoice.id


def _give_up(unit: UnitOfWork, subscription: Record) -> None:
    end = read_preferences(unit).after_last_retry
    if end == "cancel":
        end_subscription(unit, subscription, reason="payment_failed")
        stop_collecting(unit, subscription.id)
    else:
        change(unit, subscription, {"status": end})


def stop_collecting(unit: UnitOfWork, subscription_id: str) -> None:
    """Let the unpaid invoices of a subscription that has ended rest where they are."""
    parent = {"parent": {"subscription_details": {"subscription": subscription_id}}}
    for status in ("draft", "open"):
        for found in unit.all("invoice", {**parent, "status": status}):
            invoice = unit.get("invoice", found.id, lock=True)
            invoicing.stop_timers(unit, invoice)
            update(unit, invoice, {"auto_advance": False, "next_payment_attempt": None}, "invoice.updated")


def finalize_and_collect(
    unit: UnitOfWork, subscription: Record | None, invoice: Record, *, off_session: bool = True
) -> Outcome | None:
    """Open a locked draft and, if it is charged automatically, try to pay it; None when nothing was tried."""
    if not invoicing.finalize(unit, invoice):
        return None
    if invoice.data["status"] == "paid":
        after_payment(unit, subscription, invoice)
        return Outcome("succeeded")
    if invoice.data["collection_method"] == "send_invoice":
        unit.emit("invoice.sent", invoice.data)
        return None
    return collect(unit, subscription, invoice, off_session=off_session)


@timer("invoice_is_finalized")
def finalize_in_time(unit: UnitOfWork, invoice_id: str) -> None:
    """End the hour for which a renewal's invoice stays a draft."""
    subscription, invoice = lock_invoice(unit, invoice_id)
    if invoice.data["status"] != "draft" or not invoice.data["auto_advance"]:
        return
    pause = (subscription.data["pause_collection"] or {}).get("behavior") if subscription else None
    if pause == "keep_as_draft":
        update(unit, invoice, {"auto_advance": False}, "invoice.updated")
    elif pause in ("void", "mark_uncollectible"):
        invoice.data["auto_advance"] = False
        if invoicing.finalize(unit, invoice) and invoice.data["status"] == "open":
            end = invoicing.void if pause == "void" else invoicing.mark_uncollectible
            end(unit, invoice)
    else:
        finalize_and_collect(unit, subscription, invoice)


@timer("invoice_is_retried")
def retry_in_time(unit: UnitOfWork, invoice_id: str) -> None:
    """Try again to collect an invoice."""
    subscription, invoice = lock_invoice(unit, invoice_id)
    planned = invoice.data["next_payment_attempt"]
    if invoice.data["status"] == "open" and planned is not None and planned <= unit.now:
        collect(unit, subscription, invoice)


@timer("invoice_is_overdue")
def overdue_in_time(unit: UnitOfWork, invoice_id: str) -> None:
    """Emit `invoice.overdue` for an invoice that was sent and not paid in time."""
    subscription, invoice = lock_invoice(unit, invoice_id)
    due = invoice.data["due_date"]
    if invoice.data["status"] != "open" or due is None or due > unit.now:
        return
    unit.emit("invoice.overdue", invoice.data)
    set_delinquent(unit, invoice.data["customer"], delinquent=True)
    if subscription is not None and subscription.data["status"] == "active":
        change(unit, subscription, {"status": "past_due"})
