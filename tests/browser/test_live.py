"""Figures that move by themselves, with Realtime and without it, and what the page says when they cannot."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Complaints, Owner
from tests.browser.places import SLOW_MS, Site
from tests.conftest import PASSWORD, Organization

POLL_MS = 10_000
BROADCAST_MS = 5_000


def _spend(organization: Organization, amount: str) -> None:
    arguments = {"agent_type": "TestAgent", "action": "test", "amount": amount}
    organization.owner.client.rpc("consume_credits", arguments).execute()


def test_with_realtime_a_spend_shows_before_any_poll_would(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner(100)
    site = owner.site
    expect(site.page.get_by_text("Live", exact=True)).to_be_visible()
    expect(site.available).to_have_text("100")
    _spend(owner.organization, "1.5")
    expect(site.available).to_have_text("98.5", timeout=BROADCAST_MS)
    row = site.card("Recent activity").get_by_role("row", name=re.compile("TestAgent"))
    expect(row).to_contain_text("98.5")


def test_a_burst_of_spends_ends_at_the_last_figure(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner(100)
    expect(owner.site.page.get_by_text("Live", exact=True)).to_be_visible()
    for _ in range(10):
        _spend(owner.organization, "0.1")
    expect(owner.site.available).to_have_text("99", timeout=BROADCAST_MS)


def test_without_realtime_the_page_polls_and_says_so(
    site: Site, new_organization: Callable[..., Organization], complaints: Complaints
) -> None:
    organization = new_organization(100)
    site.page.route_web_socket(re.compile("/realtime/v1/"), lambda socket: socket.close())
    site.sign_in(organization.owner.email, PASSWORD)
    expect(site.page.get_by_text("Refreshing every few seconds")).to_be_visible()
    expect(site.available).to_have_text("100")
    _spend(organization, "40")
    expect(site.available).to_have_text("60", timeout=POLL_MS)
    site.shoot("01-polling")
    complaints.texts.clear()


def test_a_purchase_made_elsewhere_lifts_the_paywall(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner()
    expect(owner.site.paywall).to_be_visible()
    owner.organization.grant(250)
    expect(owner.site.available).to_have_text("250", timeout=POLL_MS)
    expect(owner.site.paywall).to_have_count(0)


def test_a_network_that_goes_away_leaves_the_figures_and_calls_them_old(
    new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    owner = new_owner(75)
    site = owner.site
    expect(site.available).to_have_text("75")
    site.page.context.set_offline(True)
    expect(site.page.get_by_text("Offline", exact=True)).to_be_visible()
    expect(site.available).to_have_text("75")
    site.shoot("01-offline")
    site.page.context.set_offline(False)
    _spend(owner.organization, "5")
    expect(site.available).to_have_text("70", timeout=SLOW_MS)
    complaints.texts.clear()


def test_a_section_that_fails_says_so_and_recovers_by_its_button(
    site: Site, new_organization: Callable[..., Organization], complaints: Complaints
) -> None:
    organization = new_organization(75)
    broken = {"message": "broken"}
    site.page.route("**/rest/v1/payments?*", lambda route: route.fulfill(status=500, json=broken))
    site.sign_in(organization.owner.email, PASSWORD)
    payments = site.card("Recent payments")
    expect(payments.get_by_role("alert")).to_contain_text("This could not be loaded", timeout=SLOW_MS)
    expect(site.available).to_have_text("75")
    site.shoot("01-one-section-failed")
    site.page.unroute("**/rest/v1/payments?*")
    payments.get_by_role("button", name="Try again").click()
    expect(payments).to_contain_text("No payments yet")
    complaints.texts.clear()


def test_figures_that_cannot_be_refreshed_stay_with_their_time(
    new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    owner = new_owner(75)
    site = owner.site
    expect(site.available).to_have_text("75")
    site.page.route("**/rest/v1/rpc/get_credit_balance?*", lambda route: route.fulfill(status=503, json={}))
    _spend(owner.organization, "5")
    stale = site.card("Credit balance").get_by_text(re.compile("Could not refresh. Showing what was read at"))
    expect(stale).to_be_visible(timeout=SLOW_MS)
    expect(site.available).to_have_text("75")
    site.shoot("01-stale-balance")
    complaints.texts.clear()


def test_a_page_without_its_configuration_says_what_to_check(site: Site, complaints: Complaints) -> None:
    site.page.route("**/config.json", lambda route: route.fulfill(status=404))
    site.open()
    expect(site.page.get_by_role("alert")).to_contain_text("The page could not start")
    site.page.unroute("**/config.json")
    site.page.get_by_role("button", name="Try again").click()
    expect(site.page.get_by_role("heading", name="Sign in")).to_be_visible()
    complaints.texts.clear()
