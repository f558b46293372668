"""One walk through subscriptions, invoices and money that comes back, so that the oracles see all of it."""

from __future__ import annotations

from typing import Any

import pytest
import stripe
from stripe import Customer, Subscription
from stripe.test_helpers import TestClock

from tests.money.twin.shop import SUCCESS_URL, Shop

DAY = 24 * 3600
HOUR = 3600


def given(**params: Any) -> Any:
    """Return parameters of a call, whatever its type."""
    return params


def live_through_billing(shop: Shop) -> None:
    """Make every call about subscriptions, invoices, refunds and disputes, and let time pass."""
    clock = shop.clock()
    _coupons(shop)
    _checkouts(shop, clock)
    _running(shop, clock)
    _dunning(shop, clock)
    _invoices(shop, clock)
    _money_back(shop, clock)
    _debits(shop, clock)
    _cards(shop)
    _portal(shop)
    _clocks(shop, clock)


def _coupons(shop: Shop) -> None:
    v1 = shop.stripe.v1
    coupon = v1.coupons.create(
        {"percent_off": 50, "duration": "repeating", "duration_in_months": 2, "name": "Half"}
    )
    v1.coupons.retrieve(coupon.id)
    v1.coupons.update(coupon.id, {"name": "Half price"})
    v1.coupons.list()
    code = v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "HALF"})
    v1.promotion_codes.retrieve(code.id, {"expand": ["promotion.coupon"]})
    v1.promotion_codes.update(code.id, {"metadata": {"campaign": "autumn"}})
    v1.promotion_codes.list({"code": "HALF"})
    product = v1.products.create({"name": "Only this"}).id
    unused = v1.coupons.create({"amount_off": 100, "currency": "usd", "applies_to": {"products": [product]}})
    v1.coupons.delete(unused.id)


def _checkouts(shop: Shop, clock: TestClock) -> None:
    customer = shop.customer(clock, address={"line1": "1 Main St", "country": "IE"})
    price = shop.plan(4900, "Pro")
    session = shop.plan_session(
        price,
        customer=customer.id,
        allow_promotion_codes=True,
        automatic_tax={"enabled": True},
        customer_update={"address": "auto"},
        subscription_data={"metadata": {"organization": "1"}, "description": "Pro"},
    )
    browser = shop.browser()
    page = browser.open(session.url or "")
    browser.send_to(f"/c/pay/{session.id}/promotion-code", page, promotion_code="half")
    where = {"country": "IE", "postal_code": "D02"}
    browser.pay(session, "4000000000000002", **where)
    browser.answer_challenge(browser.pay(session, "4000002500003155", **where), "complete")
    trial = shop.plan_session(
        price,
        customer=shop.customer(clock).id,
        subscription_data={"trial_period_days": 14},
    )
    browser.pay(trial)
    saving: Any = {"mode": "setup", "currency": "usd", "customer": customer.id, "success_url": SUCCESS_URL}
    sessions = shop.stripe.v1.checkout.sessions
    first = sessions.create(saving)
    browser.pay(first, "4000000000000002")
    browser.answer_challenge(browser.pay(first, "4000002760003184"), "fail")
    browser.pay(first)
    started = sessions.create(saving)
    browser.pay(started, "4000002760003184")
    sessions.expire(started.id)
    elements: Any = {**saving, "ui_mode": "elements", "return_url": SUCCESS_URL}
    del elements["success_url"]
    sessions.create(elements)
    shop.browser().pay(shop.session(invoice_creation={"enabled": True}, customer=customer.id))
    shop.advance(clock, clock.frozen_time + 40 * DAY)


def _running(shop: Shop, clock: TestClock) -> None:
    v1 = shop.stripe.v1
    customer = shop.customer(clock)
    pro, team = shop.plan(4900, "Pro"), shop.plan(9900, "Team")
    sub = shop.subscribe(
        customer, pro, expand=["latest_invoice.payments", "latest_invoice.confirmation_secret", "customer"]
    )
    item = sub.items.data[0].id
    changed: Any = {"items": [{"id": item, "price": team.id}], "proration_behavior": "always_invoice"}
    v1.invoices.create_preview({"subscription": sub.id, "subscription_details": changed})
    v1.subscriptions.update(sub.id, changed)
    v1.invoices.create_preview({"subscription": sub.id})
    v1.subscriptions.update(sub.id, {"discounts": [{"coupon": v1.coupons.list().data[0].id}]})
    v1.subscriptions.retrieve(sub.id, {"expand": ["discounts", "latest_invoice"]})
    v1.subscriptions.delete_discount(sub.id)
    v1.subscriptions.list({"customer": customer.id, "status": "all"})
    extra = v1.subscription_items.create({"subscription": sub.id, "price": pro.id})
    v1.subscription_items.retrieve(extra.id)
    v1.subscription_items.update(extra.id, {"quantity": 2})
    v1.subscription_items.list({"subscription": sub.id})
    v1.subscription_items.delete(extra.id)
    v1.subscriptions.update(sub.id, {"cancel_at_period_end": True})
    v1.subscriptions.update(sub.id, {"cancel_at_period_end": False})
    v1.subscriptions.pause(sub.id, {"type": "subscription"})
    v1.subscriptions.resume(sub.id)
    _pending_updates(shop, clock, customer, sub)
    v1.subscriptions.cancel(sub.id, {"prorate": True, "invoice_now": True})
    unpaid = shop.subscribe(shop.customer(clock), pro, payment_behavior="default_incomplete")
    v1.invoices.void_invoice(str(unpaid.latest_invoice))


def _pending_updates(shop: Shop, clock: TestClock, customer: Customer, sub: Subscription) -> None:
    v1 = shop.stripe.v1
    item = v1.subscriptions.retrieve(sub.id).items.data[0].id
    wish: Any = {"proration_behavior": "always_invoice", "payment_behavior": "pending_if_incomplete"}
    shop.control("POST", f"/customers/{customer.id}/next_charge", {"do": "decline", "times": 2})
    v1.subscriptions.update(sub.id, given(**wish, items=[{"id": item, "quantity": 2}]))
    waiting = v1.subscriptions.retrieve(sub.id)
    shop.control("POST", f"/customers/{customer.id}/next_charge", {})
    v1.invoices.pay(str(waiting.latest_invoice))
    shop.control("POST", f"/customers/{customer.id}/next_charge", {"do": "decline", "times": 9})
    v1.subscriptions.update(sub.id, given(**wish, items=[{"id": item, "quantity": 3}]))
    now = v1.test_helpers.test_clocks.retrieve(clock.id).frozen_time
    shop.advance(clock, now + DAY)
    shop.control("POST", f"/customers/{customer.id}/next_charge", {})


def _dunning(shop: Shop, clock: TestClock) -> None:
    v1 = shop.stripe.v1
    price = shop.plan(2900, "Starter")
    failing, asking = shop.customer(clock), shop.customer(clock)
    sub = shop.subscribe(failing, price)
    shop.subscribe(asking, price)
    shop.control("POST", f"/customers/{failing.id}/next_charge", {"do": "decline", "times": 9})
    shop.control("POST", f"/customers/{asking.id}/next_charge", {"do": "authenticate", "times": 9})
    shop.subscribe(shop.customer(clock), price, collection_method="send_invoice", days_until_due=3)
    shop.advance(clock, sub.items.data[0].current_period_end + 20 * DAY)
    assert v1.subscriptions.retrieve(sub.id).status == "canceled"


def _invoices(shop: Shop, clock: TestClock) -> None:
    v1 = shop.stripe.v1
    customer = shop.customer(clock)
    owner: Any = {"customer": customer.id, "currency": "usd"}
    waiting = v1.invoice_items.create(given(**owner, amount=500, description="Setup"))
    v1.invoice_items.update(waiting.id, {"description": "Setting up"})
    v1.invoice_items.retrieve(waiting.id)
    v1.invoice_items.list({"customer": customer.id})
    v1.invoice_items.delete(v1.invoice_items.create(given(**owner, amount=1)).id)
    invoice = v1.invoices.create(given(**owner, pending_invoice_items_behavior="include"))
    v1.invoice_items.create(given(**owner, amount=2500, invoice=invoice.id))
    v1.invoices.update(invoice.id, {"description": "Work done", "metadata": {"job": "1"}})
    v1.invoices.finalize_invoice(invoice.id)
    note = v1.credit_notes.create({"invoice": invoice.id, "amount": 300, "reason": "order_change"})
    v1.credit_notes.update(note.id, {"memo": "A gesture"})
    v1.credit_notes.retrieve(note.id, {"expand": ["invoice"]})
    v1.credit_notes.void_credit_note(note.id)
    v1.invoices.pay(invoice.id)
    lines: Any = [{"type": "invoice_line_item", "invoice_line_item": invoice.lines.data[0].id, "amount": 500}]
    v1.credit_notes.create(
        {"invoice": invoice.id, "lines": lines, "refund_amount": 300, "credit_amount": 200}
    )
    v1.credit_notes.list({"invoice": invoice.id})
    v1.invoices.line_items.list(invoice.id)
    v1.invoices.list({"customer": customer.id, "expand": ["data.payments"]})
    payments = v1.invoice_payments.list({"invoice": invoice.id, "expand": ["data.payment.payment_intent"]})
    v1.invoice_payments.retrieve(payments.data[0].id)
    v1.invoices.delete(v1.invoices.create(owner).id)
    sent = v1.invoices.create(given(**owner, collection_method="send_invoice", days_until_due=1))
    v1.invoice_items.create(given(**owner, amount=700, invoice=sent.id))
    v1.invoices.send_invoice(sent.id)
    v1.invoices.mark_uncollectible(sent.id)
    v1.invoices.retrieve(sent.id)
    untaxed = v1.invoices.create(given(**owner, automatic_tax={"enabled": True}, auto_advance=True))
    v1.invoice_items.create(given(**owner, amount=700, invoice=untaxed.id))
    with pytest.raises(stripe.InvalidRequestError):
        v1.invoices.finalize_invoice(untaxed.id)


def _money_back(shop: Shop, clock: TestClock) -> None:
    v1 = shop.stripe.v1
    customer = shop.customer(clock)

    def paid(card: str) -> str:
        return shop.intent(customer=customer.id, payment_method=card, confirm=True).id

    v1.refunds.create({"payment_intent": paid("pm_card_pendingRefund")})
    v1.refunds.create({"payment_intent": paid("pm_card_refundFail"), "amount": 700})
    taken_back = v1.refunds.create({"payment_intent": paid("pm_card_pendingRefund")})
    v1.refunds.cancel(taken_back.id)
    dispute = v1.disputes.list({"payment_intent": paid("pm_card_createDispute")}).data[0]
    v1.disputes.retrieve(dispute.id, {"expand": ["charge"]})
    v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    other = v1.disputes.list({"payment_intent": paid("pm_card_createDisputeInquiry")}).data[0]
    v1.disputes.update(other.id, {"evidence": {"uncategorized_text": "escalate_inquiry_evidence"}})
    v1.disputes.close(other.id)
    asked = v1.disputes.list({"payment_intent": paid("pm_card_createDisputeInquiry")}).data[0]
    shop.control("POST", f"/disputes/{asked.id}/close_inquiry", {})
    warnings = v1.radar.early_fraud_warnings
    warning = warnings.list({"payment_intent": paid("pm_card_createIssuerFraudRecord")}).data[0]
    warnings.retrieve(warning.id, {"expand": ["charge"]})
    booked = v1.balance_transactions.list({"type": "adjustment"}).data[0]
    v1.balance_transactions.retrieve(booked.id)
    now = v1.test_helpers.test_clocks.retrieve(clock.id).frozen_time
    shop.advance(clock, now + 4 * DAY)


def _debits(shop: Shop, clock: TestClock) -> None:
    customer = shop.customer(clock)
    for account in ("000123456789", "000222222227"):
        session = shop.session(customer=customer.id)
        fields = {"method": "bank", "account": account, "name": "Jenny Rosen"}
        browser = shop.browser()
        browser.send(browser.open(f"{session.url}?method=bank"), **fields)
    euro: Any = {"amount": 1900, "currency": "eur", "customer": customer.id, "confirm": True}
    shop.stripe.v1.payment_intents.create(given(**euro, payment_method="pm_success_at"))
    shop.stripe.v1.payment_methods.create(
        {"type": "sepa_debit", "sepa_debit": {"iban": "AT861904300235473202"}}
    )
    now = shop.stripe.v1.test_helpers.test_clocks.retrieve(clock.id).frozen_time
    shop.advance(clock, now + 4 * DAY)


def _cards(shop: Shop) -> None:
    v1 = shop.stripe.v1
    customer = shop.customer()
    intents = v1.setup_intents
    intent = intents.create({"customer": customer.id, "usage": "off_session"})
    intents.update(intent.id, {"description": "For top-ups"})
    with pytest.raises(stripe.CardError):
        intents.confirm(intent.id, {"payment_method": "pm_card_visa_chargeDeclined"})
    intents.confirm(intent.id, {"payment_method": "pm_card_mastercard"})
    intents.retrieve(intent.id, {"expand": ["payment_method"]})
    intents.list({"customer": customer.id})
    intents.confirm(
        intents.create({"customer": customer.id, "payment_method": "pm_card_authenticationRequired"}).id
    )
    intents.cancel(intents.create({}).id)
    saved = v1.payment_methods.list({"customer": customer.id}).data[0]
    shop.control("POST", f"/payment_methods/{saved.id}/renew", {"last4": "1111"})
    unused = shop.plan(1, "Never sold")
    shop.control("POST", f"/prices/{unused.id}/delete", {})


def _portal(shop: Shop) -> None:
    v1 = shop.stripe.v1
    configurations = v1.billing_portal.configurations
    made = configurations.create(
        {
            "business_profile": {"headline": "Credits for agents"},
            "features": {"subscription_cancel": {"enabled": True, "mode": "immediately"}},
        }
    )
    configurations.update(made.id, {"name": "Ours", "default_return_url": "https://merchant.test/"})
    configurations.retrieve(made.id)
    configurations.list()
    customer = shop.customer()
    sub = shop.subscribe(customer, shop.plan(900, "Small"))
    flow: Any = {"type": "subscription_cancel", "subscription_cancel": {"subscription": sub.id}}
    v1.billing_portal.sessions.create(
        {"customer": customer.id, "configuration": made.id, "flow_data": flow, "expand": ["configuration"]}
    )


def _clocks(shop: Shop, clock: TestClock) -> None:
    clocks = shop.stripe.v1.test_helpers.test_clocks
    clocks.list()
    clocks.delete(clock.id)
