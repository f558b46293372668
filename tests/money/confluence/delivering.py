"""Deliveries of a recorded story: in any order, with duplicates, early and late readings, and crashes."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg

from tests.money.confluence.books import Json, read_books
from tests.money.confluence.recording import Event, Recording

Database = psycopg.Connection[Json]

#: Tables into which the handler writes; after each of its statements there, it may die.
_WRITTEN = (
    "billing_private.stripe_events",
    "billing_private.subscription_lines",
    "billing_private.credit_grant_lots",
    "billing_private.organization_restrictions",
    "billing_private.grant_reversals",
    "billing.organizations",
    "billing.credit_transactions",
    "billing.subscriptions",
    "billing.invoices",
    "billing.payments",
    "billing.checkout_sessions",
    "billing.notifications",
    "billing.auto_topup_attempts",
)


@dataclass(frozen=True)
class Delivery:
    """One delivery of an event, with what was read for it at some step."""

    event: Event
    step: int


class Crash(Exception):  # noqa: N818 - it is no error of ours
    """The handler died."""


def deliver(database: Database, delivery: Delivery) -> str:
    """Hand an event to the database, as the webhook does; returns what became of it.

    Raises:
        Crash: an injected one; nothing is left of the call.
    """
    facts = delivery.event.readings.get(delivery.step)
    arguments = (json.dumps(delivery.event.body), None if facts is None else json.dumps(facts))
    try:
        with database.transaction():
            row = database.execute(
                "select (billing.process_stripe_event(%s, %s, false)).status", arguments
            ).fetchone()
    except psycopg.errors.RaiseException as error:
        if "injected crash" in str(error):
            raise Crash from None
        raise
    assert row is not None
    return str(row["status"])


@contextmanager
def rolled_back(database: Database, organization_id: str, at: datetime) -> Iterator[None]:
    """Try something with the organization's clock at an instant, and leave no trace."""
    with database.transaction(force_rollback=True):
        database.execute("select billing.advance_test_clock(%s, %s)", (organization_id, at))
        yield


def in_order(recording: Recording, *, early: bool) -> list[list[Delivery]]:
    """The story as it happened, by acts: every event once, read when it happened (`early`) or at the end."""
    return [
        [
            Delivery(event, min(event.readings) if early and event.readings else recording.last_step)
            for event in act
        ]
        for act in recording.acts
    ]


def shuffled(recording: Recording, chance: random.Random) -> list[list[Delivery]]:
    """A random telling: any order within an act, a third of the events again later, readings of any age.

    Somewhere each event is delivered with the final reading or an earlier one; what Stripe's last word was is
    always read by somebody, because the last change of an object has an event of its own.
    """
    acts = []
    late: list[Delivery] = []
    for act in recording.acts:
        deliveries = [Delivery(event, chance.choice([*event.readings, recording.last_step])) for event in act]
        last_words = [Delivery(event, recording.last_step) for event in act if chance.random() < 0.5]
        again = [Delivery(event, chance.choice([*event.readings, recording.last_step])) for event in act]
        deliveries += late + [delivery for delivery in again if chance.random() < 0.3]
        late = last_words
        chance.shuffle(deliveries)
        acts.append(deliveries)
    return acts


def tell(database: Database, recording: Recording, acts: list[list[Delivery]]) -> Json:
    """Deliver everything and return the books. Runs inside `rolled_back`."""
    for number, act in enumerate(acts):
        for delivery in act:
            deliver(database, delivery)
        if number < len(recording.spends):
            spend(database, recording, recording.spends[number])
    return read_books(database, recording.organization_id)


def spend(database: Database, recording: Recording, amount: int) -> None:
    """Spend credits of the organization."""
    database.execute(
        "select billing.consume_credits('TestAgent', 'test', amount => %s, organization_id => %s)",
        (amount, recording.organization_id),
    )


def tell_with_crashes(
    database: Database, recording: Recording, acts: list[list[Delivery]]
) -> tuple[Json, int]:
    """Deliver everything, the handler dying after its first, second, … statement, until it gets through.

    Returns:
        The books, and how many crashes there were. Runs inside `rolled_back`.
    """
    crashes = 0
    arm(database)
    for number, act in enumerate(acts):
        for delivery in act:
            crashes += _until_it_gets_through(database, delivery)
        if number < len(recording.spends):
            spend(database, recording, recording.spends[number])
    return read_books(database, recording.organization_id), crashes


def _until_it_gets_through(database: Database, delivery: Delivery) -> int:
    crashes = 0
    while True:
        database.execute("select set_config('confluence.statements', %s, true)", (str(crashes + 1),))
        try:
            deliver(database, delivery)
        except Crash:
            crashes += 1
            continue
        finally:
            database.execute("select set_config('confluence.statements', '0', true)")
        return crashes


def _lock_without_waiting(database: Database) -> None:
    """Take all tables at once or none, so that nobody else's test is caught in a deadlock."""
    while True:
        try:
            with database.transaction():
                database.execute(f"lock table {', '.join(_WRITTEN)} in share row exclusive mode nowait")
        except psycopg.errors.LockNotAvailable:
            time.sleep(0.02)
        else:
            return


def arm(database: Database) -> None:
    """Make every statement that writes count down, and raise at zero. Gone with the transaction."""
    _lock_without_waiting(database)
    database.execute("create schema confluence")
    database.execute(
        """
        create function confluence.count_down() returns trigger language plpgsql as $$
        declare
          v_left constant integer :=
            coalesce(nullif(current_setting('confluence.statements', true), ''), '0')::integer;
        begin
          if v_left = 1 then
            raise exception 'injected crash after a statement on %', tg_table_name;
          elsif v_left > 1 then
            perform set_config('confluence.statements', (v_left - 1)::text, true);
          end if;
          return null;
        end
        $$
        """
    )
    for table in _WRITTEN:
        database.execute(
            f"create trigger confluence after insert or update or delete on {table} "
            "for each statement execute function confluence.count_down()"
        )
