"""Subscriptions begin as at Stripe: by Checkout or the API, paid, on trial, free, refused, or left open."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from stripe import Invoice, PaymentIntent, SetupIntent, Subscription
from stripe.checkout import Session

from tests.money.twin.receiver import Receiver
from tests.money.twin.shop import SUCCESS_URL, Shop

DAY = 24 * 3600


def subscription_of(shop: Shop, session: Session) -> Subscription:
    """Return the subscription that a paid session made, with its invoice."""
    expand: Any = {"expand": ["latest_invoice.payments", "default_payment_method"]}
    return shop.stripe.v1.subscriptions.retrieve(str(shop.reload(session).subscription), expand)


def day(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M}"


def test_a_paid_checkout_makes_an_active_subscription_with_its_first_invoice_paid(
    shop: Shop, receiver: Receiver
) -> None:
    customer = shop.stripe.v1.customers.create({"email": "owner@acme.test"})
    session = shop.plan_session(
        shop.plan(4900), customer=customer.id, subscription_data={"metadata": {"organization": "1"}}
    )
    assert (session.mode, session.amount_total, session.payment_method_collection) == (
        "subscription",
        4900,
        "always",
    )
    assert (session.subscription, session.invoice, session.customer_creation) == (None, None, None)
    assert (
        shop.browser().pay(session).headers["Location"] == f"https://merchant.test/done?session={session.id}"
    )
    done = shop.reload(session)
    assert (done.status, done.payment_status, done.payment_intent) == ("complete", "paid", None)
    sub = subscription_of(shop, session)
    assert (sub.status, sub.customer, sub.billing_mode.type) == ("active", customer.id, "flexible")
    assert sub.metadata.to_dict() == {"organization": "1"}
    assert isinstance(sub.default_payment_method, stripe.PaymentMethod)
    assert sub.default_payment_method.customer == customer.id
    invoice = sub.latest_invoice
    assert isinstance(invoice, Invoice)
    assert (invoice.id, invoice.status, invoice.billing_reason) == (
        done.invoice,
        "paid",
        "subscription_create",
    )
    assert invoice.period_start == invoice.period_end
    assert invoice.parent is not None
    assert invoice.parent.subscription_details is not None
    assert invoice.parent.subscription_details.subscription == sub.id
    assert invoice.parent.subscription_details.metadata is not None
    assert invoice.parent.subscription_details.metadata.to_dict() == {"organization": "1"}
    line, item = invoice.lines.data[0], sub.items.data[0]
    assert (line.period.start, line.period.end) == (item.current_period_start, item.current_period_end)
    assert line.pricing is not None
    assert line.pricing.price_details is not None
    assert line.pricing.price_details.price == item.price.id
    assert invoice.payments is not None
    assert invoice.payments.data[0].status == "paid"
    shop.wait_until_idle()
    assert len(receiver.of_type("customer.subscription.created")) == 1
    assert len(receiver.of_type("invoice.paid")) == 1
    assert "payments" not in receiver.of_type("invoice.paid")[0].event["data"]["object"]


def test_the_payment_of_an_invoice_leads_back_to_the_invoice(shop: Shop) -> None:
    session = shop.plan_session(shop.plan(4900))
    shop.browser().pay(session)
    intent = shop.stripe.v1.payment_intents.list().data[0]
    found = shop.stripe.v1.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": intent.id}, "status": "paid"}
    )
    assert [one.invoice for one in found.data] == [shop.reload(session).invoice]
    expand: Any = {"invoice": found.data[0].invoice, "expand": ["data.payment.payment_intent.latest_charge"]}
    listed = shop.stripe.v1.invoice_payments.list(expand)
    charged = listed.data[0].payment.payment_intent
    assert isinstance(charged, PaymentIntent)
    assert isinstance(charged.latest_charge, stripe.Charge)
    assert charged.latest_charge.amount == 4900


def test_a_declined_card_subscribes_nobody_and_another_one_may_be_tried(shop: Shop) -> None:
    session = shop.plan_session(shop.plan(4900))
    assert shop.browser().pay(session, "4000000000009995").status_code == 402
    assert shop.stripe.v1.subscriptions.list({"status": "all"}).data == []
    assert shop.reload(session).status == "open"
    shop.browser().pay(session)
    assert subscription_of(shop, session).status == "active"
    assert len(shop.stripe.v1.subscriptions.list().data) == 1


def test_three_d_secure_decides_whether_a_subscription_begins(shop: Shop) -> None:
    session = shop.plan_session(shop.plan(4900))
    browser = shop.browser()
    refused = browser.answer_challenge(browser.pay(session, "4000002500003155"), "fail")
    assert refused.headers["Location"].endswith("?challenge=failed")
    assert shop.stripe.v1.subscriptions.list().data == []
    browser.answer_challenge(browser.pay(session, "4000002500003155"), "complete")
    assert subscription_of(shop, session).status == "active"


def test_a_trial_saves_the_card_charges_nothing_and_charges_at_its_end(shop: Shop) -> None:
    clock = shop.clock("2027-01-01T09:00:00+00:00")
    customer = shop.stripe.v1.customers.create({"email": "a@acme.test", "test_clock": clock.id})
    session = shop.plan_session(
        shop.plan(4900),
        customer=customer.id,
        subscription_data={"trial_period_days": 14, "metadata": {"organization": "2"}},
    )
    page = shop.browser().open(session.url or "")
    assert "Then $49.00 from 15 Jan 2027" in page.text
    assert "Card number" in page.text
    shop.browser().pay(session)
    done, sub = shop.reload(session), subscription_of(shop, session)
    assert (done.payment_status, done.amount_total) == ("no_payment_required", 0)
    assert (sub.status, day(sub.trial_end or 0)) == ("trialing", "2027-01-15 09:00")
    assert sub.items.data[0].current_period_end == sub.trial_end == sub.billing_cycle_anchor
    assert sub.default_payment_method is not None
    invoice = sub.latest_invoice
    assert isinstance(invoice, Invoice)
    assert (invoice.status, invoice.total, invoice.number is not None) == ("paid", 0, True)
    assert shop.stripe.v1.charges.list().data == []
    shop.advance(clock, (sub.trial_end or 0) - 2 * DAY)
    assert shop.event_types().count("customer.subscription.trial_will_end") == 1
    shop.advance(clock, (sub.trial_end or 0) + 2 * 3600)
    after = subscription_of(shop, session)
    assert after.status == "active"
    assert isinstance(after.latest_invoice, Invoice)
    assert (after.latest_invoice.total, after.latest_invoice.billing_reason) == (4900, "subscription_cycle")
    assert day(after.items.data[0].current_period_end) == "2027-02-15 09:00"


def test_a_trial_without_a_card_ends_as_the_merchant_said(shop: Shop) -> None:
    clock = shop.clock()
    ends = {}
    for behavior in ("cancel", "pause", "create_invoice"):
        customer = shop.stripe.v1.customers.create({"test_clock": clock.id, "email": f"{behavior}@acme.test"})
        session = shop.plan_session(
            shop.plan(4900),
            customer=customer.id,
            payment_method_collection="if_required",
            subscription_data={
                "trial_period_days": 7,
                "trial_settings": {"end_behavior": {"missing_payment_method": behavior}},
            },
        )
        page = shop.browser().open(session.url or "")
        assert "Card number" not in page.text
        shop.browser().send(page)
        ends[behavior] = session
    shop.advance(clock, clock.frozen_time + 7 * DAY + 2 * 3600)
    statuses = {name: subscription_of(shop, session).status for name, session in ends.items()}
    assert statuses == {"cancel": "canceled", "pause": "paused", "create_invoice": "past_due"}
    assert shop.event_types().count("customer.subscription.paused") == 1


def test_setup_mode_saves_a_card_and_charges_nothing(shop: Shop) -> None:
    customer = shop.stripe.v1.customers.create({"email": "a@acme.test"})
    session = shop.stripe.v1.checkout.sessions.create(
        {
            "mode": "setup",
            "currency": "usd",
            "customer": customer.id,
            "success_url": SUCCESS_URL,
            "setup_intent_data": {"metadata": {"organization": "1"}},
        }
    )
    assert (session.amount_total, session.payment_status) == (None, "no_payment_required")
    browser = shop.browser()
    assert browser.pay(session, "4000000000000002").status_code == 402
    browser.answer_challenge(browser.pay(session, "4000002500003155"), "complete")
    expand: Any = {"expand": ["setup_intent.payment_method"]}
    done = shop.stripe.v1.checkout.sessions.retrieve(session.id, expand)
    assert isinstance(done.setup_intent, SetupIntent)
    assert (done.status, done.setup_intent.status) == ("complete", "succeeded")
    assert isinstance(done.setup_intent.payment_method, stripe.PaymentMethod)
    assert done.setup_intent.payment_method.customer == customer.id
    types = shop.event_types()
    assert types.count("setup_intent.setup_failed") == 1
    assert types.count("setup_intent.succeeded") == 1
    assert shop.stripe.v1.charges.list().data == []


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"mode": "subscription", "line_items": "one-time"}, "line_items"),
        ({"mode": "payment", "line_items": "recurring"}, "line_items[0][price]"),
        ({"mode": "payment", "subscription_data": {"trial_period_days": 7}}, "subscription_data"),
        ({"mode": "subscription", "line_items": "recurring", "payment_intent_data": {"description": "x"}},
         "payment_intent_data"),
        (
            {"mode": "subscription", "line_items": "recurring", "customer_creation": "always"},
            "customer_creation",
        ),
        ({"mode": "setup", "line_items": "none"}, "currency"),
        ({"mode": "setup", "line_items": "none", "currency": "usd", "ui_mode": "elements"}, "success_url"),
    ],
)  # fmt: skip
def test_a_session_that_makes_no_sense_in_its_mode_is_refused(
    shop: Shop, params: dict[str, Any], param: str
) -> None:
    prices = {"one-time": shop.price(900).id, "recurring": shop.plan(900).id}
    chosen = params.get("line_items")
    lines = [{"price": prices[chosen], "quantity": 1}] if chosen in prices else None
    asked: Any = {"success_url": SUCCESS_URL, **params}
    asked.pop("line_items", None)
    if lines or chosen is None:
        asked["line_items"] = lines or [{"price": prices["one-time"], "quantity": 1}]
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.stripe.v1.checkout.sessions.create(asked)
    assert refusal.value.param == param


@pytest.mark.parametrize(
    ("behavior", "status"), [("allow_incomplete", "incomplete"), ("default_incomplete", "incomplete")]
)
def test_a_subscription_whose_first_payment_fails_waits_a_day_and_expires(
    shop: Shop, behavior: str, status: str
) -> None:
    clock = shop.clock()
    customer = shop.customer(clock, "pm_card_chargeCustomerFail")
    expand = ["latest_invoice.confirmation_secret"]
    sub = shop.subscribe(customer, shop.plan(4900), payment_behavior=behavior, expand=expand)
    assert sub.status == status
    assert isinstance(sub.latest_invoice, Invoice)
    assert sub.latest_invoice.status == "open"
    assert sub.latest_invoice.confirmation_secret is not None
    assert "_secret_" in sub.latest_invoice.confirmation_secret.client_secret
    shop.advance(clock, clock.frozen_time + 24 * 3600)
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).status == "incomplete_expired"
    assert shop.stripe.v1.invoices.retrieve(sub.latest_invoice.id).status == "void"


def test_confirming_the_first_payment_activates_the_subscription(shop: Shop) -> None:
    expand = ["latest_invoice.payments"]
    sub = shop.subscribe(
        shop.customer(), shop.plan(4900), payment_behavior="default_incomplete", expand=expand
    )
    assert isinstance(sub.latest_invoice, Invoice)
    assert sub.latest_invoice.payments is not None
    intent = str(sub.latest_invoice.payments.data[0].payment.payment_intent)
    asked = shop.stripe.v1.payment_intents.confirm(
        intent,
        {"payment_method": "pm_card_authenticationRequired", "return_url": "https://merchant.test/back"},
    )
    assert asked.next_action is not None
    assert asked.next_action.redirect_to_url is not None
    browser = shop.browser()
    back = browser.send(browser.open(asked.next_action.redirect_to_url.url or ""), answer="complete")
    assert back.headers["Location"].startswith("https://merchant.test/back?")
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).status == "active"
    assert shop.stripe.v1.invoices.retrieve(sub.latest_invoice.id).status == "paid"


def test_error_if_incomplete_leaves_nothing_behind(shop: Shop) -> None:
    customer = shop.customer(card="pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError) as refusal:
        shop.subscribe(customer, shop.plan(4900), payment_behavior="error_if_incomplete")
    assert (refusal.value.http_status, refusal.value.code) == (402, "card_declined")
    assert shop.stripe.v1.subscriptions.list({"status": "all"}).data == []
    assert shop.stripe.v1.invoices.list().data == []


def test_lists_leave_ended_subscriptions_out_unless_asked(shop: Shop) -> None:
    customer = shop.customer()
    kept, ended = (shop.subscribe(customer, shop.plan(amount)) for amount in (900, 1900))
    shop.stripe.v1.subscriptions.cancel(ended.id)
    subscriptions = shop.stripe.v1.subscriptions
    assert [one.id for one in subscriptions.list({"customer": customer.id}).data] == [kept.id]
    assert [one.id for one in subscriptions.list({"status": "all"}).data] == [ended.id, kept.id]
    assert [one.id for one in subscriptions.list({"status": "canceled"}).data] == [ended.id]
    price = kept.items.data[0].price.id
    assert [one.id for one in subscriptions.list({"price": price}).data] == [kept.id]
    with pytest.raises(stripe.InvalidRequestError) as gone:
        subscriptions.cancel(ended.id)
    assert gone.value.http_status == 404
    shown = subscriptions.retrieve(ended.id)
    assert (shown.status, shown.ended_at is not None) == ("canceled", True)
    assert shown.items.data[0].current_period_end > (shown.ended_at or 0)
