"""What a customer does on Stripe's own page arrives with us: canceling, another plan, cards."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.money.saved_cards import as_operator
from tests.money.subscriber import PRO, STARTER, Subscriber, new_subscriber, subscriber
from tests.money.world import SECONDS

__all__ = ["new_subscriber", "subscriber"]


@pytest.fixture
def portal(subscriber: Subscriber) -> str:
    """The address of a subscriber's portal, as the worker opens it."""
    subscriber.subscribe(STARTER)
    answer = subscriber.call("create_portal_session")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["url"])


def send(subscriber: Subscriber, address: str, **form: str) -> None:
    """Send a form of the page, and wait until Stripe has told us."""
    answer = httpx.post(address, data=form, timeout=SECONDS)
    assert answer.status_code == 303, answer.text
    subscriber.settle()


def test_a_plan_canceled_on_stripes_page_runs_to_its_end_and_can_be_kept(
    subscriber: Subscriber, portal: str
) -> None:
    address = f"{portal}/subscriptions/{subscriber.subscription['stripe_subscription_id']}"

    send(subscriber, f"{address}/cancel")
    ending = subscriber.subscription
    send(subscriber, f"{address}/resume")

    assert ending["cancel_at"] == ending["current_period_end"]
    assert subscriber.subscription["cancel_at"] is None
    assert subscriber.subscription["status"] == ending["status"]


@pytest.mark.serial  # packs have prices at Stripe after it, which other tests do not expect
def test_a_dearer_plan_chosen_on_stripes_page_is_the_plan_with_us(
    subscriber: Subscriber, portal: str
) -> None:
    as_operator(subscriber.deliveries.stack, "sync_catalogue", {})
    address = f"{portal}/subscriptions/{subscriber.subscription['stripe_subscription_id']}"
    offered = httpx.get(f"{address}/update", timeout=SECONDS).text
    found = re.search(r'value="(price_\w+)"[^>]*>\s*<span><span class="plan-name">Pro<', offered)
    assert found is not None, offered

    send(subscriber, f"{address}/update/confirm", price=found.group(1))

    assert str(subscriber.subscription["plan_id"]) == PRO


def test_a_card_added_on_stripes_page_is_known_to_us(subscriber: Subscriber, portal: str) -> None:
    card = {"expiry": "12 / 40", "cvc": "123", "name": "Jenny Rosen"}

    send(subscriber, f"{portal}/cards/add", number="5555555555554444", **card)

    query = "select last4 from billing.payment_methods where organization_id = %s and detached_at is null"
    assert "4444" in {row["last4"] for row in subscriber.books.rows(query)}


@pytest.mark.parametrize(
    ("flow", "task"),
    [
        ("payment_method_update", "Add payment method"),
        ("subscription_cancel", "Cancel plan"),
        ("subscription_update", "Update plan"),
    ],
)
def test_the_portal_opens_at_one_task_and_leads_back(
    subscriber: Subscriber, portal: str, flow: str, task: str
) -> None:
    opened = subscriber.call("create_portal_session", flow=flow)

    assert opened.status_code == 200, opened.text
    page = httpx.get(opened.json()["url"], timeout=SECONDS, follow_redirects=True)
    assert (page.status_code, task in page.text) == (200, True), page.text


@pytest.mark.parametrize("flow", ["subscription_cancel", "subscription_update"])
def test_a_task_of_the_plan_needs_a_plan(subscriber: Subscriber, flow: str) -> None:
    answer = subscriber.call("create_portal_session", flow=flow)

    assert (answer.status_code, answer.json()["message"]) == (404, "not_found")


def test_a_plan_is_canceled_through_its_link_alone(subscriber: Subscriber, portal: str) -> None:
    url = subscriber.call("create_portal_session", flow="subscription_cancel").json()["url"]
    address = f"{url}/subscriptions/{subscriber.subscription['stripe_subscription_id']}"

    send(subscriber, f"{address}/cancel")

    assert subscriber.subscription["cancel_at"] == subscriber.subscription["current_period_end"]
