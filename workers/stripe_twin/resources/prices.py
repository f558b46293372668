"""Prices: what a product costs; their amount never changes.

Source: https://docs.stripe.com/api/prices
"""

from __future__ import annotations

from decimal import Decimal

from stripe_twin.amounts import CURRENCIES
from stripe_twin.errors import invalid, missing_parameter
from stripe_twin.identifiers import new_id
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, not_supported, only, simple_changes, update, value_of
from stripe_twin.shapes import Json, complete, listing
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/prices"
_SUPPORTED = (
    "active",
    "billing_scheme",
    "currency",
    "lookup_key",
    "metadata",
    "nickname",
    "product",
    "product_data",
    "recurring",
    "tax_behavior",
    "transfer_lookup_key",
    "unit_amount",
    "unit_amount_decimal",
)


def create_price(unit: UnitOfWork, params: Parameters, *, param: str = "") -> Record:
    """Store a new price and emit `price.created`.

    Args:
        unit: The unit of work.
        params: Parameters of the API; `product` must be there.
        param: Where the parameters stood in the request, such as `line_items[0][price_data]`, for errors.

    Raises:
        StripeError: 400 for an amount that is missing or impossible.
    """
    amount, amount_decimal = _amounts(params, param)
    price = complete(
        "price",
        {
            "id": new_id("price"),
            "active": params.get("active", True),
            "billing_scheme": params.get("billing_scheme", "per_unit"),
            "created": unit.now,
            "currency": currency_code(params["currency"], _within(param, "currency")),
            "lookup_key": value_of(params, "lookup_key"),
            "metadata": value_of(params, "metadata") or {},
            "nickname": value_of(params, "nickname"),
            "product": params["product"],
            "recurring": _recurring(params.get("recurring")),
            "tax_behavior": params.get("tax_behavior", "unspecified"),
            "type": "recurring" if params.get("recurring") else "one_time",
            "unit_amount": amount,
            "unit_amount_decimal": amount_decimal,
        },
    )
    record = unit.insert(price)
    unit.emit("price.created", price)
    return record


def _within(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def currency_code(given: str, param: str = "currency") -> str:
    """Return the code of a currency that Stripe charges in, in lower case.

    Raises:
        StripeError: 400 for anything else.
    """
    code = given.lower()
    if code not in CURRENCIES:
        raise invalid(
            f"Invalid currency: {given}. Stripe currently supports these currencies: "
            f"{', '.join(sorted(CURRENCIES))}",
            param=param,
        )
    return code


def _amounts(params: Parameters, param: str) -> tuple[int | None, str]:
    whole, exact = params.get("unit_amount"), params.get("unit_amount_decimal")
    if (whole is None) == (exact is None):
        if whole is None:
            raise missing_parameter(_within(param, "unit_amount"))
        raise invalid("You may only specify one of these parameters: unit_amount, unit_amount_decimal.")
    value = Decimal(whole if whole is not None else str(exact))
    if value < 0:
        raise invalid("This value must be greater than or equal to 0.", param=_within(param, "unit_amount"))
    text = f"{value.normalize():f}"
    return (int(value) if value == value.to_integral_value() else None), text


def _recurring(given: Json | None) -> Json | None:
    if not given:
        return None
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": given.get("meter"),
        "trial_period_days": None,
        "usage_type": given.get("usage_type", "licensed"),
    }


@operation("POST", _PATH, "_price_create_params.PriceCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a price for a product, or for a new one."""
    from stripe_twin.resources.products import create_product  # products need prices for their default price

    only(params, _SUPPORTED, "price creation")
    if params.get("billing_scheme", "per_unit") != "per_unit":
        raise not_supported("tiered prices", "billing_scheme")
    product, product_data = params.get("product"), params.get("product_data")
    if bool(product) == bool(product_data):
        raise missing_parameter("product")
    if product:
        unit.get("product", product, param="product")
    else:
        params["product"] = create_product(unit, product_data or {}).id
    _free_lookup_key(unit, params)
    return create_price(unit, params).data


def _free_lookup_key(unit: UnitOfWork, params: Parameters) -> None:
    key = value_of(params, "lookup_key")
    if key is None:
        return
    for holder in unit.all("price", {"lookup_key": key, "active": True}):
        if not params.get("transfer_lookup_key"):
            raise invalid(f"A price (`{holder.id}`) already uses that lookup key.", param="lookup_key")
        locked = unit.get("price", holder.id, lock=True)
        update(unit, locked, {"lookup_key": None}, "price.updated")


@operation("GET", _PATH, "_price_list_params.PriceListParams")
def list_prices(unit: UnitOfWork, params: Parameters) -> Json:
    """List prices, also by lookup keys."""
    keys = params.pop("lookup_keys", None)
    if keys is None:
        return list_objects(unit, "price", params, _PATH)
    filters: Json = {
        name: params[name] for name in ("active", "currency", "product", "type") if name in params
    }
    found = [record.data for key in keys for record in unit.all("price", {**filters, "lookup_key": key})]
    return listing(found, _PATH)


@operation("GET", _PATH + "/<price_id>", "_price_retrieve_params.PriceRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, price_id: str) -> Json:
    """Return a price."""
    return unit.get("price", price_id).data


@operation("POST", _PATH + "/<price_id>", "_price_update_params.PriceUpdateParams")
def update_price(unit: UnitOfWork, params: Parameters, price_id: str) -> Json:
    """Change what may change of a price, never its amount, and emit `price.updated`."""
    fields = ("active", "lookup_key", "nickname", "tax_behavior")
    only(params, (*fields, "metadata", "transfer_lookup_key"), "price update")
    record = unit.get("price", price_id, lock=True)
    if params.get("lookup_key") and params["lookup_key"] != record.data["lookup_key"]:
        _free_lookup_key(unit, params)
    return update(unit, record, simple_changes(params, record.data, fields), "price.updated")
