"""Prorations: what a change in mid-period gives back and charges, by the second.

Source: https://docs.stripe.com/billing/subscriptions/prorations
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stripe_twin.identifiers import new_id
from stripe_twin.periods import period_at, spoken_date, unused_part
from stripe_twin.resources.invoice_lines import (
    amount_of,
    from_invoice_item,
    from_item,
    line,
    pricing,
    spoken_price,
)
from stripe_twin.resources.subscription_states import items_of
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork


@dataclass
class ItemChange:
    """What happens to one item: `before` is None for a new one, `after` is None for one that goes."""

    before: Json | None
    after: Json | None

    @property
    def resets_period(self) -> bool:
        """Whether the new price cannot go on in the old period: another interval, or paid after free."""
        if self.before is None or self.after is None:
            return False
        old, new = self.before["price"], self.after["price"]
        was_free = amount_of(old, self.before["quantity"]) == 0
        is_free = amount_of(new, self.after["quantity"]) == 0
        same = all(
            old["recurring"][name] == new["recurring"][name] for name in ("interval", "interval_count")
        )
        return not same or (was_free and not is_free)


def full_line(unit: UnitOfWork, subscription: Record, item: Json) -> Json:
    """Return the line that pays an item's whole current period; in a trial it costs nothing."""
    price, quantity = item["price"], item["quantity"]
    is_trial = subscription.data["status"] == "trialing"
    name = product_name(unit, price)
    return line(
        amount=0 if is_trial else amount_of(price, quantity),
        currency=price["currency"],
        description=f"Trial period for {name}" if is_trial else spoken_price(price, quantity, name),
        start=item["current_period_start"],
        end=item["current_period_end"],
        parent=from_item(subscription.id, item["id"]),
        price=price,
        quantity=quantity,
        subscription=subscription.id,
        metadata=subscription.data["metadata"],
    )


def product_name(unit: UnitOfWork, price: Json) -> str:
    """Return the name of a price's product."""
    product = unit.find("product", price["product"])
    return str(product.data["name"]) if product else "Subscription"


def start_period(subscription: Record, item: Json, start: int, anchor: int) -> None:
    """Let an item's period begin at a time."""
    end = period_at(anchor, item["price"]["recurring"], start)[1]
    item |= {"billed_until": end, "current_period_end": end, "current_period_start": start}


def note_billed(subscription: Record, invoice: Record) -> None:
    """Remember what was charged for each item's latest period, so that a later change can give it back."""
    billed = subscription.hidden.setdefault("billed", {})
    for one in invoice.data["lines"]["data"]:
        details = (one["parent"] or {}).get("subscription_item_details")
        if details is None or one["amount"] < 0:
            continue
        item_id, known = details["subscription_item"], billed.get(details["subscription_item"])
        if known is None or one["period"]["end"] >= known["end"]:
            billed[item_id] = {
                "amount": one["amount"] - sum(off["amount"] for off in one["discount_amounts"]),
                "end": one["period"]["end"],
                "invoice": invoice.id,
                "line": one["id"],
                "start": one["period"]["start"],
            }


def credit(unit: UnitOfWork, subscription: Record, item: Json, moment: int) -> Record | None:
    """Give back an item's unused time with a pending invoice item; None when nothing was charged for it."""
    billed = subscription.hidden.get("billed", {}).get(item["id"])
    if billed is None or billed["end"] <= moment:
        return None
    amount = -unused_part(billed["amount"], billed["start"], billed["end"], moment)
    if amount == 0:
        return None
    credited = None
    if billed["invoice"]:
        credited = {"invoice": billed["invoice"], "invoice_line_items": [billed["line"]]}
    text = f"Unused time on {product_name(unit, item['price'])} after {spoken_date(moment)}"
    return _pending_item(unit, subscription, item, amount, text, (moment, billed["end"]), credited)


def charge(unit: UnitOfWork, subscription: Record, item: Json, moment: int) -> Record | None:
    """Charge the rest of an item's period with a pending invoice item; None when it costs nothing."""
    start, end = item["current_period_start"], item["current_period_end"]
    amount = unused_part(amount_of(item["price"], item["quantity"]), start, end, moment)
    if amount == 0:
        return None
    text = f"Remaining time on {product_name(unit, item['price'])} after {spoken_date(moment)}"
    made = _pending_item(unit, subscription, item, amount, text, (moment, end), None)
    subscription.hidden.setdefault("billed", {})[item["id"]] = {
        "amount": amount,
        "end": end,
        "invoice": None,
        "line": None,
        "start": moment,
    }
    return made


def _pending_item(
    unit: UnitOfWork,
    subscription: Record,
    item: Json,
    amount: int,
    description: str,
    period: tuple[int, int],
    credited: Json | None,
) -> Record:
    quantity = item["quantity"]
    shown = None
    if credited is not None:
        shown = {"invoice_item": None, "invoice_line_item_details": credited, "type": "invoice_line_items"}
    data = complete(
        "invoiceitem",
        {
            "id": new_id("ii"),
            "amount": amount,
            "currency": subscription.data["currency"],
            "customer": subscription.data["customer"],
            "date": unit.now,
            "description": description,
            "discountable": amount > 0,
            "discounts": [],
            "metadata": subscription.data["metadata"],
            "net_amount": amount,
            "parent": {
                "subscription_details": {"subscription": subscription.id, "subscription_item": item["id"]},
                "type": "subscription_details",
            },
            "period": {"end": period[1], "start": period[0]},
            "pricing": pricing(item["price"]),
            "proration": True,
            "proration_details": {"credited_items": shown, "discount_amounts": []},
            "quantity": quantity,
            "quantity_decimal": str(quantity),
            "test_clock": subscription.data["test_clock"],
        },
    )
    record = unit.insert(data, {"credited": credited})
    unit.emit("invoiceitem.created", data)
    return record


def take_pending(
    unit: UnitOfWork, customer_id: str, subscription_id: str | None, currency: str
) -> list[Json]:
    """Turn the pending invoice items of a customer into lines; `attach_items` gives them their invoice.

    Args:
        unit: The unit of work.
        customer_id: Whose items.
        subscription_id: Items of this subscription and of none; without one, of none only.
        currency: Items in another currency stay.
    """
    lines = []
    for found in unit.all("invoiceitem", {"customer": customer_id, "invoice": None, "currency": currency}):
        details = (found.data["parent"] or {}).get("subscription_details")
        owner = details["subscription"] if details else None
        if owner in (None, subscription_id):
            lines.append(line_of(unit, unit.get("invoiceitem", found.id, lock=True)))
    return lines


def line_of(unit: UnitOfWork, item: Record) -> Json:
    """Return the invoice line that an invoice item becomes."""
    data = item.data
    details = (data["parent"] or {}).get("subscription_details") or {}
    subscription_id, item_id = details.get("subscription"), details.get("subscription_item")
    if item_id:
        credited = item.hidden.get("credited")
        parent = from_item(
            str(subscription_id),
            item_id,
            proration=data["proration"],
            invoice_item=item.id,
            credited=credited,
        )
    else:
        parent = from_invoice_item(item.id, subscription_id)
    named = (data["pricing"] or {}).get("price_details")
    return line(
        amount=data["amount"],
        currency=data["currency"],
        description=data["description"],
        start=data["period"]["start"],
        end=data["period"]["end"],
        parent=parent,
        price=unit.get("price", named["price"]).data if named else None,
        quantity=data["quantity"],
        subscription=subscription_id,
        metadata=data["metadata"],
        discountable=data["discountable"],
    )


def attach_items(unit: UnitOfWork, invoice: Record) -> None:
    """Note on the invoice items behind an invoice's lines that they are on it now."""
    for one in invoice.data["lines"]["data"]:
        parent = one["parent"]
        details = parent["invoice_item_details"] or parent["subscription_item_details"] or {}
        if details.get("invoice_item"):
            item = unit.get("invoiceitem", details["invoice_item"], lock=True)
            item.data["invoice"] = invoice.id
            unit.save(item)


def apply_changes(
    unit: UnitOfWork,
    subscription: Record,
    changes: Sequence[ItemChange],
    *,
    prorates: bool,
    moment: int,
    resets: bool,
) -> list[Json]:
    """Put changed items into a locked subscription; return the lines that must be invoiced at once.

    Args:
        unit: The unit of work.
        subscription: The locked subscription; changed in memory, the caller saves.
        changes: What becomes of its items; untouched items need no entry.
        prorates: Whether unused time is given back and the rest of the period charged.
        moment: The time from which the change counts.
        resets: Whether every item begins a new period now.
    """
    touched = {change.before["id"] for change in changes if change.before is not None}
    items = items_of(subscription)
    rest = [ItemChange(item, dict(item)) for item in items if item["id"] not in touched]
    every = [*changes, *rest] if resets else list(changes)
    lines = []
    for one in every:
        if prorates and one.before is not None:
            credit(unit, subscription, one.before, moment)
        if one.before is not None and (one.after is None or resets):
            subscription.hidden.get("billed", {}).pop(one.before["id"], None)
        if one.after is None:
            continue
        if resets:
            start_period(subscription, one.after, unit.now, unit.now)
            lines.append(full_line(unit, subscription, one.after))
        elif prorates:
            charge(unit, subscription, one.after, moment)
    if resets:
        subscription.data["billing_cycle_anchor"] = unit.now
    after = {one.before["id"]: one.after for one in every if one.before is not None}
    kept = [after.get(item["id"], item) for item in items]
    added = [one.after for one in every if one.before is None]
    subscription.data["items"] = {
        **subscription.data["items"],
        "data": [item for item in (*kept, *added) if item is not None],
    }
    return lines
