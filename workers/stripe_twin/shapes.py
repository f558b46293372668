"""Makes objects complete: every field that the installed `stripe` library says an object has is there.

The annotations of the library's classes are generated from Stripe's description of the API. An object starts
from them, so an upgrade of the library brings new fields along, and a required field that the twin forgot is
an error at once and not a surprise in a worker.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, ClassVar, Union, get_args, get_origin

from stripe._object_classes import OBJECT_CLASSES

Json = dict[str, Any]

# Fields that Stripe leaves out unless they are asked for with expand[], or that belong to another type of
# object.
ABSENT: dict[str, frozenset[str]] = {
    "charge": frozenset({"refunds", "level3"}),
    "checkout.session": frozenset({"line_items"}),
    "customer": frozenset(
        {"deleted", "sources", "subscriptions", "tax_ids", "cash_balance", "tax", "invoice_credit_balance"}
    ),
    "coupon": frozenset({"applies_to", "currency_options", "deleted"}),
    "discount": frozenset({"deleted"}),
    "invoice": frozenset({"confirmation_secret", "deleted", "payments"}),
    "invoiceitem": frozenset({"deleted"}),
    "item": frozenset({"discounts", "taxes"}),
    "plan": frozenset({"deleted", "tiers"}),
    "price": frozenset({"deleted", "tiers", "currency_options"}),
    "product": frozenset({"deleted"}),
    "subscription_item": frozenset({"billing_thresholds", "current_trial", "deleted"}),
    "test_helpers.test_clock": frozenset({"deleted"}),
    "webhook_endpoint": frozenset({"deleted", "secret"}),
}


@functools.cache
def fields_of(object_name: str) -> dict[str, bool]:
    """Return field → whether it may be null (or absent), for the class of `object_name`."""
    module, name = OBJECT_CLASSES[object_name]
    annotations: dict[str, Any] = getattr(importlib.import_module(module), name).__annotations__
    return {
        field: type(None) in get_args(hint) if get_origin(hint) is Union else False
        for field, hint in annotations.items()
        if get_origin(hint) is not ClassVar
    }


def complete(object_name: str, known: Json) -> Json:
    """Fill an object up to its full set of fields.

    Args:
        object_name: The value of its `object` field, such as `checkout.session`.
        known: The fields that have a value; `object` and `livemode: false` are added.

    Returns:
        A new object: the known fields, and null for each other one that may be null.

    Raises:
        AssertionError: When a required field has no value, or a known one is not a field of such an object.
    """
    fields = fields_of(object_name)
    base: Json = {"object": object_name}
    if "livemode" in fields:
        base["livemode"] = False
    absent = _absent(object_name, known)
    nulls = {field: None for field, nullable in fields.items() if nullable and field not in absent}
    filled = {**nulls, **base, **known}
    missing = [field for field, nullable in fields.items() if not nullable and field not in filled]
    unknown = [field for field in known if field not in fields]
    assert not missing, f"{object_name} lacks {missing}"
    assert not unknown, f"{object_name} has no {unknown}"
    return dict(sorted(filled.items()))


def _absent(object_name: str, known: Json) -> frozenset[str]:
    if object_name == "payment_method":
        kept = {
            "allow_redisplay",
            "customer",
            "customer_account",
            "metadata",
            "billing_details",
            "radar_options",
        }
        return frozenset(field for field in fields_of(object_name) if field not in kept)
    return ABSENT.get(object_name, frozenset())


def address(values: Json | None = None) -> Json:
    """Return a complete postal address, null where `values` says nothing."""
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return {name: (values or {}).get(name) or None for name in names}


def listing(data: list[Json], url: str, *, has_more: bool = False) -> Json:
    """Return a list object as Stripe's list calls answer it."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}
