"""A story as it was at Stripe: its events, and what one could read about each at every later step."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from billing.events import RULES
from tests.money.confluence.shop_floor import Customer, Json
from tests.money.confluence.stories import Story
from tests.money.twin.shop import Shop

#: Readings are stamped by the step at which they were made, so that two runs have the same stamps.
_EPOCH = datetime(2027, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class Event:
    """An event and its readings.

    Attributes:
        number: its place among the story's events.
        body: as Stripe would deliver it.
        readings: step → the facts read then; from the step in which it happened to the last.
    """

    number: int
    body: Json
    readings: dict[int, Json] = field(default_factory=dict)


@dataclass
class Recording:
    """One telling of a story, ready to be delivered in any order.

    Attributes:
        organization_id: whose story.
        acts: the events between two things that the customer did with us: after each but the last they spend.
        spends: how much, after each act.
        last_step: the number of the final step; every event has a reading of it.
        ends_at: when the story ends.
    """

    organization_id: str
    acts: list[list[Event]]
    spends: list[int]
    last_step: int
    ends_at: datetime

    @property
    def events(self) -> list[Event]:
        """All events, in the order in which Stripe made them."""
        return [event for act in self.acts for event in act]


def record(shop: Shop, story: Story, database: psycopg.Connection[Any]) -> Recording:
    """Live a story at Stripe, with nothing delivered.

    Args:
        shop: Stripe.
        story: what the customer does.
        database: a session as `postgres` that commits.
    """
    teller = _Teller(shop)
    customer = Customer(shop, teller.step, plans=plans_of_its_own(database))
    customer.on_spend = teller.spend
    customer.has_saved_card = lambda card: _save_card(database, card)
    customer.arrive()
    story(customer)
    teller.step()
    # Still theirs, and nobody else's to see on the price list.
    database.execute(
        "update billing.subscription_plans set is_active = false where id::text = any(%s)",
        (list(customer.plans.values()),),
    )
    return Recording(
        customer.organization_id,
        teller.acts,
        teller.spends,
        teller.now,
        max(customer.now + timedelta(hours=3), datetime.now(UTC)),
    )


def plans_of_its_own(database: psycopg.Connection[Any]) -> dict[str, str]:
    """Plans of the recording's own, on Starter's and Pro's terms: their prices are at this Stripe alone."""
    made = database.execute(
        "insert into billing.subscription_plans (key, name, unit_amount, credits_per_period, rollover_cap, "
        "trial_days, trial_credits) "
        "select 'story_' || substr(md5(random()::text), 1, 12), p.key, p.unit_amount, p.credits_per_period, "
        "p.rollover_cap, p.trial_days, p.trial_credits from billing.subscription_plans as p "
        "where p.key in ('starter', 'pro') returning name, id::text"
    ).fetchall()
    return {row["name"]: row["id"] for row in made}


def _save_card(database: psycopg.Connection[Any], card: Json) -> None:
    database.execute(
        "insert into billing.payment_methods (organization_id, stripe_payment_method_id, type, is_default) "
        "values (%s, %s, 'card', true)",
        (card["organization_id"], card["stripe_payment_method_id"]),
    )


class _Teller:
    """Reads, after every step, all that has an event so far."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._known: set[str] = set()
        self.acts: list[list[Event]] = [[]]
        self.spends: list[int] = []
        self.now = 0
        self._new_events()  # of the stories before

    def spend(self, amount: int) -> None:
        self.step()
        self.spends.append(amount)
        self.acts.append([])

    def step(self) -> None:
        self.now += 1
        for body in self._new_events():
            self.acts[-1].append(Event(sum(map(len, self.acts)), body))
        stamp = (_EPOCH + timedelta(seconds=self.now)).isoformat()
        read: dict[tuple[str, str], Json | None] = {}
        for event in (event for act in self.acts for event in act):
            rule, snapshot = RULES[event.body["type"]], event.body["data"]["object"]
            key = (rule.reads, json.dumps(_subject(snapshot)))
            if key not in read:
                reading = rule.read(self._shop.stripe, snapshot)
                read[key] = (
                    None
                    if reading is None
                    else {
                        "kind": reading.kind,
                        "object": _stamped(reading.object, stamp),
                        "notice": rule.notice,
                    }
                )
            facts = read[key]
            if facts is not None:
                event.readings[self.now] = facts

    def _new_events(self) -> list[Json]:
        bodies = []
        for page in self._pages():
            bodies += page
        fresh = [body for body in reversed(bodies) if body["id"] not in self._known]
        self._known |= {body["id"] for body in fresh}
        return [body for body in fresh if body["type"] in RULES]

    def _pages(self) -> list[list[Json]]:
        pages: list[list[Json]] = []
        after = ""
        while True:
            answer = self._shop.raw("GET", f"/v1/events?limit=100{after}").get_json()
            pages.append(answer["data"])
            if not answer["has_more"] or any(body["id"] in self._known for body in answer["data"]):
                return pages
            after = f"&starting_after={answer['data'][-1]['id']}"


def _subject(snapshot: Json) -> list[object]:
    return [snapshot.get(name) for name in ("id", "invoice", "charge", "subscription", "parent")]


def _stamped(value: Any, stamp: str) -> Any:
    """Replace the times of reading by the story's steps."""
    if isinstance(value, list):
        return [_stamped(part, stamp) for part in value]
    if not isinstance(value, dict):
        return value
    stamped = {name: _stamped(part, stamp) for name, part in value.items()}
    if "fetched_at" in stamped:
        stamped["fetched_at"] = stamp
    return stamped
