"""Scenarios D of the design: credits reserved for runs of unknown cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Organization, StackUnderTest

from .api import Answer, LedgerApi, in_parallel
from .conftest import Story, day

MINUTE = timedelta(minutes=1)


def _hold(story: Story, amount: object, **arguments: object) -> Answer:
    return story.api.call(
        "hold_credits",
        agent_type="TestAgent",
        action="test",
        amount=amount,
        organization_id=story.organization_id,
        **arguments,
    )


def _capture(story: Story, hold: Any, amount: object = None, **arguments: object) -> Answer:
    return story.api.call("capture_hold", hold_id=hold["hold_id"], amount=amount, **arguments)


def _policy(story: Story, database: psycopg.Connection[Any], policy: str) -> None:
    database.execute(
        "update billing.organizations set over_capture_policy = %s where organization_id = %s",
        (policy, story.organization_id),
    )


def test_d25_two_expiry_workers_release_a_hold_once(story: Story, database: psycopg.Connection[Any]) -> None:
    story.grant(15)
    story.consume(3).accepted()
    assert _hold(story, 8).accepted()["available"] == 4
    story.set_clock_only(day(1), database)
    in_parallel(2, lambda _: story.api.call("run_due_jobs"))
    after = story.balance()
    assert (after["balance"], after["available"], after["held"]) == (12, 12, 0)
    assert [entry["kind"] for entry in story.entries()].count("release") == 1


def test_d26_an_expired_hold_cannot_be_captured(story: Story, database: psycopg.Connection[Any]) -> None:
    story.grant(15)
    hold = _hold(story, 8).accepted()
    story.set_clock_only(day(0) + 15 * MINUTE, database)
    details = _capture(story, hold, 8).refused(409, "hold_expired")
    assert details == {"hold_id": hold["hold_id"]}
    assert story.balance()["balance"] == 15


def test_d27_a_hold_is_captured_once(story: Story) -> None:
    story.grant(15)
    hold = _hold(story, 8).accepted()
    first = _capture(story, hold, 8, idempotency_key="settle").accepted()
    again = _capture(story, hold, 8, idempotency_key="settle").accepted()
    assert (first["balance"], again) == (7, {**first, "replayed": True})
    details = _capture(story, hold, 8, idempotency_key="other").refused(409, "hold_captured")
    assert details["transaction_id"] == first["transaction_id"]
    _capture(story, hold, 0).refused(409, "hold_captured")
    story.api.call("release_hold", hold_id=hold["hold_id"]).refused(409, "hold_captured")
    assert story.balance()["balance"] == 7


def test_d28_a_holds_key_replays_and_conflicts(story: Story) -> None:
    story.grant(20)
    first = _hold(story, 5, idempotency_key="h1").accepted()
    again = _hold(story, 5, idempotency_key="h1").accepted()
    assert (again["hold_id"], again["replayed"], again["available"]) == (first["hold_id"], True, 15)
    details = _hold(story, 6, idempotency_key="h1").refused(409, "idempotency_conflict")
    assert details == {"hold_id": first["hold_id"]}
    assert story.balance()["available"] == 15


def test_d29_an_authorisation_of_nothing_may_capture_what_there_is(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    story.grant(50)
    _policy(story, database, "up_to_available")
    hold = _hold(story, 0).accepted()
    assert _capture(story, hold, "1.2").accepted()["balance"] == Decimal("48.8")


def test_d30_a_late_settlement_is_a_new_consumption_once(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    story.grant(100)
    hold = _hold(story, 100, expires_in="20 minutes").accepted()
    story.go_to(day(0) + 20 * MINUTE)
    assert story.balance()["available"] == 100
    story.go_to(day(0) + 40 * MINUTE)
    _capture(story, hold, 30).refused(409, "hold_expired")
    late = {"idempotency_key": f"late:{hold['hold_id']}"}
    assert story.consume(30, **late).accepted()["balance"] == 70
    assert story.consume(30, **late).accepted()["replayed"]
    assert story.balance()["balance"] == 70


@pytest.mark.parametrize("cost", ["-1618.8", "NaN", "Infinity", "1e30"])
def test_d31_impossible_costs_leave_the_hold_open(story: Story, cost: str) -> None:
    story.grant(100)
    hold = _hold(story, 5).accepted()
    _capture(story, hold, cost).refused(422, "invalid_amount")
    after = story.balance()
    assert (after["balance"], after["held"]) == (100, 5)


def test_d33_refunds_of_what_is_not_there_change_nothing(
    story: Story, new_organization: Callable[..., Organization]
) -> None:
    story.grant(100)
    for transaction_id in (str(uuid4()), "00000000-0000-8000-8000-000000000001"):
        story.api.call(
            "refund_consumption",
            transaction_id=transaction_id,
            amount=50,
            reason="customer",
            idempotency_key="r",
        ).refused(404, "not_found")
    assert story.balance()["balance"] == 100


def test_held_credits_cannot_be_spent_and_what_is_released_can(story: Story) -> None:
    story.grant(10)
    hold = _hold(story, 8).accepted()
    details = story.consume(3).refused(402, "insufficient_credits")
    assert (details["balance"], details["held"], details["available"]) == (10, 8, 2)
    _hold(story, 3).refused(402, "insufficient_credits")
    story.consume(2).accepted()
    released = story.api.call("release_hold", hold_id=hold["hold_id"]).accepted()
    assert (released["status"], released["available"]) == ("released", 8)
    again = story.api.call("release_hold", hold_id=hold["hold_id"]).refused(409, "hold_released")
    assert again == {"hold_id": hold["hold_id"]}
    assert story.consume(8).accepted()["balance"] == 0


def test_a_partial_capture_releases_the_rest(story: Story) -> None:
    story.grant(10)
    hold = _hold(story, 8).accepted()
    receipt = _capture(story, hold, "2.5").accepted()
    assert (receipt["amount"], receipt["balance"], receipt["available"]) == (
        Decimal("2.5"),
        Decimal("7.5"),
        Decimal("7.5"),
    )
    assert story.consume("7.5").accepted()["balance"] == 0


def test_a_hold_fixes_the_price_version(story: Story) -> None:
    story.grant(1000)
    new_price = {
        "agent_type": "Priced",
        "action": "run",
        "metric": "tokens",
        "organization_id": story.organization_id,
    }
    story.api.call(
        "set_agent_action_cost", credit_cost="0.5", effective_from="2030-01-01T00:00:00Z", **new_price
    ).accepted()
    hold = story.api.call(
        "hold_credits",
        agent_type="Priced",
        action="run",
        quantities={"tokens": 100},
        organization_id=story.organization_id,
    ).accepted()
    assert hold["amount"] == 50
    story.api.call(
        "set_agent_action_cost", credit_cost="0.9", effective_from=day(0).isoformat(), **new_price
    ).accepted()
    receipt = _capture(story, hold, quantities={"tokens": 20}).accepted()
    assert receipt["amount"] == 10
    assert receipt["price"]["rows"][0]["credit_cost"] == Decimal("0.5")


def test_a_grant_that_expires_under_a_hold_can_still_be_captured(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    grant = story.grant(10, expires_at=day(1))
    hold = _hold(story, 6, expires_in="2 days").accepted()
    story.set_clock_only(day(1.5), database)
    unswept = story.balance()
    assert (unswept["balance"], unswept["held"], unswept["available"]) == (6, 6, 0)
    receipt = _capture(story, hold, 4).accepted()
    assert (receipt["amount"], story.balance()["balance"], story.left(grant)) == (4, 0, 0)
    assert [(e["kind"], e["amount"]) for e in story.entries()][-3:] == [
        ("expire", -4),
        ("consume", -4),
        ("expire", -2),
    ]


def test_an_expiring_hold_captures_what_was_metered(story: Story, database: psycopg.Connection[Any]) -> None:
    story.grant(10)
    hold = _hold(story, 8).accepted()
    extended = story.api.call(
        "extend_hold", hold_id=hold["hold_id"], additional=1, metered=3, expires_in="1 hour"
    ).accepted()
    assert (extended["amount"], extended["metered"], extended["available"]) == (9, 3, 1)
    story.api.call("extend_hold", hold_id=hold["hold_id"], metered=2).refused(422, "invalid_amount")
    story.set_clock_only(day(1), database)
    assert story.balance()["available"] == 7, "right before any job"
    story.api.call("run_due_jobs").accepted()
    assert story.balance()["available"] == 7
    last = story.entries()[-1]
    assert (last["kind"], last["amount"], last["created_at"]) == ("consume", -3, "2031-01-01T01:00:00+00:00")
    assert "transaction_id" in _capture(story, hold, 3).refused(409, "hold_expired")


@pytest.mark.parametrize(
    ("policy", "balance", "uncollected"), [("up_to_available", 0, 5), ("allow_debt", -5, 0)]
)
def test_over_capture_follows_the_policy(
    story: Story, database: psycopg.Connection[Any], policy: str, balance: int, uncollected: int
) -> None:
    story.grant(10)
    hold = _hold(story, 8).accepted()
    _capture(story, hold, 15).refused(422, "invalid_amount")
    _policy(story, database, policy)
    assert _capture(story, hold, 15).accepted()["balance"] == balance
    (row,) = story.api.select(f"credit_holds?id=eq.{hold['hold_id']}").accepted()
    assert row["uncollected_amount"] == uncollected
    if policy == "allow_debt":
        assert story.balance()["debt"] == 5
        story.grant(20)
        assert story.balance()["balance"] == 15


def test_over_capture_never_passes_a_hard_limit(story: Story, database: psycopg.Connection[Any]) -> None:
    story.grant(100)
    story.api.call(
        "set_credit_limit",
        subject_type="organization",
        subject_id=story.organization_id,
        amount=10,
        window="day",
    ).accepted()
    _policy(story, database, "up_to_available")
    hold = _hold(story, 8).accepted()
    assert _capture(story, hold, 15).accepted()["amount"] == 10
    story.consume(1).refused(402, "limit_exceeded")


def test_a_hold_counts_against_limits_when_taken(story: Story) -> None:
    story.grant(100)
    story.api.call(
        "set_credit_limit",
        subject_type="organization",
        subject_id=story.organization_id,
        amount=10,
        window="day",
    ).accepted()
    hold = _hold(story, 8).accepted()
    assert story.consume(3).refused(402, "limit_exceeded")["remaining"] == 2
    _capture(story, hold, 1).accepted()
    story.consume(9).accepted()
    story.consume(1).refused(402, "limit_exceeded")


def test_an_ended_hold_counts_no_more_whether_or_not_a_job_ran(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    story.grant(200)
    department = story.api.call(
        "create_department", organization_id=story.organization_id, name="R&D"
    ).accepted()
    story.api.call(
        "set_credit_limit", subject_type="department", subject_id=department["id"], amount=100, window="day"
    ).accepted()
    _hold(story, 80, department_id=department["id"]).accepted()
    story.set_clock_only(day(0) + 20 * MINUTE, database)
    (limit,) = story.api.select(f"department_credit_limits?department_id=eq.{department['id']}").accepted()
    assert (limit["used"], limit["remaining"]) == (0, 100)
    quote = story.api.call(
        "check_credits",
        agent_type="TestAgent",
        action="test",
        amount=100,
        organization_id=story.organization_id,
        department_id=department["id"],
    ).accepted()
    assert quote["allowed"] is True
    story.consume(100, department_id=department["id"]).accepted()


def test_holds_of_another_key_are_not_found(
    stack: StackUnderTest, new_organization: Callable[..., Organization], service_api: LedgerApi
) -> None:
    organization = new_organization(credits=100)
    made = service_api.call(
        "create_agent_key", organization_id=str(organization.organization_id), name="second"
    ).accepted()
    mine = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": organization.agent_key})
    other = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": made["key"]})
    hold = mine.call("hold_credits", agent_type="TestAgent", action="test", amount=5).accepted()
    answers = [
        api.call("capture_hold", hold_id=hold_id, amount=1)
        for api, hold_id in ((other, hold["hold_id"]), (mine, str(uuid4())))
    ]
    assert [answer.refused(404, "not_found") for answer in answers] == [{"what": "hold"}] * 2
    assert mine.call("capture_hold", hold_id=hold["hold_id"], amount=1).accepted()["balance"] == 99


def test_parallel_holds_and_captures_never_oversell(story: Story) -> None:
    story.grant(20)
    holds = [answer.body for answer in in_parallel(16, lambda _: _hold(story, 2)) if answer.status == 200]
    assert len(holds) == 10
    outcomes = in_parallel(20, lambda i: _capture(story, holds[i % 10], 1 + (i % 2)))
    assert Counter(answer.status for answer in outcomes) == {200: 10, 409: 10}
    after = story.balance()
    charged = sum(answer.body["amount"] for answer in outcomes if answer.status == 200)
    assert (after["balance"], after["held"]) == (20 - charged, 0)
