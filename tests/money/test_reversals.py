"""Refunds, end to end: made at Stripe, told by signed webhooks in any order, taken from the right grant."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from billing.reversal_facts import withdrawn_of
from tests.money.conftest import Buyer
from tests.money.money_back import CARD_REFUND_FAILS, PaidPack, buy_and_pay, spend
from tests.money.subscriber import PRO, Subscriber, new_subscriber, subscriber
from tests.money.world import CARD_PAYS, PACK_500, Deliveries, HostedPage

__all__ = ["new_subscriber", "subscriber"]


@pytest.fixture
def pack(buyer: Buyer, deliveries: Deliveries) -> PaidPack:
    """A pack of 500 credits for 1000, paid."""
    return buy_and_pay(buyer, deliveries)


@pytest.fixture
def late_deliveries(deliveries: Deliveries) -> Iterator[None]:
    """Stripe's own deliveries come only after the test."""
    twin = f"{deliveries.stack.stripe_twin_url}/_twin"
    httpx.post(f"{twin}/faults", json={"delay_seconds": 3600}).raise_for_status()
    yield
    httpx.post(f"{twin}/faults", json={}).raise_for_status()
    httpx.post(f"{twin}/deliveries/retry", json={}).raise_for_status()


def events_about(pack: PaidPack, *prefixes: str) -> list[dict[str, Any]]:
    """Every event of these kinds about a payment, oldest first, as Stripe wrote it."""
    listed = pack.client.v1.events.list({"limit": 100}).data
    bodies = [json.loads(json.dumps(event.to_dict(), default=str)) for event in listed]
    found = [
        body for body in bodies if body["type"].startswith(prefixes) and pack.intent_id in json.dumps(body)
    ]
    return found[::-1]


def test_a_partial_refund_takes_its_share_of_the_credits_and_a_full_one_the_rest(pack: PaidPack) -> None:
    pack.refund(250)

    assert pack.buyer.books.balance == 375
    assert (pack.payment["status"], pack.payment["amount_refunded"]) == ("partially_refunded", 250)

    pack.refund()

    assert pack.buyer.books.balance == 0
    assert (pack.payment["status"], pack.payment["amount_refunded"]) == ("refunded", 1000)
    assert pack.entries("clawback") == [Decimal(-125), Decimal(-375)]
    refunds = pack.buyer.books.rows("select amount, status from billing.refunds where organization_id = %s")
    assert sorted(row["amount"] for row in refunds) == [250, 750]
    pack.buyer.books.assert_sound()


def test_what_was_spent_is_owed_and_the_next_purchase_repays_it_first(
    pack: PaidPack, deliveries: Deliveries
) -> None:
    spend(pack.buyer, 200)

    pack.refund()

    assert pack.buyer.books.balance == -200
    buy_and_pay(pack.buyer, deliveries)
    assert pack.buyer.books.balance == 300
    pack.buyer.books.assert_sound()


def test_other_grants_are_never_touched(pack: PaidPack) -> None:
    pack.buyer.organization.grant(100, source="promotion", priority=200)
    spend(pack.buyer, 500)

    pack.refund()

    gift = pack.buyer.books.rows(
        "select remaining from billing.credit_grants where organization_id = %s and source = 'promotion'"
    )
    assert [row["remaining"] for row in gift] == [Decimal(100)]
    assert pack.buyer.books.balance == -400
    pack.buyer.books.assert_sound()


def test_a_refund_that_fails_gives_back_exactly_what_it_took(buyer: Buyer, deliveries: Deliveries) -> None:
    pack = buy_and_pay(buyer, deliveries, CARD_REFUND_FAILS)
    spend(buyer, 100)
    now = int(time.time())
    clock = pack.client.v1.test_helpers.test_clocks.create({"frozen_time": now, "customer": pack.customer_id})

    refund = pack.refund(600)
    assert buyer.books.balance == 100
    pack.client.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": now + 30 * 86_400})
    pack.settle()

    assert pack.client.v1.refunds.retrieve(refund.id).status == "failed"
    assert buyer.books.balance == 400
    assert sum(pack.entries("clawback") + pack.entries("reinstate")) == 0
    assert (pack.payment["status"], pack.payment["amount_refunded"]) == ("succeeded", 0)
    assert "refund_failed" in [notification["kind"] for notification in buyer.books.notifications]
    buyer.books.assert_sound()


def test_every_order_of_the_events_and_every_duplicate_ends_in_the_same_ledger(
    pack: PaidPack, deliveries: Deliveries
) -> None:
    spend(pack.buyer, 50)
    pack.refund(300)
    pack.refund(300)
    events = events_about(pack, "refund.", "charge.")
    assert {event["type"] for event in events} >= {"refund.created", "charge.refunded"}
    before = (pack.buyer.books.balance, pack.entries("clawback"), pack.payment["amount_refunded"])
    orders = list(itertools.permutations(range(len(events)), len(events)))

    for order in random.Random(7).sample(orders, min(8, len(orders))):
        for place in order:
            event = {**events[place], "id": f"{events[place]['id']}_{random.getrandbits(40):x}"}
            assert deliveries.send(event).status_code == 200

    assert (pack.buyer.books.balance, pack.entries("clawback"), pack.payment["amount_refunded"]) == before
    assert before[0] == Decimal(150)


def test_parallel_deliveries_take_the_credits_once(pack: PaidPack, deliveries: Deliveries) -> None:
    refund = pack.client.v1.refunds.create({"charge": pack.charge_id, "amount": 500})
    assert refund.status == "succeeded"
    (event, *_) = events_about(pack, "refund.created")
    copies = [{**event, "id": f"{event['id']}_{number}"} for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(deliveries.send, [*copies, *([event] * 4)]))

    pack.settle()
    assert {answer.status_code for answer in answers} <= {200, 500}  # a busy ledger asks for another delivery
    for copy in copies:
        assert deliveries.send(copy).status_code == 200
    assert pack.buyer.books.balance == 250
    assert pack.entries("clawback") == [Decimal(-250)]


@pytest.mark.serial
def test_a_refund_whose_event_names_the_payment_alone_is_understood(
    pack: PaidPack, deliveries: Deliveries, late_deliveries: None
) -> None:
    pack.client.v1.refunds.create({"charge": pack.charge_id})
    (event, *_) = events_about(pack, "refund.created")
    event["data"]["object"]["charge"] = None

    answer = deliveries.send({**event, "id": f"{event['id']}_without_charge"})

    assert (answer.status_code, answer.json()["status"]) == (200, "processed")
    assert pack.buyer.books.balance == 0


@pytest.mark.serial
def test_a_refund_that_is_told_before_its_purchase_waits_for_it(
    buyer: Buyer, deliveries: Deliveries, late_deliveries: None
) -> None:
    session = buyer.buy(PACK_500)
    assert HostedPage(session["url"]).pay(CARD_PAYS).status_code in (302, 303)
    paid = deliveries.client.v1.checkout.sessions.retrieve(session["session_id"])
    intent = deliveries.client.v1.payment_intents.retrieve(str(paid.payment_intent))
    deliveries.client.v1.refunds.create({"charge": str(intent.latest_charge), "amount": 400})
    pack = PaidPack(buyer, deliveries, intent.id, str(intent.latest_charge))
    (refunded, *_) = events_about(pack, "refund.created")

    assert deliveries.send(refunded).json()["status"] == "processed"

    assert buyer.books.grants == []
    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "complete"
    assert buyer.books.balance == 300
    assert (pack.payment["status"], pack.payment["amount_refunded"]) == ("partially_refunded", 400)


@pytest.mark.parametrize(
    ("amounts", "withdrawn"),
    [
        ([], 0),
        ([-1000], 1000),
        ([-1000, 1000], 0),
        ([-1000, 1000, -1000], 1000),
        ([-1000, 400], 600),
        ([-850], 1000),  # the balance is in another currency: what counts is the share
        ([-850, 425], 500),
    ],
)
def test_what_a_dispute_holds_follows_from_its_balance_transactions(
    amounts: list[int], withdrawn: int
) -> None:
    transactions = [{"amount": amount} for amount in amounts]

    assert withdrawn_of({"amount": 1000, "balance_transactions": transactions}) == withdrawn


@pytest.fixture
def pro(subscriber: Subscriber) -> Subscriber:
    """An organization in its first paid month of Pro: 3,000 credits, of which at most 1,500 roll over."""
    subscriber.subscribe(PRO)
    subscriber.renew()
    assert subscriber.balance == 3000
    return subscriber


def newest_plan_charge(subscriber: Subscriber) -> str:
    """The charge that paid the newest invoice."""
    query = (
        "select stripe_charge_id from billing.payments where organization_id = %s "
        "and kind = 'subscription' and paid_at is not null and amount > 0 order by paid_at"
    )
    return str(subscriber.books.rows(query)[-1]["stripe_charge_id"])


def test_a_refunded_invoice_takes_its_share_of_the_plans_credits(pro: Subscriber) -> None:
    pro.spend(1000)
    charge = newest_plan_charge(pro)
    paid = pro.stripe.v1.charges.retrieve(charge).amount

    pro.stripe.v1.refunds.create({"charge": charge, "amount": paid // 2})
    pro.settle()
    assert pro.balance == 500

    pro.stripe.v1.refunds.create({"charge": charge})
    pro.settle()

    assert pro.balance == -1000
    pro.books.assert_sound()


def test_a_credit_note_takes_back_what_it_refunds_and_nothing_for_what_it_credits(pro: Subscriber) -> None:
    invoices = pro.stripe.v1.invoices.list({"customer": pro.customer_id, "status": "paid"}).data
    (invoice,) = [one for one in invoices if one.amount_paid > 0]
    share, paid = invoice.amount_paid // 2, invoice.amount_paid
    notes = pro.stripe.v1.credit_notes

    notes.create({"invoice": str(invoice.id), "amount": paid - share, "credit_amount": paid - share})
    pro.settle()
    assert pro.balance == 3000

    notes.create({"invoice": str(invoice.id), "amount": share, "refund_amount": share})
    pro.settle()
    assert pro.balance == 1500
    pro.books.assert_sound()


def test_what_was_taken_in_the_grace_and_comes_back_after_the_renewal_lives_as_long_as_the_grace_had_left(
    pro: Subscriber,
) -> None:
    """Its own period is over when it is taken: what it had left is not counted from there."""
    charge = newest_plan_charge(pro)
    twin = f"{pro.deliveries.stack.stripe_twin_url}/_twin"
    pro.decline_from_now_on()
    pro.renew()
    dispute = httpx.post(f"{twin}/charges/{charge}/dispute", json={}).raise_for_status().json()
    pro.deliveries.await_quiet(charge)
    assert pro.balance == 0
    (invoice,) = pro.stripe.v1.invoices.list({"customer": pro.customer_id, "status": "open"}).data
    pro.stripe.v1.invoices.pay(str(invoice.id), {"payment_method": "pm_card_visa"})
    pro.settle()
    assert pro.balance == 3000

    httpx.post(f"{twin}/disputes/{dispute['id']}/win", json={}).raise_for_status()
    pro.deliveries.await_quiet(charge)

    assert pro.balance == 3000 + 3000
    pro.books.assert_sound()
    pro.advance(pro.now + timedelta(days=3))
    assert pro.balance == 3000
    pro.books.assert_sound()


def test_what_a_refunded_month_rolled_over_is_taken_where_it_is_now(pro: Subscriber) -> None:
    charge = newest_plan_charge(pro)
    pro.renew()
    assert pro.balance == 1500 + 3000

    pro.stripe.v1.refunds.create({"charge": charge})
    pro.settle()

    assert pro.balance == 3000, "the rolled half is taken; the half that expired is owed by nobody"
    rolled = pro.books.rows(
        "select remaining from billing.credit_grants where organization_id = %s and source = 'rollover'"
    )
    assert [row["remaining"] for row in rolled] == [Decimal(0)]
    pro.books.assert_sound()


@pytest.mark.serial
@pytest.mark.parametrize("kind", ["error_before", "rate_limit", "cut_before"])
def test_a_refund_that_is_told_while_stripe_is_in_trouble_is_applied_when_it_is_told_again(
    pack: PaidPack, deliveries: Deliveries, late_deliveries: None, kind: str
) -> None:
    pack.client.v1.refunds.create({"charge": pack.charge_id, "amount": 500})
    (event, *_) = events_about(pack, "refund.created")
    control = f"{deliveries.stack.stripe_twin_url}/_twin/api-faults"
    httpx.post(control, json={"kind": kind, "path": "/v1/refunds", "method": "GET", "times": 3})

    assert deliveries.send(event).status_code == 500
    httpx.post(f"{control}/clear", json={}).raise_for_status()
    assert pack.buyer.books.balance == 500
    assert deliveries.send(event).json()["status"] == "processed"

    assert pack.buyer.books.balance == 250
