"""Approvals on the page: an agent is stopped by a limit that asks, an owner decides, the agent goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tallybase import ApprovalRequired, Credits, LimitExceeded
from tests.browser.conftest import Owner
from tests.browser.places import Site
from tests.conftest import PASSWORD, Organization, StackUnderTest, User

SPEND = "TestAgent · test"


@pytest.fixture
def owner(new_owner: Callable[..., Owner]) -> Owner:
    """With 100 credits, of which 10 a month may be spent before somebody is asked."""
    made = new_owner(100)
    _ask_above(made.organization, "organization", str(made.organization.organization_id))
    return made


def _ask_above(organization: Organization, subject_type: str, subject_id: str) -> None:
    arguments = {
        "organization_id": str(organization.organization_id),
        "subject_type": subject_type,
        "subject_id": subject_id,
        "amount": 10,
        "window": "month",
        "mode": "ask",
    }
    organization.owner.client.rpc("set_credit_limit", arguments).execute()


@pytest.fixture
def agent(stack: StackUnderTest, owner: Owner) -> Iterator[Credits]:
    """An agent of that organization."""
    key = owner.organization.agent_key
    with Credits(stack.supabase_url, stack.publishable_key, agent_key=key) as made:
        yield made


def _stopped(agent: Credits, key: str) -> None:
    with pytest.raises(ApprovalRequired):
        agent.consume("TestAgent", "test", amount=12, idempotency_key=key, run_id="monthly report")


def test_a_stopped_spend_appears_by_itself_and_passes_once_it_is_approved(
    owner: Owner, agent: Credits
) -> None:
    site = owner.site
    expect(site.available).to_have_text("100")
    _stopped(agent, "step-1")
    expect(site.page.get_by_text("A spend waits for approval")).to_be_visible()
    site.shoot("01-overview-tells-of-it")
    site.page.get_by_role("button", name="Review").click()
    row = site.card("Approvals").get_by_role("row", name=re.compile(SPEND))
    expect(row).to_contain_text("Run monthly report")
    expect(row).to_contain_text("Limit: 10 credits a month")
    site.shoot("02-waiting")
    dialog = site.decide(SPEND, "Approve once")
    site.shoot("03-deciding")
    dialog.get_by_role("button", name="Approve").click()
    expect(site.card("Approvals")).to_contain_text("Nothing waits for approval")
    assert agent.consume("TestAgent", "test", amount=12, idempotency_key="step-1", run_id="monthly report")
    site.shoot("04-decided")
    _stopped(agent, "step-2")
    expect(row.first).to_contain_text("Agent key")


def test_a_limit_widened_on_the_page_lets_others_pass_too(owner: Owner, agent: Credits) -> None:
    _stopped(agent, "step-1")
    owner.open(query="?view=settings")
    dialog = owner.site.decide(SPEND, "Widen the limit")
    entry = dialog.get_by_label("Additional credits")
    expect(entry).to_have_value("12.000000")
    entry.fill("20")
    owner.site.shoot("01-widening")
    dialog.get_by_role("button", name="Approve").click()
    expect(owner.site.card("Approvals")).to_contain_text("20 credits more")
    assert agent.consume("TestAgent", "test", amount=29, idempotency_key="another").amount == 29


def test_a_spend_rejected_on_the_page_stays_refused(owner: Owner, agent: Credits) -> None:
    _stopped(agent, "step-1")
    owner.open(query="?view=settings")
    dialog = owner.site.decide(SPEND, "Reject")
    dialog.get_by_role("button", name="Reject").click()
    expect(owner.site.card("Approvals")).to_contain_text("Rejected")
    with pytest.raises(LimitExceeded) as refused:
        agent.consume("TestAgent", "test", amount=12, idempotency_key="step-1", run_id="monthly report")
    assert not isinstance(refused.value, ApprovalRequired)


def test_a_member_sees_their_own_request_and_cannot_decide(
    new_site: Callable[..., Site],
    new_organization: Callable[..., Organization],
    new_member: Callable[..., User],
    stack: StackUnderTest,
) -> None:
    organization = new_organization(100)
    _ask_above(organization, "organization", str(organization.organization_id))
    member = new_member(organization, "member")
    session = member.client.auth.get_session()
    assert session is not None
    token = session.access_token
    with Credits(stack.supabase_url, stack.publishable_key, access_token=token) as client:
        client.organization_id = organization.organization_id
        _stopped(client, "mine")
    site = new_site()
    site.sign_in(member.email, PASSWORD)
    site.section("Limits")
    row = site.card("Approvals").get_by_role("row", name=re.compile(SPEND))
    expect(row).to_contain_text("You")
    expect(site.page.get_by_role("button", name=re.compile("^Decide"))).to_have_count(0)
    site.shoot("01-own-request")


def test_a_limit_that_asks_is_set_on_the_page(new_owner: Callable[..., Owner], stack: StackUnderTest) -> None:
    owner = new_owner(100)
    client = owner.organization.owner.client
    named = {"organization_id": str(owner.organization.organization_id), "name": "Marketing"}
    department: Any = client.rpc("create_department", named).execute().data
    owner.open(query="?view=settings")
    owner.site.page.get_by_role("button", name="Set a limit").click()
    dialog = owner.site.page.get_by_role("dialog")
    dialog.get_by_label("Limit in credits").fill("10")
    dialog.get_by_label("When reached").select_option("Ask for approval")
    dialog.get_by_role("button", name="Save limit").click()
    row = owner.site.card("Department limits").get_by_role("row", name=re.compile("Marketing"))
    expect(row).to_contain_text("Ask for approval")
    key = owner.organization.agent_key
    with (
        Credits(stack.supabase_url, stack.publishable_key, agent_key=key) as agent,
        pytest.raises(ApprovalRequired),
    ):
        agent.consume("TestAgent", "test", amount=11, department_id=department["id"])
