"""Stripe down, slow, limiting, refusing, or failing after it has acted: nothing is lost or doubled.

Here the test plays Stripe through the real library's HTTP client; the database is the real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from flask import Response

from billing.settings import get_settings
from tests.money.conftest import Buyer
from tests.money.in_process import Process, missing, payment_intent, process_of, refused
from tests.money.world import PACK_500, made_up_event


@pytest.fixture
def process(buyer: Buyer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """The workers in this process, as the buyer."""
    with process_of(buyer.workers.stack, buyer.workers.token, monkeypatch) as made:
        yield made


def buy(process: Process, buyer: Buyer, **subject: str) -> Response:
    """Click "buy"."""
    body = {"organization_id": str(buyer.organization_id), **(subject or {"package_key": PACK_500})}
    return process.call("create_checkout_session", body)


def body_of(response: Response) -> dict[str, Any]:
    """The JSON of an answer."""
    return dict(response.get_json())


def assert_unavailable(response: Response) -> None:
    """The answer that a person can act on: try again."""
    assert response.status_code == 503
    assert body_of(response)["message"] == "stripe_unavailable"
    assert "try again" in body_of(response)["hint"]
    assert response.headers["Retry-After"]


DOWN = [httpx.ConnectError("down")] * 3
SLOW = [httpx.ReadTimeout("slow")] * 3
BROKEN = [refused(500)] * 3


@pytest.mark.parametrize(
    "trouble", [DOWN, SLOW, BROKEN, [refused(429)]], ids=["down", "slow", "broken", "limiting"]
)
@pytest.mark.parametrize("call", ["POST /customers", "POST /checkout/sessions"])
def test_stripe_out_of_reach_is_said_clearly_and_the_next_click_succeeds(
    process: Process, buyer: Buyer, call: str, trouble: list[httpx.Response | Exception]
) -> None:
    process.stripe.fail(call, *trouble)

    assert_unavailable(buy(process, buyer))

    attempts = process.stripe.calls(call)
    assert len(attempts) == len(trouble)
    assert len({key for _, key in attempts}) == 1, "every attempt of one call carries one idempotency key"
    assert None not in {key for _, key in attempts}
    answer = buy(process, buyer)
    assert answer.status_code == 200
    assert len(buyer.books.checkouts) == 1, "the second click takes up the first one's row"
    assert buyer.books.checkouts[0]["status"] == "open"


def test_a_session_that_stripe_made_and_could_not_tell_us_of_is_found_again(
    process: Process, buyer: Buyer
) -> None:
    process.stripe.fail("POST /checkout/sessions", *BROKEN, acts=True)
    assert_unavailable(buy(process, buyer))

    answer = body_of(buy(process, buyer))

    assert list(process.stripe.sessions) == [answer["session_id"]]
    assert len(process.stripe.calls("POST /checkout/sessions")) == 3


def test_a_customer_that_stripe_made_and_could_not_tell_us_of_is_found_again(
    process: Process, buyer: Buyer
) -> None:
    process.stripe.fail("POST /customers", *BROKEN, acts=True)
    assert_unavailable(buy(process, buyer))

    assert buy(process, buyer).status_code == 200

    assert len(process.stripe.customers) == 1
    (row,) = buyer.books.rows("select * from billing.customers where organization_id = %s")
    assert row["stripe_customer_id"] in process.stripe.customers


def test_a_paid_session_whose_attachment_was_lost_is_still_fulfilled(process: Process, buyer: Buyer) -> None:
    """Stripe made it, we never heard of it, and it was paid: our marks and our customer tell whose it is."""
    process.stripe.fail("POST /checkout/sessions", *BROKEN, acts=True)
    assert_unavailable(buy(process, buyer))
    (session_id, session) = next(iter(process.stripe.sessions.items()))
    session |= {
        "status": "complete",
        "payment_status": "paid",
        "payment_intent": payment_intent(1000, "succeeded"),
    }

    answer = process.deliver(made_up_event("checkout.session.completed", session_id))

    assert body_of(answer)["status"] == "processed"
    assert buyer.books.balance == 500
    assert [checkout["status"] for checkout in buyer.books.checkouts] == ["complete"]


def test_a_definite_refusal_closes_the_attempt_and_asks_for_help(process: Process, buyer: Buyer) -> None:
    process.stripe.fail("POST /checkout/sessions", refused(400, "url_invalid", "success_url"))

    answer = buy(process, buyer)

    assert answer.status_code == 502
    assert body_of(answer)["details"] == {"stripe_code": "url_invalid"}
    assert [checkout["status"] for checkout in buyer.books.checkouts] == ["failed"]
    assert buy(process, buyer).status_code == 200
    assert [checkout["status"] for checkout in buyer.books.checkouts] == ["failed", "open"]


def test_a_customer_that_stripe_no_longer_knows_is_replaced(process: Process, buyer: Buyer) -> None:
    assert buy(process, buyer).status_code == 200
    process.stripe.fail("POST /checkout/sessions", missing("customer"))

    answer = buy(process, buyer, package_key="pack_100")

    assert answer.status_code == 200
    assert len(process.stripe.customers) == 2
    (row,) = buyer.books.rows("select * from billing.customers where organization_id = %s")
    assert row["stripe_customer_id"] == list(process.stripe.customers)[-1]


def test_an_open_session_that_stripe_no_longer_knows_is_replaced(process: Process, buyer: Buyer) -> None:
    first = body_of(buy(process, buyer))
    process.stripe.sessions.pop(first["session_id"])

    second = body_of(buy(process, buyer))

    assert second["session_id"] in process.stripe.sessions
    assert [checkout["status"] for checkout in buyer.books.checkouts] == ["failed", "open"]


def test_a_purchase_that_a_discount_made_free_has_no_payment_intent_and_is_granted_at_no_cost(
    process: Process, buyer: Buyer
) -> None:
    session_id = body_of(buy(process, buyer))["session_id"]
    process.stripe.sessions[session_id] |= {
        "status": "complete",
        "payment_status": "no_payment_required",
        "amount_total": 0,
        "total_details": {"amount_discount": 1000},
    }

    answer = process.deliver(made_up_event("checkout.session.completed", session_id))

    assert body_of(answer)["status"] == "processed"
    assert buyer.books.balance == 500
    (grant,) = buyer.books.grants
    assert grant["unit_cost"] == 0
    (payment,) = buyer.books.payments
    assert (payment["status"], payment["amount"], payment["stripe_payment_intent_id"]) == (
        "succeeded",
        0,
        None,
    )


def test_a_partly_discounted_and_taxed_purchase_grants_what_was_sold_at_what_it_cost_without_tax(
    process: Process, buyer: Buyer
) -> None:
    session_id = body_of(buy(process, buyer))["session_id"]
    process.stripe.sessions[session_id] |= {
        "status": "complete",
        "payment_status": "paid",
        "amount_total": 900,
        "total_details": {"amount_discount": 250, "amount_tax": 150},
        "payment_intent": payment_intent(900, "succeeded"),
    }

    process.deliver(made_up_event("checkout.session.completed", session_id))

    assert buyer.books.balance == 500
    assert buyer.books.grants[0]["unit_cost"] == Decimal("1.5")
    assert buyer.books.payments[0]["amount"] == 900


def test_codes_are_asked_for_unless_switched_off_and_tax_is_added_when_switched_on(
    process: Process, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert body_of(buy(process, buyer))["allow_promotion_codes"] is True
    monkeypatch.setenv("STRIPE_PROMOTION_CODES", "false")
    monkeypatch.setenv("STRIPE_AUTOMATIC_TAX", "true")
    get_settings.cache_clear()
    assert body_of(buy(process, buyer, package_key="pack_100"))["allow_promotion_codes"] is False

    plain, taxed = (sent for sent, _ in process.stripe.calls("POST /checkout/sessions"))
    assert plain["allow_promotion_codes"] == "true"
    assert "automatic_tax[enabled]" not in plain
    assert "allow_promotion_codes" not in taxed
    assert taxed["automatic_tax[enabled]"] == taxed["tax_id_collection[enabled]"] == "true"
    assert (taxed["customer_update[address]"], taxed["customer_update[name]"]) == ("auto", "auto")


def test_money_that_takes_its_time_is_granted_when_it_is_there(process: Process, buyer: Buyer) -> None:
    session_id = body_of(buy(process, buyer))["session_id"]
    session = process.stripe.sessions[session_id]
    session |= {"status": "complete", "payment_intent": payment_intent(1000, "processing")}
    process.deliver(made_up_event("checkout.session.completed", session_id))
    assert buyer.books.balance == 0
    assert buyer.books.payments[0]["status"] == "processing"
    assert body_of(process.call("fulfil_checkout", {"session_id": session_id}))["status"] == "processing"

    session |= {
        "payment_status": "paid",
        "payment_intent": {**session["payment_intent"], "status": "succeeded"},
    }
    process.deliver(made_up_event("checkout.session.async_payment_succeeded", session_id))

    assert buyer.books.balance == 500
    assert [payment["status"] for payment in buyer.books.payments] == ["succeeded"]


def test_money_that_never_comes_fails_the_payment_and_tells_the_organization(
    process: Process, buyer: Buyer
) -> None:
    session_id = body_of(buy(process, buyer))["session_id"]
    error = {"code": "payment_intent_payment_attempt_failed", "message": "The bank refused the debit."}
    process.stripe.sessions[session_id] |= {
        "status": "complete",
        "payment_intent": payment_intent(1000, "requires_payment_method", last_payment_error=error),
    }

    process.deliver(made_up_event("checkout.session.async_payment_failed", session_id))

    assert buyer.books.grants == []
    assert buyer.books.payments[0]["status"] == "failed"
    assert [n["kind"] for n in buyer.books.notifications] == ["payment_failed"]
    outcome = body_of(process.call("fulfil_checkout", {"session_id": session_id}))
    assert (outcome["status"], outcome["failure_message"]) == ("failed", "The bank refused the debit.")


def test_an_event_that_comes_while_stripe_is_down_is_applied_when_it_comes_again(
    process: Process, buyer: Buyer
) -> None:
    session_id = body_of(buy(process, buyer))["session_id"]
    process.stripe.sessions[session_id] |= {
        "status": "complete",
        "payment_status": "paid",
        "payment_intent": payment_intent(1000, "succeeded"),
    }
    event = made_up_event("checkout.session.completed", session_id)
    for _ in range(6):  # more often than a hopeless event is tried
        process.stripe.fail(f"GET /checkout/sessions/{session_id}", *[refused(503)] * 3)
        assert process.deliver(event).status_code == 500
    assert buyer.books.grants == []

    answer = process.deliver(event)

    assert body_of(answer) == {"received": True, "status": "processed", "is_duplicate": False}
    assert buyer.books.balance == 500


@pytest.mark.parametrize("secrets", ["", " , ,\n"])
def test_without_a_signing_secret_every_event_is_refused_and_none_is_kept(
    process: Process, buyer: Buyer, monkeypatch: pytest.MonkeyPatch, secrets: str
) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", secrets)
    get_settings.cache_clear()
    event = made_up_event("topup.created", "tu_made_up")

    answer = process.deliver(event)

    assert (answer.status_code, body_of(answer)["message"]) == (500, "not_configured")
    stored = "select 1 from billing_private.stripe_events where id = %s"
    assert buyer.books.database.execute(stored, (event["id"],)).fetchall() == []


def test_the_events_own_snapshot_is_never_believed(process: Process, buyer: Buyer) -> None:
    session_id = body_of(buy(process, buyer))["session_id"]
    event = made_up_event("checkout.session.completed", session_id)
    event["data"]["object"] |= {"status": "complete", "payment_status": "paid", "amount_total": 1000}

    assert body_of(process.deliver(event))["status"] == "processed"

    assert buyer.books.grants == []
    assert buyer.books.payments == []


def test_a_session_for_our_own_page_answers_its_secret_and_keeps_it_out_of_the_database(
    process: Process, buyer: Buyer
) -> None:
    session_id = body_of(buy(process, buyer, package_key=PACK_500, ui_mode="elements"))["session_id"]
    process.stripe.sessions[session_id]["client_secret"] = "cs_secret_of_the_browser"

    answer = body_of(buy(process, buyer, package_key=PACK_500, ui_mode="elements"))

    assert (answer["session_id"], answer["client_secret"]) == (session_id, "cs_secret_of_the_browser")
    ((parameters, _),) = process.stripe.calls("POST /checkout/sessions")
    assert "success_url" not in parameters
    assert "{CHECKOUT_SESSION_ID}" in parameters["return_url"]
    assert "cs_secret" not in str(buyer.books.checkouts)


def test_the_portal_can_be_opened_at_one_task(process: Process, buyer: Buyer) -> None:
    body = {"organization_id": str(buyer.organization_id), "flow": "payment_method_update"}

    assert process.call("create_portal_session", body).status_code == 200

    ((parameters, _),) = process.stripe.calls("POST /billing_portal/sessions")
    assert parameters["flow_data[type]"] == "payment_method_update"
    assert parameters["return_url"].startswith(buyer.workers.stack.frontend_url)
