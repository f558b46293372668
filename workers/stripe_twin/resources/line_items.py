"""Line items of a checkout session: from the request to priced lines."""

from __future__ import annotations

from stripe_twin.errors import invalid, missing_parameter
from stripe_twin.identifiers import new_id
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import not_supported, only
from stripe_twin.resources.invoice_lines import amount_of
from stripe_twin.resources.prices import create_price
from stripe_twin.resources.products import create_product
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork

_MOST_LINES = 100


def make_lines(unit: UnitOfWork, given: list[Parameters], *, mode: str, is_trial: bool = False) -> list[Json]:
    """Return the line items of a checkout, in the order given, before discounts and taxes; not stored yet.

    Args:
        unit: The unit of work.
        given: The request's `line_items`.
        mode: `payment` or `subscription`.
        is_trial: Whether what recurs costs nothing yet.

    Raises:
        StripeError: 400 for lines that cannot be sold together, or at all.
    """
    if not given:
        raise missing_parameter("line_items")
    if len(given) > _MOST_LINES:
        raise invalid(f"You can have up to {_MOST_LINES} line items.", param="line_items")
    lines = [_line(unit, line, f"line_items[{index}]", mode, is_trial) for index, line in enumerate(given)]
    if len({line["currency"] for line in lines}) > 1:
        raise invalid(
            "You cannot combine currencies on a single checkout session. All line items must have the "
            "same currency.",
            param="line_items",
        )
    if mode == "subscription" and not any(line["price"]["recurring"] for line in lines):
        raise invalid(
            "You must provide at least one recurring price in `subscription` mode when using prices.",
            param="line_items",
        )
    return lines


def _line(unit: UnitOfWork, given: Parameters, param: str, mode: str, is_trial: bool) -> Json:
    only(given, ("metadata", "price", "price_data", "quantity"), "a line item")
    price = _price(unit, given, param, mode)
    quantity = given.get("quantity")
    if quantity is None:
        raise invalid(f"Quantity is required. Add `quantity` to `{param}`", param=f"{param}[quantity]")
    if quantity < 1:
        raise invalid("This value must be greater than or equal to 1.", param=f"{param}[quantity]")
    amount = 0 if is_trial and price.data["recurring"] else amount_of(price.data, quantity)
    product = unit.find("product", price.data["product"])
    return complete(
        "item",
        {
            "id": new_id("li"),
            "amount_discount": 0,
            "amount_subtotal": amount,
            "amount_tax": 0,
            "amount_total": amount,
            "currency": price.data["currency"],
            "description": product.data["name"] if product else None,
            "metadata": given.get("metadata") or {},
            "price": price.data,
            "quantity": quantity,
        },
    )


def _price(unit: UnitOfWork, given: Parameters, param: str, mode: str) -> Record:
    price_id, data = given.get("price"), given.get("price_data")
    if bool(price_id) == bool(data):
        raise invalid(
            f"You must specify either `price` or `price_data` for {param}, and not both.",
            param=f"{param}[price]",
        )
    if data:
        return _price_from_data(unit, data, f"{param}[price_data]", mode)
    record = unit.get("price", str(price_id), param=f"{param}[price]")
    if not record.data["active"]:
        raise invalid(
            f"The price specified is inactive. This field only accepts active prices. ({price_id})",
            param=f"{param}[price]",
        )
    if record.data["recurring"]:
        _check_recurring(record.data["recurring"], mode, f"{param}[price]")
    return record


def _check_recurring(recurring: Json, mode: str, param: str) -> None:
    if mode == "payment":
        raise invalid(
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` "
            "mode or use only one-time prices.",
            param=param,
        )
    if recurring.get("usage_type", "licensed") != "licensed":
        raise not_supported("metered prices", param)


def _price_from_data(unit: UnitOfWork, data: Parameters, param: str, mode: str) -> Record:
    """Make the price, and if need be the product, that a line describes; both are inactive, as at Stripe."""
    if data.get("recurring"):
        _check_recurring(data["recurring"], mode, f"{param}[recurring]")
    product_id, product_data = data.get("product"), data.get("product_data")
    if bool(product_id) == bool(product_data):
        raise missing_parameter(f"{param}[product_data]")
    if product_id:
        unit.get("product", product_id, param=f"{param}[product]")
    else:
        product_id = create_product(unit, {**(product_data or {}), "active": False}).id
    names = ("recurring", "tax_behavior", "unit_amount", "unit_amount_decimal")
    amounts: Json = {name: data[name] for name in names if name in data}
    priced: Json = {**amounts, "active": False, "currency": data["currency"], "product": product_id}
    return create_price(unit, priced, param=param)
