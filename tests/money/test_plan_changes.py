"""Changing a plan, in three modes, here and in Stripe's portal; never more than the best plan paid for."""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

import httpx
import pytest

from tests.money.subscriber import BUSINESS, FREE, PRO, STARTER, Subscriber, new_subscriber, subscriber

__all__ = ["new_subscriber", "subscriber"]

DAY = timedelta(days=1)
SIX_DECIMALS = Decimal("0.000001")


@pytest.fixture
def starter(subscriber: Subscriber) -> Subscriber:
    """An organization in its first paid month of Starter: 1,000 credits."""
    subscriber.subscribe(STARTER)
    subscriber.renew()
    assert subscriber.balance == 1000
    return subscriber


def share_left(subscriber: Subscriber) -> Decimal:
    """How much of the current period lies ahead, 0 to 1."""
    row = subscriber.subscription
    whole = row["current_period_end"] - row["current_period_start"]
    left = row["current_period_end"] - subscriber.now
    return Decimal(int(left.total_seconds())) / Decimal(int(whole.total_seconds()))


def of(amount: int, share: Decimal) -> Decimal:
    """A share of credits as the ledger grants it: cut at the sixth decimal."""
    return (amount * share).quantize(SIX_DECIMALS, ROUND_DOWN)


def change_at_stripe(subscriber: Subscriber, plan_id: str, **parameters: Any) -> None:
    """Change the plan as the portal or Stripe's dashboard would."""
    item = subscriber.at_stripe["items"].data[0]
    price_id = subscriber.books.database.execute(
        "select stripe_price_id from billing_private.stripe_catalogue where subject_id = %s", (plan_id,)
    ).fetchone()
    assert price_id is not None
    change: Any = {"items": [{"id": item.id, "price": price_id["stripe_price_id"]}], **parameters}
    subscriber.stripe.v1.subscriptions.update(subscriber.subscription["stripe_subscription_id"], change)
    subscriber.settle()


def test_an_upgrade_grants_the_difference_for_the_time_that_is_left(starter: Subscriber) -> None:
    starter.spend(400)
    starter.advance(starter.now + 10 * DAY)
    share = share_left(starter)

    answer = starter.call("change_plan", plan_id=PRO)

    assert answer.status_code == 200, answer.text
    assert answer.json()["mode"] == "prorate_delta"
    assert starter.balance == 600 + of(2000, share)
    starter.settle()
    assert starter.balance == 600 + of(2000, share)
    assert str(starter.subscription["plan_id"]) == PRO
    assert starter.books.payments[-1]["amount"] == pytest.approx(float(3000 * share), abs=1)
    starter.renew()
    assert starter.grants("subscription")[-1] == 3000
    starter.books.assert_sound()


def test_a_downgrade_waits_for_the_next_period_and_gives_no_money_back(starter: Subscriber) -> None:
    starter.call("change_plan", plan_id=PRO)
    starter.settle()
    balance = starter.balance

    answer = starter.call("change_plan", plan_id=STARTER)

    assert answer.json()["mode"] == "next_period"
    row = starter.subscription
    assert (str(row["plan_id"]), str(row["next_plan_id"])) == (PRO, STARTER)
    starter.settle()
    assert starter.balance == balance
    starter.spend(int(balance))
    starter.renew()
    assert starter.balance == 1000 + (balance - int(balance))
    row = starter.subscription
    assert (str(row["plan_id"]), row["next_plan_id"]) == (STARTER, None)


def test_a_downgrade_is_undone_without_a_charge_before_the_period_ends(starter: Subscriber) -> None:
    starter.call("change_plan", plan_id=PRO)
    starter.call("change_plan", plan_id=STARTER)
    starter.settle()
    payments, balance = len(starter.books.payments), starter.balance

    answer = starter.call("change_plan", plan_id=PRO)

    assert answer.json()["mode"] == "next_period"
    starter.settle()
    assert (len(starter.books.payments), starter.balance) == (payments, balance)
    assert starter.subscription["next_plan_id"] is None


def test_scenario_42_down_and_up_again_within_a_period_grants_nothing_new(starter: Subscriber) -> None:
    """In the portal, which prorates every change."""
    starter.call("change_plan", plan_id=PRO)
    starter.settle()
    starter.spend(int(starter.balance))
    left, grants = starter.balance, starter.grants("subscription")

    starter.advance(starter.now + DAY)
    change_at_stripe(starter, STARTER, proration_behavior="always_invoice")
    starter.advance(starter.now + DAY)
    change_at_stripe(starter, PRO, proration_behavior="always_invoice")

    assert starter.grants("subscription") == grants
    assert starter.balance == left
    assert str(starter.subscription["plan_id"]) == PRO
    starter.books.assert_sound()


def test_two_upgrades_in_one_period_add_up_to_the_best_plan_over_its_time(starter: Subscriber) -> None:
    starter.advance(starter.now + 5 * DAY)
    first = share_left(starter)
    starter.call("change_plan", plan_id=PRO)
    starter.advance(starter.now + 5 * DAY)
    second = share_left(starter)
    starter.call("change_plan", plan_id=BUSINESS)
    starter.settle()

    assert starter.balance == 1000 + of(2000, first) + of(12000, second)


def test_scenario_43_a_restart_carries_what_was_used_and_never_goes_below(starter: Subscriber) -> None:
    starter.spend(800)
    starter.advance(starter.now + 10 * DAY)

    answer = starter.call("change_plan", plan_id=PRO, mode="full_restart")

    assert answer.json()["mode"] == "full_restart"
    assert starter.balance == 3000 - 800
    starter.settle()
    assert starter.balance == 3000 - 800
    assert starter.subscription["current_period_start"] == starter.now
    starter.renew()
    assert starter.balance == 1500 + 3000
    starter.books.assert_sound()


@pytest.mark.parametrize("how", ["api", "portal"])
def test_a_restart_goes_on_although_an_end_was_planned(starter: Subscriber, how: str) -> None:
    starter.advance(starter.now + 10 * DAY)
    if how == "api":
        starter.call("cancel_subscription")
    else:
        end: Any = {"cancel_at": int(starter.subscription["current_period_end"].timestamp())}
        starter.stripe.v1.subscriptions.update(starter.subscription["stripe_subscription_id"], end)
    starter.settle()
    assert starter.subscription["ends_at"] is not None

    answer = starter.call("change_plan", plan_id=PRO, mode="full_restart")

    assert answer.status_code == 200, answer.text
    assert answer.json()["subscription"]["ends_at"] is None
    starter.settle()
    assert starter.balance == 3000
    starter.renew()
    assert starter.balance == 1500 + 3000


def test_restarting_down_and_up_again_brings_no_credits_back(starter: Subscriber) -> None:
    starter.call("change_plan", plan_id=PRO, mode="full_restart")
    starter.settle()
    starter.spend(3000)
    starter.advance(starter.now + DAY)
    starter.call("change_plan", plan_id=STARTER, mode="full_restart")
    starter.settle()
    assert starter.balance == 0
    starter.advance(starter.now + DAY)

    starter.call("change_plan", plan_id=PRO, mode="full_restart")
    starter.settle()

    assert starter.balance == 0
    starter.renew()
    assert starter.balance == 3000
    starter.books.assert_sound()


def test_next_period_changes_nothing_now_and_renews_at_the_new_plan(starter: Subscriber) -> None:
    answer = starter.call("change_plan", plan_id=PRO, mode="next_period")

    assert str(answer.json()["subscription"]["next_plan_id"]) == PRO
    starter.settle()
    assert starter.balance == 1000
    assert len(starter.books.payments) == 1
    starter.renew()
    assert starter.balance == 250 + 3000  # Starter lets at most 250 roll over
    assert starter.books.payments[-1]["amount"] == 4900


def test_a_change_that_the_bank_declines_changes_nothing(starter: Subscriber) -> None:
    starter.decline_from_now_on()

    answer = starter.call("change_plan", plan_id=PRO)

    assert (answer.status_code, answer.json()["message"]) == (402, "payment_failed")
    starter.settle()
    assert str(starter.subscription["plan_id"]) == STARTER
    assert starter.subscription["status"] == "active"
    assert starter.balance == 1000

    starter.use_card("pm_card_visa")
    share = share_left(starter)
    again = starter.call("change_plan", plan_id=PRO)

    assert again.status_code == 200, again.text
    starter.settle()
    assert starter.balance == 1000 + of(2000, share)


@pytest.mark.serial
@pytest.mark.parametrize(
    "what",
    [
        {"kind": "error_after", "times": 3},
        {"kind": "error_after", "times": 3, "remembered": True},
        {"kind": "cut_after", "times": 3},
        {"kind": "error_before", "times": 3},
        {"kind": "rate_limit", "times": 1},
    ],
    ids=["500 after acting", "500 remembered", "cut after acting", "500 before acting", "limited"],
)
def test_a_change_without_an_answer_is_told_so_and_asking_again_charges_nothing_twice(
    starter: Subscriber, trouble: httpx.Client, what: dict[str, object]
) -> None:
    share, payments = share_left(starter), len(starter.books.payments)
    body = {"path": "/v1/subscriptions/*", "method": "POST", **what}
    trouble.post("/api-faults", json=body).raise_for_status()

    answer = starter.call("change_plan", plan_id=PRO)
    assert (answer.status_code, answer.json()["message"]) == (503, "stripe_unavailable")
    assert "may have changed" in answer.json()["hint"]

    trouble.post("/api-faults/clear", json={}).raise_for_status()
    again = starter.call("change_plan", plan_id=PRO)
    assert again.status_code == 200 or again.json()["message"] == "plan_unchanged", again.text
    starter.settle()
    assert starter.balance == 1000 + of(2000, share)
    assert len(starter.books.payments) == payments + 1
    starter.books.assert_sound()


def test_what_cannot_be_changed_is_refused_by_name(starter: Subscriber) -> None:
    same = starter.call("change_plan", plan_id=STARTER)
    free = starter.call("change_plan", plan_id=FREE)
    nonsense = starter.call("change_plan", plan_id=PRO, mode="sometimes")

    assert (same.status_code, same.json()["message"]) == (409, "plan_unchanged")
    assert (free.status_code, free.json()["message"]) == (404, "not_found")
    assert (nonsense.status_code, nonsense.json()["message"]) == (422, "invalid_argument")


def test_an_open_invoice_comes_before_a_change(starter: Subscriber) -> None:
    starter.decline_from_now_on()
    starter.renew()

    answer = starter.call("change_plan", plan_id=PRO)

    assert (answer.status_code, answer.json()["message"]) == (409, "subscription_not_active")


def test_the_price_of_a_plan_is_made_once_for_all_terms(starter: Subscriber) -> None:
    key = f"tallybase:{STARTER}:1900:usd:month"

    assert len(starter.stripe.v1.prices.list({"lookup_keys": [key]}).data) == 1


@pytest.mark.parametrize("name", ["change_plan", "cancel_subscription", "resume_subscription"])
def test_only_who_manages_billing_may_touch_the_plan(starter: Subscriber, name: str, workers_as: Any) -> None:
    stranger = workers_as(None)
    body = {"organization_id": str(starter.buyer.organization_id)}
    if name == "change_plan":
        body["plan_id"] = PRO

    assert stranger.call(name, body).status_code == 401
    foreign = {**body, "organization_id": "11111111-1111-4111-8111-111111111111"}
    assert starter.buyer.workers.call(name, foreign).status_code == 403
