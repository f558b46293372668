"""Drafts of invoices: their shape, and their totals worked out from lines, discounts and taxes.

Source: https://docs.stripe.com/api/invoices/object
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stripe_twin.identifiers import new_id
from stripe_twin.preferences import read_preferences
from stripe_twin.resources.discounts import coupon_of
from stripe_twin.resources.totals import Line, apply_discounts, apply_tax, tax_entry
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork

PATH = "/v1/invoices"


def create_invoice(
    unit: UnitOfWork,
    customer: Record,
    lines: Sequence[Json],
    *,
    currency: str,
    reason: str,
    period: tuple[int, int],
    subscription: Json | None = None,
    **more: Any,
) -> Record:
    """Store a draft and emit `invoice.created`.

    Args:
        unit: The unit of work.
        customer: Who pays.
        lines: Its lines, see `invoice_lines`; they are given the invoice's id.
        currency: Lower-case code.
        reason: `billing_reason`.
        period: The invoice's own period: of a renewal, the one that has just ended.
        subscription: The subscription that makes it.
        more: Fields of the invoice that differ from the defaults: `auto_advance`, `automatic_tax`,
            `discounts` (ids), `collection_method`, `days_until_due`, `metadata`, `description`, `footer`,
            `default_payment_method`, `automatically_finalizes_at`.
    """
    invoice = unit.insert(_shape(unit, customer, currency, reason, period, subscription, more))
    for one in lines:
        one["invoice"] = invoice.id
    invoice.data["lines"]["data"] = list(lines)
    recalculate(unit, invoice)
    unit.save(invoice)
    unit.emit("invoice.created", invoice.data)
    return invoice


def _shape(
    unit: UnitOfWork,
    customer: Record,
    currency: str,
    reason: str,
    period: tuple[int, int],
    subscription: Json | None,
    more: Json,
) -> Json:
    invoice_id = new_id("in")
    method = more.get("collection_method", "charge_automatically")
    days = more.get("days_until_due")
    zero = (
        "amount_due",
        "amount_overpaid",
        "amount_paid",
        "amount_remaining",
        "amount_shipping",
        "attempt_count",
        "post_payment_credit_notes_amount",
        "pre_payment_credit_notes_amount",
        "subtotal",
        "subtotal_excluding_tax",
        "total",
        "total_excluding_tax",
    )
    finalizes_at = more.get("automatically_finalizes_at")
    return complete(
        "invoice",
        {
            **dict.fromkeys(zero, 0),
            "id": invoice_id,
            "account_country": "US",
            "account_name": unit.settings.merchant_name,
            "attempted": False,
            "auto_advance": more.get("auto_advance", True),
            "automatic_tax": automatic_tax(bool(more.get("automatic_tax"))),
            "automatically_finalizes_at": finalizes_at,
            "billing_reason": reason,
            "collection_method": method,
            "created": unit.now,
            "currency": currency,
            "customer": customer.id,
            "default_payment_method": more.get("default_payment_method"),
            "default_tax_rates": [],
            "description": more.get("description"),
            "discounts": list(more.get("discounts") or []),
            "due_date": unit.now + (days or 30) * 24 * 3600 if method == "send_invoice" else None,
            "footer": more.get("footer"),
            "issuer": {"account": None, "type": "self"},
            "lines": {"object": "list", "data": [], "has_more": False, "url": f"{PATH}/{invoice_id}/lines"},
            "metadata": more.get("metadata") or {},
            "parent": None if subscription is None else _parent(subscription),
            "payment_settings": {
                "default_mandate": None,
                "payment_method_options": None,
                "payment_method_types": None,
            },
            "period_end": period[1],
            "period_start": period[0],
            "starting_balance": 0,
            "status": "draft",
            "status_transitions": {
                "finalized_at": None,
                "marked_uncollectible_at": None,
                "paid_at": None,
                "voided_at": None,
            },
            "test_clock": customer.data["test_clock"],
            "total_discount_amounts": [],
            "total_pretax_credit_amounts": [],
            "total_taxes": [],
            **_customer_fields(customer),
        },
    )


def _customer_fields(customer: Record) -> Json:
    data = customer.data
    return {
        "customer_address": data["address"],
        "customer_email": data["email"],
        "customer_name": data["name"],
        "customer_phone": data["phone"],
        "customer_shipping": data["shipping"],
        "customer_tax_exempt": data["tax_exempt"],
        "customer_tax_ids": [],
    }


def _parent(subscription: Json) -> Json:
    return {
        "quote_details": None,
        "subscription_details": {
            "metadata": subscription["metadata"],
            "subscription": subscription["id"],
            "subscription_proration_date": None,
        },
        "type": "subscription_details",
    }


def automatic_tax(enabled: bool) -> Json:
    """Return how an invoice says whether its tax is worked out by Stripe."""
    return {
        "disabled_reason": None,
        "enabled": enabled,
        "liability": {"account": None, "type": "self"} if enabled else None,
        "provider": "stripe" if enabled else None,
        "status": None,
    }


def subscription_of(invoice: Json) -> str | None:
    """Return the id of the subscription that made an invoice, or None."""
    parent = invoice["parent"]
    if parent is None or parent["subscription_details"] is None:
        return None
    return str(parent["subscription_details"]["subscription"])


def recalculate(unit: UnitOfWork, invoice: Record) -> None:
    """Work out discounts, taxes and totals of a draft from its lines; the caller saves."""
    data = invoice.data
    pairs = [(one, _priced(unit, one)) for one in data["lines"]["data"]]
    priced = [line for _, line in pairs]
    apply_discounts(priced, [(name, coupon_of(unit, name)) for name in data["discounts"]], data["currency"])
    taxed = data["automatic_tax"]["enabled"] and has_location(data)
    if data["automatic_tax"]["enabled"]:
        data["automatic_tax"]["status"] = "complete" if taxed else "requires_location_inputs"
    if taxed:
        apply_tax(priced, read_preferences(unit).tax_percent)
    for shown, line in pairs:
        shown["discount_amounts"] = [
            {"amount": off, "discount": name} for name, off in line.discounts.items()
        ]
        shown["taxes"] = [tax_entry(line)] if taxed else []
    _set_totals(data, priced, taxed=taxed)


def _priced(unit: UnitOfWork, line: Json) -> Line:
    details = (line["pricing"] or {}).get("price_details")
    price = unit.find("price", details["price"]) if details else None
    inclusive = price is not None and price.data["tax_behavior"] == "inclusive"
    return Line(line["amount"], details["product"] if details else None, inclusive, line["discountable"])


def _set_totals(data: Json, lines: Sequence[Line], *, taxed: bool) -> None:
    subtotal = sum(one.amount for one in lines)
    total = sum(one.total for one in lines)
    taxes = sum(one.tax for one in lines)
    inside = sum(one.tax for one in lines if one.inclusive)
    data |= {
        "amount_due": max(total, 0),
        "amount_remaining": max(total, 0),
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - inside,
        "total": total,
        "total_discount_amounts": [
            {"amount": sum(one.discounts.get(name, 0) for one in lines), "discount": name}
            for name in data["discounts"]
        ],
        "total_excluding_tax": total - taxes,
        "total_taxes": _total_taxes(lines) if taxed else [],
    }


def _total_taxes(lines: Sequence[Line]) -> list[Json]:
    entries = []
    for inclusive in (False, True):
        kind = [one for one in lines if one.inclusive is inclusive]
        if kind:
            whole = tax_entry(kind[0])
            whole["amount"] = sum(one.tax for one in kind)
            whole["taxable_amount"] = sum(tax_entry(one)["taxable_amount"] for one in kind)
            entries.append(whole)
    return entries


def has_location(data: Json) -> bool:
    """Whether an invoice's or a customer's address says where tax is owed."""
    place = data.get("customer_address", data.get("address")) or {}
    return bool(place.get("country"))
