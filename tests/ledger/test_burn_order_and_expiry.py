"""Scenarios A of the design: in which order grants are spent, and when they end."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg

from .conftest import Story, day

MICROSECOND = timedelta(microseconds=1)


def test_a1_both_lots_are_spent_to_the_last_and_not_a_millionth_more(story: Story) -> None:
    first, second = story.grant(100), story.grant(100)
    story.consume(200).accepted()
    assert (story.left(first), story.left(second)) == (0, 0)
    details = story.consume("0.000001").refused(402, "insufficient_credits")
    assert (details["required"], details["available"], details["shortfall"]) == (
        Decimal("0.000001"),
        0,
        Decimal("0.000001"),
    )
    assert story.balance()["balance"] == 0


def test_a2_of_equal_lots_the_older_is_spent_first(story: Story) -> None:
    first = story.grant(100, priority=1)
    story.go_to(day(0) + timedelta(seconds=1))
    second = story.grant(100, priority=1)
    story.consume(120).accepted()
    assert (story.left(first), story.left(second)) == (0, 80)


def test_a3_priority_beats_expiry_and_promotional_comes_before_paid(story: Story) -> None:
    paid = story.grant(50, source="purchase", priority=1, expires_at=day(31), unit_cost="0.02")
    promotional = story.grant(20, priority=1, expires_at=day(31))
    late = story.grant(100, priority=2, expires_at=day(14))
    story.consume(60).accepted()
    assert (story.left(promotional), story.left(paid), story.left(late)) == (0, 10, 100)
    assert [item["amount"] for item in story.balance()["expiring"]] == [100, 10]
    story.go_to(day(14))
    assert story.left(late) == 0
    assert story.balance()["balance"] == 10


def test_a4_priority_then_expiry_then_never(story: Story) -> None:
    a = story.grant(50, priority=1, expires_at=day(10))
    b = story.grant(80, priority=1, expires_at=day(20))
    c = story.grant(100, priority=2)
    story.go_to(day(1))
    receipt = story.consume(90).accepted()
    assert receipt["grants"] == [{"grant_id": a, "amount": 50}, {"grant_id": b, "amount": 40}]
    assert (story.left(a), story.left(b), story.left(c)) == (0, 40, 100)
    assert story.balance()["balance"] == 140


def test_a5_a_lot_is_spendable_until_its_expiry_and_not_at_it(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    story.grant(100, expires_at=day(5))
    story.set_clock_only(day(5) - MICROSECOND, database)
    assert story.consume(10).accepted()["balance"] == 90
    story.set_clock_only(day(5), database)
    story.consume(1).refused(402, "insufficient_credits")
    assert story.balance()["balance"] == 0, "right at once, whether or not a sweeper ran"
    story.api.call("run_due_jobs").accepted()
    expired = [entry for entry in story.entries() if entry["kind"] == "expire"]
    assert [(entry["amount"], entry["created_at"]) for entry in expired] == [
        (-90, "2031-01-06T00:00:00+00:00")
    ]


def test_a6_a_lot_is_not_spendable_before_it_is_in_force(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    story.go_to(day(1))
    story.grant(100, effective_at=day(5))
    story.go_to(day(4))
    story.consume(1).refused(402, "insufficient_credits")
    before = story.balance()
    assert (before["balance"], before["pending"]) == (0, 100)
    story.set_clock_only(day(5), database)
    assert story.balance()["balance"] == 100
    assert story.consume(1).accepted()["balance"] == 99


def test_a7_among_many_lots_the_one_that_ends_first_pays(story: Story) -> None:
    soon = day(29)
    with_ids = [story.grant(100, expires_at=day(30)) for _ in range(5)]
    first_to_end = story.grant(100, expires_at=soon)
    story.consume(99).accepted()
    assert story.left(first_to_end) == 1
    assert {story.left(grant_id) for grant_id in with_ids} == {100}


def test_a8_what_unused_credits_do_over_time(story: Story) -> None:
    story.go_to(day(1))
    story.grant(10, expires_at=day(10))
    story.go_to(day(2))
    story.consume(5).accepted()
    story.go_to(day(5))
    story.grant(15, expires_at=day(15))
    story.go_to(day(6))
    story.consume(10).accepted()
    story.go_to(day(7))
    assert story.balance()["expiring"] == [{"expires_at": "2031-01-16T00:00:00+00:00", "amount": 10}]
    story.go_to(day(10))
    assert story.balance()["balance"] == 10
    story.go_to(day(15))
    assert [story.balance(as_of=day(at))["balance"] for at in (4, 5, 6, 10, 15)] == [5, 20, 10, 10, 0]
    assert sum(entry["amount"] for entry in story.entries() if entry["kind"] == "expire") == -10


def test_scoped_lots_are_spent_first_and_only_in_their_scope(story: Story) -> None:
    scoped = story.grant(30, agent_types=["TestAgent"])
    pool = story.grant(10)
    answer = story.api.call(
        "consume_credits",
        agent_type="QAAgent",
        action="answer_question",
        organization_id=story.organization_id,
    )
    assert answer.accepted()["grants"] == [{"grant_id": pool, "amount": 5}]
    story.consume(32).accepted()
    assert (story.left(scoped), story.left(pool)) == (0, 3)
    details = story.consume(4).refused(402, "insufficient_credits")
    assert details["available"] == 3


def test_a_burning_lot_gives_way_to_a_better_one_that_arrives(story: Story) -> None:
    forever = story.grant(100)
    story.consume(10).accepted()
    urgent = story.grant(50, expires_at=day(3))
    story.consume(20).accepted()
    assert (story.left(forever), story.left(urgent)) == (90, 30)


def test_a_pending_lot_takes_its_turn_the_moment_it_is_in_force(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    forever = story.grant(100)
    story.consume(10).accepted()
    urgent = story.grant(50, effective_at=day(2), expires_at=day(3))
    story.consume(10).accepted()
    story.set_clock_only(day(2), database)
    story.consume(20).accepted()
    assert (story.left(forever), story.left(urgent)) == (80, 30)
    story.set_clock_only(day(3), database)
    assert story.consume(1).accepted()["balance"] == 79
    assert [(e["kind"], e["amount"]) for e in story.entries()][-3:] == [
        ("consume", -20),
        ("expire", -30),
        ("consume", -1),
    ]


def test_the_ledger_is_the_same_whenever_the_jobs_run(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    twin = Story(story.api, story.organization)

    def tell(each_day: bool) -> None:
        twin.grant(10, expires_at=day(2), source_reference="a")
        twin.grant(20, effective_at=day(1), expires_at=day(3), source_reference="b")
        twin.consume(3).accepted()
        for number in (1, 2, 3, 4):
            if each_day:
                twin.go_to(day(number))
            else:
                twin.set_clock_only(day(number), database)
            if number == 2:
                twin.consume(4).accepted()
        twin.go_to(day(4))

    facts = ("kind", "amount", "balance_after", "created_at")
    tell(each_day=True)
    told_daily = [tuple(entry[fact] for fact in facts) for entry in twin.entries()]
    other = story.api.call(
        "create_organization", name="Again", owner_user_id=str(story.organization.owner.user_id)
    ).accepted()
    twin.organization_id = other["organization_id"]
    twin.go_to(day(0))
    tell(each_day=False)
    assert [tuple(entry[fact] for fact in facts) for entry in twin.entries()] == told_daily
    assert story.api.call("verify_ledger", organization_id=twin.organization_id).accepted() == []
