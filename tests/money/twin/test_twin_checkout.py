"""The hosted checkout page: what a customer sees, pays, fails to pay, and never pays twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe
from werkzeug.test import TestResponse

from tests.money.twin.receiver import Receiver
from tests.money.twin.shop import CANCEL_URL, Shop, card, pack, problems


def paid_charges(shop: Shop) -> list[stripe.Charge]:
    return [charge for charge in shop.stripe.v1.charges.list({"limit": 100}).data if charge.paid]


def went_to_success(answer: TestResponse, session: stripe.checkout.Session) -> bool:
    expected = f"https://merchant.test/done?session={session.id}"
    return answer.status_code == 303 and answer.headers["Location"] == expected


def test_a_new_session_is_open_unpaid_and_lives_a_day(shop: Shop) -> None:
    session = shop.session(client_reference_id="acme", metadata={"pack": "500"})
    assert (session.status, session.payment_status, session.mode) == ("open", "unpaid", "payment")
    assert (session.amount_total, session.currency, session.ui_mode) == (1900, "usd", "hosted_page")
    assert (session.payment_intent, session.customer, session.client_secret) == (None, None, None)
    assert session.expires_at - session.created == 24 * 3600
    assert session.url is not None
    assert session.url.endswith(f"/c/pay/{session.id}")
    assert session.client_reference_id == "acme"


def test_the_page_shows_merchant_lines_total_and_the_way_back(shop: Shop) -> None:
    session = shop.session(line_items=[pack(1900), pack(500, "100 credits <b>", 3)])
    page = shop.browser().open(session.url or "")
    assert page.status_code == 200
    for shown in ("Tallybase", "500 credits", "100 credits &lt;b&gt;", "$15.00", "$34.00", CANCEL_URL):
        assert shown in page.text
    assert "<b>" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


def test_a_good_card_pays_and_leads_to_the_success_page(shop: Shop, receiver: Receiver) -> None:
    customer = shop.stripe.v1.customers.create({"email": "owner@acme.test"})
    session = shop.session(customer=customer.id, payment_intent_data={"metadata": {"pack": "500"}})
    assert "owner@acme.test" in shop.browser().open(session.url or "").text
    answer = shop.browser().pay(session)
    assert went_to_success(answer, session)
    paid = shop.stripe.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert paid.customer_details is not None
    assert (paid.customer_details.email, paid.customer_details.name) == ("owner@acme.test", "Jenny Rosen")
    assert isinstance(paid.payment_intent, stripe.PaymentIntent)
    assert paid.payment_intent.status == "succeeded"
    assert paid.payment_intent.metadata.to_dict() == {"pack": "500"}
    assert paid.payment_intent.customer == customer.id
    completed = receiver.of_type("checkout.session.completed")
    assert [one.event["data"]["object"]["id"] for one in completed] == [session.id]


def test_the_redirect_waits_for_the_webhooks_answer_but_not_forever(shop: Shop, receiver: Receiver) -> None:
    receiver.answer_with(200, after_seconds=0.4)
    session = shop.session()
    shop.browser().pay(session)
    assert len(receiver.of_type("checkout.session.completed")) == 1


@pytest.mark.parametrize("status", [400, 500])
def test_a_webhook_that_fails_does_not_keep_the_customer(shop: Shop, receiver: Receiver, status: int) -> None:
    session = shop.session()
    receiver.answer_with(200, first=[status] * 3)
    assert went_to_success(shop.browser().pay(session), session)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("4000000000000002", "Your card was declined."),
        ("4000000000009995", "Your card has insufficient funds."),
        ("4000000000009987", "Your card was declined."),
        ("4000000000000069", "Your card has expired."),
        ("4000000000000127", "Your card's security code is incorrect."),
        ("6011000990139424", "Your request was in test mode, but used a non test card."),
    ],
)
def test_a_declined_card_buys_nothing_and_another_may_be_tried(shop: Shop, number: str, says: str) -> None:
    session = shop.session()
    page = shop.browser().pay(session, number)
    assert page.status_code == 402
    assert any(says in problem.replace("&#39;", "'") for problem in problems(page))
    after = shop.reload(session)
    assert (after.status, after.payment_status, after.payment_intent) == ("open", "unpaid", None)
    assert paid_charges(shop) == []
    assert "checkout.session.completed" not in shop.event_types()
    assert went_to_success(shop.browser().send(page, **card("4242424242424242")), session)
    assert len(paid_charges(shop)) == 1
    assert shop.event_types().count("payment_intent.created") == 1


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("number", "4242424242424241", "Your card number is invalid."),
        ("number", "", "Enter a card number."),
        ("number", "abcd", "Your card number is invalid."),
        ("expiry", "13 / 34", "Your card's expiration month is invalid."),
        ("expiry", "01 / 20", "Your card's expiration year is invalid."),
        ("expiry", "soon", "Enter the month and year"),
        ("cvc", "12", "Enter the 3 digits"),
        ("name", " ", "Enter the name on the card."),
        ("email", "nobody", "Enter an e-mail address"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_tried(shop: Shop, field: str, value: str, says: str) -> None:
    session = shop.session()
    page = shop.browser().pay(session, **{field: value})
    assert page.status_code == 422
    assert any(says in problem.replace("&#39;", "'") for problem in problems(page)), problems(page)
    assert 'aria-invalid="true"' in page.text
    assert shop.stripe.v1.charges.list().data == []


def test_what_was_typed_comes_back_escaped_and_the_card_number_does_not(shop: Shop) -> None:
    session = shop.session()
    page = shop.browser().pay(session, "4000000000000002", name='"><script>alert(1)</script>')
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert" in page.text
    assert "4000000000000002" not in page.text.split("Test cards")[0]


@pytest.mark.parametrize("number", ["4000002500003155", "4000002760003184"])
def test_three_d_secure_pays_after_the_challenge_and_not_before(shop: Shop, number: str) -> None:
    session = shop.session()
    browser = shop.browser()
    redirect = browser.pay(session, number)
    assert "/3ds/" in redirect.headers["Location"]
    assert paid_charges(shop) == []
    assert shop.reload(session).status == "open"
    assert went_to_success(browser.answer_challenge(redirect, "complete"), session)
    charge = paid_charges(shop)[0]
    details: Any = charge.payment_method_details
    assert details.card.three_d_secure.result == "authenticated"


def test_a_failed_challenge_buys_nothing_and_leads_back_to_the_page(shop: Shop) -> None:
    session = shop.session()
    browser = shop.browser()
    back = browser.answer_challenge(browser.pay(session, "4000002760003184"), "fail")
    page = browser.open(back.headers["Location"])
    assert "unable to authenticate" in page.text
    assert paid_charges(shop) == []
    events = shop.event_types()
    assert ("payment_intent.payment_failed" in events, "charge.failed" in events) == (True, False)
    assert went_to_success(browser.pay(session), session)


def test_a_challenge_needs_the_secret_of_its_intent(shop: Shop) -> None:
    session = shop.session()
    browser = shop.browser()
    redirect = browser.pay(session, "4000002760003184")
    address = redirect.headers["Location"].partition("?")[0]
    assert browser.open(address).status_code == 404
    page = browser.open(redirect.headers["Location"])
    assert browser.send(page, answer="complete", key="guessed").status_code == 404
    assert paid_charges(shop) == []


def test_a_challenge_answered_twice_or_after_another_card_pays_once(shop: Shop) -> None:
    session = shop.session()
    browser = shop.browser()
    challenge = browser.open(browser.pay(session, "4000002760003184").headers["Location"])
    assert went_to_success(browser.pay(session), session)
    for _ in range(2):
        assert went_to_success(browser.send(challenge, answer="complete"), session)
    assert len(paid_charges(shop)) == 1


def test_a_challenge_answered_after_the_session_ran_out_pays_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = shop.session()
    browser = shop.browser()
    challenge = browser.open(browser.pay(session, "4000002760003184").headers["Location"])
    monkeypatch.setattr("stripe_twin.unit.time.time", lambda: session.expires_at + 1)
    back = browser.send(challenge, answer="complete")
    assert browser.open(back.headers["Location"]).status_code == 410
    assert shop.reload(session).status == "expired"
    assert paid_charges(shop) == []


def test_a_page_that_was_paid_says_so_and_a_second_form_pays_nothing(shop: Shop) -> None:
    session = shop.session()
    browser = shop.browser()
    other_tab = browser.open(session.url or "")
    assert went_to_success(browser.pay(session), session)
    reloaded = browser.open(session.url or "")
    assert "already completed" in reloaded.text
    assert went_to_success(browser.send(other_tab, **card("4242424242424242")), session)
    assert len(paid_charges(shop)) == 1
    assert shop.event_types().count("checkout.session.completed") == 1


def test_ten_browsers_that_press_pay_at_once_pay_once(shop: Shop) -> None:
    session = shop.session()
    browsers = [shop.browser() for _ in range(10)]
    pages = [browser.open(session.url or "") for browser in browsers]
    together = threading.Barrier(len(browsers))

    def press(number: int) -> bool:
        together.wait()
        return went_to_success(browsers[number].send(pages[number], **card("4242424242424242")), session)

    with ThreadPoolExecutor(len(browsers)) as pool:
        assert all(pool.map(press, range(len(browsers))))
    assert len(paid_charges(shop)) == 1
    assert shop.event_types().count("checkout.session.completed") == 1


def test_paying_and_expiring_at_once_does_one_of_both(shop: Shop) -> None:
    for _ in range(5):
        session = shop.session()
        page = shop.browser().open(session.url or "")
        together = threading.Barrier(2)

        def expire(session_id: str = session.id, together: threading.Barrier = together) -> None:
            together.wait()
            shop.raw("POST", f"/v1/checkout/sessions/{session_id}/expire")

        other = threading.Thread(target=expire)
        other.start()
        together.wait()
        shop.browser().send(page, **card("4242424242424242"))
        other.join()
        after = shop.reload(session)
        charges = [one for one in paid_charges(shop) if one.payment_intent == after.payment_intent]
        assert (after.status, len(charges)) in (("complete", 1), ("expired", 0))


def test_an_expired_session_takes_no_money_and_says_so(shop: Shop) -> None:
    session = shop.session()
    page = shop.browser().open(session.url or "")
    assert shop.stripe.v1.checkout.sessions.expire(session.id).status == "expired"
    assert shop.browser().send(page, **card("4242424242424242")).status_code == 410
    shown = shop.browser().open(session.url or "")
    assert shown.status_code == 410
    assert "has expired" in shown.text
    assert CANCEL_URL in shown.text
    assert paid_charges(shop) == []
    with pytest.raises(stripe.InvalidRequestError):
        shop.stripe.v1.checkout.sessions.expire(session.id)


def test_time_expires_a_session_and_cancels_its_unpaid_intent(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = shop.session()
    page = shop.browser().pay(session, "4000000000000002")
    monkeypatch.setattr("stripe_twin.unit.time.time", lambda: session.expires_at + 1)
    assert shop.browser().send(page, **card("4242424242424242")).status_code == 410
    assert shop.reload(session).status == "expired"
    assert shop.event_types()[-2:] == ["payment_intent.canceled", "checkout.session.expired"]


def test_a_form_without_the_pages_token_pays_nothing(shop: Shop) -> None:
    session = shop.session()
    for token in ({}, {"form_token": "guessed"}):
        answer = shop.app.test_client().post(
            f"/c/pay/{session.id}", data={**card("4242424242424242"), **token}
        )
        assert answer.status_code == 400
    assert paid_charges(shop) == []


def test_nothing_to_pay_needs_no_card_and_is_completed_all_the_same(shop: Shop) -> None:
    session = shop.session(line_items=[pack(0, "Trial")])
    page = shop.browser().open(session.url or "")
    assert "Card number" not in page.text
    assert went_to_success(shop.browser().send(page, email="jenny@example.com"), session)
    after = shop.reload(session)
    assert (after.payment_status, after.payment_intent, after.status) == (
        "no_payment_required",
        None,
        "complete",
    )
    assert shop.event_types()[-1] == "checkout.session.completed"


def test_a_guest_becomes_a_customer_only_when_the_session_says_so(shop: Shop) -> None:
    guest, wanted = shop.session(), shop.session(customer_creation="always")
    for session in (guest, wanted):
        shop.browser().pay(session)
    assert shop.reload(guest).customer is None
    made = shop.stripe.v1.customers.retrieve(str(shop.reload(wanted).customer))
    assert made.email == "jenny@example.com"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"success_url": "javascript:alert(1)"}, "success_url"),
        ({"cancel_url": "//elsewhere.test"}, "cancel_url"),
        ({"expires_at": 1}, "expires_at"),
        ({"client_reference_id": "x" * 201}, "client_reference_id"),
        ({"line_items": [{"quantity": 1}]}, "line_items[0][price]"),
        ({"line_items": [{"price": "price_none", "quantity": 1}]}, "line_items[0][price]"),
        ({"line_items": [{**pack(1900), "quantity": 0}]}, "line_items[0][quantity]"),
        ({"line_items": [pack(10)]}, "line_items"),
        ({"line_items": [pack(-1)]}, "line_items[0][price_data][unit_amount]"),
    ],
)
def test_a_session_that_cannot_be_is_refused(shop: Shop, more: dict[str, Any], param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.session(**more)
    assert (refusal.value.http_status, refusal.value.param) == (400, param)
    assert shop.event_types() == []


def test_inactive_and_recurring_prices_are_not_sold(shop: Shop) -> None:
    inactive = shop.price(900, active=False)
    recurring = shop.price(900, recurring={"interval": "month"})
    for one in (inactive, recurring):
        with pytest.raises(stripe.InvalidRequestError):
            shop.session(line_items=[{"price": one.id, "quantity": 1}])


def test_lines_of_two_currencies_are_not_mixed(shop: Shop) -> None:
    euro = pack(500)
    euro["price_data"]["currency"] = "eur"
    with pytest.raises(stripe.InvalidRequestError, match="same currency"):
        shop.session(line_items=[pack(1900), euro])


def test_a_customer_deleted_in_mid_checkout_is_told_and_pays_nothing(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"email": "owner@acme.test"})
    session = shop.session(customer=customer.id, payment_intent_data={"setup_future_usage": "off_session"})
    shop.stripe.v1.customers.delete(customer.id)
    page = shop.browser().pay(session)
    assert page.status_code == 400
    assert "No such customer" in page.text
    assert paid_charges(shop) == []


def test_an_unknown_page_is_404(shop: Shop) -> None:
    for path in ("/c/pay/cs_none", "/3ds/pi_none?key=x", "/receipts/ch_none", "/p/session/none"):
        assert shop.browser().open(path).status_code == 404
