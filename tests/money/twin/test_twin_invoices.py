"""Invoices: totals with discounts, taxes and balances; paid, voided, credited, shown and kept."""

from __future__ import annotations

from typing import Any

import pytest
import stripe
from stripe import Invoice

from stripe_twin.resources.totals import Line, apply_discounts, apply_tax
from tests.money.twin.shop import Shop, card, problems

DAY = 24 * 3600
IRELAND: Any = {"line1": "1 Main St", "country": "IE"}


def one_off(shop: Shop, customer: stripe.Customer, amount: int = 5000, **more: Any) -> Invoice:
    """Return an open invoice that nobody has tried to pay."""
    v1 = shop.stripe.v1
    params: Any = {"customer": customer.id, "currency": "usd", **more}
    draft = v1.invoices.create(params)
    v1.invoice_items.create(
        {"customer": customer.id, "invoice": draft.id, "amount": amount, "currency": "usd"}
    )
    return v1.invoices.finalize_invoice(draft.id)


def coupon(**more: Any) -> dict[str, Any]:
    return {"percent_off": None, "amount_off": None, "currency": None, **more}


def test_discounts_spread_without_losing_a_cent() -> None:
    lines = [Line(1000), Line(1000), Line(1000)]
    apply_discounts(lines, [("d", coupon(amount_off=100, currency="usd"))], "usd")
    assert [line.discounted for line in lines] == [967, 967, 966]
    apply_discounts(lines, [("e", coupon(amount_off=9999, currency="usd"))], "usd")
    assert [line.discounted for line in lines] == [0, 0, 0]
    other = [Line(1000)]
    apply_discounts(other, [("d", coupon(amount_off=100, currency="eur"))], "usd")
    assert other[0].discounted == 1000


def test_tax_is_put_on_a_line_or_found_in_it() -> None:
    lines = [Line(1000, discounts={"d": 100}), Line(1200, inclusive=True)]
    apply_tax(lines, 20)  # type: ignore[arg-type]
    assert [(line.tax, line.total) for line in lines] == [(180, 1080), (200, 1200)]


def test_a_coupon_takes_off_as_long_as_it_lasts(shop: Shop) -> None:
    clock = shop.clock()
    half = shop.stripe.v1.coupons.create(
        {"percent_off": 50, "duration": "repeating", "duration_in_months": 2}
    )
    once = shop.stripe.v1.coupons.create({"amount_off": 1000, "currency": "usd", "duration": "once"})
    repeated = shop.subscribe(shop.customer(clock), shop.plan(5000), discounts=[{"coupon": half.id}])
    single = shop.subscribe(shop.customer(clock), shop.plan(5000), discounts=[{"coupon": once.id}])
    shop.advance(clock, clock.frozen_time + 100 * DAY)
    totals = {}
    for sub in (repeated, single):
        invoices = shop.stripe.v1.invoices.list({"subscription": sub.id}).data
        totals[sub.id] = [one.total for one in reversed(invoices)]
    assert totals == {repeated.id: [2500, 2500, 5000, 5000], single.id: [4000, 5000, 5000, 5000]}
    assert shop.stripe.v1.coupons.retrieve(half.id).times_redeemed == 1


def test_a_promotion_code_typed_on_the_page_lowers_the_price_and_counts_once(shop: Shop) -> None:
    v1 = shop.stripe.v1
    off = v1.coupons.create({"percent_off": 25, "name": "A quarter off"})
    code = v1.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": off.id}, "code": "QUARTER", "max_redemptions": 1}
    )
    session = shop.session(allow_promotion_codes=True)
    browser = shop.browser()
    page = browser.open(session.url or "")
    refused = browser.send_to(f"/c/pay/{session.id}/promotion-code", page, promotion_code="NONE")
    assert "This code is invalid." in problems(refused)
    browser.send_to(f"/c/pay/{session.id}/promotion-code", page, promotion_code="quarter")
    page = browser.open(session.url or "")
    assert "QUARTER" in page.text
    assert "$14.25" in page.text
    browser.send_to(f"/c/pay/{session.id}/promotion-code", page, remove="yes")
    assert shop.reload(session).amount_total == 1900
    browser.send_to(f"/c/pay/{session.id}/promotion-code", page, promotion_code="QUARTER")
    browser.pay(session)
    done = v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (done.amount_subtotal, done.amount_total) == (1900, 1425)
    assert done.total_details is not None
    assert done.total_details.amount_discount == 475
    assert isinstance(done.payment_intent, stripe.PaymentIntent)
    assert done.payment_intent.amount_received == 1425
    assert v1.promotion_codes.retrieve(code.id).times_redeemed == 1
    second = shop.session(allow_promotion_codes=True)
    page = browser.open(second.url or "")
    used = browser.send_to(f"/c/pay/{second.id}/promotion-code", page, promotion_code="QUARTER")
    assert used.status_code == 422


def test_a_code_given_after_a_decline_changes_what_is_charged(shop: Shop) -> None:
    v1 = shop.stripe.v1
    off = v1.coupons.create({"amount_off": 400, "currency": "usd"})
    v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": off.id}, "code": "FOUR"})
    session = shop.session(allow_promotion_codes=True)
    browser = shop.browser()
    browser.pay(session, "4000000000000002")
    page = browser.open(session.url or "")
    browser.send_to(f"/c/pay/{session.id}/promotion-code", page, promotion_code="FOUR")
    browser.pay(session)
    assert [one.amount for one in v1.charges.list().data if one.paid] == [1500]


def test_all_off_needs_no_payment_intent_and_no_card(shop: Shop) -> None:
    free = shop.stripe.v1.coupons.create({"percent_off": 100})
    session = shop.session(discounts=[{"coupon": free.id}])
    page = shop.browser().open(session.url or "")
    assert "Card number" not in page.text
    shop.browser().send(page, email="jenny@example.com")
    done = shop.reload(session)
    assert (done.status, done.payment_status, done.payment_intent) == (
        "complete",
        "no_payment_required",
        None,
    )
    assert shop.stripe.v1.payment_intents.list().data == []


def test_automatic_tax_follows_the_address_entered_and_stays_off_the_line_s_amount(shop: Shop) -> None:
    shop.control("POST", "/preferences", {"tax_percent": "23"})
    customer = shop.stripe.v1.customers.create({"email": "a@acme.test"})
    price = shop.plan(10000)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.plan_session(price, customer=customer.id, automatic_tax={"enabled": True})
    assert refusal.value.code == "customer_tax_location_invalid"
    session = shop.plan_session(
        price, customer=customer.id, automatic_tax={"enabled": True}, customer_update={"address": "auto"}
    )
    assert session.automatic_tax.status == "requires_location_inputs"
    shop.browser().pay(session, country="IE", postal_code="D02 XY00")
    done = shop.stripe.v1.checkout.sessions.retrieve(session.id, {"expand": ["invoice", "customer"]})
    assert (done.amount_subtotal, done.amount_total) == (10000, 12300)
    invoice = done.invoice
    assert isinstance(invoice, Invoice)
    assert (invoice.subtotal, invoice.total, invoice.total_excluding_tax, invoice.amount_paid) == (
        10000,
        12300,
        10000,
        12300,
    )
    assert invoice.lines.data[0].amount == 10000
    assert invoice.total_taxes is not None
    assert [tax.amount for tax in invoice.total_taxes] == [2300]
    assert isinstance(done.customer, stripe.Customer)
    assert done.customer.address is not None
    assert done.customer.address.country == "IE"


def test_an_invoice_whose_tax_cannot_be_worked_out_is_not_finalized(shop: Shop) -> None:
    clock = shop.clock()
    customer = shop.customer(clock, address=IRELAND)
    sub = shop.subscribe(customer, shop.plan(5000), automatic_tax={"enabled": True})
    shop.stripe.v1.customers.update(customer.id, {"address": ""})
    shop.advance(clock, sub.items.data[0].current_period_end + 2 * 3600)
    stuck = shop.stripe.v1.invoices.list({"subscription": sub.id}).data[0]
    assert stuck.status == "draft"
    assert stuck.last_finalization_error is not None
    assert stuck.last_finalization_error.code == "customer_tax_location_invalid"
    assert shop.event_types().count("invoice.finalization_failed") == 1


def test_euros_and_yen_are_charged_as_they_are(shop: Shop) -> None:
    for currency, shown in (("eur", "€19.00"), ("jpy", "¥1,900")):
        data: Any = {"currency": currency, "unit_amount": 1900, "product_data": {"name": "Pack"}}
        session = shop.session(line_items=[{"quantity": 1, "price_data": data}])
        assert shown in shop.browser().open(session.url or "").text
        shop.browser().pay(session)
        assert shop.stripe.v1.charges.list({"limit": 1}).data[0].currency == currency


def test_a_paid_checkout_that_asks_for_an_invoice_gets_a_paid_one(shop: Shop) -> None:
    session = shop.session(invoice_creation={"enabled": True, "invoice_data": {"description": "500 credits"}})
    shop.browser().pay(session)
    done = shop.stripe.v1.checkout.sessions.retrieve(session.id, {"expand": ["invoice.payments"]})
    assert isinstance(done.invoice, Invoice)
    assert (done.invoice.status, done.invoice.total, done.invoice.parent) == ("paid", 1900, None)
    assert done.invoice.payments is not None
    assert done.invoice.payments.data[0].payment.payment_intent == done.payment_intent
    assert done.customer is not None


def test_the_hosted_invoice_is_paid_once_by_card_and_can_be_kept_as_pdf(shop: Shop) -> None:
    invoice = one_off(shop, shop.stripe.v1.customers.create({"email": "a@acme.test"}))
    browser = shop.browser()
    page = browser.open(invoice.hosted_invoice_url or "")
    assert "$50.00" in page.text
    assert browser.send(page, **card("4000000000000002")).status_code == 402
    assert browser.send(page, **card("4242")).status_code == 422
    assert browser.send(page, **card("4242424242424242")).status_code == 303
    assert browser.send(page, **card("4242424242424242")).status_code == 303
    assert shop.stripe.v1.invoices.retrieve(invoice.id).status == "paid"
    assert len([one for one in shop.stripe.v1.charges.list().data if one.paid]) == 1
    file = browser.open(invoice.invoice_pdf or "")
    assert file.mimetype == "application/pdf"
    assert file.data.startswith(b"%PDF-1.4")
    assert file.data.rstrip().endswith(b"%%EOF")
    assert (invoice.number or "").encode() in file.data
    assert browser.open("/i/guessed").status_code == 404


def test_an_invoice_may_be_paid_elsewhere_voided_or_given_up(shop: Shop) -> None:
    customer = shop.customer()
    v1 = shop.stripe.v1
    elsewhere = v1.invoices.pay(one_off(shop, customer).id, {"paid_out_of_band": True})
    assert (elsewhere.status, elsewhere.amount_paid_off_stripe) == ("paid", 5000)
    voided = v1.invoices.void_invoice(one_off(shop, customer).id)
    assert voided.status == "void"
    given_up = v1.invoices.mark_uncollectible(one_off(shop, customer).id)
    assert given_up.status == "uncollectible"
    assert v1.charges.list().data == []
    statuses = [one.status for one in v1.payment_intents.list().data]
    assert statuses.count("canceled") == 1
    with pytest.raises(stripe.InvalidRequestError):
        v1.invoices.void_invoice(elsewhere.id)
    with pytest.raises(stripe.InvalidRequestError):
        v1.invoices.pay(voided.id)


def test_an_invoice_that_was_sent_becomes_overdue(shop: Shop) -> None:
    clock = shop.clock()
    sub = shop.subscribe(
        shop.customer(clock), shop.plan(5000), collection_method="send_invoice", days_until_due=7
    )
    assert sub.status == "active"
    shop.advance(clock, clock.frozen_time + 8 * DAY)
    assert shop.event_types().count("invoice.overdue") == 1
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).status == "past_due"
    shop.stripe.v1.invoices.pay(str(sub.latest_invoice))
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).status == "active"


def test_a_credit_note_refunds_or_becomes_credit_and_never_gives_back_more_than_was_paid(shop: Shop) -> None:
    customer = shop.customer()
    v1 = shop.stripe.v1
    invoice = v1.invoices.pay(one_off(shop, customer).id)
    note = v1.credit_notes.create(
        {"invoice": invoice.id, "amount": 2000, "refund_amount": 1500, "credit_amount": 500}
    )
    assert (note.type, note.status, note.number) == ("post_payment", "issued", f"{invoice.number}-CN-01")
    refund = v1.refunds.retrieve(str(note.refunds[0].refund))
    assert (refund.amount, refund.status) == (1500, "succeeded")
    assert v1.customers.retrieve(customer.id).balance == -500
    assert v1.invoices.retrieve(invoice.id).post_payment_credit_notes_amount == 2000
    with pytest.raises(stripe.InvalidRequestError, match="greater than what is left"):
        v1.credit_notes.create({"invoice": invoice.id, "amount": 3001, "credit_amount": 3001})
    with pytest.raises(stripe.InvalidRequestError, match="must equal"):
        v1.credit_notes.create({"invoice": invoice.id, "amount": 100, "credit_amount": 50})


def test_a_credit_note_on_an_open_invoice_lowers_what_is_charged_until_it_is_voided(shop: Shop) -> None:
    v1 = shop.stripe.v1
    invoice = one_off(shop, shop.customer())
    note = v1.credit_notes.create({"invoice": invoice.id, "amount": 2000})
    assert v1.invoices.retrieve(invoice.id).amount_remaining == 3000
    v1.credit_notes.void_credit_note(note.id)
    assert v1.invoices.retrieve(invoice.id).amount_remaining == 5000
    v1.credit_notes.create({"invoice": invoice.id, "amount": 4000})
    v1.invoices.pay(invoice.id)
    assert v1.charges.list().data[0].amount == 1000
