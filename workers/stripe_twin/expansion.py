"""expand[]: replaces ids by the objects they name, also nested and inside lists."""

from __future__ import annotations

from collections.abc import Callable

from stripe_twin.errors import StripeError, invalid
from stripe_twin.shapes import ABSENT, Json, fields_of, listing
from stripe_twin.unit import UnitOfWork

_DEEPEST = 4  # Stripe's own limit
_KIND_OF_ID = {
    "cus": "customer",
    "prod": "product",
    "price": "price",
    "pi": "payment_intent",
    "pm": "payment_method",
    "ch": "charge",
    "re": "refund",
    "bpc": "billing_portal.configuration",
    "cs": "checkout.session",
    "clock": "test_helpers.test_clock",
    "cn": "credit_note",
    "di": "discount",
    "du": "dispute",
    "in": "invoice",
    "inpay": "invoice_payment",
    "promo": "promotion_code",
    "setatt": "setup_attempt",
    "seti": "setup_intent",
    "sub": "subscription",
    "txn": "balance_transaction",
}

_KIND_OF_FIELD = {"coupon": "coupon", "product": "product"}  # ids that a merchant may choose


def expand(unit: UnitOfWork, answer: Json, paths: list[str]) -> Json:
    """Expand an answer.

    Args:
        unit: Where the objects are read.
        answer: An object or a list; changed in place.
        paths: Values of `expand[]`, such as `payment_intent.latest_charge` or `data.customer`.

    Returns:
        The answer.

    Raises:
        StripeError: 400 for a path that cannot be expanded.
    """
    for path in paths:
        parts = path.split(".")
        if len(parts) > _DEEPEST + (parts[0] == "data"):
            raise invalid(
                f"You cannot expand more than {_DEEPEST} levels of a property. Property: {path}",
                param="expand",
            )
        if answer.get("object") == "list" and parts[0] != "data":
            raise invalid(
                f"This property cannot be expanded ({path}). Lists are expanded with data.{path}.",
                param="expand",
            )
        _expand(unit, answer, parts, path)
    return answer


def _expand(unit: UnitOfWork, node: Json, parts: list[str], path: str) -> None:
    name, rest = parts[0], parts[1:]
    children = INCLUDED.get((node.get("object", ""), name))
    if children is not None and not isinstance(node.get(name), dict):
        node[name] = children(unit, node)
    elif isinstance(node.get(name), str):
        node[name] = _object_named(unit, node, name, path)
    elif name not in node:
        raise _refusal(path)
    child = node[name]
    for item in child if isinstance(child, list) else [child]:
        if isinstance(item, dict) and rest:
            _expand(unit, item, rest, path)
        elif rest and item is not None:
            raise _refusal(path)


def _object_named(unit: UnitOfWork, node: Json, name: str, path: str) -> Json:
    object_id = str(node[name])
    kind = _KIND_OF_FIELD.get(name) or _KIND_OF_ID.get(object_id.partition("_")[0])
    record = None if kind is None or name == "id" else unit.find(kind, object_id)
    if record is None:
        raise _refusal(path)
    if record.deleted:
        return {"id": record.id, "object": record.data["object"], "deleted": True}
    return record.data


def _refusal(path: str) -> StripeError:
    return invalid(f"This property cannot be expanded ({path}).", param="expand")


def _line_items(unit: UnitOfWork, session: Json) -> Json:
    items = unit.all("item", hidden={"session": session["id"]})
    url = f"/v1/checkout/sessions/{session['id']}/line_items"
    return listing([item.data for item in items[:10]], url, has_more=len(items) > 10)


def _refunds(unit: UnitOfWork, charge: Json) -> Json:
    page = unit.page("refund", {"limit": 10}, {"charge": charge["id"]})
    return listing(
        [r.data for r in page.records], f"/v1/charges/{charge['id']}/refunds", has_more=page.has_more
    )


def _invoice_payments(unit: UnitOfWork, invoice: Json) -> Json:
    payments = unit.all("invoice_payment", {"invoice": invoice["id"]})
    return listing([payment.data for payment in payments], f"/v1/invoice_payments?invoice={invoice['id']}")


def _confirmation_secret(unit: UnitOfWork, invoice: Json) -> Json | None:
    payments = unit.all("invoice_payment", {"invoice": invoice["id"], "status": "open"})
    if not payments:
        return None
    intent = unit.get("payment_intent", payments[-1].data["payment"]["payment_intent"])
    return {"client_secret": intent.data["client_secret"], "type": "payment_intent"}


def _subscriptions(unit: UnitOfWork, customer: Json) -> Json:
    page = unit.page("subscription", {"limit": 10}, {"customer": customer["id"]})
    url = f"/v1/customers/{customer['id']}/subscriptions"
    return listing([one.data for one in page.records], url, has_more=page.has_more)


INCLUDED: dict[tuple[str, str], Callable[[UnitOfWork, Json], Json | None]] = {
    ("checkout.session", "line_items"): _line_items,
    ("charge", "refunds"): _refunds,
    ("customer", "subscriptions"): _subscriptions,
    ("invoice", "confirmation_secret"): _confirmation_secret,
    ("invoice", "payments"): _invoice_payments,
}

assert all(name in fields_of(kind) and name in ABSENT[kind] for kind, name in INCLUDED)
