"""Pending updates: a change of plan that waits for its payment.

Source: https://docs.stripe.com/billing/subscriptions/pending-updates
"""

from __future__ import annotations

from stripe_twin.resources import invoicing
from stripe_twin.resources.subscription_states import PAYMENT_HOURS, change, lock_subscription
from stripe_twin.shapes import Json
from stripe_twin.timers import timer
from stripe_twin.unit import Record, UnitOfWork


def hold_update(unit: UnitOfWork, subscription: Record, invoice_id: str, changes: Json) -> None:
    """Keep changes of a locked subscription until an invoice is paid; nothing is shown yet."""
    subscription.hidden |= {"pending_changes": changes, "pending_invoice": invoice_id}
    unit.save(subscription)


def show_pending_update(unit: UnitOfWork, subscription: Record) -> None:
    """Show the changes that wait on a locked subscription whose invoice was not paid at once."""
    changes = subscription.hidden["pending_changes"]
    pending = {
        "billing_cycle_anchor": changes.get("billing_cycle_anchor"),
        "cancel_at_period_end": None,
        "discount": None,
        "discounts": None,
        "expires_at": unit.now + PAYMENT_HOURS * 3600,
        "metadata": None,
        "subscription_items": changes["items"]["data"],
        "trial_end": None,
        "trial_from_plan": None,
    }
    change(unit, subscription, {"pending_update": pending})


def apply_pending_update(unit: UnitOfWork, subscription: Record) -> None:
    """Make the changes of a locked subscription whose invoice is paid now."""
    was_shown = subscription.data["pending_update"] is not None
    changes = subscription.hidden.pop("pending_changes")
    subscription.hidden.pop("pending_invoice")
    change(unit, subscription, {**changes, "pending_update": None})
    if was_shown:
        unit.emit("customer.subscription.pending_update_applied", subscription.data)


@timer("subscription_update_expires")
def expire_pending_update(unit: UnitOfWork, subscription_id: str) -> None:
    """Give up a change that was not paid in time, and void its invoice."""
    subscription = lock_subscription(unit, subscription_id)
    pending = subscription.data["pending_update"]
    if pending is None or pending["expires_at"] > unit.now:
        return
    invoice = unit.get("invoice", subscription.hidden.pop("pending_invoice"), lock=True)
    subscription.hidden.pop("pending_changes")
    if invoice.data["status"] == "open":
        invoicing.void(unit, invoice)
    change(unit, subscription, {"pending_update": None}, None)
    unit.emit("customer.subscription.pending_update_expired", subscription.data)
