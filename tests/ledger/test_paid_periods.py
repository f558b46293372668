"""Scenario 45, and what a paid plan's invoices and cancellations do to its credits, in any order."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from .conftest import Story, day
from .plans import MONTH, Catalogue, PaidSubscription, grants, moved, rolled

Database = psycopg.Connection[dict[str, Any]]
HOUR = timedelta(hours=1)


@pytest.fixture
def catalogue(database: Database) -> Catalogue:
    """Plans of the test's own."""
    return Catalogue(database)


def test_nobody_is_without_credits_while_the_renewal_is_awaited(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    paid = PaidSubscription.open(story, database, catalogue.plan(100, rollover_cap=60, grace_days=3))
    paid.renew(MONTH[0], MONTH[1])
    assert story.balance()["expiring"] == [{"expires_at": "2031-02-01T00:00:00+00:00", "amount": 40}]
    story.go_to(MONTH[1] + HOUR / 2)
    story.consume(10).accepted()
    assert story.balance()["expiring"] == [{"expires_at": "2031-02-04T00:00:00+00:00", "amount": 90}]
    story.go_to(MONTH[1] + HOUR)
    paid.renew(MONTH[1], MONTH[2])
    assert (rolled(story), moved(story, "expire"), story.balance()["balance"]) == (60, -30, 160)


def test_without_payment_the_period_s_credits_end_with_the_grace(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    paid = PaidSubscription.open(story, database, catalogue.plan(100, rollover_cap=60, grace_days=3))
    paid.renew(MONTH[0], MONTH[1])
    story.set_clock_only(MONTH[1] + timedelta(days=3), database)
    assert story.balance()["balance"] == 0
    story.go_to(MONTH[1] + timedelta(days=5))
    paid.renew(MONTH[1], MONTH[2])
    assert (rolled(story), story.balance()["balance"]) == (0, 100)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0), (0, 2, 1), (2, 0, 1)])
def test_invoices_that_arrive_in_any_order_leave_the_same_credits(
    story: Story, database: Database, catalogue: Catalogue, order: tuple[int, ...]
) -> None:
    paid = PaidSubscription.open(story, database, catalogue.plan(100, rollover_cap=60, grace_days=90))
    story.go_to(MONTH[2] + HOUR)
    for number in (*order, *order):
        paid.renew(MONTH[number], MONTH[number + 1], p_reference=f"il_{number}")
    assert story.balance()["balance"] == 160
    assert [grant["remaining"] for grant in grants(story, "rollover") if grant["is_open"]] == [60]
    periods = sorted(grants(story, "subscription"), key=lambda grant: str(grant["period_start"]))
    assert [grant["remaining"] for grant in periods] == [0, 0, 100]


def test_an_upgrade_s_credits_are_the_period_s_and_share_its_cap(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    small = catalogue.plan(100, rollover_cap=20)
    paid = PaidSubscription.open(story, database, small)
    paid.renew(MONTH[0], MONTH[1])
    catalogue.edit(small, credits_per_period=1000, rollover_cap=70)
    story.go_to(day(10))
    paid.call("add_plan_credits", day(10), MONTH[1], 600, "il_up")
    paid.call("add_plan_credits", day(10), MONTH[1], 600, "il_up")
    assert story.balance()["balance"] == 700
    assert paid.call("plan_credits_granted", MONTH[0], MONTH[1]) == 700
    story.go_to(MONTH[1])
    paid.renew(MONTH[1], MONTH[2])
    assert sorted(g["amount"] for g in grants(story, "rollover")) == [20, 50]
    assert story.balance()["balance"] == 1070


def test_a_full_restart_ends_the_running_period(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    paid = PaidSubscription.open(story, database, catalogue.plan(100, rollover_cap=30))
    paid.renew(MONTH[0], MONTH[1])
    story.go_to(day(10))
    paid.renew(day(10), day(41), p_amount=1000, p_restart=True)
    assert (rolled(story), story.balance()["balance"]) == (30, 1030)
    assert paid.call("end_plan_credits") == 0
    assert story.balance()["balance"] == 0


def test_carried_usage_is_what_the_ended_credits_had_paid(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    paid = PaidSubscription.open(story, database, catalogue.plan(100))
    paid.renew(MONTH[0], MONTH[1])
    story.consume(80).accepted()
    assert paid.call("end_plan_credits") == 80
    assert paid.call("end_plan_credits") == 0
    story.go_to(day(1))
    paid.renew(day(1), day(32), p_amount=1000 - 80, p_restart=True)
    assert story.balance()["balance"] == 920


# The end of a subscription ----------------------------------------------------------------------------


def test_e45_canceled_at_the_period_s_end_access_lasts_to_it_and_purchases_survive(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    story.grant(200, source="purchase", unit_cost="0.01")
    paid = PaidSubscription.open(story, database, catalogue.plan(300, rollover_cap=300))
    paid.renew(MONTH[0], MONTH[1])
    story.consume("0.000001").accepted()  # a grant is being burnt, whose end then moves
    paid.ends(MONTH[1])
    story.set_clock_only(MONTH[1] - HOUR, database)
    assert story.balance()["expiring"] == [
        {"expires_at": "2031-02-01T00:00:00+00:00", "amount": Decimal("299.999999")}
    ]
    assert story.consume(1).accepted()["balance"] == Decimal("498.999999")
    story.set_clock_only(MONTH[1], database)
    assert story.balance()["balance"] == 200
    assert story.consume(1).accepted()["balance"] == 199
    assert rolled(story) == 0


def test_e45_a_cancellation_taken_back_before_the_end_renews_as_if_it_had_not_been(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    plan = catalogue.plan(300)
    story.grant(200, source="purchase", unit_cost="0.01")
    paid = PaidSubscription.open(story, database, plan)
    paid.renew(MONTH[0], MONTH[1])
    paid.ends(MONTH[1])
    paid.ends(MONTH[1])
    paid.ends(None)
    catalogue.edit(plan, credits_per_period=1000)
    story.go_to(MONTH[1] + HOUR)
    assert story.balance()["balance"] == 500, "the renewal is awaited"
    paid.renew(MONTH[1], MONTH[2])
    assert (story.balance()["balance"], moved(story, "expire")) == (1200, -300)


def test_an_immediate_end_takes_what_is_left_now_even_of_a_grant_of_this_instant(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    paid = PaidSubscription.open(story, database, catalogue.plan(300))
    paid.renew(MONTH[0], MONTH[1])
    paid.ends(day(0))
    assert (story.balance()["balance"], moved(story, "expire")) == (0, -300)
    paid.renew(MONTH[1], MONTH[2])
    assert story.balance()["balance"] == 0, "a late invoice of an ended subscription"


@pytest.mark.parametrize("cancels_first", [True, False])
def test_the_end_and_the_grant_may_come_in_either_order(
    story: Story, database: Database, catalogue: Catalogue, cancels_first: bool
) -> None:
    paid = PaidSubscription.open(story, database, catalogue.plan(300))
    if cancels_first:
        paid.ends(day(20))
    paid.renew(MONTH[0], MONTH[1])
    if not cancels_first:
        paid.ends(day(20))
    story.set_clock_only(day(20) - HOUR, database)
    assert story.balance()["balance"] == 300
    story.set_clock_only(day(20), database)
    assert story.balance()["balance"] == 0
