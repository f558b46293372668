"""A subscription's states and clocks: every change of one passes through here.

Source: https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses
"""

from __future__ import annotations

from stripe_twin.periods import DAY
from stripe_twin.preferences import read_preferences
from stripe_twin.resources.common import update
from stripe_twin.resources.subscription_shapes import cancellation
from stripe_twin.shapes import Json
from stripe_twin.timers import clear_timers, set_timer
from stripe_twin.unit import Record, UnitOfWork

FINAL = ("canceled", "incomplete_expired")
RENEWING = ("active", "past_due", "trialing", "unpaid")
#: How long a first payment, or a pending update's payment, may take.
PAYMENT_HOURS = 23
_TRIAL_NOTICE_SECONDS = 3 * DAY


def lock_subscription(unit: UnitOfWork, subscription_id: str) -> Record:
    """Return a subscription, locked."""
    return unit.get("subscription", subscription_id, lock=True)


def items_of(subscription: Record) -> list[Json]:
    """Return a subscription's items."""
    items: list[Json] = subscription.data["items"]["data"]
    return items


def period_end(subscription: Record) -> int:
    """Return when the first of the items' periods ends."""
    return min(int(item["current_period_end"]) for item in items_of(subscription))


def change(
    unit: UnitOfWork, subscription: Record, changes: Json, event: str | None = "customer.subscription.updated"
) -> Json:
    """Change a locked subscription, emit the event if something differs, and set its clocks anew."""
    shown = update(unit, subscription, changes, event)
    unit.save(subscription)
    set_timers(unit, subscription)
    return shown


def set_timers(unit: UnitOfWork, subscription: Record) -> None:
    """Set every clock of a subscription to what its state demands."""
    data = subscription.data
    if data["status"] in FINAL:
        clear_timers(unit, subscription.id)
        return
    renewing = data["status"] in RENEWING
    pending = data["pending_update"]
    resumes_at = (data["pause_collection"] or {}).get("resumes_at")
    expires_at = data["created"] + PAYMENT_HOURS * 3600 if data["status"] == "incomplete" else None
    moments = {
        "subscription_renews": period_end(subscription) if renewing else None,
        "subscription_ends": data["cancel_at"],
        "subscription_trial_will_end": _trial_notice(unit, subscription),
        "subscription_upcoming": _upcoming(unit, subscription) if renewing else None,
        "subscription_expires": expires_at,
        "subscription_update_expires": pending["expires_at"] if pending else None,
        "subscription_collection_resumes": resumes_at,
    }
    for kind, moment in moments.items():
        set_timer(unit, subscription.id, kind, moment, data["customer"])


def _trial_notice(unit: UnitOfWork, subscription: Record) -> int | None:
    data = subscription.data
    if data["status"] != "trialing" or subscription.hidden.get("told_trial_end") == data["trial_end"]:
        return None
    return max(int(data["trial_end"]) - _TRIAL_NOTICE_SECONDS, unit.now)


def _upcoming(unit: UnitOfWork, subscription: Record) -> int | None:
    days, end = read_preferences(unit).upcoming_days, period_end(subscription)
    moment = end - days * DAY
    ends = subscription.data["cancel_at"]
    is_last = ends is not None and ends <= end
    told = subscription.hidden.get("told_upcoming") == end
    return None if not days or told or is_last or moment < unit.now else moment


def end_subscription(
    unit: UnitOfWork, subscription: Record, *, reason: str | None = None, said: Json | None = None
) -> Json:
    """Cancel a locked subscription now and emit `customer.subscription.deleted`."""
    data = subscription.data
    details = data["cancellation_details"] or cancellation(None)
    if reason is not None:
        details = cancellation(reason, said)
    data |= {
        "canceled_at": data["canceled_at"] or unit.now,
        "cancellation_details": details,
        "ended_at": unit.now,
        "pending_update": None,
        "status": "canceled",
    }
    unit.save(subscription)
    clear_timers(unit, subscription.id)
    unit.emit("customer.subscription.deleted", data)
    return data


def set_delinquent(unit: UnitOfWork, customer_id: str, *, delinquent: bool) -> None:
    """Note on a customer whether an invoice is overdue, and emit `customer.updated` when that changes."""
    if not delinquent and _owes(unit, customer_id):
        return
    customer = unit.find("customer", customer_id, lock=True)
    if customer is not None and not customer.deleted:
        update(unit, customer, {"delinquent": delinquent}, "customer.updated")


def _owes(unit: UnitOfWork, customer_id: str) -> bool:
    return bool(unit.all("invoice", {"customer": customer_id, "status": "open", "attempted": True}))
