"""Scenarios B of the design, and 44: what a renewal grants, rolls over and leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from .api import LedgerApi, in_parallel
from .conftest import EPOCH, Story, day
from .plans import MONTH, Catalogue, PaidSubscription, grants, moved, rolled, start_free

Database = psycopg.Connection[dict[str, Any]]
HOUR = timedelta(hours=1)


@pytest.fixture
def catalogue(database: Database) -> Catalogue:
    """Plans of the test's own."""
    return Catalogue(database)


# Rollover --------------------------------------------------------------------------------------------


def test_b10_what_the_cap_lets_through_rolls_over_and_the_rest_expires(
    story: Story, catalogue: Catalogue
) -> None:
    start_free(story, catalogue.plan(100, rollover_cap=50))
    story.consume(10).accepted()
    story.go_to(MONTH[1])
    assert (rolled(story), moved(story, "expire")) == (50, -40)
    assert story.balance()["balance"] == 150


def test_b11_each_lot_rolls_over_by_its_own_cap(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    plan = catalogue.plan(1000, rollover_cap=1000)
    paid = PaidSubscription.open(story, database, plan)
    paid.renew(MONTH[0], MONTH[1])
    paid.call("add_plan_credits", MONTH[0], MONTH[1], 1000, "upgrade")
    database.execute(
        "update billing_private.credit_grant_lots set priority = 103, rollover_cap = 100"
        " where organization_id = %s and source_reference = 'upgrade'",
        (story.organization_id,),
    )
    story.consume(600).accepted()
    story.go_to(MONTH[1])
    paid.renew(MONTH[1], MONTH[2], p_amount=0)
    assert [grant["remaining"] for grant in grants(story, "rollover")] == [400, 100]
    assert story.balance()["balance"] == 500
    assert moved(story, "expire") == -900


def test_b12_a_lot_that_ends_at_the_reset_does_not_roll_over(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    paid = PaidSubscription.open(story, database, catalogue.plan(100, rollover_cap=100))
    paid.renew(MONTH[0], MONTH[1])
    paid.ends(MONTH[1])
    story.set_clock_only(MONTH[1], database)
    paid.renew(MONTH[1], MONTH[2], p_amount=0)
    assert (rolled(story), moved(story, "expire")) == (0, -100)


def test_b13_a_lot_that_begins_at_the_reset_is_not_rolled_over_or_cut(
    story: Story, database: Database, catalogue: Catalogue
) -> None:
    plan = catalogue.plan(1000, rollover_cap=1000)
    paid = PaidSubscription.open(story, database, plan)
    story.go_to(MONTH[1])
    paid.renew(MONTH[1], MONTH[2])
    paid.renew(MONTH[1], MONTH[2])
    paid.call("add_plan_credits", MONTH[1], MONTH[2], 5, "same period")
    assert story.balance()["balance"] == 1005
    assert rolled(story) == 0


def test_b14_what_rolled_over_is_spent_first(story: Story, catalogue: Catalogue) -> None:
    start_free(story, catalogue.plan(400, rollover_share=1))
    story.consume(250).accepted()
    story.go_to(MONTH[1])
    assert story.balance()["balance"] == 550
    story.consume(150).accepted()
    (rollover,), main = grants(story, "rollover"), grants(story, "subscription")[-1]
    assert (rollover["remaining"], main["remaining"]) == (0, 400)


def test_b15_a_refill_adds_and_leaves_purchased_credits_alone(story: Story, catalogue: Catalogue) -> None:
    story.grant(3000, source="purchase", unit_cost="0.01")
    start_free(story, catalogue.plan(1000))
    story.consume(1000).accepted()
    assert story.balance()["balance"] == 3000
    story.go_to(MONTH[1])
    assert story.balance()["balance"] == 4000


def test_b16_without_rollover_the_unused_plan_credits_expire_and_only_they(
    story: Story, catalogue: Catalogue
) -> None:
    purchase = story.grant(25, source="purchase", unit_cost="0.01")
    start_free(story, catalogue.plan(50))
    assert story.balance()["balance"] == 75
    story.go_to(MONTH[1])
    assert story.balance()["balance"] == 75
    assert (moved(story, "expire"), story.left(purchase)) == (-50, 25)


def test_b17_a_daily_lot_recurs_once_a_day_whatever_else_happens(story: Story, catalogue: Catalogue) -> None:
    plan = catalogue.plan(100, billing_interval="day")
    start_free(story, plan)
    story.go_to(day(0) + HOUR / 6)
    story.consume(30).accepted()
    other = story.grant(100, priority=200, effective_at=day(0) + HOUR)
    story.go_to(day(0) + HOUR)
    story.go_to(day(0) + HOUR + HOUR / 12)
    story.consume(20).accepted()
    (daily,) = grants(story, "subscription")
    assert (daily["remaining"], story.left(other)) == (50, 100)
    story.go_to(day(1))
    assert [grant["remaining"] for grant in grants(story, "subscription")] == [0, 100]
    assert story.left(other) == 100


def test_b18_a_period_is_granted_once_however_often_and_parallel_it_is_paid(
    story: Story, database: Database, catalogue: Catalogue, stack: Any
) -> None:
    paid = PaidSubscription.open(story, database, catalogue.plan(500))

    def deliver(_: int) -> Any:
        with psycopg.connect(stack.database_url, autocommit=True, row_factory=psycopg.rows.dict_row) as own:
            twin = PaidSubscription(story, own, paid.subscription_id)
            return twin.renew(MONTH[0], MONTH[1], p_reference="il_1")

    receipts: list[Any] = [*in_parallel(2, deliver), deliver(2)]
    assert sorted(receipt["replayed"] for receipt in receipts) == [False, True, True]
    assert len({receipt["grant_id"] for receipt in receipts}) == 1
    assert story.balance()["balance"] == 500
    with pytest.raises(psycopg.Error) as refused:
        paid.renew(MONTH[0], MONTH[1], p_amount=501)
    assert refused.value.sqlstate == "PT409"


# Purchased and other grants, holds, debt, refunds -----------------------------------------------------


def test_credits_with_an_expiry_of_their_own_are_neither_expired_nor_rolled_over(
    story: Story, catalogue: Catalogue
) -> None:
    start_free(story, catalogue.plan(100, credit_expiry="2 months", rollover_cap=50))
    story.consume(30).accepted()
    story.go_to(MONTH[1])
    assert (story.balance()["balance"], rolled(story)) == (170, 0)
    story.go_to(MONTH[2])
    assert story.balance()["balance"] == 200, "the first 70 are over, two months are left"
    assert moved(story, "expire") == -70


def test_what_a_hold_has_claimed_stays_and_is_lost_when_it_is_let_go(
    story: Story, catalogue: Catalogue
) -> None:
    start_free(story, catalogue.plan(100, rollover_cap=80))
    story.go_to(MONTH[1] - HOUR)
    hold = story.api.call(
        "hold_credits",
        agent_type="TestAgent",
        action="test",
        amount=60,
        organization_id=story.organization_id,
        expires_in="3 hours",
    ).accepted()
    story.go_to(MONTH[1])
    assert rolled(story) == 40, "what is held does not roll over"
    assert story.balance()["balance"] == 200
    captured = story.api.call("capture_hold", hold_id=hold["hold_id"], amount=25).accepted()
    assert captured["amount"] == 25
    assert story.balance()["balance"] == 140
    assert moved(story, "expire") == -35, "let go after the end of its period"


def test_a_hold_that_runs_out_at_the_reset_still_gives_back_what_then_rolls_over(
    story: Story, catalogue: Catalogue
) -> None:
    start_free(story, catalogue.plan(100, rollover_cap=80))
    story.go_to(MONTH[1] - HOUR)
    arguments = {"agent_type": "TestAgent", "action": "test", "organization_id": story.organization_id}
    story.api.call("hold_credits", amount=60, expires_in="1 hour", **arguments).accepted()
    story.go_to(MONTH[1])
    assert (rolled(story), moved(story, "expire")) == (80, -20)


def test_the_new_period_repays_debt_first(story: Story, catalogue: Catalogue, database: Database) -> None:
    database.execute(
        "update billing.organizations set overdraft_limit = 100 where organization_id = %s",
        (story.organization_id,),
    )
    start_free(story, catalogue.plan(50))
    story.consume(80).accepted()
    assert story.balance()["debt"] == 30
    story.go_to(MONTH[1])
    after = story.balance()
    assert (after["balance"], after["debt"]) == (20, 0)


@pytest.mark.parametrize(("reason", "given_back"), [("customer", 0), ("platform_fault", 30)])
def test_a_refund_goes_to_the_lot_that_paid_which_the_renewal_has_ended(
    story: Story, catalogue: Catalogue, reason: str, given_back: int
) -> None:
    start_free(story, catalogue.plan(100, rollover_cap=100))
    spent = story.consume(30).accepted()
    story.go_to(MONTH[1])
    assert story.balance()["balance"] == 170
    story.api.call(
        "refund_consumption",
        transaction_id=spent["transaction_id"],
        reason=reason,
        idempotency_key="back",
    ).accepted()
    assert story.balance()["balance"] == 170 + given_back


def test_a_refund_of_what_rolled_over_goes_back_to_it_and_ends_with_the_period(
    story: Story, catalogue: Catalogue
) -> None:
    start_free(story, catalogue.plan(100, rollover_cap=40))
    story.go_to(MONTH[1])
    spent = story.consume(30).accepted()
    story.api.call(
        "refund_consumption",
        transaction_id=spent["transaction_id"],
        reason="customer",
        idempotency_key="back",
    ).accepted()
    assert [grant["remaining"] for grant in grants(story, "rollover")] == [40]
    story.go_to(MONTH[2])
    assert story.balance()["balance"] == 140, "100 new and 40 of the last period; nothing rolls over twice"
    assert [grant["remaining"] for grant in grants(story, "rollover")] == [0, 40]


def test_credits_moved_to_a_department_end_and_roll_over_with_the_plan(
    story: Story, catalogue: Catalogue
) -> None:
    department = story.api.call(
        "create_department", organization_id=story.organization_id, name="Marketing"
    ).accepted()["id"]
    start_free(story, catalogue.plan(100, rollover_cap=50))
    story.api.call(
        "transfer_credits",
        from_department_id=None,
        to_department_id=department,
        amount=60,
        idempotency_key="lend",
    ).accepted()
    story.go_to(MONTH[1])
    assert sorted((g["department_id"] or "", g["remaining"]) for g in grants(story, "rollover")) == [
        ("", 40),
        (department, 10),
    ]
    assert moved(story, "expire") == -50


def test_plan_credits_are_spent_before_what_lives_longer_and_after_what_ends_sooner(
    story: Story, catalogue: Catalogue
) -> None:
    later = story.grant(10, expires_at=day(32))
    sooner = story.grant(10, expires_at=day(30))
    start_free(story, catalogue.plan(10, grace_days=30))
    story.consume(15).accepted()
    (planned,) = grants(story, "subscription")
    assert (story.left(sooner), planned["remaining"], story.left(later)) == (0, 5, 10)


def test_e44_a_plan_edit_touches_the_next_period_only(
    service_api: LedgerApi, new_organization: Any, catalogue: Catalogue
) -> None:
    plan = catalogue.plan(1000, rollover_cap=0)
    stories = [Story(service_api, new_organization()) for _ in range(3)]
    for told in stories:
        told.go_to(EPOCH)
        start_free(told, plan)
    catalogue.edit(plan, credits_per_period=1500, rollover_cap=700)
    assert sum(told.balance()["balance"] for told in stories) == 3000
    for told in stories:
        told.go_to(MONTH[1])
    assert sum(told.balance()["balance"] for told in stories) == 4500, "without rollover, as it was agreed"
    for told in stories:
        told.go_to(MONTH[2])
        assert told.balance()["balance"] == 2200
        assert service_api.call("verify_ledger", organization_id=told.organization_id).accepted() == []


def test_a_plan_edit_does_not_reach_back_to_a_period_that_began_before_it(
    service_api: LedgerApi, new_organization: Any, catalogue: Catalogue, database: Database
) -> None:
    plan = catalogue.plan(100, rollover_cap=10)
    told = Story(service_api, new_organization())
    began = datetime(2020, 1, 1, tzinfo=UTC)
    told.go_to(began)
    start_free(told, plan)
    catalogue.edit(plan, credits_per_period=900, billing_interval="day", unit_amount=5)
    told.set_clock_only(began + timedelta(days=31), database)
    assert told.balance()["balance"] == 110, "the sweeper was down, and the plan was edited long after"
    told.go_to(began + timedelta(days=31))
    assert told.balance()["balance"] == 110
    assert service_api.call("verify_ledger", organization_id=told.organization_id).accepted() == []
