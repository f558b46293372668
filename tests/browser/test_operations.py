"""The screen of those who run the platform: events, alerts, differences are seen, and events run again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Locator, expect

from supabase import Client
from tests.browser.accessibility import sideways_overflow, violations
from tests.browser.conftest import DESKTOP, Look
from tests.browser.places import SLOW_MS, Site
from tests.conftest import PASSWORD, Organization, StackUnderTest, User
from tests.money.conftest import Books
from tests.money.world import CARD_PAYS, Deliveries, HostedPage, Workers, made_up_event

Database = psycopg.Connection[dict[str, Any]]

#: Of the seed; belongs to no organization.
OPERATOR = "operator@tallybase.test"
#: So many attempts until an event is told as an alert, and until it is parked.
TOLD_AFTER, PARKED_AFTER = 3, 5
EVENTS, ALERTS, DIFFERENCES = "Stripe events", "Alerts", "Reconciliation"


@dataclass
class LostSession:
    """A checkout that was paid while our row of it was not to be found, and an event that cannot be applied.

    Attributes:
        organization: who bought.
        database: a session as `postgres`.
        service: a client with the secret key.
        deliveries: Stripe's side of the webhook.
        session: what the worker answered when the checkout was opened.
        event: names the session; Stripe itself never sends it, so only we decide when it comes.
    """

    organization: Organization
    database: Database
    service: Client
    deliveries: Deliveries
    session: dict[str, Any]
    event: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.event = made_up_event("checkout.session.completed", self.session_id)

    @property
    def session_id(self) -> str:
        """Stripe's id of the checkout."""
        return str(self.session["session_id"])

    @property
    def event_id(self) -> str:
        """The event's id."""
        return str(self.event["id"])

    @property
    def balance(self) -> int:
        """What the buyer has."""
        return int(Books(self.database, self.organization.organization_id).balance)

    def lose(self) -> None:
        """Let our row of the checkout not be found."""
        self._rename(self.session_id, f"{self.session_id}_moved")

    def find(self) -> None:
        """Let it be found again."""
        self._rename(f"{self.session_id}_moved", self.session_id)

    def _rename(self, old: str, new: str) -> None:
        self.database.execute(
            "update billing.checkout_sessions set stripe_session_id = %s where stripe_session_id = %s",
            (new, old),
        )

    def deliver(self, times: int) -> None:
        """Deliver the event again and again."""
        for _ in range(times):
            self.deliveries.send(self.event)

    def compare(self) -> None:
        """Let the reconciler compare the session, complete and paid at Stripe, with our row of it."""
        (customer,) = self.database.execute(
            "select stripe_customer_id from billing.customers where organization_id = %s",
            (self.organization.organization_id,),
        ).fetchall()
        facts = {"status": "complete", "is_paid": True}
        page = [{"id": self.session_id, "customer": customer["stripe_customer_id"], "facts": facts}]
        arguments = {"kind": "checkout_session", "objects": page, "livemode": False}
        self.service.rpc("compare_with_stripe", arguments).execute()


@pytest.fixture
def lost_session(
    new_organization: Callable[..., Organization], stack: StackUnderTest, database: Database, service: Client
) -> Iterator[LostSession]:
    """A checkout that is paid and lost; found at the end, so that Stripe's own event is applied, too."""
    organization = new_organization()
    auth = organization.owner.client.auth.get_session()
    assert auth is not None
    session = Workers(stack, auth.access_token).buy(organization.organization_id)
    lost = LostSession(organization, database, service, Deliveries(stack), session)
    lost.lose()
    HostedPage(session["url"]).pay(CARD_PAYS)
    yield lost
    lost.find()
    lost.deliver(1)
    lost.compare()


@pytest.fixture
def platform_admin(new_organization: Callable[..., Organization], database: Database) -> User:
    """Somebody who runs the platform, and owns an organization besides."""
    owner = new_organization(10).owner
    database.execute("insert into billing_private.platform_admins (user_id) values (%s)", (owner.user_id,))
    return owner


def row_of(site: Site, card: str, name: str) -> Locator:
    """The row of that card which names something."""
    return site.card(card).get_by_role("row", name=re.compile(re.escape(name)))


@contextmanager
def nothing_wrong(site: Site) -> Iterator[None]:
    """Judges the page as it stands at the end: accessible, nothing cut off."""
    yield
    expect(site.page.get_by_text("Loading…")).to_have_count(0)
    assert violations(site.page) == []
    assert sideways_overflow(site.page) == 0


def test_a_failing_event_is_seen_with_its_error_and_run_again_until_it_is_applied(
    site: Site, platform_admin: User, lost_session: LostSession
) -> None:
    lost_session.deliver(TOLD_AFTER)
    lost_session.compare()
    site.sign_in(platform_admin.email, PASSWORD)
    expect(site.available).to_have_text("10")
    site.page.get_by_role("button", name="Operations").click()
    expect(site.page.get_by_role("heading", level=1)).to_have_text("Operations")

    event = row_of(site, EVENTS, lost_session.event_id)
    expect(event).to_contain_text("not_found", timeout=SLOW_MS)
    expect(event).to_contain_text("Failed")
    expect(event).to_contain_text("3 attempts")
    expect(row_of(site, ALERTS, lost_session.event_id)).to_contain_text("Stripe event keeps failing")
    difference = row_of(site, DIFFERENCES, lost_session.session_id)
    expect(difference).to_contain_text("Missing here")
    expect(difference).to_contain_text("status: complete")
    site.shoot("01-failing")

    event.get_by_role("button").click()
    outcome = site.card(EVENTS).get_by_role("status").filter(has_text=lost_session.event_id)
    expect(outcome).to_have_text(f"{lost_session.event_id}: not applied; the list says why", timeout=SLOW_MS)
    expect(event).to_contain_text("1 attempt")
    assert lost_session.balance == 0
    site.shoot("02-failed-again")

    lost_session.find()
    event.get_by_role("button").press("Enter")
    expect(outcome).to_have_text(f"{lost_session.event_id}: Processed", timeout=SLOW_MS)
    expect(event).to_have_count(0)
    expect(row_of(site, ALERTS, lost_session.event_id)).to_have_count(0)
    assert lost_session.balance == 500
    site.card(EVENTS).get_by_label("Show").select_option("Processed")
    expect(event).to_contain_text("Processed")
    expect(event.get_by_role("button")).to_have_count(0)
    site.shoot("03-processed")

    lost_session.compare()
    site.page.reload()
    expect(site.card(DIFFERENCES).get_by_text("Loading…")).to_have_count(0)
    expect(difference).to_have_count(0)
    site.page.get_by_role("button", name="Back to billing").click()
    expect(site.available).to_have_text("10")


def test_all_parked_events_are_run_again_after_a_question(
    site: Site, platform_admin: User, lost_session: LostSession
) -> None:
    lost_session.deliver(PARKED_AFTER)
    site.sign_in(platform_admin.email, PASSWORD)
    site.open("/operations")
    event = row_of(site, EVENTS, lost_session.event_id)
    expect(event).to_contain_text("Parked")
    lost_session.find()
    site.page.get_by_role("button", name="Run all parked again").press("Enter")
    dialog = site.page.get_by_role("dialog")
    expect(dialog).to_contain_text("No event can grant twice")
    site.shoot("01-question")
    site.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(event).to_contain_text("Parked")
    site.page.get_by_role("button", name="Run all parked again").click()
    dialog.get_by_role("button", name="Run them again").click()
    expect(event).to_have_count(0, timeout=SLOW_MS)
    assert lost_session.balance == 500
    site.shoot("02-applied")


def test_an_alert_that_has_been_dealt_with_is_closed(
    site: Site, lost_session: LostSession, database: Database
) -> None:
    lost_session.deliver(PARKED_AFTER)
    site.sign_in(OPERATOR, PASSWORD)
    alert = row_of(site, ALERTS, lost_session.event_id)
    expect(alert).to_contain_text("Critical")
    alert.get_by_role("button").click()
    expect(alert).to_have_count(0)
    closed = database.execute(
        "select resolved_at from billing_private.platform_alerts where subject_id = %s",
        (lost_session.event_id,),
    ).fetchall()
    assert [row["resolved_at"] is not None for row in closed] == [True]


def test_who_does_not_run_the_platform_sees_no_entry_and_is_told_so_at_the_address(
    site: Site, new_organization: Callable[..., Organization], lost_session: LostSession
) -> None:
    lost_session.deliver(PARKED_AFTER)
    lost_session.compare()
    organization = new_organization(10)
    site.sign_in(organization.owner.email, PASSWORD)
    expect(site.available).to_have_text("10")
    expect(site.page.get_by_role("button", name="Operations")).to_have_count(0)
    site.open("/operations")
    for card in (EVENTS, ALERTS, DIFFERENCES):
        expect(site.card(card)).to_contain_text("This is for those who run the platform.")
        expect(site.card(card).get_by_role("row")).to_have_count(0)
        expect(site.card(card).get_by_role("button")).to_have_count(0)
    with nothing_wrong(site):
        site.shoot("01-no-permission")


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(DESKTOP, id="wide-light"),
        pytest.param(Look(color_scheme="dark"), id="wide-dark"),
        pytest.param(Look(width=320, height=640, reduced_motion="reduce"), id="narrow-light"),
        pytest.param(Look(width=320, height=640, color_scheme="dark"), id="narrow-dark"),
    ],
)
def test_operations_are_accessible_in_every_look(
    new_site: Callable[..., Site], look: Look, lost_session: LostSession
) -> None:
    lost_session.deliver(PARKED_AFTER)
    lost_session.compare()
    site = new_site(look)
    site.sign_in(OPERATOR, PASSWORD)
    expect(site.page.get_by_role("heading", level=1)).to_have_text("Operations")
    for card, name in {
        EVENTS: lost_session.event_id,
        ALERTS: lost_session.event_id,
        DIFFERENCES: lost_session.session_id,
    }.items():
        expect(row_of(site, card, name)).to_be_visible()
    with nothing_wrong(site):
        site.shoot("01-operations")
    row_of(site, EVENTS, lost_session.event_id).get_by_role("button").click()
    expect(site.card(EVENTS).get_by_role("status").filter(has_text=lost_session.event_id)).to_be_visible(
        timeout=SLOW_MS
    )
    with nothing_wrong(site):
        site.shoot("02-run-again-in-vain")
    site.page.get_by_role("button", name="Run all parked again").click()
    with nothing_wrong(site):
        site.shoot("03-question")
