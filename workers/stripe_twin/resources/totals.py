"""Discounts and taxes on priced lines, of a checkout session and of an invoice alike.

Sources: https://docs.stripe.com/billing/subscriptions/coupons and https://docs.stripe.com/tax/calculating;
the tax is one rate for all, which the control API sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from stripe_twin.shapes import Json

TAX_RATE_ID = "txr_twinautomatic"


@dataclass
class Line:
    """One priced line, and what is taken off or put on.

    Attributes:
        amount: Before discounts and taxes, in the currency's smallest unit; negative for a credit.
        product: The product's id, for coupons that apply to some products only.
        inclusive: Whether the amount holds its tax already.
        discountable: Whether coupons apply to it.
        discounts: Id of a discount → what it takes off.
        tax: The tax in or on the line.
    """

    amount: int
    product: str | None = None
    inclusive: bool = False
    discountable: bool = True
    discounts: dict[str, int] = field(default_factory=dict)
    tax: int = 0

    @property
    def discounted(self) -> int:
        """The amount less its discounts."""
        return self.amount - sum(self.discounts.values())

    @property
    def total(self) -> int:
        """What is to be paid for the line."""
        return self.discounted + (0 if self.inclusive else self.tax)


def apply_discounts(lines: Sequence[Line], discounts: Sequence[tuple[str, Json]], currency: str) -> None:
    """Take discounts off lines, one after the other.

    Args:
        lines: The lines; changed in place.
        discounts: (id of the discount, its coupon), in the order in which they apply.
        currency: Currency of the lines; a coupon over an amount applies to its own currency only.
    """
    for discount_id, coupon in discounts:
        chosen = [one for one in lines if _applies(coupon, one)]
        if coupon["percent_off"] is not None:
            percent = Decimal(str(coupon["percent_off"]))
            for one in chosen:
                one.discounts[discount_id] = _rounded(one.discounted * percent / 100)
        elif coupon["currency"] == currency:
            _spread(chosen, discount_id, int(coupon["amount_off"]))


def _applies(coupon: Json, one: Line) -> bool:
    products = (coupon.get("applies_to") or {}).get("products")
    return one.discountable and one.amount > 0 and (not products or one.product in products)


def _spread(lines: Sequence[Line], discount_id: str, amount_off: int) -> None:
    """Spread an amount over lines by their share; the last one takes what rounding leaves."""
    base = sum(one.discounted for one in lines)
    off = min(amount_off, base)
    left = off
    for position, one in enumerate(lines):
        is_last = position == len(lines) - 1
        share = left if is_last else _rounded(Decimal(off) * one.discounted / base)
        one.discounts[discount_id] = share
        left -= share


def apply_tax(lines: Sequence[Line], percent: Decimal) -> None:
    """Put a tax on lines, or find it in those whose price holds it; the amounts change in place."""
    for one in lines:
        base = Decimal(one.discounted)
        one.tax = _rounded(base * percent / (100 + percent) if one.inclusive else base * percent / 100)


def _rounded(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def tax_entry(one: Line) -> Json:
    """Return how an invoice or one of its lines shows a line's tax."""
    return {
        "amount": one.tax,
        "tax_behavior": "inclusive" if one.inclusive else "exclusive",
        "tax_rate_details": {"tax_rate": TAX_RATE_ID},
        "taxability_reason": "standard_rated",
        "taxable_amount": one.discounted - (one.tax if one.inclusive else 0),
        "type": "tax_rate_details",
    }
