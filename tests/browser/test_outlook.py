"""What lies ahead, on the page: when credits run out, and a top-up that the bank asks about."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import expect

from tests.browser.conftest import Owner
from tests.browser.places import CARD_ASKS_3DS, SLOW_MS, Checkout
from tests.conftest import StackUnderTest


def test_credits_run_out_at_the_pace_of_late_within_an_interval(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner(100)
    balance = owner.site.card("Credit balance")
    expect(balance).to_contain_text("No use yet")
    owner.organization.owner.client.rpc(
        "consume_credits",
        {
            "agent_type": "TestAgent",
            "action": "test",
            "amount": 20,
            "organization_id": str(owner.organization.organization_id),
        },
    ).execute()
    expect(balance).to_contain_text("80% likely, at 20 credits a day")
    expect(balance).to_contain_text(re.compile(r"Runs out\w{3} \d+, \d{4}"))
    expect(balance).to_contain_text(re.compile(r"between \w{3} \d+, \d{4} and|at the earliest"))
    owner.site.shoot("01-runs-out")


def test_a_top_up_that_the_bank_asks_about_is_confirmed_on_the_page(
    new_owner: Callable[..., Owner], stack: StackUnderTest
) -> None:
    owner = new_owner(5)
    page = owner.site.page
    owner.open(query="?view=plan")
    cards = owner.site.card("Payment methods")
    cards.get_by_role("button", name="Add a card").click()
    expect(page.get_by_test_id("pay")).to_be_visible(timeout=SLOW_MS)
    checkout = Checkout(page)
    checkout.pay(CARD_ASKS_3DS)
    checkout.answer_challenge("complete")
    expect(owner.site.outcome).to_contain_text("is now the default", timeout=SLOW_MS)
    _agree(owner)
    _start(owner, stack)
    owner.open()
    confirm = page.get_by_role("button", name="Confirm payment")
    expect(confirm).to_be_visible(timeout=SLOW_MS)
    owner.site.shoot("01-waits-for-a-person")
    confirm.click()
    bank = page.frame_locator("dialog iframe").get_by_role("button", name="Complete")
    expect(bank).to_be_visible(timeout=SLOW_MS)
    bank.press("Enter")
    expect(owner.site.available).to_have_text("105", timeout=SLOW_MS)
    expect(confirm).to_have_count(0)
    owner.open(query="?view=plan")
    expect(owner.site.card("Automatic top-up")).to_contain_text("Paid")
    owner.site.shoot("02-paid")


def _agree(owner: Owner) -> None:
    packages: Any = owner.organization.service.table("credit_packages").select("id").limit(1).execute().data
    terms = {
        "organization_id": str(owner.organization.organization_id),
        "enabled": True,
        "threshold": 10,
        "amount": 100,
        "package_id": packages[0]["id"],
        "consent": "I agree.",
    }
    owner.organization.owner.client.rpc("set_auto_topup", terms).execute()


def _start(owner: Owner, stack: StackUnderTest) -> None:
    session = owner.organization.owner.client.auth.get_session()
    assert session is not None
    httpx.post(
        f"{stack.workers_url}/workers/v1/start_auto_topups",
        json={"organization_id": str(owner.organization.organization_id)},
        headers={"Authorization": f"Bearer {session.access_token}"},
        timeout=60,
    ).raise_for_status()
