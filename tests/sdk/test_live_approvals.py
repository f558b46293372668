"""Approvals against the running stack: from a parked spend to a decision, by package and command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tallybase import (
    ApprovalRequired,
    Conflict,
    Consumption,
    Credits,
    LimitExceeded,
    Management,
    NotAuthorized,
)
from tests.conftest import Organization, StackUnderTest
from tests.sdk.test_live_cli import Run, printed, runner

LiveClient = Callable[..., Credits]


@pytest.fixture
def organization(new_organization: Callable[..., Organization]) -> Organization:
    """With 100 credits, of which 10 a month may be spent before somebody is asked."""
    made = new_organization(credits=100)
    made.owner.client.rpc(
        "set_credit_limit",
        {
            "organization_id": str(made.organization_id),
            "subject_type": "organization",
            "subject_id": str(made.organization_id),
            "amount": 10,
            "window": "month",
            "mode": "ask",
        },
    ).execute()
    return made


@pytest.fixture
def owner(stack: StackUnderTest, organization: Organization) -> dict[str, str]:
    session = organization.owner.client.auth.get_session()
    assert session is not None
    return {
        "TALLYBASE_URL": stack.supabase_url,
        "TALLYBASE_KEY": stack.publishable_key,
        "TALLYBASE_ACCESS_TOKEN": session.access_token,
        "TALLYBASE_ORGANIZATION_ID": str(organization.organization_id),
    }


@pytest.fixture
def as_owner(stack: StackUnderTest, owner: dict[str, str]) -> Run:
    return runner(owner, stack)


def park(client: Credits, amount: int = 12, key: str = "step-1") -> ApprovalRequired:
    with pytest.raises(ApprovalRequired) as refused:
        client.consume("TestAgent", "test", amount=amount, idempotency_key=key, run_id="report")
    return refused.value


def test_a_parked_spend_is_on_the_list_and_passes_once_it_is_approved(
    organization: Organization, live_client: LiveClient, as_owner: Run
) -> None:
    agent = live_client(organization)
    refused = park(agent)
    (listed,) = printed(as_owner("approvals", "list", "--json"))
    assert listed["id"] == refused.approval_id
    assert (listed["action"], listed["required"], listed["run_id"]) == ("test", 12, "report")
    assert refused.approval_id is not None
    assert "TestAgent.test" in as_owner("approvals", "list").stdout
    decided = printed(as_owner("approvals", "approve", refused.approval_id, "--json"))
    assert decided["status"] == "approved"
    assert "Nothing waits" in as_owner("approvals", "list").stdout

    receipt = agent.consume(
        "TestAgent", "test", amount=12, idempotency_key=refused.idempotency_key, run_id="report"
    )
    assert receipt.amount == 12
    assert park(agent, key="step-2").approval_id != refused.approval_id, (
        "it passed once, and the limit asks again"
    )


def test_an_approval_with_credits_widens_the_limit_for_everybody(
    organization: Organization, live_client: LiveClient, as_owner: Run
) -> None:
    agent = live_client(organization)
    refused = park(agent)
    assert refused.approval_id is not None
    assert as_owner("approvals", "approve", refused.approval_id, "--additional", "10").exit_code == 0
    assert agent.consume("TestAgent", "test", amount=15, idempotency_key="another").amount == 15


def test_a_rejected_spend_is_refused_by_the_limit_from_then_on(
    organization: Organization, live_client: LiveClient, as_owner: Run
) -> None:
    agent = live_client(organization)
    refused = park(agent)
    assert refused.approval_id is not None
    assert "Rejected" in as_owner("approvals", "reject", refused.approval_id).stdout
    with pytest.raises(LimitExceeded) as again:
        agent.consume("TestAgent", "test", amount=12, idempotency_key="step-1", run_id="report")
    assert not isinstance(again.value, ApprovalRequired)
    otherwise = as_owner("approvals", "approve", refused.approval_id)
    assert otherwise.exit_code == 1
    (listed,) = printed(as_owner("approvals", "list", "--status", "rejected", "--json"))
    assert listed["id"] == refused.approval_id


def test_events_of_a_batch_are_asked_for_too(
    organization: Organization, live_client: LiveClient, owner: dict[str, str]
) -> None:
    agent = live_client(organization)
    events = [
        Consumption("TestAgent", "test", amount=8),
        Consumption("TestAgent", "test", amount=Decimal("2.5")),
    ]
    outcomes = agent.consume_many(events, atomic=False)
    assert isinstance(outcomes[1].error, ApprovalRequired)
    with Credits.from_env(owner) as client:
        (waiting,) = Management(client).approvals()
    assert str(waiting.id) == outcomes[1].error.approval_id
    assert waiting.idempotency_key == outcomes[1].idempotency_key


def test_a_spend_that_no_limit_asks_about_needs_no_approval(
    organization: Organization, live_client: LiveClient
) -> None:
    with pytest.raises(Conflict):
        live_client(organization).request_approval("TestAgent", "test", amount=3)


def test_an_agent_may_ask_and_not_decide(
    stack: StackUnderTest, organization: Organization, live_client: LiveClient
) -> None:
    refused = park(live_client(organization))
    assert refused.approval_id is not None
    agent = live_client(organization, organization_id=organization.organization_id)
    with pytest.raises(NotAuthorized):
        Management(agent).resolve_approval(refused.approval_id, approve=True)


def test_the_plain_rest_path_asks_for_the_approval_too(
    stack: StackUnderTest, organization: Organization, owner: dict[str, str]
) -> None:
    answer = httpx.post(
        f"{stack.workers_url}/api/credits/use",
        headers={"Authorization": f"Bearer {organization.agent_key}"},
        json={"agent_type": "TestAgent", "action": "test", "amount": 12, "idempotency_key": "plain"},
        timeout=30,
    )
    assert (answer.status_code, answer.json()["message"]) == (402, "approval_required")
    with Credits.from_env(owner) as client:
        (waiting,) = Management(client).approvals()
    details: Any = answer.json()["details"]
    named = json.loads(details) if isinstance(details, str) else details
    assert str(waiting.id) == named["approval_id"]
