"""The main job in the browser: from a bought pack to a refused spend."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.agents import two_agents
from tests.browser.conftest import Owner
from tests.browser.places import CARD_PAYS, SLOW_MS
from tests.conftest import StackUnderTest

BOUGHT = Decimal(500)
PAUSE_SECONDS = 0.4
REFUSAL_SECONDS = 90
SMALLER_FIGURES_WANTED = 4


@pytest.mark.timeout(240)
def test_an_owner_buys_credits_and_watches_two_agents_spend_them_until_they_are_refused(
    new_owner: Callable[..., Owner], stack: StackUnderTest
) -> None:
    owner = new_owner()
    site = owner.site
    expect(site.available).to_have_text("0")
    expect(site.paywall).to_contain_text("Agents of this organization are refused until credits are added.")
    site.shoot("01-empty-balance-with-paywall")

    checkout = site.buy("500 credits")
    site.shoot("02-checkout")
    checkout.pay(CARD_PAYS)
    expect(site.outcome).to_contain_text("500 credits were added to your balance.", timeout=SLOW_MS)
    expect(site.page.get_by_test_id("balance-after-purchase")).to_have_text(
        "You now have 500 credits available."
    )
    site.shoot("03-payment-received")
    site.page.get_by_role("button", name="Back to billing").click()
    expect(site.available).to_have_text("500")
    expect(site.paywall).to_have_count(0)
    payment = site.card("Recent payments").get_by_role("row", name=re.compile(r"\$10\.00"))
    expect(payment).to_contain_text("Paid")
    site.shoot("04-five-hundred-credits")

    agent_key = site.create_agent_key("Support bot, production")
    site.shoot("05-agent-key-shown-once")
    site.page.get_by_role("button", name="I have stored it").click()
    expect(site.page.get_by_text(agent_key)).to_have_count(0)
    site.section("Billing")
    expect(site.available).to_have_text("500")

    with two_agents(stack, agent_key, PAUSE_SECONDS) as agents:
        seen = [BOUGHT]
        for _ in range(SMALLER_FIGURES_WANTED):
            figure = re.compile(rf"^{re.escape(f'{seen[-1]:,}')}$")
            expect(site.available).not_to_have_text(figure, timeout=SLOW_MS)
            seen.append(site.available_credits)
        site.shoot("06-balance-falls-while-agents-run")
        said, _ = agents.communicate(timeout=REFUSAL_SECONDS)
    assert seen == sorted(seen, reverse=True), "the balance went up while agents were spending"
    assert agents.returncode == 0, said
    assert "Refused (insufficient_credits)" in said
    rest = re.search(r"Balance at the end: (\S+) credits", said)
    assert rest is not None
    expect(site.available).to_have_text(rest.group(1), timeout=SLOW_MS)

    link = re.search(r"Top up here: (\S+)", said)
    assert link is not None
    assert urlsplit(link.group(1)).path == f"/organizations/{owner.organization.organization_id}/billing"
    site.page.goto(link.group(1))
    expect(site.paywall).to_be_visible()
    expect(site.paywall.get_by_role("button", name=re.compile("^Buy 500 credits for"))).to_be_visible()
    activity = site.card("Recent activity").get_by_role("row", name=re.compile("VisualPostCreatorAgent"))
    expect(activity).not_to_have_count(0)
    site.shoot("07-paywall-after-the-refusal")
