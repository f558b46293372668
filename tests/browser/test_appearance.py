"""Every main state of the page, light and dark, wide and 320 px narrow: accessible, nothing cut off."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import sideways_overflow, violations
from tests.browser.conftest import DESKTOP, Look, Owner
from tests.browser.places import SLOW_MS, Site
from tests.conftest import PASSWORD, Organization

LOOKS = [
    pytest.param(DESKTOP, id="wide-light"),
    pytest.param(Look(color_scheme="dark"), id="wide-dark"),
    pytest.param(Look(width=320, height=640, reduced_motion="reduce"), id="narrow-light"),
    pytest.param(Look(width=320, height=640, color_scheme="dark"), id="narrow-dark"),
]
ACTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("VisualPostCreatorAgent", "find_background_image", {}),
    ("QAAgent", "answer_question", {"quantities": {"input_tokens": 1234, "output_tokens": 80}}),
    ("TestAgent", "test", {"amount": "3.141593"}),
)


@dataclass(frozen=True)
class Inspection:
    """Looks at one state of the page after the other; what is wrong is told at the end, together.

    Attributes:
        site: the page.
        findings: what axe and the reflow rule objected to so far.
    """

    site: Site
    findings: list[str] = field(default_factory=list)

    def see(self, name: str) -> None:
        """Keep a screenshot of the state under `name` and judge it."""
        expect(self.site.page.get_by_text("Loading…")).to_have_count(0)
        self.site.shoot(name)
        self.findings.extend(f"{name}: {violation}" for violation in violations(self.site.page))
        overflow = sideways_overflow(self.site.page)
        if overflow:
            self.findings.append(f"{name}: {overflow} px wider than the window")


@pytest.fixture
def busy(new_organization: Callable[..., Organization]) -> Organization:
    """An organization with some of everything: grants, use, a department with a limit, keys."""
    made = new_organization(200)
    organization_id = str(made.organization_id)
    call = made.owner.client.rpc
    marketing = {"organization_id": organization_id, "name": "Marketing"}
    department: Any = call("create_department", marketing).execute().data
    limit = {"subject_type": "department", "subject_id": department["id"], "amount": "50", "window": "month"}
    call("set_credit_limit", {**limit, "organization_id": organization_id}).execute()
    made.grant(40, "promotion", expires_at="2099-01-01T00:00:00Z")
    for agent_type, action, more in ACTIONS:
        arguments = {"agent_type": agent_type, "action": action, "run_id": "run-1", **more}
        call("consume_credits", {**arguments, "department_id": department["id"]}).execute()
    capped = {"spend_limit": "100", "spend_window": "day"}
    keys = [{"name": "Support bot, production"}, {"name": "Nightly", **capped}]
    for key in keys:
        call("create_agent_key", {"organization_id": organization_id, **key}).execute()
    return made


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.timeout(240)
def test_every_section_is_accessible_and_fits(
    new_site: Callable[..., Site], busy: Organization, look: Look
) -> None:
    site = new_site(look)
    inspection = Inspection(site)
    site.open()
    expect(site.page.get_by_role("heading", name="Sign in")).to_be_visible()
    inspection.see("01-sign-in")
    site.sign_in(busy.owner.email, PASSWORD)
    expect(site.available).to_be_visible()
    chart = site.card("Usage, last 30 days").get_by_role("img", name="Credits used a day")
    expect(chart).to_be_visible(timeout=SLOW_MS)
    inspection.see("02-overview")

    site.section("Usage")
    expect(site.page.get_by_role("img", name="Credits used a day")).to_be_visible()
    inspection.see("03-usage-by-day")
    site.page.get_by_label("Group by").select_option(label="Action")
    site.page.get_by_role("radio", name="Share").check()
    expect(site.page.get_by_role("img", name="Share of credits used")).to_be_visible()
    inspection.see("04-usage-by-share")
    site.page.get_by_role("radio", name="Rows").check()
    expect(site.page.get_by_role("table", name="Credits used by day and group")).to_be_visible()
    inspection.see("05-usage-rows")

    site.section("Activity")
    row = site.page.get_by_role("row", name=re.compile("QAAgent"))
    row.get_by_role("button", name="Details").click()
    expect(site.page.get_by_text("1,234 × input_tokens at 0.0005")).to_be_visible()
    inspection.see("06-activity-with-receipt")

    site.section("Payments")
    expect(site.card("Payments")).to_contain_text("No payments yet")
    inspection.see("07-payments-empty")
    site.section("Limits")
    expect(site.card("Department limits")).to_contain_text("of 50")
    inspection.see("08-limits")
    site.page.get_by_role("button", name="Set a limit").click()
    inspection.see("09-set-a-limit")
    site.page.keyboard.press("Escape")

    site.section("Agent keys")
    expect(site.card("Agent keys")).to_contain_text("Nightly")
    inspection.see("10-agent-keys")
    site.create_agent_key("Shown once")
    inspection.see("11-agent-key-shown-once")
    site.page.get_by_role("button", name="I have stored it").click()
    site.section("Members")
    expect(site.card("Members")).to_contain_text("Owner")
    inspection.see("12-members")
    site.section("General")
    expect(site.card("Departments")).to_contain_text("Marketing")
    inspection.see("13-general")
    assert inspection.findings == []


@pytest.mark.parametrize("look", LOOKS)
def test_an_empty_organization_and_a_left_checkout_are_accessible_and_fit(
    new_site: Callable[..., Site], new_organization: Callable[..., Organization], look: Look
) -> None:
    site = new_site(look)
    inspection = Inspection(site)
    organization = new_organization()
    site.sign_in(organization.owner.email, PASSWORD)
    expect(site.paywall).to_be_visible()
    inspection.see("01-empty-with-paywall")
    site.section("Usage")
    expect(site.card("Credit usage")).to_contain_text("No credits were used in this period")
    inspection.see("02-usage-empty")
    site.open(f"/billing/return?organization={organization.organization_id}&canceled=1")
    expect(site.outcome).to_be_visible()
    inspection.see("03-checkout-was-left")
    assert inspection.findings == []


def test_the_keyboard_alone_reaches_the_checkout(new_owner: Callable[..., Owner]) -> None:
    site = new_owner(10).site
    page = site.page
    page.get_by_role("tab", name="Overview").focus()
    page.keyboard.press("ArrowRight")
    expect(site.card("Credit usage")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(site.available).to_be_visible()
    buy_credits = page.get_by_role("button", name="Buy credits")
    for _ in range(6):
        page.keyboard.press("Tab")
        if buy_credits.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=re.compile("^Buy 100 credits for"))).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("pay")).to_be_visible(timeout=SLOW_MS)


def test_the_download_holds_the_figures_of_the_chart(
    new_site: Callable[..., Site], busy: Organization
) -> None:
    site = new_site()
    site.sign_in(busy.owner.email, PASSWORD)
    site.section("Usage")
    with site.page.expect_download() as started:
        site.page.get_by_role("button", name="Download CSV").click()
    lines = started.value.path().read_text().splitlines()
    name = started.value.suggested_filename
    assert re.fullmatch(r"credit-usage-\d{4}-\d\d-\d\d-to-\d{4}-\d\d-\d\d\.csv", name)
    assert lines[0] == "Day (UTC),Group,Credits"
    assert [line.split(",")[1:] for line in lines[1:]] == [
        ["VisualPostCreatorAgent", "25"],
        ["QAAgent", "5.737"],
        ["TestAgent", "3.141593"],
    ]
