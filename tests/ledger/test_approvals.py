"""Scenario F52 of the design, and the rest of what limits that ask promise: parked, decided, passed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Organization, StackUnderTest

from .api import Answer, LedgerApi, in_parallel
from .conftest import Story, day


def _ask(story: Story, subject_type: str, subject_id: str, amount: object, window: str = "lifetime") -> Any:
    return story.api.call(
        "set_credit_limit",
        subject_type=subject_type,
        subject_id=subject_id,
        amount=amount,
        window=window,
        mode="ask",
        organization_id=story.organization_id,
    ).accepted()


def _resolve(story: Story, approval_id: str, approve: bool, **arguments: object) -> Answer:
    return story.api.call("resolve_approval", id=approval_id, approve=approve, **arguments)


@pytest.fixture
def run(story: Story) -> str:
    """A run with a budget of 20 that asks, of which 19 are spent, in an organization of 1,000."""
    story.grant(1000)
    _ask(story, "run", "run-52", 20)
    story.consume(12, run_id="run-52").accepted()
    story.consume(7, run_id="run-52").accepted()
    return "run-52"


def test_f52_a_run_over_its_budget_is_parked_and_passes_once_approved(story: Story, run: str) -> None:
    details = story.consume(3, run_id=run, idempotency_key="third").refused(402, "approval_required")
    assert {
        name: details[name]
        for name in ("subject_type", "subject_id", "limit", "used", "required", "remaining")
    } == {
        "subject_type": "run",
        "subject_id": run,
        "limit": 20,
        "used": 19,
        "required": 3,
        "remaining": 1,
    }
    assert story.balance()["balance"] == 981
    approval = _resolve(story, details["approval_id"], True, additional=10).accepted()
    assert (approval["status"], approval["additional"]) == ("approved", 10)
    receipt = story.consume(3, run_id=run, idempotency_key="third").accepted()
    assert (receipt["balance"], receipt["limits"][0]["remaining"]) == (978, 8)  # 22 of 30


def test_f52_a_rejected_run_ends_where_it_was(story: Story, run: str) -> None:
    approval_id = story.consume(3, run_id=run, idempotency_key="third").refused(402, "approval_required")[
        "approval_id"
    ]
    _resolve(story, approval_id, False).accepted()
    details = story.consume(3, run_id=run, idempotency_key="third").refused(402, "limit_exceeded")
    assert details["approval_id"] == approval_id
    assert story.balance()["balance"] == 981
    story.consume(1, run_id=run).accepted()  # what is left of the budget is not taken away


def test_an_approval_without_an_amount_lets_this_one_request_pass_once(story: Story, run: str) -> None:
    approval_id = story.consume(3, run_id=run).refused(402, "approval_required")["approval_id"]
    _resolve(story, approval_id, True).accepted()
    story.consume(4, run_id=run).refused(402, "approval_required")  # another request
    story.consume(3, run_id=run).accepted()
    assert story.api.select(f"credit_approvals?id=eq.{approval_id}").accepted()[0]["additional"] == 2
    again = story.consume(3, run_id=run).refused(402, "approval_required")
    assert again["approval_id"] != approval_id
    assert (again["limit"], again["used"]) == (22, 22)


def test_an_approval_is_not_used_up_by_a_spend_that_is_refused_for_another_reason(story: Story) -> None:
    story.grant(10)
    _ask(story, "organization", story.organization_id, 5)
    event = {"agent_type": "TestAgent", "action": "test", "amount": 20, "idempotency_key": "much"}
    approval_id = story.consume(20, idempotency_key="much").refused(402, "approval_required")["approval_id"]
    _resolve(story, approval_id, True).accepted()
    results = story.api.call(
        "consume_credits_batch", events=[event], atomic=False, organization_id=story.organization_id
    ).accepted()
    assert results[0]["error"]["message"] == "insufficient_credits"
    story.grant(30)
    assert story.consume(20, idempotency_key="much").accepted()["balance"] == 20


def test_the_same_request_is_parked_under_the_same_id_and_another_key_under_another(
    story: Story, run: str
) -> None:
    ids = [
        story.consume(3, run_id=run, idempotency_key=key).refused(402, "approval_required")["approval_id"]
        for key in ("a", "a", "b")
    ]
    assert ids[0] == ids[1] != ids[2]


def test_asking_leaves_the_row_and_tells_people_once(story: Story, run: str) -> None:
    call = {
        "agent_type": "TestAgent",
        "action": "test",
        "amount": 3,
        "run_id": run,
        "idempotency_key": "third",
        "organization_id": story.organization_id,
    }
    approval_id = story.consume(3, run_id=run, idempotency_key="third").refused(402, "approval_required")[
        "approval_id"
    ]
    rows = [story.api.call("request_approval", **call).accepted() for _ in range(2)]
    assert rows[0] == rows[1]
    assert {
        name: rows[0][name]
        for name in ("id", "status", "required", "run_id", "idempotency_key", "agent_type")
    } == {
        "id": approval_id,
        "status": "pending",
        "required": 3,
        "run_id": run,
        "idempotency_key": "third",
        "agent_type": "TestAgent",
    }
    told = story.api.select(
        f"notifications?organization_id=eq.{story.organization_id}&kind=eq.approval_requested"
    ).accepted()
    assert [row["subject_id"] for row in told] == [approval_id]
    _resolve(story, approval_id, True, additional=10).accepted()
    story.api.call("request_approval", **call).refused(409, "conflict")  # nothing to ask any more


def test_who_asks_again_at_another_amount_shows_people_that_amount_until_they_decide(
    story: Story, run: str
) -> None:
    call = {
        "agent_type": "TestAgent",
        "action": "test",
        "run_id": run,
        "idempotency_key": "third",
        "organization_id": story.organization_id,
    }
    first = story.api.call("request_approval", amount=3, **call).accepted()
    again = story.api.call("request_approval", amount=4, **call).accepted()
    assert again == {**first, "required": 4}
    _resolve(story, first["id"], False).accepted()
    story.api.call("request_approval", amount=5, **call).refused(402, "limit_exceeded")
    rows = story.api.select(f"credit_approvals?id=eq.{first['id']}&select=status,required").accepted()
    assert rows == [{"status": "rejected", "required": 4}]


def test_a_decision_replays_and_cannot_be_turned(story: Story, run: str) -> None:
    approval_id = story.consume(3, run_id=run).refused(402, "approval_required")["approval_id"]
    first = _resolve(story, approval_id, True, additional=10).accepted()
    assert _resolve(story, approval_id, True, additional=10).accepted() == first
    _resolve(story, approval_id, True, additional=11).refused(409, "conflict")
    _resolve(story, approval_id, False).refused(409, "conflict")
    receipt = story.consume(11, run_id=run).accepted()  # 30 of 30: the ten were added once
    assert receipt["limits"][0]["remaining"] == 0


def test_a_hard_limit_refuses_before_anybody_is_asked(story: Story, run: str) -> None:
    story.api.call(
        "set_credit_limit",
        subject_type="organization",
        subject_id=story.organization_id,
        amount=20,
        window="day",
    ).accepted()
    details = story.consume(3, run_id=run).refused(402, "limit_exceeded")
    assert details["subject_type"] == "organization"
    assert "approval_id" not in details


def test_an_approval_ends_with_its_window(story: Story) -> None:
    story.grant(1000)
    _ask(story, "organization", story.organization_id, 20, "day")
    approval_id = story.consume(30).refused(402, "approval_required")["approval_id"]
    story.go_to(day(1))
    _resolve(story, approval_id, True, additional=100).refused(404, "not_found")
    today = story.consume(30).refused(402, "approval_required")["approval_id"]
    assert today != approval_id
    _resolve(story, today, True, additional=10).accepted()
    story.consume(30).accepted()
    story.go_to(day(2))
    assert story.consume(21).refused(402, "approval_required")["limit"] == 20


def test_room_given_before_a_windows_first_entry_is_known_to_proof_and_rebuild(story: Story) -> None:
    story.grant(1000)
    _ask(story, "organization", story.organization_id, 20, "day")
    story.go_to(day(1))
    approval_id = story.consume(30).refused(402, "approval_required")["approval_id"]
    _resolve(story, approval_id, True, additional=10).accepted()
    organization = {"organization_id": story.organization_id}
    assert story.api.call("verify_ledger", **organization).accepted() == []
    rebuilt = story.api.call("rebuild_ledger", **organization).accepted()
    assert {row["changed"] for row in rebuilt} == {0}
    story.consume(30).accepted()


def test_holds_are_parked_and_pass_like_spends(story: Story, run: str) -> None:
    def hold() -> Answer:
        return story.api.call(
            "hold_credits",
            agent_type="TestAgent",
            action="test",
            amount=5,
            run_id=run,
            idempotency_key="hold-1",
            organization_id=story.organization_id,
        )

    approval_id = hold().refused(402, "approval_required")["approval_id"]
    _resolve(story, approval_id, True).accepted()
    held = hold().accepted()
    assert (held["status"], held["amount"]) == ("open", 5)
    story.api.call("release_hold", hold_id=held["hold_id"]).accepted()


def test_check_credits_says_that_somebody_must_be_asked(story: Story, run: str) -> None:
    check = story.api.call(
        "check_credits",
        agent_type="TestAgent",
        action="test",
        amount=3,
        run_id=run,
        organization_id=story.organization_id,
    ).accepted()
    assert (check["allowed"], check["reason"], check["limit"]["remaining"]) == (False, "approval_required", 1)


def test_check_credits_knows_what_was_decided_about_this_very_call(story: Story, run: str) -> None:
    def check(amount: object) -> tuple[bool, str | None]:
        answer = story.api.call(
            "check_credits",
            agent_type="TestAgent",
            action="test",
            amount=amount,
            run_id=run,
            organization_id=story.organization_id,
        ).accepted()
        return answer["allowed"], answer["reason"]

    for amount, approve in ((3, True), (4, False)):
        approval_id = story.consume(amount, run_id=run).refused(402, "approval_required")["approval_id"]
        _resolve(story, approval_id, approve).accepted()
    assert check(3) == (True, None)
    assert check(4) == (False, "limit_exceeded")
    assert check(5) == (False, "approval_required")
    story.consume(4, run_id=run).refused(402, "limit_exceeded")
    story.consume(3, run_id=run).accepted()
    assert check(3) == (False, "approval_required")  # it was for once


def test_decisions_of_many_at_once_widen_the_limit_once(story: Story, run: str) -> None:
    approval_id = story.consume(3, run_id=run).refused(402, "approval_required")["approval_id"]
    answers = in_parallel(8, lambda _: _resolve(story, approval_id, True, additional=10))
    assert {answer.status for answer in answers} == {200}
    assert story.consume(3, run_id=run).accepted()["limits"][0]["remaining"] == 8


def test_only_owners_and_admins_decide(
    stack: StackUnderTest, new_organization: Callable[..., Organization], story: Story, run: str
) -> None:
    approval_id = story.consume(3, run_id=run).refused(402, "approval_required")["approval_id"]
    stranger = LedgerApi(stack.supabase_url, stack.publishable_key)
    answer = stranger.call("resolve_approval", id=approval_id, approve=True, additional=1000)
    assert answer.status in (401, 403, 404), answer
    _resolve(story, str(uuid4()), True).refused(404, "not_found")
    assert (
        _resolve(story, approval_id, True, additional=0).refused(422, "invalid_amount")["argument"]
        == "additional"
    )
