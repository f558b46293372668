"""Lines of invoices: what is charged, for which period, and what taxes and discounts do to it.

Source: https://docs.stripe.com/api/invoice-line-item/object
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from stripe_twin.amounts import plain
from stripe_twin.identifiers import new_id
from stripe_twin.shapes import Json, complete


def amount_of(price: Json, quantity: int) -> int:
    """Return what so many units of a price cost, in the currency's smallest unit, rounded half up."""
    return int(
        (Decimal(price["unit_amount_decimal"]) * quantity).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    )


def spoken_price(price: Json, quantity: int, product_name: str) -> str:
    """Return a line's text as Stripe words it: `1 × Pro (at $49.00 / month)`."""
    value = plain(Decimal(price["unit_amount_decimal"]), price["currency"])
    recurring = price["recurring"]
    every = f" / {_spoken_interval(recurring)}" if recurring else ""
    return f"{quantity} × {product_name} (at {value} {price['currency'].upper()}{every})"


def _spoken_interval(recurring: Json) -> str:
    count, interval = recurring["interval_count"], recurring["interval"]
    return str(interval) if count == 1 else f"every {count} {interval}s"


def line(
    *, amount: int, currency: str, description: str | None, start: int, end: int, parent: Json, **more: object
) -> Json:
    """Return a line that belongs to no invoice yet.

    Args:
        amount: Before discounts and taxes; negative for a credit.
        currency: Lower-case code.
        description: What the customer reads.
        start: Beginning of the period that the line pays.
        end: End of that period.
        parent: What it comes from, see `from_item` and `from_invoice_item`.
        more: `quantity`, `price` (the whole object), `subscription`, `metadata`, `discountable`.
    """
    price = more.get("price")
    quantity = more.get("quantity")
    return complete(
        "line_item",
        {
            "id": new_id("il"),
            "amount": amount,
            "currency": currency,
            "description": description,
            "discount_amounts": [],
            "discountable": more.get("discountable", True),
            "discounts": [],
            "metadata": more.get("metadata") or {},
            "parent": parent,
            "period": {"end": end, "start": start},
            "pretax_credit_amounts": [],
            "pricing": pricing(price) if isinstance(price, dict) else None,
            "quantity": quantity,
            "quantity_decimal": None if quantity is None else str(quantity),
            "subscription": more.get("subscription"),
            "subtotal": amount,
            "taxes": [],
        },
    )


def pricing(price: Json) -> Json:
    """Return how a line or an invoice item names its price."""
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def from_item(
    subscription_id: str,
    item_id: str,
    *,
    proration: bool = False,
    invoice_item: str | None = None,
    credited: Json | None = None,
) -> Json:
    """Return the parent of a line that a subscription item makes.

    Args:
        subscription_id: The subscription.
        item_id: Its item.
        proration: Whether the line pays or credits a part of a period.
        invoice_item: The invoice item behind a proration.
        credited: For a credit, the invoice and the lines that it gives back: `invoice`, `invoice_line_items`.
    """
    return {
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": invoice_item,
            "proration": proration,
            "proration_details": {"credited_items": credited},
            "subscription": subscription_id,
            "subscription_item": item_id,
        },
        "type": "subscription_item_details",
    }


def from_invoice_item(invoice_item: str, subscription_id: str | None) -> Json:
    """Return the parent of a line that an invoice item makes."""
    return {
        "invoice_item_details": {
            "invoice_item": invoice_item,
            "proration": False,
            "proration_details": {"credited_items": None},
            "subscription": subscription_id,
        },
        "subscription_item_details": None,
        "type": "invoice_item_details",
    }
