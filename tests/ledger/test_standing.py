"""What a change of keys, members and limits means for the spends that follow it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.conftest import Organization, StackUnderTest

from .api import LedgerApi
from .conftest import Story


def _agent(stack: StackUnderTest, key: str) -> LedgerApi:
    return LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": key})


def test_a_rotated_key_shares_its_predecessors_cap_and_history(
    stack: StackUnderTest, service_api: LedgerApi, new_organization: Callable[..., Organization]
) -> None:
    organization_id = str(new_organization(credits=100).organization_id)
    first = service_api.call(
        "create_agent_key", organization_id=organization_id, name="bot", spend_limit=10, spend_window="day"
    ).accepted()
    _agent(stack, first["key"]).consume(6).accepted()
    hold = (
        _agent(stack, first["key"])
        .call("hold_credits", agent_type="TestAgent", action="test", amount=1)
        .accepted()
    )
    second = service_api.call("rotate_agent_key", key_id=first["key_id"], overlap="1 hour").accepted()
    new = _agent(stack, second["key"])
    assert new.consume(4).refused(402, "limit_exceeded")["remaining"] == 3
    new.consume(3).accepted()
    _agent(stack, first["key"]).consume(1).refused(402, "limit_exceeded")
    assert new.call("capture_hold", hold_id=hold["hold_id"]).accepted()["amount"] == 1
    rows = service_api.select(f"credit_usage?organization_id=eq.{organization_id}&select=agent_key_id")
    assert {row["agent_key_id"] for row in rows.accepted()} == {first["key_id"]}
    service_api.call("rotate_agent_key", key_id=second["key_id"], overlap="0").accepted()
    new.consume(1).refused(401, "agent_key_invalid")
    assert service_api.call("verify_ledger", organization_id=organization_id).accepted() == []


def test_a_key_says_when_it_was_last_used(
    stack: StackUnderTest, service_api: LedgerApi, new_organization: Callable[..., Organization]
) -> None:
    organization = new_organization(credits=10)
    path = f"agent_keys?organization_id=eq.{organization.organization_id}&select=last_used_at"
    agent = _agent(stack, organization.agent_key)
    assert service_api.select(path).accepted() == [{"last_used_at": None}]
    agent.consume(1).accepted()
    (row,) = service_api.select(path).accepted()
    assert row["last_used_at"] is not None


def test_the_last_owners_account_cannot_be_deleted(
    service_api: LedgerApi,
    new_organization: Callable[..., Organization],
    database: psycopg.Connection[Any],
) -> None:
    organization = new_organization()
    with pytest.raises(psycopg.Error) as refused:
        database.execute("delete from auth.users where id = %s", (organization.owner.user_id,))
    assert (refused.value.sqlstate, refused.value.diag.message_primary) == ("PT409", "conflict")
    members = service_api.select(f"organization_members?user_id=eq.{organization.owner.user_id}")
    assert len(members.accepted()) == 1


def test_a_soft_limit_lowered_below_its_use_tells_at_the_next_spend(story: Story) -> None:
    story.grant(100)
    limit = {
        "subject_type": "organization",
        "subject_id": story.organization_id,
        "window": "day",
        "mode": "soft",
    }
    story.api.call("set_credit_limit", amount=50, alert_at=[], **limit).accepted()
    story.consume(20).accepted()
    story.api.call("set_credit_limit", amount=10, alert_at=[], **limit).accepted()
    story.consume(1).accepted()
    story.consume(1).accepted()
    told = story.api.select(
        f"notifications?organization_id=eq.{story.organization_id}&select=kind"
    ).accepted()
    assert [row["kind"] for row in told] == ["limit_passed"]


def test_an_organization_with_a_test_clock_is_no_live_customer(story: Story) -> None:
    answer = story.api.call(
        "prepare_checkout",
        organization_id=story.organization_id,
        user_id=str(story.organization.owner.user_id),
        email="owner@tests.test",
        livemode=True,
        package_id=None,
        package_key="pack_500",
        plan_id=None,
        ui_mode="hosted_page",
        success_url="http://127.0.0.1/ok",
        cancel_url="http://127.0.0.1/no",
    )
    assert answer.refused(409, "conflict") == {"what": "test_clock"}
