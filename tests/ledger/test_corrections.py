"""Refunds, voided grants and adjustments: what is put right, and what stays."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from .api import Answer
from .conftest import Story, day


def _refund(
    story: Story, receipt: Any, amount: object = None, reason: str = "customer", key: str = "refund"
) -> Answer:
    return story.api.call(
        "refund_consumption",
        transaction_id=receipt["transaction_id"],
        amount=amount,
        reason=reason,
        idempotency_key=key,
    )


def test_a9_a_refund_goes_back_last_taken_first(story: Story) -> None:
    restricted = story.grant(30, agent_types=["TestAgent"])
    pool = story.grant(10)
    receipt = story.consume(40).accepted()
    _refund(story, receipt, 20).accepted()
    assert (story.left(restricted), story.left(pool)) == (10, 10)
    for answer, status in (("QAAgent", 402),):
        spend = story.api.call(
            "consume_credits",
            agent_type=answer,
            action="answer_question",
            quantities={"input_tokens": 20_000},
            organization_id=story.organization_id,
        )
        assert spend.status == status
        assert spend.details["available"] == 10
    story.api.call(
        "consume_credits",
        agent_type="QAAgent",
        action="answer_question",
        quantities={"input_tokens": 10_000},
        organization_id=story.organization_id,
    ).accepted()


def test_refunds_never_pass_what_was_consumed(story: Story) -> None:
    story.grant(100)
    receipt = story.consume(10).accepted()
    _refund(story, receipt, 4, key="a").accepted()
    details = _refund(story, receipt, 7, key="b").refused(409, "refund_exceeds_consumption")
    assert (details["consumed"], details["refundable"]) == (10, 6)
    assert _refund(story, receipt, key="c").accepted()["amount"] == 6
    _refund(story, receipt, key="d").refused(409, "refund_exceeds_consumption")
    assert story.balance()["balance"] == 100


def test_a_refund_replays_by_its_key(story: Story) -> None:
    story.grant(100)
    receipt = story.consume(10).accepted()
    first = _refund(story, receipt, 4).accepted()
    assert _refund(story, receipt, 4).accepted() == {**first, "replayed": True}
    _refund(story, receipt, 5).refused(409, "idempotency_conflict")
    assert story.balance()["balance"] == 94


def test_a_customers_refund_into_an_expired_grant_expires_at_once(story: Story) -> None:
    story.grant(100, expires_at=day(5))
    receipt = story.consume(10).accepted()
    story.go_to(day(6))
    _refund(story, receipt).accepted()
    assert story.balance()["balance"] == 0
    assert [(e["kind"], e["amount"]) for e in story.entries()][-2:] == [("refund", 10), ("expire", -10)]


def test_a_platform_fault_gives_the_time_back_too(story: Story) -> None:
    story.grant(100, expires_at=day(5), unit_cost="0.02", source="purchase")
    story.go_to(day(2))
    receipt = story.consume(10).accepted()
    story.go_to(day(6))
    _refund(story, receipt, reason="platform_fault").accepted()
    balance = story.balance()
    assert balance["balance"] == 10
    assert balance["expiring"] == [{"expires_at": "2031-01-10T00:00:00+00:00", "amount": 10}]
    rows = story.api.select(
        f"credit_grants?organization_id=eq.{story.organization_id}&source=eq.refund&select=unit_cost,amount"
    )
    assert rows.accepted() == [{"unit_cost": 0, "amount": 10}]


def test_a_refund_gives_back_to_open_windows_only(story: Story) -> None:
    story.grant(100)
    for window in ("day", "lifetime"):
        story.api.call(
            "set_credit_limit",
            subject_type="organization",
            subject_id=story.organization_id,
            amount=10,
            window=window,
        ).accepted()
    first = story.consume(5).accepted()
    story.consume(5).accepted()
    _refund(story, first).accepted()
    second = story.consume(5).accepted()
    story.go_to(day(1))
    _refund(story, second, key="next day").accepted()
    assert story.consume(6).refused(402, "limit_exceeded")["used"] == 5


def test_a_voided_grant_is_gone_once(story: Story) -> None:
    grant = story.grant(100)
    story.consume(10).accepted()
    first = story.api.call("void_grant", grant_id=grant, reason="mistake").accepted()
    assert (first["balance"], first["replayed"]) == (0, False)
    again = story.api.call("void_grant", grant_id=grant, reason="mistake").accepted()
    assert (again["replayed"], again["transaction_id"]) == (True, first["transaction_id"])
    assert story.left(grant) == 0
    story.consume(1).refused(402, "insufficient_credits")


def test_a_voided_grant_under_a_hold_goes_when_the_hold_lets_go(story: Story) -> None:
    grant = story.grant(100)
    hold = story.api.call(
        "hold_credits",
        agent_type="TestAgent",
        action="test",
        amount=30,
        organization_id=story.organization_id,
    ).accepted()
    story.api.call("void_grant", grant_id=grant, reason="mistake").accepted()
    assert story.balance()["balance"] == 30
    story.api.call("capture_hold", hold_id=hold["hold_id"], amount=10).accepted()
    assert story.balance()["balance"] == 0
    assert [(e["kind"], e["amount"]) for e in story.entries()][-2:] == [("consume", -10), ("void", -20)]


def test_a_grant_still_to_come_can_be_voided(story: Story) -> None:
    grant = story.grant(100, effective_at=day(2))
    story.api.call("void_grant", grant_id=grant, reason="mistake").accepted()
    story.go_to(day(3))
    assert story.balance()["balance"] == 0


@pytest.mark.parametrize("delta", ["40", "-40", "-140"])
def test_an_adjustment_moves_the_balance_by_its_delta_once(story: Story, delta: str) -> None:
    story.grant(100)
    arguments = {
        "organization_id": story.organization_id,
        "delta": delta,
        "reason": "counted again",
        "idempotency_key": "adjust-1",
    }
    first = story.api.call("adjust_credits", **arguments).accepted()
    assert story.api.call("adjust_credits", **arguments).accepted() == {**first, "replayed": True}
    after = story.balance()
    assert after["balance"] == 100 + int(delta)
    assert after["debt"] == max(0, -(100 + int(delta)))
    story.api.call("adjust_credits", **{**arguments, "delta": 1}).refused(409, "idempotency_conflict")


def test_debt_is_repaid_first_and_blocks_spending_until_then(story: Story) -> None:
    story.api.call(
        "adjust_credits",
        organization_id=story.organization_id,
        delta=-50,
        reason="clawback",
        idempotency_key="c",
    ).accepted()
    story.consume(1).refused(402, "insufficient_credits")
    story.grant(30)
    assert (story.balance()["balance"], story.balance()["debt"]) == (-20, 20)
    grant = story.grant(100)
    assert (story.balance()["balance"], story.balance()["debt"], story.left(grant)) == (80, 0, 80)
    assert story.consume(80).accepted()["balance"] == 0


def test_an_overdraft_is_spent_to_its_limit_and_not_further(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    story.grant(10)
    database.execute(
        "update billing.organizations set overdraft_limit = 5 where organization_id = %s",
        (story.organization_id,),
    )
    assert story.consume(12).accepted()["balance"] == -2
    details = story.consume(4).refused(402, "insufficient_credits")
    assert (details["available"], details["shortfall"]) == (3, 1)
    receipt = story.consume(3).accepted()
    assert (receipt["balance"], story.balance()["debt"]) == (-5, 5)
    _refund(story, receipt).accepted()
    assert (story.balance()["balance"], story.balance()["debt"]) == (-2, 2)
