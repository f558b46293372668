"""Shows an event in an older version of the API, as an endpoint that was never upgraded gets it.

Each step undoes one release on the objects of an event. Source of the changes: https://docs.stripe.com/changelog
"""

from __future__ import annotations

from collections.abc import Callable

import stripe

from stripe_twin.shapes import Json

_BASIL, _CLOVER, _DAHLIA = "2025-03-31.basil", "2025-09-30.clover", "2026-03-25.dahlia"
#: Versions in which events can be rendered, oldest first; the last one is the twin's own.
VERSIONS: tuple[str, ...] = ("2024-06-20", _BASIL, _CLOVER, _DAHLIA, str(stripe.api_version))


def render(event: Json, version: str) -> Json:
    """Return an event's body as a version of the API shows it.

    Args:
        event: The event in the twin's own version; changed in place.
        version: One of `VERSIONS`.
    """
    event["api_version"] = version
    shown = event["data"]["object"]
    for since, undo in _STEPS:
        if VERSIONS.index(version) < VERSIONS.index(since):
            _walk(shown, undo)
    return event


def _walk(value: object, undo: Callable[[Json], None]) -> None:
    if isinstance(value, dict):
        undo(value)
        for inner in value.values():
            _walk(inner, undo)
    elif isinstance(value, list):
        for inner in value:
            _walk(inner, undo)


def _before_endive(one: Json) -> None:
    if one.get("object") == "subscription":
        for name in ("billing_schedules", "status_details"):
            one.pop(name, None)
    if one.get("object") in ("payment_intent", "setup_intent", "checkout.session"):
        one.pop("allowed_payment_method_types", None)


def _before_dahlia(one: Json) -> None:
    if one.get("object") == "checkout.session":
        names = {"elements": "custom", "embedded_page": "embedded", "hosted_page": "hosted"}
        one["ui_mode"] = names.get(one["ui_mode"], one["ui_mode"])


def _before_clover(one: Json) -> None:
    if one.get("object") == "discount":
        one["coupon"] = one.pop("source")["coupon"]
    elif one.get("object") == "promotion_code":
        one["coupon"] = one.pop("promotion")["coupon"]
    elif one.get("object") == "subscription":
        one.pop("billing_mode", None)
    elif one.get("object") == "line_item":
        one.pop("subtotal", None)


def _before_basil(one: Json) -> None:
    undo = {
        "charge": _old_charge,
        "invoice": _old_invoice,
        "line_item": _old_line,
        "subscription": _old_subscription,
    }.get(str(one.get("object")))
    if undo is not None:
        undo(one)


def _old_charge(one: Json) -> None:
    one.setdefault("invoice", None)


def _old_invoice(one: Json) -> None:
    parent = one.pop("parent", None) or {}
    details = parent.get("subscription_details") or {}
    taxes = one.pop("total_taxes", None) or []
    one |= {
        "paid": one["status"] == "paid",
        "subscription": details.get("subscription"),
        "subscription_details": {"metadata": details.get("metadata")},
        "tax": sum(tax["amount"] for tax in taxes) if taxes else None,
    }


def _old_line(one: Json) -> None:
    parent = one.pop("parent", None) or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    pricing = one.pop("pricing", None) or {}
    named = pricing.get("price_details")
    one |= {
        "price": {"id": named["price"], "object": "price", "product": named["product"]} if named else None,
        "proration": details.get("proration", False),
        "subscription": details.get("subscription"),
        "subscription_item": details.get("subscription_item"),
        "type": "subscription" if details.get("subscription_item") else "invoiceitem",
    }


def _old_subscription(one: Json) -> None:
    items = one["items"]["data"]
    one |= {
        "current_period_end": max(item.pop("current_period_end") for item in items),
        "current_period_start": min(item.pop("current_period_start") for item in items),
    }


_STEPS: tuple[tuple[str, Callable[[Json], None]], ...] = (
    (VERSIONS[-1], _before_endive),
    (_DAHLIA, _before_dahlia),
    (_CLOVER, _before_clover),
    (_BASIL, _before_basil),
)
