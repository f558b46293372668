"""Everything the twin answers or sends has the shape that Stripe's own annotations describe."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stripe_twin.operations import OPERATIONS
from tests.money.twin.shape_oracle import violations
from tests.money.twin.shop import Shop
from tests.money.twin.story import Walk

pytestmark = pytest.mark.timeout(600)  # the walk delivers hundreds of events

Json = dict[str, Any]
#: Events that the product handles, or will: each must be produced by the walk.
DESIGNED = {
    f"{subject}.{change}"
    for subject, changes in {
        "charge": "refunded updated succeeded failed",
        "charge.dispute": "created updated funds_withdrawn funds_reinstated closed",
        "checkout.session": "completed async_payment_succeeded async_payment_failed expired",
        "credit_note": "created voided",
        "customer": "created updated deleted",
        "customer.subscription": "created updated deleted paused resumed trial_will_end "
        "pending_update_applied pending_update_expired",
        "invoice": "created finalized finalization_failed paid payment_failed payment_action_required "
        "updated voided marked_uncollectible upcoming overdue",
        "invoice_payment": "paid",
        "payment_intent": "succeeded processing requires_action payment_failed canceled",
        "payment_method": "attached detached updated automatically_updated",
        "price": "created updated deleted",
        "product": "created updated deleted",
        "radar.early_fraud_warning": "created",
        "refund": "created updated failed",
        "setup_intent": "succeeded setup_failed",
    }.items()
    for change in changes.split()
}
KINDS = {
    "balance_transaction",
    "billing_portal.configuration",
    "coupon",
    "credit_note",
    "credit_note_line_item",
    "discount",
    "dispute",
    "invoice",
    "invoice_payment",
    "invoiceitem",
    "line_item",
    "plan",
    "promotion_code",
    "radar.early_fraud_warning",
    "setup_intent",
    "subscription",
    "subscription_item",
    "test_helpers.test_clock",
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


def answered_objects(walk: Walk) -> list[Json]:
    """Return every object answered, errors' embedded ones included."""
    bodies = [body for _, _, body in walk.calls]
    inside = [body["error"][name] for body in bodies if "error" in body for name in body["error"]]
    return [body for body in bodies if "error" not in body] + [one for one in inside if isinstance(one, dict)]


def test_every_call_of_the_twin_is_made_and_every_answer_has_stripes_shape(walk: Walk) -> None:
    for body in answered_objects(walk):
        assert violations(body) == [], body.get("object")
    seen = {(method, path) for method, path, _ in walk.calls}
    unseen = [
        (entry.method, entry.path)
        for entry in OPERATIONS
        if not any(
            method == entry.method and re.fullmatch(re.sub(r"<\w+>", r"[^/]+", entry.path), path)
            for method, path in seen
        )
    ]
    assert unseen == []


def test_every_event_has_stripes_shape_and_a_documented_type(walk: Walk) -> None:
    assert len(walk.events) > 500
    for event in walk.events:
        assert violations(event) == [], event["type"]


def test_every_delivered_body_has_stripes_shape(walk: Walk) -> None:
    assert {request.event["id"] for request in walk.delivered} == {event["id"] for event in walk.events}
    for request in walk.delivered:
        assert request.signed
        assert violations(request.event) == []


def test_every_kind_of_object_is_seen_by_the_oracle(walk: Walk) -> None:
    seen: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            seen.add(str(value.get("object")))
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    for body in answered_objects(walk):
        look(body)
    assert seen >= KINDS


def test_every_event_that_the_product_acts_on_happens_by_doing_the_thing(walk: Walk) -> None:
    produced = {event["type"] for event in walk.events}
    matrix = (Path(__file__).parents[3] / "docs/reference/webhook-events.md").read_text(encoding="utf-8")
    acted_on = set(re.findall(r"^\| `([a-z_]+(?:\.[a-z_]+)+)` \|", matrix, re.MULTILINE))
    assert len(acted_on) > 10
    assert acted_on - produced == set()
    assert DESIGNED - produced == set()


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


@pytest.mark.parametrize(
    ("path", "harm", "complaint"),
    [
        (
            "subscriptions",
            lambda one: one["items"]["data"][0].pop("current_period_end"),
            "current_period_end: missing",
        ),
        ("subscriptions", having("current_period_end", 1), "current_period_end: unknown field"),
        ("subscriptions", having("status", "sleeping"), "status"),
        ("subscriptions", having("billing_mode", {"type": "rigid"}), "billing_mode"),
        ("invoices", having("subscription", "sub_1"), "subscription: unknown field"),
        ("invoices", having("status_transitions", None), "status_transitions"),
        ("invoices", lambda one: one["lines"]["data"][0].update(period={"start": 1}), "period.end: missing"),
        ("invoices", lambda one: one["lines"]["data"][0]["pricing"].update(type="guess"), "pricing"),
        ("charges", having("amount_refunded", None), "amount_refunded"),
        ("refunds", having("status", 7), "status"),
        ("disputes", having("balance_transactions", None), "balance_transactions"),
        ("disputes", lambda one: one["evidence_details"].pop("due_by"), ""),
    ],
)
def test_the_oracle_turns_red_at_a_wrong_field_of_billing(
    shop: Shop, path: str, harm: Callable[[Json], None], complaint: str
) -> None:
    shop.subscribe(shop.customer(), shop.plan(4900))
    charge = shop.stripe.v1.charges.list().data[0].id
    shop.stripe.v1.refunds.create({"charge": charge, "amount": 100})
    shop.control("POST", f"/charges/{charge}/dispute", {})
    answer = shop.raw("GET", f"/v1/{path}").get_json()["data"][0]
    assert violations(answer) == []
    harmed = copy.deepcopy(answer)
    harm(harmed)
    if complaint:
        assert any(complaint in problem for problem in violations(harmed)), violations(harmed)
    else:  # a field that may be null may also be absent
        assert violations(harmed) == []


def test_an_event_that_never_happens_would_be_noticed(shop: Shop) -> None:
    shop.customer()
    produced = {event["type"] for event in shop.all_events()}
    assert "invoice.paid" in DESIGNED - produced


def test_a_decimal_is_a_string_on_the_wire(shop: Shop) -> None:
    product = shop.stripe.v1.products.create({"name": "Tokens"})
    shop.stripe.v1.prices.create({"product": product.id, "currency": "usd", "unit_amount": 1900})
    answer = shop.transport.calls[-1][2]
    assert answer["unit_amount_decimal"] == "1900"
    assert any("decimal" in problem for problem in violations({**answer, "unit_amount_decimal": 1900}))
