"""Discounts: a coupon at work on a customer, a subscription, an invoice or a checkout.

Source: https://docs.stripe.com/api/discounts
"""

from __future__ import annotations

from typing import Any

from stripe_twin.errors import StripeError, invalid
from stripe_twin.identifiers import new_id
from stripe_twin.periods import add_intervals
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork


def coupon_of(unit: UnitOfWork, discount_id: str) -> Json:
    """Return the coupon behind a discount, even one that was deleted since."""
    coupon = unit.find("coupon", unit.get("discount", discount_id).data["source"]["coupon"])
    assert coupon is not None, discount_id
    return coupon.data


def find_coupon(
    unit: UnitOfWork, given: Any, customer_id: str | None, param: str
) -> tuple[Record, str | None]:
    """Return the coupon, and the promotion code if one was used, that a request's discount names.

    Args:
        unit: The unit of work.
        given: `{"coupon": id}` or `{"promotion_code": id}`.
        customer_id: Who wants it; a code may be one customer's own.
        param: Where it stood in the request, for errors.

    Raises:
        StripeError: 400 when it does not exist, is used up, has run out, or is another customer's.
    """
    if given.get("promotion_code"):
        code = unit.get(
            "promotion_code", given["promotion_code"], lock=True, param=f"{param}[promotion_code]"
        )
        check_code(unit, code, customer_id)
        return unit.get("coupon", code.data["promotion"]["coupon"], lock=True), code.id
    if not given.get("coupon"):
        raise invalid("Name a coupon or a promotion code.", param=param)
    coupon = unit.get("coupon", given["coupon"], lock=True, param=f"{param}[coupon]")
    check_coupon(unit, coupon)
    return coupon, None


def check_code(unit: UnitOfWork, code: Record, customer_id: str | None) -> None:
    """Refuse a promotion code that this customer cannot use now.

    Raises:
        StripeError: 400.
    """
    data = code.data
    used_up = data["max_redemptions"] is not None and data["times_redeemed"] >= data["max_redemptions"]
    expired = data["expires_at"] is not None and data["expires_at"] <= unit.now
    if not data["active"] or used_up or expired:
        raise _refusal("This promotion code is not active any more.")
    if data["customer"] and data["customer"] != customer_id:
        raise _refusal("This promotion code cannot be redeemed by this customer.")
    if data["restrictions"]["first_time_transaction"] and _has_paid(unit, customer_id):
        raise _refusal("This promotion code cannot be redeemed because the customer has prior transactions.")
    check_coupon(unit, unit.get("coupon", data["promotion"]["coupon"]))


def _has_paid(unit: UnitOfWork, customer_id: str | None) -> bool:
    return customer_id is not None and bool(
        unit.all("payment_intent", {"customer": customer_id, "status": "succeeded"})
    )


def check_coupon(unit: UnitOfWork, coupon: Record) -> None:
    """Refuse a coupon that is used up or has run out.

    Raises:
        StripeError: 400.
    """
    redeem_by = coupon.data["redeem_by"]
    if not coupon.data["valid"] or (redeem_by is not None and redeem_by <= unit.now):
        raise _refusal("This coupon has expired.")


def _refusal(message: str) -> StripeError:
    return invalid(message, code="coupon_expired", param="discounts")


def redeem(
    unit: UnitOfWork,
    coupon: Record,
    promotion_code: str | None,
    *,
    customer_id: str | None,
    **owner: str | None,
) -> Record:
    """Store a discount, count the redemption, and emit `customer.discount.created` for a subscription's.

    Args:
        unit: The unit of work.
        coupon: The locked coupon.
        promotion_code: The code that was used.
        customer_id: Whose it is.
        owner: `subscription`, `invoice` or `checkout_session`: what it belongs to.
    """
    discount = unit.insert(
        discount_shape(unit, coupon.data, promotion_code, customer_id=customer_id, **owner)
    )
    count_redemption(unit, coupon, promotion_code)
    if owner.get("subscription"):
        unit.emit("customer.discount.created", discount.data)
    return discount


def discount_shape(
    unit: UnitOfWork,
    coupon: Json,
    promotion_code: str | None,
    *,
    customer_id: str | None,
    **owner: str | None,
) -> Json:
    """Return a discount that is not stored yet; see `redeem` for the arguments."""
    months = coupon["duration_in_months"] if coupon["duration"] == "repeating" else None
    return complete(
        "discount",
        {
            "id": new_id("di"),
            "customer": customer_id,
            "end": add_intervals(unit.now, "month", months) if months else None,
            "promotion_code": promotion_code,
            "source": {"coupon": coupon["id"], "type": "coupon"},
            "start": unit.now,
            **owner,
        },
    )


def count_redemption(unit: UnitOfWork, coupon: Record, promotion_code: str | None) -> None:
    """Count one use of a locked coupon and of its code."""
    coupon.data["times_redeemed"] += 1
    most = coupon.data["max_redemptions"]
    coupon.data["valid"] = most is None or coupon.data["times_redeemed"] < most
    unit.save(coupon)
    if promotion_code is not None:
        code = unit.get("promotion_code", promotion_code, lock=True)
        code.data["times_redeemed"] += 1
        unit.save(code)


def in_force(unit: UnitOfWork, discount_ids: list[str]) -> list[str]:
    """Return those of a subscription's discounts that apply to an invoice made now."""
    found = [unit.get("discount", name).data for name in discount_ids]
    return [one["id"] for one in found if one["end"] is None or one["end"] > unit.now]


def end_single_use(unit: UnitOfWork, discount_ids: list[str]) -> list[str]:
    """Return the discounts that outlive an invoice; emit `customer.discount.deleted` for the others."""
    kept = []
    for name in discount_ids:
        if coupon_of(unit, name)["duration"] == "once":
            unit.emit("customer.discount.deleted", unit.get("discount", name).data)
        else:
            kept.append(name)
    return kept
