"""Payment intents, saved cards and refunds: who pays, who is refused, and what the merchant is told."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from stripe_twin.cards import TEST_CARDS, passes_luhn
from tests.money.twin.shop import Shop


def confirmed(shop: Shop, method: str, **more: Any) -> stripe.PaymentIntent:
    params: Any = {"amount": 1900, "currency": "usd", "payment_method": method, "confirm": True, **more}
    return shop.stripe.v1.payment_intents.create(params)


def test_a_good_card_pays_off_session_with_a_charge_and_a_receipt(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"payment_method": "pm_card_visa"})
    method = shop.stripe.v1.payment_methods.list({"customer": customer.id}).data[0]
    intent = confirmed(
        shop,
        method.id,
        customer=customer.id,
        off_session=True,
        allowed_payment_method_types=["card"],
        metadata={"kind": "topup"},
        expand=["latest_charge"],
    )
    assert (intent.status, intent.amount_received) == ("succeeded", 1900)
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.paid, charge.captured, charge.status) == (True, True, "succeeded")
    assert charge.metadata.to_dict() == {"kind": "topup"}
    receipt = shop.browser().open(charge.receipt_url or "")
    assert receipt.status_code == 200
    assert "$19.00" in receipt.text
    assert "ending in 4242" in receipt.text
    wanted = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    assert [name for name in shop.event_types() if name in wanted] == wanted


def test_an_issuer_that_asks_for_its_absent_customer_refuses_with_402(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"payment_method": "pm_card_authenticationRequired"})
    method = shop.stripe.v1.payment_methods.list({"customer": customer.id}).data[0]
    with pytest.raises(stripe.CardError) as refusal:
        confirmed(shop, method.id, customer=customer.id, off_session=True)
    error: Any = refusal.value.error
    assert (refusal.value.http_status, refusal.value.code) == (402, "authentication_required")
    assert error.decline_code == "authentication_required"
    assert error.payment_intent.status == "requires_payment_method"
    assert error.payment_intent.last_payment_error.code == "authentication_required"
    stored = shop.stripe.v1.payment_intents.retrieve(error.payment_intent.id)
    assert stored.status == "requires_payment_method"
    assert "payment_intent.payment_failed" in shop.event_types()
    assert "payment_intent.requires_action" not in shop.event_types()


def test_the_same_intent_is_then_confirmed_on_session_and_paid_once(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"payment_method": "pm_card_authenticationRequired"})
    method = shop.stripe.v1.payment_methods.list({"customer": customer.id}).data[0]
    with pytest.raises(stripe.CardError) as refusal:
        confirmed(shop, method.id, customer=customer.id, off_session=True)
    intent_id = refusal.value.error.payment_intent.id  # type: ignore[union-attr]
    asking = shop.stripe.v1.payment_intents.confirm(
        intent_id, {"payment_method": method.id, "return_url": "https://merchant.test/back?a=1"}
    )
    assert asking.status == "requires_action"
    assert asking.next_action is not None
    assert asking.next_action.redirect_to_url is not None
    page = shop.browser().open(asking.next_action.redirect_to_url.url or "")
    back = shop.browser().send(page, answer="complete")
    assert back.headers["Location"].startswith("https://merchant.test/back?a=1&payment_intent=" + intent_id)
    assert "redirect_status=succeeded" in back.headers["Location"]
    again = shop.browser().send(page, answer="complete")
    assert again.status_code == 303
    paid = [one for one in shop.stripe.v1.charges.list({"payment_intent": intent_id}).data if one.paid]
    assert len(paid) == 1


@pytest.mark.parametrize("card", [c for c in TEST_CARDS if c.decline and c.authentication == "never"])
def test_each_declining_card_says_why(shop: Shop, card: Any) -> None:
    with pytest.raises(stripe.CardError) as refusal:
        confirmed(shop, card.token)
    error: Any = refusal.value.error
    assert (refusal.value.code, error.message) == (card.decline.code, card.decline.message)
    assert getattr(error, "decline_code", None) == card.decline.decline_code
    charge = shop.stripe.v1.charges.retrieve(error.charge)
    assert (charge.status, charge.paid, charge.failure_code) == ("failed", False, card.decline.code)
    assert charge.receipt_url is None


def test_a_card_set_up_for_later_is_not_asked_again_and_a_strict_one_always_is(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"email": "a@acme.test"})
    for number, later in (("4000002500003155", "succeeded"), ("4000002760003184", "authentication_required")):
        session = shop.session(
            customer=customer.id, payment_intent_data={"setup_future_usage": "off_session"}
        )
        browser = shop.browser()
        assert (
            "merchant.test/done"
            in (browser.answer_challenge(browser.pay(session, number), "complete").headers["Location"])
        )
        method = shop.stripe.v1.payment_methods.list({"customer": customer.id}).data[0]
        assert method.card is not None
        assert method.card.last4 == number[-4:]
        try:
            outcome = confirmed(shop, method.id, customer=customer.id, off_session=True).status
        except stripe.CardError as refusal:
            outcome = str(refusal.code)
        assert outcome == later


def test_a_saved_card_belongs_to_its_customer_alone(shop: Shop) -> None:
    owner = shop.stripe.v1.customers.create({"payment_method": "pm_card_visa"})
    stranger = shop.stripe.v1.customers.create()
    method = shop.stripe.v1.payment_methods.list({"customer": owner.id}).data[0]
    with pytest.raises(stripe.InvalidRequestError, match="belongs to a Customer"):
        confirmed(shop, method.id, customer=stranger.id, off_session=True)
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        shop.stripe.v1.payment_methods.attach(method.id, {"customer": stranger.id})


def test_a_card_used_without_a_customer_or_detached_cannot_be_used_again(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create()
    used = confirmed(shop, "pm_card_visa")
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        shop.stripe.v1.payment_methods.attach(str(used.payment_method), {"customer": customer.id})
    shop.stripe.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    kept = shop.stripe.v1.payment_methods.list({"customer": customer.id}).data[0]
    settings: Any = {"default_payment_method": kept.id}
    shop.stripe.v1.customers.update(customer.id, {"invoice_settings": settings})
    shop.stripe.v1.payment_methods.detach(kept.id)
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        confirmed(shop, kept.id, customer=customer.id)
    after = shop.stripe.v1.customers.retrieve(customer.id)
    assert after.invoice_settings is not None
    assert after.invoice_settings.default_payment_method is None


def test_a_refusing_card_cannot_be_saved_unless_it_declines_only_when_charged(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create()
    with pytest.raises(stripe.CardError):
        shop.stripe.v1.payment_methods.attach("pm_card_visa_chargeDeclined", {"customer": customer.id})
    shop.stripe.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    kept = shop.stripe.v1.payment_methods.list({"customer": customer.id}).data[0]
    with pytest.raises(stripe.CardError):
        confirmed(shop, kept.id, customer=customer.id, off_session=True)


def test_an_intent_is_paid_or_canceled_once(shop: Shop) -> None:
    paid = confirmed(shop, "pm_card_visa")
    for call in (shop.stripe.v1.payment_intents.confirm, shop.stripe.v1.payment_intents.cancel):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            call(paid.id)
        assert refusal.value.code == "payment_intent_unexpected_state"
    open_one = shop.stripe.v1.payment_intents.create({"amount": 500, "currency": "usd"})
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method"):
        shop.stripe.v1.payment_intents.confirm(open_one.id)
    assert shop.stripe.v1.payment_intents.cancel(open_one.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError):
        shop.stripe.v1.payment_intents.confirm(open_one.id, {"payment_method": "pm_card_visa"})


def test_refunds_add_up_to_the_charge_and_no_further(shop: Shop) -> None:
    intent = confirmed(shop, "pm_card_visa")
    part = shop.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 900})
    assert (part.status, part.amount, part.charge) == ("succeeded", 900, intent.latest_charge)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        shop.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 1001})
    rest = shop.stripe.v1.refunds.create({"payment_intent": intent.id})
    assert rest.amount == 1000
    with pytest.raises(stripe.InvalidRequestError) as again:
        shop.stripe.v1.refunds.create({"payment_intent": intent.id})
    assert again.value.code == "charge_already_refunded"
    charge = shop.stripe.v1.charges.retrieve(str(part.charge), {"expand": ["refunds"]})
    assert (charge.amount_refunded, charge.refunded) == (1900, True)
    assert charge.refunds is not None
    assert [one.id for one in charge.refunds.data] == [rest.id, part.id]
    told = [name for name in shop.event_types() if "refund" in name]
    assert told == ["refund.created", "charge.refunded", "refund.updated"] * 2


def test_numbers_are_checked_as_card_numbers(shop: Shop) -> None:
    assert all(passes_luhn(card.number) for card in TEST_CARDS)
    assert not passes_luhn("4242424242424241")
    assert not passes_luhn("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢")
    create = shop.stripe.v1.payment_methods.create
    for number, code in (("4242424242424241", "incorrect_number"), ("6011000990139424", "card_declined")):
        with pytest.raises(stripe.CardError) as refusal:
            create({"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2034}})
        assert refusal.value.code == code


def test_the_portal_shows_cards_and_payments_and_ends_after_an_hour(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = shop.stripe.v1.customers.create(
        {"email": "<b>owner</b>@acme.test", "payment_method": "pm_card_visa"}
    )
    method = shop.stripe.v1.payment_methods.list({"customer": customer.id}).data[0]
    confirmed(shop, method.id, customer=customer.id)
    portal = shop.stripe.v1.billing_portal.sessions.create(
        {"customer": customer.id, "return_url": "https://merchant.test/billing"}
    )
    page = shop.browser().open(portal.url)
    assert page.status_code == 200
    assert "•••• 4242" in page.text
    assert "$19.00" in page.text
    assert "https://merchant.test/billing" in page.text
    assert "<b>owner" not in page.text
    assert shop.browser().open(portal.url + "x").status_code == 404
    monkeypatch.setattr("stripe_twin.unit.time.time", lambda: portal.created + 3601)
    assert shop.browser().open(portal.url).status_code == 404
