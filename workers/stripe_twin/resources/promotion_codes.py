"""Promotion codes: words that customers type to get a coupon.

Source: https://docs.stripe.com/api/promotion_codes
"""

from __future__ import annotations

from stripe_twin.errors import invalid
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import check_limit, only, simple_changes, update, value_of
from stripe_twin.resources.discounts import check_coupon
from stripe_twin.shapes import Json, complete, listing
from stripe_twin.unit import UnitOfWork

_PATH = "/v1/promotion_codes"
_ONE = _PATH + "/<code_id>"
_CREATE = (
    "active",
    "code",
    "customer",
    "expires_at",
    "max_redemptions",
    "metadata",
    "promotion",
    "restrictions",
)


@operation("POST", _PATH, "_promotion_code_create_params.PromotionCodeCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a code for a coupon and emit `promotion_code.created`."""
    only(params, _CREATE, "promotion code creation")
    coupon = unit.get("coupon", params["promotion"].get("coupon", ""), param="promotion[coupon]")
    check_coupon(unit, coupon)
    text = params.get("code") or random_text(8).upper()
    for other in unit.all("promotion_code", {"active": True}):
        if other.data["code"].casefold() == text.casefold():
            raise invalid("An active promotion code with this code already exists.", param="code")
    restrictions = params.get("restrictions") or {}
    code = complete(
        "promotion_code",
        {
            "id": new_id("promo"),
            "active": params.get("active", True),
            "code": text,
            "created": unit.now,
            "customer": params.get("customer"),
            "expires_at": params.get("expires_at"),
            "max_redemptions": params.get("max_redemptions"),
            "metadata": value_of(params, "metadata") or {},
            "promotion": {"coupon": coupon.id, "type": "coupon"},
            "restrictions": {
                "first_time_transaction": restrictions.get("first_time_transaction", False),
                "minimum_amount": restrictions.get("minimum_amount"),
                "minimum_amount_currency": restrictions.get("minimum_amount_currency"),
            },
            "times_redeemed": 0,
        },
    )
    unit.insert(code)
    unit.emit("promotion_code.created", code)
    return code


@operation("GET", _PATH, "_promotion_code_list_params.PromotionCodeListParams")
def list_codes(unit: UnitOfWork, params: Parameters) -> Json:
    """List codes, by code, coupon, customer or whether they work."""
    check_limit(params)
    matching: Json = {name: params[name] for name in ("active", "code", "customer") if name in params}
    if params.get("coupon"):
        matching["promotion"] = {"coupon": params["coupon"]}
    page = unit.page("promotion_code", params, matching)
    return listing([record.data for record in page.records], _PATH, has_more=page.has_more)


@operation("GET", _ONE, "_promotion_code_retrieve_params.PromotionCodeRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, code_id: str) -> Json:
    """Return a code."""
    return unit.get("promotion_code", code_id).data


@operation("POST", _ONE, "_promotion_code_update_params.PromotionCodeUpdateParams")
def update_code(unit: UnitOfWork, params: Parameters, code_id: str) -> Json:
    """Switch a code on or off, or change its metadata, and emit `promotion_code.updated`."""
    only(params, ("active", "metadata"), "promotion code update")
    record = unit.get("promotion_code", code_id, lock=True)
    return update(unit, record, simple_changes(params, record.data, ("active",)), "promotion_code.updated")
