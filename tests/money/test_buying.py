"""Buying a pack, end to end over HTTP: worker, Stripe's page, signed webhook, return page, ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import httpx
import pytest

from tests.money.conftest import Buyer
from tests.money.world import CARD_ASKS_3DS, CARD_DECLINED, CARD_PAYS, Deliveries, HostedPage


def test_a_paid_pack_is_granted_once_with_one_payment_and_its_receipt(buyer: Buyer) -> None:
    session = buyer.buy()

    redirect = HostedPage(session["url"]).pay(CARD_PAYS)

    assert redirect.status_code in (302, 303)
    assert session["session_id"] in redirect.headers["location"]
    answer = buyer.workers.return_page(session["session_id"]).json()
    assert answer["status"] == "complete"
    assert answer["payment_status"] == "succeeded"
    assert buyer.books.balance == 500
    (payment,) = buyer.books.payments
    assert (payment["status"], payment["amount"], payment["currency"]) == ("succeeded", 1000, "usd")
    assert (payment["card_brand"], payment["card_last4"]) == ("visa", "4242")
    assert payment["receipt_url"] is not None
    assert payment["stripe_payment_intent_id"].startswith("pi_")
    assert payment["paid_at"] is not None
    (grant,) = buyer.books.grants
    assert (grant["source"], grant["source_reference"]) == ("purchase", session["session_id"])
    assert grant["unit_cost"] == Decimal(2)
    assert grant["id"] == payment["grant_id"]
    (checkout,) = buyer.books.checkouts
    assert checkout["status"] == "complete"
    buyer.books.assert_sound()


def test_a_declined_card_buys_nothing_and_the_organization_is_told(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    session = buyer.buy()

    page = HostedPage(session["url"]).pay(CARD_DECLINED)

    assert page.status_code == 402
    deliveries.await_delivery(str(buyer.organization_id))
    assert buyer.books.balance == 0
    assert buyer.books.grants == []
    (payment,) = buyer.books.payments
    assert payment["status"] == "failed"
    assert payment["failure_code"] == "generic_decline"
    assert payment["failure_message"]
    (notification,) = buyer.books.notifications
    assert (notification["kind"], notification["subject_id"]) == ("payment_failed", str(payment["id"]))
    answer = buyer.workers.return_page(session["session_id"]).json()
    assert (answer["status"], answer["payment_status"]) == ("open", "failed")


def test_after_a_decline_another_card_pays_the_same_session_and_the_one_payment_succeeds(
    buyer: Buyer,
) -> None:
    session = buyer.buy()
    page = HostedPage(session["url"])
    page.pay(CARD_DECLINED)

    assert page.pay(CARD_PAYS).status_code in (302, 303)

    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "complete"
    assert buyer.books.balance == 500
    (payment,) = buyer.books.payments
    assert (payment["status"], payment["failure_code"]) == ("succeeded", None)


def test_a_card_that_asks_for_3d_secure_buys_after_the_challenge_and_not_before(buyer: Buyer) -> None:
    session = buyer.buy()
    page = HostedPage(session["url"])

    challenge = page.pay(CARD_ASKS_3DS)

    assert "/3ds/" in challenge.headers["location"]
    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "open"
    assert buyer.books.balance == 0
    page.answer_challenge(challenge, "complete")
    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "complete"
    assert buyer.books.balance == 500


def test_a_failed_3d_secure_challenge_buys_nothing(buyer: Buyer, deliveries: Deliveries) -> None:
    session = buyer.buy()
    page = HostedPage(session["url"])

    page.answer_challenge(page.pay(CARD_ASKS_3DS), "fail")

    deliveries.await_delivery(str(buyer.organization_id))
    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "open"
    assert buyer.books.balance == 0
    (payment,) = buyer.books.payments
    assert payment["status"] == "failed"


def test_scenario_37_a_pack_that_a_code_made_free_has_no_payment_intent_and_burns_before_paid_credits(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    v1 = deliveries.client.v1
    coupon = v1.coupons.create({"percent_off": 100, "duration": "once"})
    code = v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}}).code
    HostedPage(buyer.buy()["url"]).pay(CARD_PAYS)
    session = buyer.buy()
    pay = f"{deliveries.stack.stripe_twin_url}/_twin/checkout/sessions/{session['session_id']}/pay"

    httpx.post(pay, json={"card": CARD_PAYS, "promotion_code": code}).raise_for_status()
    deliveries.await_delivery(session["session_id"])

    assert v1.checkout.sessions.retrieve(session["session_id"]).payment_intent is None
    assert buyer.books.balance == 1000
    assert buyer.books.payments[-1]["amount"] == 0
    free = next(grant for grant in buyer.books.grants if grant["source_reference"] == session["session_id"])
    assert free["unit_cost"] == 0
    receipt = buyer.workers.api(
        "POST",
        "/credits/use",
        json={
            "organization_id": str(buyer.organization_id),
            "amount": 500,
            "agent_type": "TestAgent",
            "action": "test",
        },
    ).json()
    assert [spent["grant_id"] for spent in receipt["grants"]] == [str(free["id"])]
    buyer.books.assert_sound()


def test_five_deliveries_two_at_a_time_grant_once(buyer: Buyer, deliveries: Deliveries) -> None:
    session = buyer.buy()
    HostedPage(session["url"]).pay(CARD_PAYS)
    event = deliveries.event_of(session["session_id"])

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: deliveries.send(event), range(5)))

    assert [answer.status_code for answer in answers] == [200] * 5
    assert all(answer.json()["is_duplicate"] for answer in answers)
    assert buyer.books.balance == 500
    assert len(buyer.books.grants) == len(buyer.books.payments) == 1
    buyer.books.assert_sound()


@pytest.mark.serial
def test_the_return_page_before_the_webhook_grants_and_the_webhook_adds_nothing(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    twin = deliveries.stack.stripe_twin_url
    session = buyer.buy()
    httpx.post(f"{twin}/_twin/faults", json={"delay_seconds": 15}).raise_for_status()
    try:
        HostedPage(session["url"]).pay(CARD_PAYS)
        assert buyer.books.balance == 0
        answer = buyer.workers.return_page(session["session_id"]).json()
    finally:
        httpx.post(f"{twin}/_twin/faults", json={}).raise_for_status()
    assert answer["status"] == "complete"
    assert buyer.books.balance == 500

    httpx.post(f"{twin}/_twin/deliveries/retry", json={}).raise_for_status()
    deliveries.await_delivery(str(buyer.organization_id))

    assert buyer.books.balance == 500
    assert len(buyer.books.grants) == len(buyer.books.payments) == 1


def test_return_pages_and_deliveries_all_at_once_grant_once(buyer: Buyer, deliveries: Deliveries) -> None:
    session = buyer.buy()
    with ThreadPoolExecutor(4) as pool:
        paying = pool.submit(HostedPage(session["url"]).pay, CARD_PAYS)
        asking = [pool.submit(buyer.workers.return_page, session["session_id"]) for _ in range(12)]
        assert paying.result().status_code in (302, 303)
        assert {answer.result().status_code for answer in asking} == {200}

    deliveries.await_delivery(str(buyer.organization_id))
    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "complete"
    assert buyer.books.balance == 500
    assert len(buyer.books.grants) == len(buyer.books.payments) == 1
    buyer.books.assert_sound()


def test_two_browsers_paying_the_same_session_pay_once(buyer: Buyer) -> None:
    session = buyer.buy()
    browsers = [HostedPage(session["url"]) for _ in range(2)]
    forms = [browser.open() for browser in browsers]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda place: browsers[place].pay(CARD_PAYS, form_token=forms[place]), range(2)))

    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "complete"
    assert buyer.books.balance == 500
    assert len(buyer.books.payments) == 1


def test_an_expired_session_closes_the_checkout(buyer: Buyer, deliveries: Deliveries) -> None:
    session = buyer.buy()
    deliveries.client.v1.checkout.sessions.expire(session["session_id"])

    deliveries.await_delivery(str(buyer.organization_id))

    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "expired"
    (checkout,) = buyer.books.checkouts
    assert (checkout["status"], checkout["url"]) == ("expired", None)
    assert buyer.books.payments == []
