"""What a checkout session costs: its lines with discounts and taxes, worked out anew at each change."""

from __future__ import annotations

from stripe_twin.errors import StripeError, invalid
from stripe_twin.preferences import read_preferences
from stripe_twin.resources.discounts import check_code
from stripe_twin.resources.invoice_drafts import has_location
from stripe_twin.resources.payments import check_amount
from stripe_twin.resources.totals import Line, apply_discounts, apply_tax
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork

_ONE_DISCOUNT = "the_only_one"


def lines_of(unit: UnitOfWork, session_id: str) -> list[Record]:
    """Return a session's line items, in the order given."""
    return unit.all("item", hidden={"session": session_id})


def price_session(unit: UnitOfWork, session: Record) -> None:
    """Work out a locked session's lines and totals from its discount and its customer's place; saves both.

    Raises:
        StripeError: 400 when what is left is too little to charge.
    """
    data = session.data
    records = lines_of(unit, session.id)
    priced = [
        Line(
            one.data["amount_subtotal"],
            one.data["price"]["product"],
            one.data["price"]["tax_behavior"] == "inclusive",
        )
        for one in records
    ]
    apply_discounts(priced, _coupons(unit, data), data["currency"])
    _apply_tax(unit, session, priced)
    for record, line in zip(records, priced, strict=True):
        record.data |= {
            "amount_discount": sum(line.discounts.values()),
            "amount_tax": line.tax,
            "amount_total": line.total,
        }
        unit.save(record)
    total = sum(line.total for line in priced)
    if total:
        check_amount(total, data["currency"], "line_items")
    data |= {
        "amount_subtotal": sum(line.amount for line in priced),
        "amount_total": total,
        "payment_status": "unpaid" if total else "no_payment_required",
        "total_details": {
            "amount_discount": sum(sum(line.discounts.values()) for line in priced),
            "amount_shipping": 0,
            "amount_tax": sum(line.tax for line in priced),
        },
    }
    unit.save(session)
    _bring_intent_up_to_date(unit, session)


def _coupons(unit: UnitOfWork, data: Json) -> list[tuple[str, Json]]:
    return [(_ONE_DISCOUNT, unit.get("coupon", one["coupon"]).data) for one in data["discounts"] or []]


def _apply_tax(unit: UnitOfWork, session: Record, priced: list[Line]) -> None:
    tax = session.data["automatic_tax"]
    if not tax["enabled"]:
        return
    place = (session.data["customer_details"] or {}).get("address")
    known = has_location({"address": place})
    tax["status"] = "complete" if known else "requires_location_inputs"
    if known:
        apply_tax(priced, read_preferences(unit).tax_percent)


def _bring_intent_up_to_date(unit: UnitOfWork, session: Record) -> None:
    """Give the intent of an earlier attempt the new amount; it can only be one that is not paid."""
    known = session.hidden.get("payment_intent")
    if known is None or not session.data["amount_total"]:
        return
    intent = unit.get("payment_intent", known, lock=True)
    intent.data["amount"] = session.data["amount_total"]
    unit.save(intent)


def use_promotion_code(unit: UnitOfWork, session: Record, text: str) -> None:
    """Take the promotion code that a customer typed into a locked session.

    Raises:
        StripeError: 400 when there is no such code, or this customer cannot use it.
    """
    if not session.data["allow_promotion_codes"]:
        raise _unknown_code()
    found = [
        code
        for code in unit.all("promotion_code", {"active": True})
        if code.data["code"].casefold() == text.strip().casefold()
    ]
    if not found:
        raise _unknown_code()
    code = found[-1]
    check_code(unit, code, session.data["customer"])
    least = code.data["restrictions"]["minimum_amount"]
    if least is not None and session.data["amount_subtotal"] < least:
        raise invalid(
            "This order does not meet the minimum amount of the promotion code.", param="promotion_code"
        )
    before = session.data["discounts"]
    session.data["discounts"] = [{"coupon": code.data["promotion"]["coupon"], "promotion_code": code.id}]
    try:
        price_session(unit, session)
    except StripeError:
        session.data["discounts"] = before
        price_session(unit, session)
        raise


def drop_promotion_code(unit: UnitOfWork, session: Record) -> None:
    """Take the promotion code off a locked session."""
    session.data["discounts"] = []
    price_session(unit, session)


def _unknown_code() -> StripeError:
    return invalid("This code is invalid.", param="promotion_code", code="promotion_code_invalid")
