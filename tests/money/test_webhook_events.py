"""The matrix of events: code, documentation and Stripe agree; and an operator can run an event again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from stripe.params import WebhookEndpointCreateParams

from billing.events import RULES
from billing.replay import main as replay_main
from tests.money.conftest import Buyer
from tests.money.in_process import Process, payment_intent, process_of, refused
from tests.money.world import PACK_500, made_up_event

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "webhook-events.md"


@pytest.fixture
def process(buyer: Buyer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """The workers in this process, as the buyer."""
    with process_of(buyer.workers.stack, buyer.workers.token, monkeypatch) as made:
        yield made


def test_the_page_says_what_the_code_does() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| (\w+) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)

    assert {event: (kind, effect) for event, kind, effect in rows} == {
        event: (rule.kind, rule.effect) for event, rule in RULES.items()
    }


def test_every_event_that_we_handle_exists_at_stripe() -> None:
    known = str(WebhookEndpointCreateParams.__annotations__["enabled_events"])

    assert "'invoice.paid'" in known
    assert [event for event in RULES if f"'{event}'" not in known] == []


@pytest.mark.parametrize("event_type", sorted(RULES))
def test_every_handled_event_about_something_foreign_is_stored_and_changes_nothing(
    process: Process, event_type: str
) -> None:
    """Other products live in the same Stripe account."""
    rule = RULES[event_type]
    foreign = {
        "checkout_session": {"object": "checkout.session", "mode": "payment", "status": "complete"}
        | {"payment_status": "paid", "payment_intent": None, "metadata": {}, "livemode": False},
        "payment_intent": payment_intent(100, "requires_payment_method", last_payment_error={"code": "x"}),
        "charge": {"object": "charge", "status": "succeeded", "amount": 100, "amount_refunded": 0}
        | {"currency": "usd", "payment_intent": "pi_foreign", "livemode": False},
        "customer": {"object": "customer", "livemode": False, "email": "x@example.com"},
    }[rule.kind]
    process.stripe.sessions["foreign_1"] = process.stripe.customers["foreign_1"] = {
        **foreign,
        "id": "foreign_1",
    }

    answer = process.deliver(made_up_event(event_type, "foreign_1"))

    assert answer.status_code == 200
    assert answer.get_json()["status"] == "ignored"


def test_an_operator_runs_a_failed_event_again(
    process: Process, buyer: Buyer, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"organization_id": str(buyer.organization_id), "package_key": PACK_500}
    session_id = process.call("create_checkout_session", body).get_json()["session_id"]
    process.stripe.sessions[session_id] |= {
        "status": "complete",
        "payment_status": "paid",
        "payment_intent": payment_intent(1000, "succeeded"),
    }
    event = made_up_event("checkout.session.completed", session_id)
    process.stripe.fail(f"GET /checkout/sessions/{session_id}", *[refused(503)] * 3)
    assert process.deliver(event).status_code == 500
    capsys.readouterr()

    assert replay_main([event["id"], "evt_unknown"]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert f"{event['id']}\tprocessed" in lines
    assert "evt_unknown\tnot_found" in lines
    assert buyer.books.balance == 500
