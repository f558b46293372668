"""Coupons: a percentage or an amount off.

Source: https://docs.stripe.com/api/coupons
"""

from __future__ import annotations

from decimal import Decimal

from stripe_twin.errors import invalid, missing_parameter
from stripe_twin.identifiers import random_text
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, only, simple_changes, update, value_of
from stripe_twin.resources.prices import currency_code
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import UnitOfWork

_PATH = "/v1/coupons"
_ONE = _PATH + "/<coupon_id>"
_CREATE = (
    "amount_off",
    "applies_to",
    "currency",
    "duration",
    "duration_in_months",
    "id",
    "max_redemptions",
    "metadata",
    "name",
    "percent_off",
    "redeem_by",
)


@operation("POST", _PATH, "_coupon_create_params.CouponCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a coupon and emit `coupon.created`."""
    only(params, _CREATE, "coupon creation")
    _check(unit, params)
    percent = params.get("percent_off")
    applies = params.get("applies_to")
    coupon = complete(
        "coupon",
        {
            "id": params.get("id") or random_text(8),
            "amount_off": params.get("amount_off"),
            "created": unit.now,
            "currency": currency_code(params["currency"]) if params.get("amount_off") else None,
            "duration": params.get("duration", "once"),
            "duration_in_months": params.get("duration_in_months"),
            "max_redemptions": params.get("max_redemptions"),
            "metadata": value_of(params, "metadata") or {},
            "name": params.get("name"),
            "percent_off": None if percent is None else float(percent),
            "redeem_by": params.get("redeem_by"),
            "times_redeemed": 0,
            "valid": True,
            **({"applies_to": {"products": applies["products"]}} if applies else {}),
        },
    )
    unit.insert(coupon)
    unit.emit("coupon.created", coupon)
    return coupon


def _check(unit: UnitOfWork, params: Parameters) -> None:
    if ("amount_off" in params) == ("percent_off" in params):
        raise invalid("Must provide one of percent_off or amount_off.", param="percent_off")
    if params.get("amount_off") and not params.get("currency"):
        raise missing_parameter("currency")
    if "percent_off" in params and not 0 < Decimal(params["percent_off"]) <= 100:
        raise invalid("Invalid percent_off: must be between 0 and 100.", param="percent_off")
    if (params.get("duration") == "repeating") != ("duration_in_months" in params):
        raise invalid("duration_in_months goes with duration `repeating`.", param="duration_in_months")
    if params.get("id") and unit.find("coupon", params["id"]) is not None:
        raise invalid("Coupon already exists.", param="id", code="resource_already_exists")


@operation("GET", _PATH, "_coupon_list_params.CouponListParams")
def list_coupons(unit: UnitOfWork, params: Parameters) -> Json:
    """List coupons."""
    return list_objects(unit, "coupon", params, _PATH)


@operation("GET", _ONE, "_coupon_retrieve_params.CouponRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, coupon_id: str) -> Json:
    """Return a coupon."""
    return unit.get("coupon", coupon_id).data


@operation("POST", _ONE, "_coupon_update_params.CouponUpdateParams")
def update_coupon(unit: UnitOfWork, params: Parameters, coupon_id: str) -> Json:
    """Change a coupon's name or metadata and emit `coupon.updated`."""
    only(params, ("metadata", "name"), "coupon update")
    record = unit.get("coupon", coupon_id, lock=True)
    return update(unit, record, simple_changes(params, record.data, ("name",)), "coupon.updated")


@operation("DELETE", _ONE, "_coupon_delete_params.CouponDeleteParams")
def delete(unit: UnitOfWork, _params: Parameters, coupon_id: str) -> Json:
    """Make a coupon unusable for others and emit `coupon.deleted`; discounts at work stay."""
    record = unit.get("coupon", coupon_id, lock=True)
    record.data["valid"] = False
    record.deleted = True
    unit.save(record)
    unit.emit("coupon.deleted", record.data)
    return {"id": coupon_id, "object": "coupon", "deleted": True}
