"""Somebody with a plan: buys it on Stripe's page, and lives through months on a test clock.

The organization and its Stripe customer share one clock: the organization's moves first, as in life, where a
period ends before Stripe's invoice for the next one is paid (about an hour later).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import stripe
from stripe import Subscription

from stripe_twin.cards import by_number
from tests.money.conftest import Books, Buyer
from tests.money.world import CARD_PAYS, SECONDS, Deliveries, HostedPage

FREE = "33333333-0000-4000-8000-000000000001"
STARTER = "33333333-0000-4000-8000-000000000002"
PRO = "33333333-0000-4000-8000-000000000003"
BUSINESS = "33333333-0000-4000-8000-000000000004"

#: Stripe drafts a renewal's invoice at the period's end and collects it an hour later.
COLLECTED = timedelta(hours=2)


@dataclass
class Subscriber:
    """An owner whose organization has, or is about to have, a plan.

    Attributes:
        buyer: the owner, their workers and books.
        deliveries: Stripe's side of the webhook.
        now: where the organization's and the customer's clock stands.
    """

    buyer: Buyer
    deliveries: Deliveries
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    clock_id: str = ""

    @property
    def stripe(self) -> stripe.StripeClient:
        """Stripe, with the merchant's key."""
        return self.deliveries.client

    @property
    def books(self) -> Books:
        """What our database says."""
        return self.buyer.books

    @property
    def subscription(self) -> dict[str, Any]:
        """Our row of the newest subscription."""
        return self.subscriptions[-1]

    @property
    def subscriptions(self) -> list[dict[str, Any]]:
        """All of our rows, oldest first."""
        query = "select * from billing.subscriptions where organization_id = %s order by created_at"
        return self.books.rows(query)

    @property
    def at_stripe(self) -> Subscription:
        """The subscription as Stripe has it."""
        return self.stripe.v1.subscriptions.retrieve(self.subscription["stripe_subscription_id"])

    @property
    def customer_id(self) -> str:
        """The organization's customer at Stripe."""
        query = "select stripe_customer_id from billing.customers where organization_id = %s"
        return str(self.books.rows(query)[0]["stripe_customer_id"])

    @property
    def organization(self) -> dict[str, Any]:
        """Our row of the organization."""
        return self.books.rows("select * from billing.organizations where organization_id = %s")[0]

    @property
    def balance(self) -> Decimal:
        """The balance, as a client reads it now."""
        arguments = {"organization_id": str(self.buyer.organization_id)}
        answer: Any = self.buyer.user.client.rpc("get_credit_balance", arguments).execute().data
        return Decimal(str(answer["balance"]))

    def checkout(self, plan_id: str = STARTER, **more: object) -> dict[str, Any]:
        """Open a checkout for a plan, and put the customer on a clock that stands at `now`."""
        body = {"organization_id": str(self.buyer.organization_id), "plan_id": plan_id, **more}
        answer = self.buyer.workers.call("create_checkout_session", body)
        assert answer.status_code == 200, answer.text
        if not self.clock_id:
            self.now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
            self._start_clock()
        return dict(answer.json())

    def subscribe(self, plan_id: str = STARTER, card: str = CARD_PAYS) -> dict[str, Any]:
        """Buy a plan with a card and wait until Stripe's events have arrived."""
        session = self.checkout(plan_id)
        paid = HostedPage(session["url"]).pay(card)
        assert paid.status_code in (302, 303), paid.text
        self.settle()
        return session

    def _start_clock(self) -> None:
        parameters: Any = {"frozen_time": int(self.now.timestamp()), "customer": self.customer_id}
        self.clock_id = self.stripe.v1.test_helpers.test_clocks.create(parameters).id
        self._move_organization()

    def _move_organization(self) -> None:
        arguments = {"organization_id": str(self.buyer.organization_id), "to": self.now.isoformat()}
        self.buyer.organization.service.rpc("advance_test_clock", arguments).execute()

    def advance(self, to: datetime) -> None:
        """Let time pass, for us and at Stripe, and wait until Stripe's events have arrived."""
        self.now = to
        self._move_organization()
        self.stripe.v1.test_helpers.test_clocks.advance(self.clock_id, {"frozen_time": int(to.timestamp())})
        self.settle()

    def renew_unheard(self, until: datetime) -> None:
        """Let the period end and its renewal be collected in time, and hear of it only at an instant."""
        period_end: datetime = self.subscription["current_period_end"]
        self.now = until
        self._move_organization()
        collected = {"frozen_time": int((period_end + COLLECTED).timestamp())}
        self.stripe.v1.test_helpers.test_clocks.advance(self.clock_id, collected)  # type: ignore[arg-type]
        self.settle()

    def renew(self) -> None:
        """Let the current period end, and its renewal be collected."""
        period_end: datetime = self.subscription["current_period_end"]
        self.advance(period_end + COLLECTED)

    def settle(self) -> None:
        """Wait until Stripe has nothing more to deliver to us."""
        self.deliveries.await_quiet(self.customer_id)

    def spend(self, amount: int) -> None:
        """Spend credits, as the owner."""
        arguments = {
            "agent_type": "TestAgent",
            "action": "test",
            "amount": amount,
            "organization_id": str(self.buyer.organization_id),
        }
        self.buyer.user.client.rpc("consume_credits", arguments).execute()

    def call(self, name: str, **more: object) -> httpx.Response:
        """Call a worker as the owner, for this organization."""
        return self.buyer.workers.call(name, {"organization_id": str(self.buyer.organization_id), **more})

    def decline_from_now_on(self) -> None:
        """Give the subscription a card that the bank declines."""
        self.use_card("pm_card_chargeCustomerFail")

    def use_card(self, test_card: str) -> None:
        """Give the subscription another of Stripe's test cards."""
        method = self.stripe.v1.payment_methods.attach(test_card, {"customer": self.customer_id})
        self.stripe.v1.subscriptions.update(
            self.subscription["stripe_subscription_id"], {"default_payment_method": method.id}
        )
        self.settle()

    def grants(self, source: str | None = None) -> list[Decimal]:
        """The amounts of all grants, or of those of one source, in the order in which they were made."""
        rows = self.books.rows(
            "select source, amount from billing_private.credit_grant_lots where organization_id = %s "
            "order by created_at, effective_at, period_start nulls first, id"
        )
        return [row["amount"] for row in rows if source in (None, row["source"])]

    def events(self, *types: str) -> list[dict[str, Any]]:
        """Stripe's events about this customer, oldest first, of some types."""
        found = []
        for event in self.stripe.v1.events.list({"limit": 100}).auto_paging_iter():
            body = json.loads(json.dumps(event.to_dict(), default=str))
            if self.customer_id in json.dumps(body) and (not types or body["type"] in types):
                found.append(body)
        return found[::-1]


@pytest.fixture
def new_subscriber(new_buyer: Callable[[], Buyer], deliveries: Deliveries) -> Callable[[], Subscriber]:
    """Returns a function that makes an owner who is about to have a plan."""
    return lambda: Subscriber(new_buyer(), deliveries)


@pytest.fixture
def subscriber(new_subscriber: Callable[[], Subscriber]) -> Subscriber:
    """One such owner."""
    return new_subscriber()


@pytest.fixture
def unused_card(database: Any) -> Callable[[str], str]:
    """Returns a function that forgets that a test card has had a trial, and returns its number.

    A card has one trial for ever, and Stripe's test cards are the same for all tests: each test of a trial
    has a card of its own, on which no other test subscribes.
    """

    def forget(number: str) -> str:
        card = by_number(number)
        assert card is not None
        database.execute(
            "delete from billing_private.trial_claims where subject_hash = sha256(convert_to(%s, 'UTF8'))",
            (f"card:{card.fingerprint}",),
        )
        return number

    return forget


def await_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that another process brings about.

    Args:
        condition: whether it has happened.
        what: it, for the message.
    """
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)
