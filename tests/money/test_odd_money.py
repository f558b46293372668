"""Money at odd values: other currencies, shares that do not divide, credits that have ended, odd moments."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import psycopg
import pytest

from tests.conftest import StackUnderTest
from tests.money.conftest import Buyer
from tests.money.money_back import buy_and_pay, spend
from tests.money.saved_cards import card_holder
from tests.money.subscriber import Subscriber, new_subscriber, subscriber, unused_card
from tests.money.world import SECONDS, Deliveries, HostedPage, made_up_event

__all__ = ["new_subscriber", "subscriber", "unused_card"]

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def new_pack(database: Database) -> Iterator[Callable[..., str]]:
    """Returns a function: credits, price, currency, expiry → the key of a pack, withdrawn after the test."""
    keys: list[str] = []

    def make(granted: object, unit_amount: int, currency: str, credit_expiry: str | None = None) -> str:
        keys.append(f"odd_{secrets.token_hex(6)}")
        database.execute(
            "insert into billing.credit_packages (key, name, credits, unit_amount, currency, credit_expiry) "
            "values (%s, 'Odd', %s, %s, %s, %s::interval)",
            (keys[-1], granted, unit_amount, currency, credit_expiry),
        )
        return keys[-1]

    yield make
    database.execute("update billing.credit_packages set is_active = false where key = any(%s)", (keys,))


@pytest.mark.parametrize(
    ("currency", "unit_amount", "shown"),
    [
        ("jpy", 1000, "¥1,000"),
        ("kwd", 12340, "12.340 KWD"),
        ("huf", 350000, "3,500.00 HUF"),
        ("isk", 50000, "500.00 ISK"),
    ],
)
def test_a_pack_is_bought_in_its_currencys_own_units(
    buyer: Buyer,
    deliveries: Deliveries,
    new_pack: Callable[..., str],
    currency: str,
    unit_amount: int,
    shown: str,
) -> None:
    key = new_pack(333, unit_amount, currency)
    session = buyer.buy(key)
    page = HostedPage(session["url"])
    assert shown in page.browser.get(page.url).text

    pack = buy_and_pay(buyer, deliveries, pack_key=key)

    assert (pack.payment["amount"], pack.payment["currency"]) == (unit_amount, currency)
    assert buyer.books.balance == 333
    (grant,) = buyer.books.grants
    assert grant["unit_cost"] == round(Decimal(unit_amount) / 333, 12)


def test_shares_that_do_not_divide_add_up_to_the_whole(
    buyer: Buyer, deliveries: Deliveries, new_pack: Callable[..., str]
) -> None:
    pack = buy_and_pay(buyer, deliveries, pack_key=new_pack(100, 700, "jpy"))

    balances = []
    for _ in range(7):
        pack.refund(100)
        balances.append(buyer.books.balance)

    assert balances[0] == Decimal("85.714286")  # 100 × 100 / 700 is cut off after the sixth decimal
    assert balances[-1] == 0
    assert sum(pack.entries("clawback")) == -100
    assert pack.payment["status"] == "refunded"
    buyer.books.assert_sound()


def test_a_refund_of_what_has_ended_unused_owes_nothing_for_it(
    buyer: Buyer, deliveries: Deliveries, new_pack: Callable[..., str], database: Database
) -> None:
    pack = buy_and_pay(buyer, deliveries, pack_key=new_pack(500, 1000, "usd", "1 day"))
    spend(buyer, 100)
    buyer.organization.service.rpc(
        "advance_test_clock", {"organization_id": str(buyer.organization_id), "to": "2099-01-01T00:00:00Z"}
    ).execute()
    assert buyer.books.balance == 0

    pack.refund(900)
    assert buyer.books.balance == -50  # 450 are reversed, of which 400 had ended unused
    pack.refund()

    assert buyer.books.balance == -100
    buyer.books.assert_sound()


@pytest.mark.parametrize("disputed", [600, 900])
def test_a_dispute_of_a_partly_refunded_charge_takes_the_rest_and_gives_back_the_rest(
    buyer: Buyer, deliveries: Deliveries, new_pack: Callable[..., str], stack: StackUnderTest, disputed: int
) -> None:
    pack = buy_and_pay(buyer, deliveries, pack_key=new_pack(300, 900, "eur"))
    pack.refund(300)
    assert buyer.books.balance == 200

    url = f"{stack.stripe_twin_url}/_twin/charges/{pack.charge_id}/dispute"
    httpx.post(url, json={"amount": disputed}, timeout=SECONDS).raise_for_status()
    pack.settle()
    assert buyer.books.balance == 0
    assert pack.dispute().amount == disputed

    pack.answer("winning_evidence")

    assert buyer.books.balance == 200
    assert pack.payment["status"] == "partially_refunded"
    buyer.books.assert_sound()


def test_a_plan_whose_price_was_archived_at_stripe_can_still_be_bought(
    new_subscriber: Callable[[], Subscriber], odd_plan: Callable[..., str]
) -> None:
    plan = odd_plan(1000, 1900, "usd")
    first = new_subscriber()
    first.subscribe(plan)
    price = first.stripe.v1.prices.retrieve(first.subscription["stripe_price_id"])
    first.stripe.v1.prices.update(price.id, {"active": False})
    first.deliveries.await_quiet(price.id)
    second = new_subscriber()

    second.subscribe(plan)

    assert second.balance == 1000
    assert second.subscription["stripe_price_id"] == price.id
    assert second.stripe.v1.prices.retrieve(price.id).active


@pytest.fixture
def odd_plan(database: Database) -> Iterator[Callable[..., str]]:
    """Returns a function: credits, price, currency → the id of a monthly plan, withdrawn after the test."""
    made: list[str] = []

    def make(granted: object, unit_amount: int, currency: str, **more: object) -> str:
        columns = {"trial_days": 0, "trial_credits": 0, "grace_days": 3, **more}
        row = database.execute(
            "insert into billing.subscription_plans (key, name, credits_per_period, unit_amount, currency, "
            "trial_days, trial_credits, grace_days) "
            "values (%s, 'Odd plan', %s, %s, %s, %s, %s, %s) returning id",
            (f"odd_{secrets.token_hex(6)}", granted, unit_amount, currency, *columns.values()),
        ).fetchone()
        assert row is not None
        made.append(str(row["id"]))
        return made[-1]

    yield make
    database.execute(
        "update billing.subscription_plans set is_active = false where id = any(%s::uuid[])", (made,)
    )


def test_a_plan_in_another_currency_is_refused_by_name(
    subscriber: Subscriber, odd_plan: Callable[..., str]
) -> None:
    subscriber.subscribe(odd_plan(1000, 1900, "usd"))

    answer = subscriber.call("change_plan", plan_id=odd_plan(2000, 2900, "eur"))

    assert answer.status_code == 409, answer.text
    assert answer.json()["message"] == "currency_unchangeable"
    assert answer.json()["details"] == {"currency": "usd", "plan_currency": "eur"}
    assert subscriber.balance == 1000


def subscribe_by_hand(who: Subscriber, price_id: str, card: str, **more: object) -> None:
    """Make a subscription at Stripe's dashboard: it has no mark of ours, and its customer's card pays."""
    who.buyer.workers.call("create_portal_session", {"organization_id": str(who.buyer.organization_id)})
    v1 = who.stripe.v1
    method = v1.payment_methods.attach(card, {"customer": who.customer_id})
    v1.customers.update(who.customer_id, {"invoice_settings": {"default_payment_method": method.id}})
    parameters: Any = {"customer": who.customer_id, "items": [{"price": price_id}], **more}
    v1.subscriptions.create(parameters)
    who.settle()


def test_an_automatic_top_up_charges_what_can_be_paid_and_its_refund_takes_its_credits(
    buyer: Buyer, deliveries: Deliveries, new_pack: Callable[..., str], database: Database
) -> None:
    holder = card_holder(buyer, deliveries)
    holder.save()
    buyer.organization.grant(100)
    pack = database.execute(
        "select id from billing.credit_packages where key = %s", (new_pack(300, 10000, "kwd"),)
    ).fetchone()
    assert pack is not None
    holder.agree(threshold=60, amount=100, package_id=str(pack["id"]))
    spend(buyer, 40)

    (attempt,) = holder.start().json()["attempts"]

    assert (attempt["amount"], attempt["currency"]) == (3340, "kwd")  # 3.33333 dinars
    assert buyer.books.balance == 160
    intent_id = holder.attempts[-1]["stripe_payment_intent_id"]
    for amount, balance in ((1670, 110), (1670, 60)):
        deliveries.client.v1.refunds.create({"payment_intent": intent_id, "amount": amount})
        deliveries.await_quiet(intent_id)
        assert buyer.books.balance == balance
    buyer.books.assert_sound()


def test_a_trial_is_known_by_the_card_of_the_customer_too(
    new_subscriber: Callable[[], Subscriber], odd_plan: Callable[..., str], unused_card: Callable[[str], str]
) -> None:
    plan = odd_plan(1000, 1900, "usd", trial_days=14, trial_credits=100)
    buyer, first, second = new_subscriber(), new_subscriber(), new_subscriber()
    buyer.subscribe(plan)
    price_id = buyer.subscription["stripe_price_id"]
    unused_card("378282246310005")

    subscribe_by_hand(first, price_id, "pm_card_amex", trial_period_days=14)
    subscribe_by_hand(second, price_id, "pm_card_amex", trial_period_days=14)

    assert [who.subscription["status"] for who in (first, second)] == ["trialing", "trialing"]
    assert [first.balance, second.balance] == [100, 0]


def test_a_plan_sold_by_hand_to_a_customer_that_we_do_not_know_is_parked_and_told(
    subscriber: Subscriber, odd_plan: Callable[..., str], deliveries: Deliveries, database: Database
) -> None:
    subscriber.subscribe(odd_plan(1000, 1900, "usd"))
    v1 = deliveries.client.v1
    stranger = v1.customers.create({"name": "Somebody"})
    method = v1.payment_methods.attach("pm_card_visa", {"customer": stranger.id})
    item: Any = {"price": subscriber.subscription["stripe_price_id"]}
    sold = v1.subscriptions.create(
        {"customer": stranger.id, "default_payment_method": method.id, "items": [item]}
    )
    event = made_up_event("invoice.paid", str(sold.latest_invoice))

    statuses = [deliveries.send(event).status_code for _ in range(5)]

    assert statuses == [500] * 4 + [200]
    row = database.execute(
        "select status, error from billing_private.stripe_events where id = %s", (event["id"],)
    ).fetchone()
    assert row is not None
    assert (row["status"], "customer" in row["error"]) == ("parked", True)
    alert = database.execute(
        "select kind, severity from billing_private.platform_alerts where subject_id = %s", (event["id"],)
    ).fetchone()
    assert alert == {"kind": "stripe_event_parked", "severity": "critical"}


@pytest.mark.parametrize("mode", ["prorate_delta", "full_restart", "next_period"])
@pytest.mark.parametrize("after", [timedelta(), timedelta(minutes=10)])
def test_a_plan_changed_while_the_renewal_is_not_collected_yet_grants_what_is_paid_for(
    subscriber: Subscriber, odd_plan: Callable[..., str], mode: str, after: timedelta
) -> None:
    small, large = odd_plan(1000, 1000, "usd"), odd_plan(3000, 3000, "usd")
    subscriber.subscribe(small)
    period_end: datetime = subscriber.subscription["current_period_end"]
    subscriber.advance(period_end + after)

    answer = subscriber.call("change_plan", plan_id=large, mode=mode)

    assert answer.status_code == 200, answer.text
    subscriber.settle()
    row = subscriber.subscription
    left = (row["current_period_end"] - subscriber.now) / (
        row["current_period_end"] - row["current_period_start"]
    )
    subscriber.advance(period_end + timedelta(hours=3))
    paid_for = {"prorate_delta": 1000 + 2000 * left, "full_restart": 3000, "next_period": 1000}[mode]
    assert float(subscriber.balance) == pytest.approx(paid_for, abs=0.001)
    row = subscriber.subscription
    plans = (str(row["plan_id"]), row["next_plan_id"] and str(row["next_plan_id"]))
    assert plans == ((small, large) if mode == "next_period" else (large, None))
    subscriber.books.assert_sound()
    subscriber.renew()
    assert subscriber.grants("subscription")[-1] == 3000
    assert subscriber.balance == 3000
