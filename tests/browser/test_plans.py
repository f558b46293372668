"""Plans, cards and automatic top-up on the page: from the first checkout to an overdue payment and back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import sideways_overflow, violations
from tests.browser.conftest import DESKTOP, Look, Owner
from tests.browser.places import CARD_PAYS, SLOW_MS, Checkout, Site
from tests.browser.stripe_side import StripeSide
from tests.conftest import PASSWORD, Organization, StackUnderTest

MASTERCARD = "5555 5555 5555 4444"


def subscribe(site: Site, button: str) -> None:
    """Choose a plan, pay on Stripe's page and come back to the plan."""
    site.section("Plan")
    site.page.get_by_role("button", name=button, exact=True).click()
    expect(site.page.get_by_test_id("pay")).to_be_visible(timeout=SLOW_MS)
    Checkout(site.page).pay(CARD_PAYS)
    expect(site.outcome).to_contain_text("Your plan is active", timeout=SLOW_MS)
    site.page.get_by_role("button", name="Back to billing").click()
    site.section("Plan")


def test_a_plan_is_bought_cancelled_and_kept_after_all(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner()
    site = owner.site
    site.section("Plan")
    expect(site.card("Plan")).to_contain_text("No plan")
    site.shoot("01-plans")
    subscribe(site, "Subscribe: Business")
    plan = site.card("Plan")
    expect(plan).to_contain_text("Business")
    expect(plan).to_contain_text("Active")
    expect(site.card("Payment methods")).to_contain_text("Visa ending 4242")
    site.shoot("02-active")
    plan.get_by_role("button", name="Cancel plan").click()
    dialog = site.page.get_by_role("dialog")
    expect(dialog).to_contain_text("not charged again")
    site.shoot("03-cancelling")
    dialog.get_by_role("button", name="Cancel at period end").click()
    expect(plan).to_contain_text("Cancels at period end")
    site.shoot("04-cancelled")
    plan.get_by_role("button", name="Keep the plan").click()
    expect(plan.get_by_role("button", name="Cancel plan")).to_be_visible(timeout=SLOW_MS)
    expect(plan).to_contain_text("Active")
    site.section("Overview")
    expect(site.available).to_have_text("15,000")
    site.section("Activity")
    grant = site.card("Credits by origin").get_by_role("row", name=re.compile("^Plan"))
    expect(grant).to_contain_text("15,000 of 15,000")
    expect(grant).to_contain_text("Up to 15,000 roll over")
    site.shoot("05-grants")


def test_a_trial_begins_and_a_change_of_plan_waits_for_its_end(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner()
    site = owner.site
    subscribe(site, "Start trial: Starter")
    plan = site.card("Plan")
    expect(plan).to_contain_text("Trial")
    expect(plan).to_contain_text("First charge after trial")
    site.shoot("01-trialing")
    site.page.get_by_role("button", name="Upgrade: Pro", exact=True).click()
    dialog = site.page.get_by_role("dialog")
    expect(dialog).to_contain_text("The trial goes on until")
    dialog.get_by_role("button", name="Change plan").click()
    expect(dialog).to_have_count(0, timeout=SLOW_MS)
    site.shoot("02-changed")


def test_an_upgrade_charges_the_difference_and_a_downgrade_waits(
    new_owner: Callable[..., Owner], stack: StackUnderTest
) -> None:
    owner = new_owner()
    site = owner.site
    subscribe(site, "Start trial: Starter")
    StripeSide(stack, owner.organization).renew()
    plan = site.card("Plan")
    expect(plan).to_contain_text("Active", timeout=SLOW_MS)
    site.page.get_by_role("button", name="Upgrade: Pro", exact=True).click()
    dialog = site.page.get_by_role("dialog")
    expect(dialog).to_contain_text("is charged now")
    site.shoot("01-upgrading")
    dialog.get_by_role("button", name="Change plan").click()
    expect(plan).to_contain_text("Pro", timeout=SLOW_MS)
    site.shoot("02-upgraded")
    site.page.get_by_role("button", name="Downgrade: Starter", exact=True).click()
    expect(dialog).to_contain_text("Nothing changes until")
    dialog.get_by_role("button", name="Change plan").click()
    expect(plan).to_contain_text(re.compile("Starter from"), timeout=SLOW_MS)
    site.shoot("03-downgrade-planned")
    site.page.get_by_role("button", name="Keep this plan: Pro", exact=True).click()
    dialog.get_by_role("button", name="Keep this plan").click()
    expect(plan).not_to_contain_text(re.compile("Starter from"), timeout=SLOW_MS)


def test_an_overdue_payment_is_told_on_top_and_paid_from_there(
    new_owner: Callable[..., Owner], stack: StackUnderTest
) -> None:
    owner = new_owner()
    site = owner.site
    subscribe(site, "Subscribe: Business")
    stripe = StripeSide(stack, owner.organization)
    stripe.decline_next_charges(1)
    stripe.renew()
    site.section("Overview")
    pay = site.page.get_by_role("link", name="Pay now")
    expect(pay).to_be_visible(timeout=SLOW_MS)
    expect(site.page.get_by_text("A payment is overdue", exact=True)).to_be_visible()
    site.shoot("01-past-due")
    with site.page.context.expect_page() as opened:
        pay.click()
    Checkout(opened.value).pay(CARD_PAYS)
    expect(opened.value.get_by_text("This invoice is paid.")).to_be_visible(timeout=SLOW_MS)
    expect(pay).to_have_count(0, timeout=SLOW_MS)
    site.section("Payments")
    invoices = site.card("Invoices")
    expect(invoices.get_by_role("link", name=re.compile("^PDF: invoice")).first).to_be_visible()
    site.shoot("02-paid")


def test_cards_are_saved_chosen_and_removed(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner()
    site = owner.site
    site.section("Plan")
    cards = site.card("Payment methods")
    expect(cards).to_contain_text("No card is saved")
    for card, name in ((CARD_PAYS, "Visa ending 4242"), (MASTERCARD, "Mastercard ending 4444")):
        cards.get_by_role("button", name="Add a card").click()
        expect(site.page.get_by_test_id("pay")).to_be_visible(timeout=SLOW_MS)
        Checkout(site.page).pay(card)
        expect(site.outcome).to_contain_text(f"{name} is now the default", timeout=SLOW_MS)
        site.shoot(f"01-saved-{name.split()[0]}")
        site.page.get_by_role("button", name="Back to billing").click()
        site.section("Plan")
    newer = cards.get_by_role("row", name=re.compile("Mastercard"))
    older = cards.get_by_role("row", name=re.compile("Visa"))
    expect(newer).to_contain_text("Default")
    older.get_by_role("button", name="Make Visa ending 4242 the default").click()
    expect(older).to_contain_text("Default", timeout=SLOW_MS)
    site.shoot("02-two-cards")
    newer.get_by_role("button", name="Remove Mastercard ending 4444").click()
    dialog = site.page.get_by_role("dialog")
    site.shoot("03-removing")
    dialog.get_by_role("button", name="Remove card").click()
    expect(newer).to_have_count(0, timeout=SLOW_MS)


def test_automatic_top_up_is_agreed_to_and_switched_off(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner(50)
    site = owner.site
    site.section("Plan")
    topup = site.card("Automatic top-up")
    topup.get_by_role("button", name="Set up").click()
    dialog = site.page.get_by_role("dialog")
    dialog.get_by_label("When available credits reach").fill("20")
    dialog.get_by_label("Credits to buy").fill("500")
    dialog.get_by_label("At the price of").select_option(index=1)
    dialog.get_by_label("At most a month").fill("50")
    expect(dialog).to_contain_text("I allow the default payment method to be charged without asking again.")
    dialog.get_by_label("I agree").check()
    site.shoot("01-agreeing")
    dialog.get_by_role("button", name="Switch on").click()
    expect(topup).to_contain_text("When 20 credits or fewer are available, 500 credits are bought.")
    expect(topup).to_contain_text("At most $50.00 a month.")
    site.shoot("02-on")
    topup.get_by_role("button", name="Switch off").click()
    expect(topup.get_by_text("Off", exact=True)).to_be_visible()


def test_a_free_plan_is_started_cancelled_and_kept(new_owner: Callable[..., Owner]) -> None:
    owner = new_owner()
    site = owner.site
    site.section("Plan")
    site.page.get_by_role("button", name="Choose: Free").click()
    plan = site.card("Plan")
    expect(plan).to_contain_text("50 credits each period")
    plan.get_by_role("button", name="Cancel plan").click()
    site.page.get_by_role("dialog").get_by_role("button", name="Cancel at period end").click()
    expect(plan).to_contain_text("Cancels at period end")
    site.shoot("01-free-plan-ends")
    plan.get_by_role("button", name="Keep the plan").click()
    expect(plan.get_by_role("button", name="Cancel plan")).to_be_visible()
    site.section("Overview")
    expect(site.available).to_have_text("50")


def test_refunds_and_disputes_stand_below_their_payment(
    new_owner: Callable[..., Owner], stack: StackUnderTest
) -> None:
    owner = new_owner()
    site = owner.site
    site.buy("500 credits").pay(CARD_PAYS)
    expect(site.outcome).to_contain_text("500 credits were added", timeout=SLOW_MS)
    stripe = StripeSide(stack, owner.organization)
    stripe.refund(250)
    owner.open(query="?view=invoices")
    payments = site.card("Payments")
    expect(payments).to_contain_text("Refund of $2.50: done", timeout=SLOW_MS)
    stripe.dispute()
    expect(payments).to_contain_text(re.compile(r"Dispute over \$[\d.]+: open"), timeout=SLOW_MS)
    site.shoot("01-refunded-and-disputed")
    site.section("Overview")
    expect(site.page.get_by_text("Restricted", exact=True)).to_be_visible(timeout=SLOW_MS)
    expect(site.page.get_by_text(re.compile("Restricted since"))).to_be_visible()
    site.shoot("02-restricted")


LOOKS = [
    pytest.param(Look(color_scheme="dark"), id="wide-dark"),
    pytest.param(Look(width=320, height=640, reduced_motion="reduce"), id="narrow-light"),
    pytest.param(DESKTOP, id="wide-light"),
]


@pytest.mark.parametrize("look", LOOKS)
def test_the_new_sections_are_accessible_and_fit(
    new_site: Callable[..., Site], new_organization: Callable[..., Organization], look: Look
) -> None:
    organization = new_organization(100)
    site = new_site(look)
    site.sign_in(organization.owner.email, PASSWORD)
    findings: list[str] = []

    def see(name: str) -> None:
        expect(site.page.get_by_text("Loading…")).to_have_count(0)
        site.shoot(name)
        findings.extend(f"{name}: {violation}" for violation in violations(site.page))
        overflow = sideways_overflow(site.page)
        findings.extend([f"{name}: {overflow} px wider than the window"] if overflow else [])

    site.section("Plan")
    expect(site.page.get_by_role("button", name="Subscribe: Business")).to_be_visible()
    see("01-plan")
    site.card("Automatic top-up").get_by_role("button", name="Set up").click()
    site.page.get_by_role("button", name="Switch on").click()
    see("02-top-up-with-faults")
    site.page.keyboard.press("Escape")
    site.section("Limits")
    see("03-limits")
    site.section("Activity")
    expect(site.card("Credits by origin")).to_contain_text("100 of 100")
    see("04-activity")
    assert findings == []
