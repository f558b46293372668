"""What a subscription and its items look like, and how their periods are set.

Source: https://docs.stripe.com/api/subscriptions/object
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stripe_twin.errors import invalid, missing_parameter
from stripe_twin.identifiers import new_id
from stripe_twin.parameters import Parameters
from stripe_twin.periods import period_at
from stripe_twin.resources.common import not_supported, value_of
from stripe_twin.resources.prices import create_price
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork

ITEMS_PATH = "/v1/subscription_items"
_MOST_ITEMS = 20


@dataclass
class Chosen:
    """One thing subscribed to: the price, how many, and the merchant's notes."""

    price: Json
    quantity: int
    metadata: Json = field(default_factory=dict)


def choose(unit: UnitOfWork, given: Sequence[Parameters], *, param: str = "items") -> list[Chosen]:
    """Return what a request's items name.

    Raises:
        StripeError: 400 for items that cannot be subscribed to, or not together.
    """
    if not given:
        raise missing_parameter(param)
    if len(given) > _MOST_ITEMS:
        raise invalid(f"A subscription can have up to {_MOST_ITEMS} items.", param=param)
    chosen = [choose_one(unit, one, f"{param}[{index}]") for index, one in enumerate(given)]
    if len({one.price["currency"] for one in chosen}) > 1:
        raise invalid("All prices of a subscription must have the same currency.", param=param)
    return chosen


def choose_one(unit: UnitOfWork, given: Parameters, param: str) -> Chosen:
    """Return what one item names; see `choose`."""
    if bool(given.get("price")) == bool(given.get("price_data")):
        raise missing_parameter(f"{param}[price]")
    if given.get("price"):
        price = unit.get("price", given["price"], param=f"{param}[price]").data
        if not price["active"]:
            raise invalid(
                f"The price specified is inactive. This field only accepts active prices. ({price['id']})",
                param=f"{param}[price]",
            )
    else:
        price = create_price(
            unit, {**given["price_data"], "active": False}, param=f"{param}[price_data]"
        ).data
    if not price["recurring"]:
        raise invalid(
            f"The price specified is set to `type=one_time` but this field only accepts prices with "
            f"`type=recurring`. ({price['id']})",
            param=f"{param}[price]",
        )
    if price["recurring"]["usage_type"] != "licensed":
        raise not_supported("metered prices", f"{param}[price]")
    quantity = given.get("quantity", 1)
    if quantity < 0:
        raise invalid("This value must be greater than or equal to 0.", param=f"{param}[quantity]")
    return Chosen(price, quantity, value_of(given, "metadata") or {})


def item_shape(unit: UnitOfWork, subscription_id: str, chosen: Chosen, period: tuple[int, int]) -> Json:
    """Return a new subscription item with its period."""
    return complete(
        "subscription_item",
        {
            "id": new_id("si"),
            "billed_until": period[1],
            "created": unit.now,
            "current_period_end": period[1],
            "current_period_start": period[0],
            "discounts": [],
            "metadata": chosen.metadata,
            "plan": plan_of(chosen.price),
            "price": chosen.price,
            "quantity": chosen.quantity,
            "subscription": subscription_id,
            "tax_rates": [],
        },
    )


def plan_of(price: Json) -> Json:
    """Return a recurring price in the older form that items still show."""
    return complete(
        "plan",
        {
            "id": price["id"],
            "active": price["active"],
            "amount": price["unit_amount"],
            "amount_decimal": price["unit_amount_decimal"],
            "billing_scheme": price["billing_scheme"],
            "created": price["created"],
            "currency": price["currency"],
            "interval": price["recurring"]["interval"],
            "interval_count": price["recurring"]["interval_count"],
            "metadata": price["metadata"],
            "nickname": price["nickname"],
            "product": price["product"],
            "usage_type": price["recurring"]["usage_type"],
        },
    )


def subscription_shape(
    unit: UnitOfWork,
    customer: Record,
    chosen: Sequence[Chosen],
    params: Parameters,
    *,
    status: str,
    trial_end: int | None,
) -> Json:
    """Return a new subscription whose first period begins now.

    Args:
        unit: The unit of work.
        customer: Who subscribes.
        chosen: What they subscribe to.
        params: Parameters of the API's creation call.
        status: Its first status.
        trial_end: End of the trial; None for none.
    """
    subscription_id = new_id("sub")
    anchor = trial_end or params.get("billing_cycle_anchor") or unit.now
    items = []
    for one in chosen:
        end = trial_end or period_at(anchor, one.price["recurring"], unit.now)[1]
        items.append(item_shape(unit, subscription_id, one, (unit.now, end)))
    method = value_of(params, "default_payment_method")
    return complete(
        "subscription",
        {
            "id": subscription_id,
            "automatic_tax": automatic_tax(params),
            "billing_cycle_anchor": anchor,
            "billing_mode": billing_mode(params, unit.now),
            "billing_schedules": [],
            "cancel_at_period_end": False,
            "cancellation_details": cancellation(None),
            "collection_method": params.get("collection_method", "charge_automatically"),
            "created": unit.now,
            "currency": chosen[0].price["currency"],
            "customer": customer.id,
            "days_until_due": params.get("days_until_due"),
            "default_payment_method": method,
            "default_tax_rates": [],
            "description": value_of(params, "description"),
            "discounts": [],
            "invoice_settings": invoice_settings(params),
            "items": item_list(subscription_id, items),
            "metadata": value_of(params, "metadata") or {},
            "payment_settings": payment_settings(params),
            "start_date": unit.now,
            "status": status,
            "test_clock": customer.data["test_clock"],
            "trial_end": trial_end,
            "trial_settings": trial_settings(params),
            "trial_start": unit.now if trial_end else None,
        },
    )


def item_list(subscription_id: str, items: list[Json]) -> Json:
    """Return the list of items as a subscription shows it."""
    url = f"{ITEMS_PATH}?subscription={subscription_id}"
    return {"object": "list", "data": items, "has_more": False, "url": url}


def automatic_tax(params: Parameters) -> Json:
    """Return whether Stripe works out the tax of a subscription's invoices."""
    enabled = bool((params.get("automatic_tax") or {}).get("enabled"))
    liability = {"account": None, "type": "self"} if enabled else None
    return {"disabled_reason": None, "enabled": enabled, "liability": liability}


def billing_mode(params: Parameters, now: int) -> Json:
    """Return the billing mode; flexible is the default of this API version."""
    kind = (params.get("billing_mode") or {}).get("type", "flexible")
    flexible = {"proration_discounts": "included"} if kind == "flexible" else None
    return {"flexible": flexible, "type": kind, "updated_at": now if kind == "flexible" else None}


def cancellation(reason: str | None, given: Any = None) -> Json:
    """Return the details of a cancellation: why, and what the customer said."""
    said = given or {}
    return {
        "comment": value_of(said, "comment"),
        "feedback": value_of(said, "feedback"),
        "feedback_option": None,
        "reason": reason,
    }


def invoice_settings(params: Parameters) -> Json:
    """Return the settings that a subscription hands to its invoices."""
    given = params.get("invoice_settings") or {}
    return {
        "account_tax_ids": None,
        "custom_fields": None,
        "description": given.get("description"),
        "footer": given.get("footer"),
        "issuer": {"account": None, "type": "self"},
    }


def payment_settings(params: Parameters) -> Json:
    """Return how a subscription's invoices may be paid."""
    given = params.get("payment_settings") or {}
    return {
        "payment_method_options": None,
        "payment_method_types": None,
        "save_default_payment_method": given.get("save_default_payment_method", "off"),
    }


def trial_settings(params: Parameters) -> Json:
    """Return what becomes of a subscription whose trial ends without a payment method."""
    behavior = (params.get("trial_settings") or {}).get("end_behavior") or {}
    return {
        "end_behavior": {
            "billing_cycle_anchor": None,
            "missing_payment_method": behavior.get("missing_payment_method", "create_invoice"),
        }
    }
