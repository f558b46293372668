"""The matrix of events: code, documentation and Stripe agree; what is foreign is only stored."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe
from stripe.params import WebhookEndpointCreateParams

from billing.events import RULES
from tests.conftest import StackUnderTest
from tests.money.world import SECONDS, Deliveries, made_up_event

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "webhook-events.md"


def test_the_page_says_what_the_code_does() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([\w, ]+) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)

    assert {event: (reads, effect) for event, reads, effect in rows} == {
        event: (rule.reads, rule.effect) for event, rule in RULES.items()
    }


def test_every_event_that_we_handle_exists_at_stripe() -> None:
    known = str(WebhookEndpointCreateParams.__annotations__["enabled_events"])

    assert "'invoice.paid'" in known
    assert [event for event in RULES if f"'{event}'" not in known] == []


@pytest.fixture(scope="module")
def foreign(stack: StackUnderTest) -> dict[str, dict[str, Any]]:
    """Another product's objects in the same Stripe account, by the kind of event that is about them."""
    deliveries = Deliveries(stack)
    v1 = deliveries.client.v1
    customer = v1.customers.create({"email": "else@example.com", "payment_method": "pm_card_visa"})
    customer = v1.customers.update(
        customer.id, {"invoice_settings": {"default_payment_method": _card_of(v1, customer.id)}}
    )
    price = v1.prices.create(
        {
            "currency": "usd",
            "unit_amount": 700,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Mug club"},
        }
    )
    subscription = v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    (invoice,) = v1.invoices.list({"subscription": subscription.id}).data
    (payment,) = v1.invoice_payments.list({"invoice": str(invoice.id)}).data
    (charge,) = v1.charges.list({"customer": customer.id}).data
    intent = v1.payment_intents.retrieve(str(charge.payment_intent))
    refund = v1.refunds.create({"charge": charge.id, "amount": 100})
    note = v1.credit_notes.create({"invoice": str(invoice.id), "amount": 50, "out_of_band_amount": 50})
    setup = v1.setup_intents.create({"customer": customer.id})
    session = v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "success_url": "https://example.com/",
            "line_items": [{"price": price.id, "quantity": 1}],
        }
    )
    twin = f"{stack.stripe_twin_url}/_twin/charges/{charge.id}"
    httpx.post(f"{twin}/dispute", json={}, timeout=SECONDS).raise_for_status()
    httpx.post(f"{twin}/fraud_warning", json={}, timeout=SECONDS).raise_for_status()
    (dispute,) = v1.disputes.list({"charge": charge.id}).data
    (warning,) = v1.radar.early_fraud_warnings.list({"charge": charge.id}).data
    upcoming = invoice.to_dict() | {"id": "upcoming_in_else"}
    made: dict[str, Any] = {
        "charge.dispute": dispute,
        "charge": charge,
        "checkout.session": session,
        "credit_note": note,
        "customer.subscription": subscription,
        "customer": customer,
        "invoice": invoice,
        "invoice.upcoming": upcoming,
        "invoice_payment": payment,
        "payment_intent": intent,
        "payment_method": v1.payment_methods.retrieve(_card_of(v1, customer.id)),
        "price": price,
        "product": v1.products.retrieve(str(price.product)),
        "radar.early_fraud_warning": warning,
        "refund": refund,
        "setup_intent": setup,
    }
    return {
        name: json.loads(json.dumps(value if isinstance(value, dict) else value.to_dict(), default=str))
        for name, value in made.items()
    }


def _card_of(v1: stripe.V1Services, customer_id: str) -> str:
    return v1.customers.payment_methods.list(customer_id).data[0].id


@pytest.mark.parametrize("event_type", sorted(RULES))
def test_every_handled_event_about_something_foreign_is_stored_and_changes_nothing(
    foreign: dict[str, dict[str, Any]], deliveries: Deliveries, event_type: str
) -> None:
    kind = event_type if event_type in foreign else event_type.rpartition(".")[0]
    snapshot = foreign[kind]
    event = made_up_event(event_type, snapshot["id"], data={"object": snapshot})

    answer = deliveries.send(event)

    assert (answer.status_code, answer.json().get("status")) == (200, "ignored"), answer.text
