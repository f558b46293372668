"""Everything the twin answers or sends has the shape that Stripe's own annotations describe."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from stripe_twin.operations import OPERATIONS
from tests.money.twin.receiver import Receiver
from tests.money.twin.shape_oracle import violations
from tests.money.twin.shop import Shop
from tests.money.twin.story import live_through

Json = dict[str, Any]
KINDS = {
    "billing_portal.session",
    "charge",
    "checkout.session",
    "customer",
    "item",
    "payment_intent",
    "payment_method",
    "price",
    "product",
    "refund",
    "webhook_endpoint",
}


@pytest.fixture
def lived_in(shop: Shop) -> Shop:
    shop.transport.calls.clear()
    live_through(shop)
    return shop


def answered_objects(shop: Shop) -> list[Json]:
    """Return every object answered, errors' embedded ones included."""
    bodies = [body for _, _, body in shop.transport.calls]
    inside = [body["error"][name] for body in bodies if "error" in body for name in body["error"]]
    return [body for body in bodies if "error" not in body] + [one for one in inside if isinstance(one, dict)]


def test_every_call_of_the_twin_is_made_and_every_answer_has_stripes_shape(lived_in: Shop) -> None:
    for body in answered_objects(lived_in):
        assert violations(body) == []
    seen = {(method, path) for method, path, _ in lived_in.transport.calls}
    unseen = [
        (entry.method, entry.path)
        for entry in OPERATIONS
        if not any(
            method == entry.method and re.fullmatch(re.sub(r"<\w+>", r"[^/]+", entry.path), path)
            for method, path in seen
        )
    ]
    assert unseen == []


def test_every_event_has_stripes_shape_and_a_documented_type(lived_in: Shop) -> None:
    types = set()
    for event in lived_in.raw("GET", "/v1/events?limit=100").get_json()["data"]:
        assert violations(event) == []
        types.add(event["type"])
    assert {
        "charge.failed",
        "charge.refunded",
        "charge.succeeded",
        "charge.updated",
        "checkout.session.completed",
        "checkout.session.expired",
        "customer.created",
        "customer.deleted",
        "customer.updated",
        "payment_intent.canceled",
        "payment_intent.created",
        "payment_intent.payment_failed",
        "payment_intent.requires_action",
        "payment_intent.succeeded",
        "payment_method.attached",
        "payment_method.detached",
        "payment_method.updated",
        "price.created",
        "price.updated",
        "product.created",
        "product.deleted",
        "product.updated",
        "refund.created",
        "refund.updated",
    } <= types | all_types(lived_in)


def all_types(shop: Shop) -> set[str]:
    return set(shop.event_types())


def test_every_delivered_body_has_stripes_shape(lived_in: Shop, receiver: Receiver) -> None:
    lived_in.wait_until_idle()
    assert len(receiver.requests) > 50
    for request in receiver.requests:
        assert request.signed
        assert violations(request.event) == []


def test_every_kind_of_object_is_seen_by_the_oracle(lived_in: Shop) -> None:
    seen: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            seen.add(str(value.get("object")))
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    for body in answered_objects(lived_in):
        walk(body)
    assert seen >= KINDS


def without(name: str) -> Callable[[Json], None]:
    return lambda value: value.pop(name)


def having(name: str, wrong: Any) -> Callable[[Json], None]:
    return lambda value: value.update({name: wrong})


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (without("payment_status"), "payment_status: missing"),
        (without("custom_text"), "custom_text: missing"),
        (having("expires_at", None), "expires_at"),
        (having("expires_at", "soon"), "expires_at"),
        (having("amount_total", True), "amount_total"),
        (having("payment_status", "sort_of"), "payment_status"),
        (having("metadata", {"a": 1}), "metadata.a"),
        (having("payment_method_types", "card"), "payment_method_types"),
        (having("automatic_tax", {"enabled": "no"}), "automatic_tax.enabled"),
        (having("total_details", {"amount_discount": 0}), "total_details.amount_tax: missing"),
        (having("bogus", 1), "bogus: unknown field"),
        (having("customer", 5), "customer"),
        (having("object", "checkout.sitting"), "no object of the API"),
    ],
)
def test_the_oracle_turns_red_at_a_wrong_field(
    shop: Shop, harm: Callable[[Json], None], complaint: str
) -> None:
    shop.session()
    answer = shop.transport.calls[-1][2]
    assert violations(answer) == []
    harmed = copy.deepcopy(answer)
    harm(harmed)
    assert any(complaint in problem for problem in violations(harmed)), violations(harmed)


def test_a_decimal_is_a_string_on_the_wire(shop: Shop) -> None:
    product = shop.stripe.v1.products.create({"name": "Tokens"})
    shop.stripe.v1.prices.create({"product": product.id, "currency": "usd", "unit_amount": 1900})
    answer = shop.transport.calls[-1][2]
    assert answer["unit_amount_decimal"] == "1900"
    assert any("decimal" in problem for problem in violations({**answer, "unit_amount_decimal": 1900}))
