"""What Stripe.js may do with a publishable key: what it knows the client secret of, and no more."""

from __future__ import annotations

from typing import Any

import pytest
import stripe
from werkzeug.test import TestResponse

from stripe_twin.operations import OPERATIONS, UNDOCUMENTED
from tests.money.twin.shop import SUCCESS_URL, Shop, pack

PUBLISHABLE = "pk_test_of_the_test_merchant"


def ask(shop: Shop, method: str, path: str, **params: Any) -> TestResponse:
    """Call as Stripe.js does: no headers of its own, the key among the parameters."""
    sent = {"key": PUBLISHABLE, "_stripe_version": str(stripe.api_version), **params}
    more: Any = {"query_string": sent} if method == "GET" else {"data": sent}
    return shop.app.test_client().open(f"/v1/{path}", method=method, **more)


def elements_session(shop: Shop, **more: Any) -> Any:
    """Create a session that is paid within the merchant's page."""
    params: Any = {
        "mode": "payment",
        "ui_mode": "elements",
        "return_url": SUCCESS_URL,
        "line_items": [pack(1900)],
        **more,
    }
    return shop.stripe.v1.checkout.sessions.create(params)


def new_method(shop: Shop, number: str = "4242424242424242") -> str:
    """Make a payment method as the Payment Element's frame does."""
    card = {"card[number]": number, "card[exp_month]": 12, "card[exp_year]": 2040, "card[cvc]": "123"}
    answer = ask(shop, "POST", "payment_methods", type="card", **card)
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["id"])


def test_calls_that_need_a_secret_key_say_so(shop: Shop) -> None:
    closed = [entry for entry in OPERATIONS if not entry.for_browsers]
    assert len(closed) > len(UNDOCUMENTED)
    for path in ("customers", "charges", "checkout/sessions"):
        answer = ask(shop, "GET", path)
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "secret_key_required")


@pytest.mark.parametrize(
    ("secret", "says"),
    [(None, "Missing required param"), ("pi_1_secret_x", "does not match"), ("", "Missing required param")],
)
def test_an_intent_is_for_those_who_know_its_client_secret(shop: Shop, secret: str | None, says: str) -> None:
    intent = shop.intent(metadata={"inside": "only"})
    given = {} if secret is None else {"client_secret": secret}

    for method, path in (("GET", intent.id), ("POST", f"{intent.id}/confirm")):
        answer = ask(shop, method, f"payment_intents/{path}", **given)
        assert answer.status_code == 400
        assert says in answer.get_json()["error"]["message"]
    assert shop.stripe.v1.payment_intents.retrieve(intent.id).status == "requires_payment_method"


def test_one_sessions_secret_opens_no_other_session(shop: Shop) -> None:
    mine, other = elements_session(shop), elements_session(shop)

    answer = ask(shop, "GET", f"payment_pages/{other.id}", client_secret=mine.client_secret)

    assert answer.status_code == 400


def test_a_hosted_session_has_no_secret_and_is_out_of_reach(shop: Shop) -> None:
    session = shop.session()

    answer = ask(shop, "POST", f"payment_pages/{session.id}/confirm", client_secret="None")

    assert session.client_secret is None
    assert answer.status_code == 400


def test_what_is_the_merchants_alone_stays_with_the_merchant(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"email": "owner@acme.test"})
    intent = shop.intent(metadata={"inside": "only"}, customer=customer.id)
    secret = str(intent.client_secret)

    seen = ask(shop, "GET", f"payment_intents/{intent.id}", client_secret=secret)
    declined = ask(
        shop,
        "POST",
        f"payment_intents/{intent.id}/confirm",
        client_secret=secret,
        payment_method=new_method(shop, "4000000000000002"),
    )

    assert (seen.status_code, declined.status_code) == (200, 402)
    assert declined.get_json()["error"]["payment_intent"]["status"] == "requires_payment_method"
    for answer in (seen, declined):
        assert "inside" not in answer.text
        assert customer.id not in answer.text
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_another_version_of_the_api_is_refused(shop: Shop) -> None:
    answer = ask(shop, "POST", "payment_methods", type="card", _stripe_version="2024-06-20")

    assert answer.get_json()["error"]["code"] == "twin_not_supported"


def test_a_session_is_paid_by_the_page_that_shows_it_once(shop: Shop) -> None:
    session = elements_session(shop, customer_email="jenny@example.com")
    secret = session.client_secret
    page = ask(shop, "GET", f"payment_pages/{session.id}", client_secret=secret).get_json()
    assert page["session"]["total"]["total"] == {"amount": "$19.00", "minorUnitsAmount": 1900}
    pay = {"client_secret": secret, "payment_method": new_method(shop), "expected_amount": 1900}

    first = ask(shop, "POST", f"payment_pages/{session.id}/confirm", **pay)
    again = ask(shop, "POST", f"payment_pages/{session.id}/confirm", **pay)

    assert first.get_json()["session"]["status"] == {"type": "complete", "paymentStatus": "paid"}
    assert (again.status_code, again.get_json()["error"]["code"]) == (
        400,
        "checkout_session_unexpected_state",
    )
    assert [charge.amount for charge in shop.stripe.v1.charges.list().data] == [1900]
    assert "checkout.session.completed" in {event["type"] for event in shop.all_events()}


def test_another_amount_than_was_shown_is_not_charged(shop: Shop) -> None:
    session = elements_session(shop, customer_email="jenny@example.com")

    answer = ask(
        shop,
        "POST",
        f"payment_pages/{session.id}/confirm",
        client_secret=session.client_secret,
        payment_method=new_method(shop),
        expected_amount=1,
    )

    assert answer.get_json()["error"]["code"] == "checkout_amount_mismatch"
    assert shop.stripe.v1.charges.list().data == []


def test_the_bank_asks_within_the_page_and_the_session_goes_on_after_it(shop: Shop) -> None:
    session = elements_session(shop, customer_email="jenny@example.com")
    secret = session.client_secret
    asked = ask(
        shop,
        "POST",
        f"payment_pages/{session.id}/confirm",
        client_secret=secret,
        payment_method=new_method(shop, "4000002760003184"),
    ).get_json()
    intent = asked["payment_intent"]
    assert (intent["status"], intent["next_action"]["type"]) == ("requires_action", "use_stripe_sdk")
    challenge = intent["next_action"]["use_stripe_sdk"]["stripe_js"].partition("12111")[2]
    browser = shop.app.test_client()

    framed, plain = browser.get(f"{challenge}&framed=1"), browser.get(challenge)
    answer = {"key": intent["client_secret"], "answer": "complete", "framed": "yes"}
    answered = browser.post(challenge, data=answer)

    assert "frame-ancestors http: https:" in framed.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in plain.headers["Content-Security-Policy"]
    assert "Your bank has your answer" in answered.text
    page = ask(shop, "GET", f"payment_pages/{session.id}", client_secret=secret).get_json()
    assert page["session"]["status"] == {"type": "complete", "paymentStatus": "paid"}


def test_saved_cards_are_offered_to_their_owner_as_the_session_allows(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"email": "owner@acme.test"})
    first = elements_session(
        shop,
        customer=customer.id,
        saved_payment_method_options={"payment_method_save": "enabled"},
    )
    ask(
        shop,
        "POST",
        f"payment_pages/{first.id}/confirm",
        client_secret=first.client_secret,
        payment_method=new_method(shop),
        save_payment_method="true",
    )
    unticked = shop.stripe.v1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
    stranger = shop.stripe.v1.payment_methods.attach(
        "pm_card_amex", {"customer": shop.stripe.v1.customers.create({}).id}
    )
    second = elements_session(shop, customer=customer.id)
    path, secret = f"payment_pages/{second.id}", second.client_secret

    (saved,) = ask(shop, "GET", path, client_secret=secret).get_json()["session"]["savedPaymentMethods"]
    refused = [
        ask(shop, "POST", f"{path}/confirm", client_secret=secret, payment_method=one.id).status_code
        for one in (unticked, stranger)
    ]
    paid = ask(shop, "POST", f"{path}/confirm", client_secret=secret, payment_method=saved["id"])

    assert saved["card"]["last4"] == "4242"
    assert refused == [400, 400]
    assert paid.get_json()["session"]["status"]["type"] == "complete"


def test_a_promotion_code_and_an_address_change_what_the_page_shows(shop: Shop) -> None:
    coupon = shop.stripe.v1.coupons.create({"percent_off": 50, "duration": "once"})
    shop.stripe.v1.promotion_codes.create(
        {"code": "HALF", "promotion": {"type": "coupon", "coupon": coupon.id}}
    )
    session = elements_session(shop, allow_promotion_codes=True, automatic_tax={"enabled": True})
    path, secret = f"payment_pages/{session.id}", session.client_secret

    def send(**params: Any) -> Any:
        return ask(shop, "POST", path, client_secret=secret, **params).get_json()

    assert send(email="jenny@example.com")["session"]["tax"]["status"] == "requires_billing_address"
    place = {"address[country]": "IE", "address[postal_code]": "D02"}
    assert send(**place)["session"]["tax"]["status"] == "ready"
    half = send(promotion_code="half")["session"]
    assert half["total"]["discount"]["minorUnitsAmount"] == 950
    assert half["discountAmounts"][0]["promotionCode"] == "HALF"
    assert send(promotion_code="nonsense")["error"]["code"] == "promotion_code_invalid"
    assert send(promotion_code="")["session"]["total"]["discount"]["minorUnitsAmount"] == 0


def test_the_script_is_served_at_the_addresses_of_stripes_own(shop: Shop) -> None:
    release = str(stripe.api_version).rpartition(".")[2]
    browser = shop.app.test_client()

    scripts = {browser.get(f"/{name}/stripe.js").text for name in ("v3", release)}

    assert len(scripts) == 1
    assert "window.Stripe = Stripe" in scripts.pop()
