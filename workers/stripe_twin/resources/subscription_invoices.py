"""Invoices that subscriptions make: first, renewing, and for changes in between."""

from __future__ import annotations

from collections.abc import Sequence

from stripe_twin.resources.discounts import end_single_use, in_force
from stripe_twin.resources.invoice_drafts import create_invoice
from stripe_twin.resources.prorations import attach_items, note_billed, take_pending
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork


def invoice_subscription(
    unit: UnitOfWork,
    subscription: Record,
    lines: Sequence[Json],
    *,
    reason: str,
    period: tuple[int, int],
    auto_advance: bool = True,
    finalizes_at: int | None = None,
) -> Record:
    """Make the draft of a locked subscription, with what is pending for its customer.

    Args:
        unit: The unit of work.
        subscription: The locked subscription; its `latest_invoice` and `discounts` change in memory.
        lines: What is charged, without pending invoice items.
        reason: `billing_reason`.
        period: The invoice's own period.
        auto_advance: Whether Stripe finalizes and collects it by itself.
        finalizes_at: When; None when the caller does it now.
    """
    data = subscription.data
    customer = unit.get("customer", data["customer"])
    pending = take_pending(unit, customer.id, subscription.id, data["currency"])
    settings = data["invoice_settings"]
    invoice = create_invoice(
        unit,
        customer,
        [*pending, *lines],
        currency=data["currency"],
        reason=reason,
        period=period,
        subscription=data,
        auto_advance=auto_advance,
        automatic_tax=data["automatic_tax"]["enabled"],
        automatically_finalizes_at=finalizes_at,
        collection_method=data["collection_method"],
        days_until_due=data["days_until_due"],
        description=settings["description"],
        discounts=in_force(unit, data["discounts"]),
        footer=settings["footer"],
    )
    attach_items(unit, invoice)
    note_billed(subscription, invoice)
    data["latest_invoice"] = invoice.id
    if lines:
        data["discounts"] = end_single_use(unit, data["discounts"])
    return invoice
