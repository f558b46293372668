"""Plans: bought on Stripe's page, renewed, cancelled, resumed, paused; by real, signed deliveries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from postgrest.exceptions import APIError

from tests.money.subscriber import (
    COLLECTED,
    FREE,
    PRO,
    STARTER,
    Subscriber,
    new_subscriber,
    subscriber,
    unused_card,
)
from tests.money.world import CARD_DECLINED, CARD_PAYS, HostedPage, made_up_event

__all__ = ["new_subscriber", "subscriber", "unused_card"]

DAY = timedelta(days=1)
DEBIT_CARD = "4000056655665556"
MASTERCARD = "5555555555554444"


@pytest.fixture
def pro(subscriber: Subscriber) -> Subscriber:
    """An organization in its first paid month of Pro: 3,000 credits, of which at most 1,500 roll over."""
    subscriber.subscribe(PRO)
    subscriber.renew()
    assert subscriber.balance == 3000
    return subscriber


@pytest.fixture
def plain_plan(database: Any) -> Iterator[str]:
    """A plan of the test's own: 1,000 credits a month, no trial, nothing rolls over."""
    plan = database.execute(
        "insert into billing.subscription_plans (key, name, unit_amount, credits_per_period) "
        "values ('plan_' || substr(gen_random_uuid()::text, 1, 8), 'Thousand', 1000, 1000) returning id"
    ).fetchone()
    yield str(plan["id"])
    database.execute("update billing.subscription_plans set is_active = false where id = %s", (plan["id"],))


def restriction(subscriber: Subscriber) -> str | None:
    """Why the organization may not spend, as its owner reads it."""
    arguments = {"organization_id": str(subscriber.buyer.organization_id)}
    answer: Any = subscriber.buyer.user.client.rpc("get_credit_balance", arguments).execute().data
    reason: str | None = answer["restricted_reason"]
    return reason


def test_a_plan_with_a_trial_grants_the_trial_then_each_paid_month_with_rollover(
    subscriber: Subscriber, unused_card: Callable[[str], str]
) -> None:
    subscriber.subscribe(STARTER, unused_card(DEBIT_CARD))
    assert subscriber.subscription["status"] == "trialing"
    assert subscriber.balance == 100
    subscriber.spend(30)

    subscriber.renew()

    assert subscriber.subscription["status"] == "active"
    assert subscriber.balance == 1000
    subscriber.spend(600)
    subscriber.renew()
    assert subscriber.balance == 250 + 1000
    subscriber.renew()
    assert subscriber.balance == 250 + 1000
    assert subscriber.grants("subscription") == [1000, 1000, 1000]
    assert [p["status"] for p in subscriber.books.payments] == ["succeeded"] * 3
    assert {p["card_last4"] for p in subscriber.books.payments} == {DEBIT_CARD[-4:]}
    subscriber.books.assert_sound()


def test_scenario_18_a_renewal_delivered_three_times_two_of_them_together_grants_once(
    pro: Subscriber,
) -> None:
    (event,) = pro.events("invoice.paid")[-1:]
    again = [{**event, "id": made_up_event("x", "x")["id"]} for _ in range(3)]

    with ThreadPoolExecutor(2) as pool:
        answers = [*pool.map(pro.deliveries.send, again[:2]), pro.deliveries.send(again[2])]

    assert [answer.json()["status"] for answer in answers] == ["processed"] * 3
    assert pro.grants("subscription") == [3000]
    assert pro.balance == 3000
    assert len(pro.books.payments) == 1


def test_scenario_45_what_is_left_of_a_cancelled_plan_ends_with_its_period_and_purchases_stay(
    pro: Subscriber,
) -> None:
    pro.buyer.organization.grant(200, "purchase")
    pro.spend(2700)
    assert pro.balance == 500

    answer = pro.call("cancel_subscription")

    assert answer.status_code == 200
    ends_at = pro.subscription["ends_at"]
    assert ends_at == pro.subscription["current_period_end"]
    pro.advance(ends_at - timedelta(seconds=1))
    assert pro.balance == 500
    pro.advance(ends_at + COLLECTED)
    assert pro.balance == 200
    assert pro.subscription["status"] == "canceled"
    assert len(pro.grants("subscription")) == 1
    pro.books.assert_sound()


def test_scenario_45_a_cancellation_that_is_undone_leaves_the_renewal_as_it_was(pro: Subscriber) -> None:
    pro.buyer.organization.grant(200, "purchase")
    pro.spend(2700)
    pro.call("cancel_subscription")

    answer = pro.call("resume_subscription")

    assert answer.json()["subscription"]["ends_at"] is None
    pro.renew()
    assert pro.balance == 300 + 3000 + 200  # Pro lets up to 1,500 roll over
    pro.books.assert_sound()


def test_a_cancellation_in_the_portal_which_sets_another_field_is_undone_too(pro: Subscriber) -> None:
    pro.stripe.v1.subscriptions.update(
        pro.subscription["stripe_subscription_id"], {"cancel_at": int(pro.now.timestamp()) + 86_400}
    )
    pro.settle()
    assert pro.subscription["ends_at"] == pro.now + DAY

    pro.call("resume_subscription")

    assert pro.subscription["ends_at"] is None
    assert pro.at_stripe.cancel_at is None


def test_an_immediate_cancellation_ends_the_plans_credits_at_once(pro: Subscriber) -> None:
    pro.buyer.organization.grant(200, "purchase")

    answer = pro.call("cancel_subscription", at_period_end=False)

    assert answer.json()["subscription"]["status"] == "canceled"
    assert pro.balance == 200
    pro.settle()
    assert pro.balance == 200
    assert restriction(pro) is None
    pro.books.assert_sound()


def test_past_due_keeps_spending_for_the_grace_days_and_no_instant_longer(pro: Subscriber) -> None:
    pro.decline_from_now_on()
    pro.renew()
    assert pro.subscription["status"] == "past_due"
    assert pro.grants("subscription") == [3000]
    assert restriction(pro) is None
    pro.spend(10)
    grace_ends = pro.organization["restricted_from"]
    assert grace_ends == pro.subscription["past_due_since"] + 3 * DAY

    pro.advance(grace_ends - timedelta(microseconds=1))
    pro.spend(10)
    pro.advance(grace_ends)  # nothing runs: the clock alone decides

    assert restriction(pro) == "past_due"
    pro.buyer.organization.grant(100, "purchase")
    with pytest.raises(APIError) as refused:
        pro.spend(10)
    assert (refused.value.code, refused.value.message) == ("PT402", "billing_restricted")
    kinds = {row["kind"] for row in pro.books.notifications}
    assert {"subscription_past_due", "payment_failed"} <= kinds


def test_a_payment_within_the_grace_lifts_it_and_grants_once_with_rollover(pro: Subscriber) -> None:
    pro.spend(1000)
    pro.decline_from_now_on()
    pro.renew()
    (invoice,) = pro.stripe.v1.invoices.list({"customer": pro.customer_id, "status": "open"}).data
    assert [p["status"] for p in pro.books.payments] == ["succeeded", "failed"]

    pro.stripe.v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"})
    pro.settle()

    assert pro.subscription["status"] == "active"
    assert pro.organization["restricted_reason"] is None
    assert pro.balance == 1500 + 3000
    assert pro.grants("subscription") == [3000, 3000]
    assert [p["status"] for p in pro.books.payments] == ["succeeded", "succeeded"]
    assert pro.books.payments[-1]["failure_code"] is None
    pro.books.assert_sound()


def test_a_renewal_that_was_paid_in_time_rolls_over_though_we_hear_of_it_after_the_grace(
    pro: Subscriber,
) -> None:
    pro.spend(1000)
    (charge,) = pro.stripe.v1.charges.list({"customer": pro.customer_id}).data
    after_the_grace = pro.subscription["current_period_end"] + 10 * DAY

    pro.renew_unheard(after_the_grace)

    assert pro.balance == 1500 + 3000
    assert pro.grants("rollover") == [1500]
    pro.books.assert_sound()

    pro.stripe.v1.refunds.create({"charge": charge.id})
    pro.settle()

    assert pro.balance == 3000 - 1000  # 500 had ended unused, 1500 were there, 1000 were spent
    pro.books.assert_sound()


def test_a_payment_after_the_grace_lifts_the_restriction_and_grants_once(pro: Subscriber) -> None:
    pro.decline_from_now_on()
    pro.renew()
    pro.advance(pro.now + 4 * DAY)
    assert restriction(pro) == "past_due"
    assert pro.balance == 0  # the old month's credits have ended
    (invoice,) = pro.stripe.v1.invoices.list({"customer": pro.customer_id, "status": "open"}).data

    pro.stripe.v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"})
    pro.settle()

    assert restriction(pro) is None
    assert pro.balance == 3000
    pro.spend(1)
    pro.books.assert_sound()


def test_a_subscription_that_is_given_up_unpaid_restricts_nothing_and_purchases_stay(pro: Subscriber) -> None:
    pro.buyer.organization.grant(50, "purchase")
    pro.decline_from_now_on()
    pro.renew()
    for _ in range(4):
        pro.advance(pro.now + 5 * DAY)

    assert pro.subscription["status"] == "canceled"
    assert restriction(pro) is None
    assert pro.balance == 50
    pro.spend(10)
    pro.books.assert_sound()


def test_while_collection_is_paused_nothing_is_granted_and_what_there_is_may_be_spent(
    pro: Subscriber,
) -> None:
    subscription_id = pro.subscription["stripe_subscription_id"]
    pro.stripe.v1.subscriptions.update(subscription_id, {"pause_collection": {"behavior": "void"}})
    pro.settle()
    assert pro.subscription["pause_behavior"] == "void"
    pro.spend(100)

    pro.renew()
    assert pro.grants("subscription") == [3000]
    assert restriction(pro) is None
    pro.call("resume_subscription")
    assert pro.subscription["pause_behavior"] is None
    pro.renew()

    assert pro.grants("subscription") == [3000, 3000]
    pro.books.assert_sound()


def test_a_second_subscription_is_refused_while_one_is_live(pro: Subscriber) -> None:
    answer = pro.call("create_checkout_session", plan_id=STARTER)

    assert (answer.status_code, answer.json()["message"]) == (409, "subscription_exists")


def test_of_two_plans_that_are_looked_at_only_the_last_ones_page_can_be_paid(subscriber: Subscriber) -> None:
    first = subscriber.checkout(STARTER)
    second = subscriber.checkout(PRO)

    late = HostedPage(first["url"]).browser.get(first["url"])
    HostedPage(second["url"]).pay(CARD_PAYS)
    subscriber.settle()

    assert "form_token" not in late.text
    assert len(subscriber.subscriptions) == 1
    assert [row["status"] for row in subscriber.books.checkouts] == ["expired", "complete"]


def test_the_return_page_books_the_plan_before_the_webhook_and_the_webhook_changes_nothing(
    subscriber: Subscriber, plain_plan: str
) -> None:
    session = subscriber.checkout(plain_plan)
    HostedPage(session["url"]).pay(CARD_PAYS)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(subscriber.buyer.workers.return_page, [session["session_id"]] * 4))

    assert {answer.json()["status"] for answer in answers} == {"complete"}
    assert subscriber.balance == 1000
    subscriber.settle()
    assert subscriber.balance == 1000
    assert subscriber.grants() == [1000]


def test_a_declined_card_buys_no_plan(subscriber: Subscriber) -> None:
    session = subscriber.checkout(STARTER)

    HostedPage(session["url"]).pay(CARD_DECLINED)
    subscriber.settle()

    assert subscriber.grants() == []
    assert [row["status"] for row in subscriber.subscriptions] in ([], ["incomplete"])
    assert subscriber.buyer.workers.return_page(session["session_id"]).json()["status"] == "open"


def test_scenario_46_a_card_has_one_trial_whoever_holds_it(
    subscriber: Subscriber, new_subscriber: Callable[[], Subscriber], unused_card: Callable[[str], str]
) -> None:
    card = unused_card(MASTERCARD)
    subscriber.subscribe(STARTER, card)
    assert subscriber.balance == 100
    again = new_subscriber()

    again.subscribe(STARTER, card)

    assert again.subscription["status"] == "trialing"
    assert again.balance == 0
    assert "trial_used_before" in {row["kind"] for row in again.books.notifications}
    again.renew()
    assert again.balance == 1000


def test_an_organization_that_had_its_trial_buys_without_one(pro: Subscriber) -> None:
    pro.call("cancel_subscription", at_period_end=False)
    pro.settle()

    pro.subscribe(STARTER)

    assert pro.subscription["status"] == "active"
    assert pro.subscription["trial_end"] is None
    assert pro.balance == 1000


def test_a_paid_plan_replaces_a_free_one_at_its_start(
    subscriber: Subscriber, unused_card: Callable[[str], str]
) -> None:
    arguments = {"organization_id": str(subscriber.buyer.organization_id), "plan_id": FREE}
    subscriber.buyer.organization.service.rpc("start_free_subscription", arguments).execute()
    assert subscriber.balance == 50

    subscriber.subscribe(PRO)

    assert [row["status"] for row in subscriber.subscriptions] == ["canceled", "trialing"]
    assert subscriber.balance in (50, 150)  # the free month's, and the trial's if the card had none before


def test_scenario_44_a_changed_plan_counts_from_the_next_renewal(
    subscriber: Subscriber, plain_plan: str, database: Any
) -> None:
    subscriber.subscribe(plain_plan)
    assert subscriber.balance == 1000

    database.execute(
        "update billing.subscription_plans set credits_per_period = 1500 where id = %s", (plain_plan,)
    )
    assert subscriber.balance == 1000
    subscriber.renew()

    assert subscriber.balance == 1500
    assert subscriber.grants("subscription") == [Decimal(1000), Decimal(1500)]
