"""What each role sees: a member no money, nobody another organization."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Complaints
from tests.browser.places import Site
from tests.conftest import ACME, PASSWORD, Organization, User


@pytest.fixture
def organization(new_organization: Callable[..., Organization]) -> Organization:
    """An organization with 120 credits, of which an agent has spent 7."""
    made = new_organization(127)
    arguments = {"agent_type": "TestAgent", "action": "test", "amount": "7"}
    made.owner.client.rpc("consume_credits", arguments).execute()
    return made


def test_a_member_sees_the_balance_and_their_own_use_but_no_money(
    site: Site, organization: Organization, new_member: Callable[..., User]
) -> None:
    member = new_member(organization, "member")
    arguments = {"agent_type": "TestAgent", "action": "test", "amount": "3"}
    member.client.rpc("consume_credits", arguments).execute()
    site.sign_in(member.email, PASSWORD)
    expect(site.available).to_have_text("117")
    expect(site.card("Credit balance")).not_to_contain_text("7-day average")
    expect(site.card("Plan")).to_contain_text("Not visible to your role")
    expect(site.page.get_by_role("button", name=re.compile("^Buy"))).to_have_count(0)
    expect(site.card("Usage, last 30 days")).to_contain_text("Credits used3")
    activity = site.card("Recent activity").get_by_role("row")
    expect(activity).to_have_count(2)
    expect(activity.nth(1)).to_contain_text("-3")
    site.shoot("01-member-overview")
    site.section("Payments")
    expect(site.card("Payments")).to_contain_text("Not visible to your role")
    site.shoot("02-member-payments")
    site.section("Agent keys")
    expect(site.card("Agent keys")).to_contain_text("Not visible to your role")
    expect(site.page.get_by_role("button", name="Create agent key")).to_have_count(0)
    site.section("Members")
    expect(site.card("Members").get_by_role("row")).to_have_count(2)


def test_a_member_without_credits_is_told_whom_to_ask(
    site: Site, new_organization: Callable[..., Organization], new_member: Callable[..., User]
) -> None:
    member = new_member(new_organization(), "member")
    site.sign_in(member.email, PASSWORD)
    expect(site.paywall).to_contain_text("Ask for a top-up")
    expect(site.paywall.get_by_role("button")).to_have_count(0)
    site.shoot("01-member-paywall")


def test_a_billing_manager_sees_money_and_buys_but_makes_no_keys(
    site: Site, organization: Organization, new_member: Callable[..., User]
) -> None:
    site.sign_in(new_member(organization, "billing").email, PASSWORD)
    expect(site.page.get_by_role("button", name=re.compile("^Buy 500 credits"))).to_be_visible()
    expect(site.card("Recent payments")).to_contain_text("No payments yet")
    site.section("Agent keys")
    expect(site.card("Agent keys")).to_contain_text("No agent keys yet")
    expect(site.page.get_by_role("button", name="Create agent key")).to_have_count(0)


def test_nobody_opens_an_organization_that_is_not_theirs(site: Site, organization: Organization) -> None:
    site.sign_in(organization.owner.email, PASSWORD)
    options = site.page.get_by_label("Organization", exact=True).get_by_role("option")
    expect(options).to_have_text([organization.name])
    site.open(f"/organizations/{ACME}/billing")
    expect(site.page.get_by_role("heading", name="Organization not found")).to_be_visible()
    expect(site.page.get_by_text("Acme")).to_have_count(0)
    site.shoot("01-foreign-organization")


def test_a_person_of_two_organizations_switches_between_them(
    site: Site, organization: Organization, new_organization: Callable[..., Organization]
) -> None:
    other = new_organization(5)
    named = {"organization_id": str(other.organization_id), "email": organization.owner.email}
    arguments = {**named, "role": "admin"}
    invitation: Any = other.owner.client.rpc("invite_member", arguments).execute().data
    organization.owner.client.rpc("accept_invitation", {"token": invitation["token"]}).execute()
    site.sign_in(organization.owner.email, PASSWORD)
    switcher = site.page.get_by_label("Organization", exact=True)
    switcher.select_option(label=organization.name)
    expect(site.available).to_have_text("120")
    switcher.select_option(label=other.name)
    expect(site.available).to_have_text("5")
    site.page.go_back()
    expect(site.available).to_have_text("120")


def test_a_wrong_password_is_said_in_words_and_signing_out_ends_the_session(
    site: Site, organization: Organization, complaints: Complaints
) -> None:
    site.open()
    site.page.get_by_label("E-mail").fill(organization.owner.email)
    site.page.get_by_label("Password").fill("not the password")
    site.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(site.page.get_by_role("alert")).to_have_text("E-mail or password is wrong.")
    site.shoot("01-wrong-password")
    complaints.texts.clear()
    site.sign_in(organization.owner.email, PASSWORD)
    site.page.get_by_role("button", name="Sign out").click()
    expect(site.page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    site.page.reload()
    expect(site.page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
