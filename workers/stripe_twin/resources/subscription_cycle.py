"""What time does to a subscription: renewal, the end of a trial, notices, expiry, cancellation at a date.

Sources: https://docs.stripe.com/billing/subscriptions/billing-cycle,
https://docs.stripe.com/billing/subscriptions/trials
"""

from __future__ import annotations

from stripe_twin.identifiers import random_text
from stripe_twin.preferences import read_preferences
from stripe_twin.resources import invoicing
from stripe_twin.resources.collection import default_method, stop_collecting
from stripe_twin.resources.invoice_drafts import PATH
from stripe_twin.resources.prorations import full_line, start_period
from stripe_twin.resources.subscription_invoices import invoice_subscription
from stripe_twin.resources.subscription_states import (
    FINAL,
    PAYMENT_HOURS,
    RENEWING,
    change,
    end_subscription,
    items_of,
    lock_subscription,
    period_end,
    set_timers,
)
from stripe_twin.shapes import Json
from stripe_twin.timers import set_timer, timer
from stripe_twin.unit import Record, UnitOfWork, changed, snapshot


@timer("subscription_renews")
def renew_in_time(unit: UnitOfWork, subscription_id: str) -> None:
    """Begin the next period of a subscription and invoice it; a trial ends here."""
    subscription = lock_subscription(unit, subscription_id)
    data = subscription.data
    if data["status"] not in RENEWING or period_end(subscription) > unit.now:
        return
    if data["cancel_at"] is not None and data["cancel_at"] <= unit.now:
        return
    if not ended_for_want_of_method(unit, subscription):
        renew(unit, subscription)


def ended_for_want_of_method(unit: UnitOfWork, subscription: Record) -> bool:
    """Pause or cancel a locked subscription whose trial ends without a payment method, where it is set to.

    Returns:
        Whether it was.
    """
    data = subscription.data
    if data["status"] != "trialing" or _has_method(unit, subscription):
        return False
    end = data["trial_settings"]["end_behavior"]["missing_payment_method"]
    if end == "cancel":
        end_subscription(unit, subscription, reason="payment_failed")
    elif end == "pause":
        pause(unit, subscription, "trial_end_without_payment_method")
    return bool(end != "create_invoice")


def _has_method(unit: UnitOfWork, subscription: Record) -> bool:
    invoice = unit.get("invoice", subscription.data["latest_invoice"])
    return default_method(unit, subscription, invoice) is not None


def renew(unit: UnitOfWork, subscription: Record) -> Record:
    """Begin the next period of a locked subscription; return the draft of its invoice."""
    before = snapshot(subscription.data)
    data = subscription.data
    items = items_of(subscription)
    due = [item for item in items if item["current_period_end"] <= unit.now]
    ended = (due[0]["current_period_start"], due[0]["current_period_end"])
    if data["status"] == "trialing":
        data["status"] = "active"
    for item in due:
        start_period(subscription, item, item["current_period_end"], data["billing_cycle_anchor"])
    is_unpaid = data["status"] == "unpaid"
    wait = read_preferences(unit).finalize_after_seconds
    invoice = invoice_subscription(
        unit,
        subscription,
        [full_line(unit, subscription, item) for item in due],
        reason="subscription_cycle",
        period=ended,
        auto_advance=not is_unpaid,
        finalizes_at=None if is_unpaid else unit.now + wait,
    )
    if not is_unpaid:
        set_timer(unit, invoice.id, "invoice_is_finalized", unit.now + wait, data["customer"])
    unit.save(subscription)
    unit.emit("customer.subscription.updated", data, changed(before, data))
    set_timers(unit, subscription)
    return invoice


def pause(unit: UnitOfWork, subscription: Record, why: str) -> Json:
    """Pause a locked subscription, which makes no invoices then, and emit `customer.subscription.paused`."""
    before = snapshot(subscription.data)
    details = {"paused": {"subscription": {"type": why}, "transitioned_at": unit.now, "type": "subscription"}}
    change(unit, subscription, {"status": "paused", "status_details": details}, None)
    unit.emit("customer.subscription.updated", subscription.data, changed(before, subscription.data))
    unit.emit("customer.subscription.paused", subscription.data)
    return subscription.data


@timer("subscription_ends")
def end_in_time(unit: UnitOfWork, subscription_id: str) -> None:
    """Cancel a subscription at the date set for it."""
    subscription = lock_subscription(unit, subscription_id)
    cancel_at = subscription.data["cancel_at"]
    if subscription.data["status"] in FINAL or cancel_at is None or cancel_at > unit.now:
        return
    end_subscription(unit, subscription)
    stop_collecting(unit, subscription.id)


@timer("subscription_expires")
def expire_in_time(unit: UnitOfWork, subscription_id: str) -> None:
    """Give up a subscription whose first invoice was not paid within 23 hours."""
    subscription = lock_subscription(unit, subscription_id)
    data = subscription.data
    if data["status"] != "incomplete" or data["created"] + PAYMENT_HOURS * 3600 > unit.now:
        return
    invoice = unit.get("invoice", data["latest_invoice"], lock=True)
    if invoice.data["status"] == "open":
        invoicing.void(unit, invoice)
    change(unit, subscription, {"ended_at": unit.now, "status": "incomplete_expired"})


@timer("subscription_trial_will_end")
def tell_trial_end(unit: UnitOfWork, subscription_id: str) -> None:
    """Emit `customer.subscription.trial_will_end`, three days before."""
    subscription = lock_subscription(unit, subscription_id)
    trial_end = subscription.data["trial_end"]
    if subscription.data["status"] != "trialing" or subscription.hidden.get("told_trial_end") == trial_end:
        return
    subscription.hidden["told_trial_end"] = trial_end
    unit.save(subscription)
    unit.emit("customer.subscription.trial_will_end", subscription.data)


@timer("subscription_upcoming")
def tell_upcoming(unit: UnitOfWork, subscription_id: str) -> None:
    """Emit `invoice.upcoming`, some days before a renewal."""
    subscription = lock_subscription(unit, subscription_id)
    end = period_end(subscription)
    if subscription.data["status"] not in RENEWING or subscription.hidden.get("told_upcoming") == end:
        return
    shown = preview_renewal(unit, subscription.id)
    subscription.hidden["told_upcoming"] = end
    unit.save(subscription)
    unit.emit("invoice.upcoming", shown)


def preview_renewal(unit: UnitOfWork, subscription_id: str) -> Json:
    """Return the invoice that the next renewal would make; nothing of it stays."""
    with unit.connection.transaction(force_rollback=True):
        subscription = lock_subscription(unit, subscription_id)
        later = unit.at(period_end(subscription))
        return as_preview(renew(later, subscription))


def as_preview(invoice: Record) -> Json:
    """Return a draft as the preview that Stripe shows of it."""
    shown = snapshot(invoice.data)
    shown |= {"billing_reason": "upcoming", "id": f"upcoming_in_{random_text(20)}"}
    for one in shown["lines"]["data"]:
        one["invoice"] = shown["id"]
    shown["lines"]["url"] = f"{PATH}/upcoming/lines"
    return shown


@timer("subscription_collection_resumes")
def resume_collection(unit: UnitOfWork, subscription_id: str) -> None:
    """End a pause of collection at the date set for it."""
    subscription = lock_subscription(unit, subscription_id)
    resumes_at = (subscription.data["pause_collection"] or {}).get("resumes_at")
    if resumes_at is not None and resumes_at <= unit.now:
        change(unit, subscription, {"pause_collection": None})
