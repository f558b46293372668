"""Agent keys and department limits on the page, and what they do to an agent at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect
from postgrest.exceptions import APIError

from tests.browser.conftest import Owner
from tests.conftest import StackUnderTest

SPEND = {"agent_type": "TestAgent", "action": "test"}


def _spend(stack: StackUnderTest, key: str, amount: str) -> Any:
    client = stack.client(headers={"x-agent-key": key})
    return client.rpc("consume_credits", {**SPEND, "amount": amount}).execute().data


def test_a_key_revoked_on_the_page_is_refused_from_the_next_call_on(
    new_owner: Callable[..., Owner], stack: StackUnderTest
) -> None:
    owner = new_owner(100)
    site = owner.site
    key = site.create_agent_key("Nightly reports")
    site.page.get_by_role("button", name="I have stored it").click()
    assert _spend(stack, key, "1")["available"] == 99
    site.page.get_by_role("button", name="Revoke Nightly reports").click()
    dialog = site.page.get_by_role("dialog")
    expect(dialog).to_contain_text("refused from the next call on")
    site.shoot("01-revoking")
    dialog.get_by_role("button", name="Revoke key").click()
    row = site.card("Agent keys").get_by_role("row", name=re.compile("Nightly reports"))
    expect(row).to_contain_text("Revoked")
    with pytest.raises(APIError) as refusal:
        _spend(stack, key, "1")
    assert refusal.value.message == "agent_key_invalid"
    site.shoot("02-revoked")


def test_the_shown_key_does_not_vanish_by_escape_and_is_copied_whole(
    new_owner: Callable[..., Owner],
) -> None:
    site = new_owner().site
    site.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    key = site.create_agent_key("Copied")
    site.page.keyboard.press("Escape")
    site.page.get_by_role("button", name="Copy key").click()
    expect(site.page.get_by_role("button", name="Copied")).to_be_visible()
    assert site.page.evaluate("navigator.clipboard.readText()") == key


def test_a_key_with_a_spending_limit_stops_at_it(
    new_owner: Callable[..., Owner], stack: StackUnderTest
) -> None:
    site = new_owner(100).site
    site.section("Agent keys")
    site.page.get_by_role("button", name="Create agent key").click()
    dialog = site.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Capped")
    limit = dialog.get_by_label("Spending limit in credits")
    limit.fill("2.0000001")
    dialog.get_by_role("button", name="Create key").click()
    expect(dialog).to_contain_text("Write a positive number with at most six decimals.")
    limit.fill("2.5")
    dialog.get_by_label("Limit counts per").select_option("Day")
    dialog.get_by_role("button", name="Create key").click()
    shown = dialog.get_by_label("Agent key")
    expect(shown).to_have_value(re.compile("^tb_"))
    key = shown.input_value()
    dialog.get_by_role("button", name="I have stored it").click()
    expect(site.card("Agent keys")).to_contain_text("2.5 a day")
    _spend(stack, key, "2.5")
    with pytest.raises(APIError) as refusal:
        _spend(stack, key, "0.000001")
    assert refusal.value.message == "limit_exceeded"


def test_a_department_limit_set_on_the_page_holds_and_shows_what_is_used(
    new_owner: Callable[..., Owner],
) -> None:
    owner = new_owner(100)
    site = owner.site
    client = owner.organization.owner.client
    named = {"organization_id": str(owner.organization.organization_id), "name": "Marketing"}
    department: Any = client.rpc("create_department", named).execute().data
    owner.open(query="?view=settings")
    expect(site.card("Department limits")).to_contain_text("No department has a limit")
    site.page.get_by_role("button", name="Set a limit").click()
    dialog = site.page.get_by_role("dialog")
    dialog.get_by_label("Limit in credits").fill("-1")
    dialog.get_by_role("button", name="Save limit").click()
    expect(dialog).to_contain_text("Write a number of at least 0")
    dialog.get_by_label("Limit in credits").fill("10")
    dialog.get_by_label("Window").select_option("Each day")
    site.shoot("01-setting-a-limit")
    dialog.get_by_role("button", name="Save limit").click()
    row = site.card("Department limits").get_by_role("row", name=re.compile("Marketing"))
    expect(row).to_contain_text("0 of 10")

    charged = {**SPEND, "department_id": department["id"]}
    client.rpc("consume_credits", {**charged, "amount": "8.25"}).execute()
    expect(row).to_contain_text("8.25 of 10")
    site.shoot("02-limit-nearly-used")
    with pytest.raises(APIError) as refusal:
        client.rpc("consume_credits", {**charged, "amount": "2"}).execute()
    assert refusal.value.message == "limit_exceeded"

    row.get_by_role("button", name="Change the limit of Marketing").click()
    dialog.get_by_label("Limit in credits").fill("0")
    dialog.get_by_role("button", name="Save limit").click()
    expect(row).to_contain_text("Blocked")
