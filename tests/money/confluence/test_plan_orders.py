"""Scenarios 42 and 43 with what Stripe tells of a plan change coming in any order, signed, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from billing.events import RULES
from tests.money.confluence.books import Json
from tests.money.confluence.conftest import Webhook
from tests.money.confluence.recording import plans_of_its_own
from tests.money.confluence.shop_floor import PRO, STARTER, Customer
from tests.money.twin.shop import Shop

Database = psycopg.Connection[Any]
ORDERS = ["backwards", "the invoice first", "the invoice last"]


class Subscriber:
    """A customer in the first paid month of Starter, to whom nothing is delivered by itself.

    Args:
        shop: Stripe.
        webhook: our function.
        database: a session as `postgres`.
    """

    def __init__(self, shop: Shop, webhook: Webhook, database: Database) -> None:
        self.customer = Customer(shop, lambda: None, plans=plans_of_its_own(database))
        self._shop, self._webhook, self._database = shop, webhook, database
        self._told = {event["id"] for event in shop.all_events()}
        self.customer.arrive()
        self.customer.subscribe(STARTER)
        self.customer.renew()
        self.hear("as it happened")

    def hear(self, order: str) -> None:
        """Deliver what is new, in an order."""
        news = [event for event in self._shop.all_events()[::-1] if event["id"] not in self._told]
        self._told |= {event["id"] for event in news}
        self._database.execute(
            "select billing.advance_test_clock(%s, %s)", (self.customer.organization_id, self.customer.now)
        )
        for event in in_order([event for event in news if event["type"] in RULES], order):
            self._webhook.deliver_until_taken(event)
            assert self.balance >= 0

    def spend(self, amount: int) -> None:
        """Spend credits."""
        self._database.execute(
            "select billing.consume_credits('TestAgent', 'test', amount => %s, organization_id => %s)",
            (amount, self.customer.organization_id),
        )

    @property
    def balance(self) -> Decimal:
        """What there is now."""
        row = self._database.execute(
            "select balance from billing.credit_balances where organization_id = %s",
            (self.customer.organization_id,),
        ).fetchone()
        return Decimal(row["balance"]) if row is not None else Decimal(0)


def in_order(events: list[Json], order: str) -> list[Json]:
    """The events in one of the orders."""
    if order == "backwards":
        return events[::-1]
    if order.startswith("the invoice"):
        paid = [event for event in events if event["type"] == "invoice.paid"]
        others = [event for event in events if event["type"] != "invoice.paid"]
        return paid + others if order.endswith("first") else others + paid
    return events


@pytest.fixture
def subscriber(shop: Shop, webhook: Webhook, database: Database) -> Iterator[Subscriber]:
    """Such a customer."""
    made = Subscriber(shop, webhook, database)
    assert made.balance == 1000
    yield made
    rows = database.execute(
        "select * from billing.verify_ledger(%s)", (made.customer.organization_id,)
    ).fetchall()
    assert rows == []


@pytest.mark.parametrize("order", ORDERS)
def test_scenario_42_down_and_up_again_grants_nothing_new_in_any_order(
    subscriber: Subscriber, order: str
) -> None:
    subscriber.customer.change_plan(PRO)
    subscriber.hear("as it happened")
    subscriber.spend(int(subscriber.balance))
    left = subscriber.balance

    subscriber.customer.wait(timedelta(days=1))
    subscriber.customer.change_plan(STARTER)
    subscriber.customer.wait(timedelta(days=1))
    subscriber.customer.change_plan(PRO)
    subscriber.hear(order)

    assert subscriber.balance == left


@pytest.mark.parametrize("order", ORDERS)
def test_scenario_43_an_upgrade_that_carries_usage_never_goes_below_in_any_order(
    subscriber: Subscriber, order: str
) -> None:
    subscriber.spend(800)
    subscriber.customer.wait(timedelta(days=10))

    subscriber.customer.change_plan(PRO, billing_cycle_anchor={"type": "now"})
    subscriber.hear(order)

    assert subscriber.balance == 3000 - 800
