"""Deliveries of a recorded story: in any order, again, late, read early, and with a handler that dies."""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from tests.money.confluence.books import Json, read_books
from tests.money.confluence.recording import Event, Recording

Database = psycopg.Connection[Json]

#: Shares of the deliveries: those that come again later, or in the next act, and those whose handler dies.
_AGAIN = 0.3
_LATE = 0.2
_DIES = 0.2
#: A handler that is to die does so after one of its first so many statements that write; most have few.
_STATEMENTS = (2, 6, 24)


@dataclass(frozen=True)
class Delivery:
    """One delivery of an event, with what was read for it at some step.

    Attributes:
        event: what is delivered.
        step: when it was read at Stripe.
        dies_after: after so many statements that write the handler dies, if it has as many; 0: it lives.
    """

    event: Event
    step: int
    dies_after: int = 0


@dataclass(frozen=True)
class Telling:
    """A story's deliveries in some order, act by act.

    Attributes:
        name: enough to make it again.
        acts: the deliveries between two things that the customer did with us.
    """

    name: str
    acts: list[list[Delivery]]

    @property
    def deliveries(self) -> list[Delivery]:
        """All of them."""
        return [delivery for act in self.acts for delivery in act]


def in_order(recording: Recording, *, early: bool) -> Telling:
    """The story as it happened: every event once, read when it happened (`early`) or at the end."""
    acts = [
        [
            Delivery(event, min(event.readings) if early and event.readings else recording.last_step)
            for event in act
        ]
        for act in recording.acts
    ]
    return Telling("as it happened", acts)


def tellings(recording: Recording, count: int, seed: int) -> Iterator[Telling]:
    """Every permutation of the story's events, act by act, or `count` random ones where that is fewer.

    Whatever the order: some events come again, sooner or later, with readings of any age, and some
    handlers die.
    """
    chances = (random.Random(seed * 100_003 + number) for number in itertools.count())
    if math.prod(math.factorial(len(act)) for act in recording.acts) <= count:
        permutations = itertools.product(*(itertools.permutations(act) for act in recording.acts))
        for number, (acts, chance) in enumerate(zip(permutations, chances, strict=False)):
            yield troubled(
                f"permutation {number}, seed {seed}", [list(act) for act in acts], recording, chance
            )
        return
    for number, chance in zip(range(count), chances, strict=False):
        order = [chance.sample(act, len(act)) for act in recording.acts]
        yield troubled(f"order {number}, seed {seed}", order, recording, chance)


def troubled(name: str, order: list[list[Event]], recording: Recording, chance: random.Random) -> Telling:
    """Put trouble into an order of first deliveries.

    An event is delivered with the final reading or any earlier one; what Stripe's last word was is always
    read by somebody, because the last change of an object has an event of its own. A handler that died is
    called again.
    """

    def reading(event: Event) -> int:
        return chance.choice([*event.readings, recording.last_step])

    acts: list[list[Delivery]] = []
    late: list[Delivery] = []
    for events in order:
        act = [Delivery(event, reading(event)) for event in events]
        for event in events:
            if chance.random() < _AGAIN:
                _insert_after(act, event, Delivery(event, reading(event)), chance)
        for delivery in late:
            act.insert(chance.randint(0, len(act)), delivery)
        late = [Delivery(event, recording.last_step) for event in events if chance.random() < _LATE]
        for place in reversed(range(len(act))):
            if chance.random() < _DIES:
                dying = replace(act[place], dies_after=chance.randint(1, chance.choice(_STATEMENTS)))
                act.insert(chance.randint(0, place), dying)
        acts.append(act)
    return Telling(name, acts)


def _insert_after(act: list[Delivery], event: Event, again: Delivery, chance: random.Random) -> None:
    first = next(place for place, delivery in enumerate(act) if delivery.event is event)
    act.insert(chance.randint(first + 1, len(act)), again)


def deliver(database: Database, delivery: Delivery) -> str:
    """Hand an event to the database, as the webhook does; returns what became of it."""
    facts = delivery.event.readings.get(delivery.step)
    arguments = (json.dumps(delivery.event.body), None if facts is None else json.dumps(facts))
    with database.transaction():
        row = database.execute(
            "select (billing.process_stripe_event(%s, %s, false)).status", arguments
        ).fetchone()
    assert row is not None
    return str(row["status"])


def spend(database: Database, recording: Recording, amount: int) -> None:
    """Spend credits of the organization."""
    database.execute(
        "select billing.consume_credits('TestAgent', 'test', amount => %s, organization_id => %s)",
        (amount, recording.organization_id),
    )


class Stage:
    """A place on which a story can be told any number of times without a trace.

    Attributes:
        recording: the story.
        crashes: how many handlers have died here so far.
    """

    def __init__(self, database: Database, recording: Recording) -> None:
        self.recording = recording
        self.crashes = 0
        self._database = database

    def tell(self, telling: Telling) -> Json:
        """Deliver everything and return the books."""
        with self._database.transaction(force_rollback=True):
            for number, act in enumerate(telling.acts):
                self._deliver(act)
                self._spend_after(number)
            return read_books(self._database, self.recording.organization_id)

    def tell_dying_everywhere(self, telling: Telling) -> Json:
        """The same; every handler dies after its first, second, … statement, until it gets through."""
        with self._database.transaction(force_rollback=True):
            for number, act in enumerate(telling.acts):
                for delivery in act:
                    for dies_after in itertools.count(1):
                        if not self._deliver([Delivery(delivery.event, delivery.step, dies_after)]):
                            break
                self._spend_after(number)
            return read_books(self._database, self.recording.organization_id)

    def _deliver(self, act: list[Delivery]) -> int:
        """Returns how many handlers died."""
        arguments = (
            [delivery.event.number for delivery in act],
            [delivery.step for delivery in act],
            [delivery.dies_after for delivery in act],
        )
        row = self._database.execute(
            "select confluence.deliver(%s::integer[], %s::integer[], %s::integer[]) as crashes", arguments
        ).fetchone()
        assert row is not None
        crashes = int(row["crashes"])
        self.crashes += crashes
        return crashes

    def _spend_after(self, act: int) -> None:
        if act < len(self.recording.spends):
            spend(self._database, self.recording, self.recording.spends[act])


#: The story in the database, told by the database: a round trip an act. `count_down` is run by every
#: statement that writes into a table of the product, and dies when its time has come.
_STAGE = """
create schema confluence;
create table confluence.events (number integer primary key, body jsonb not null);
create table confluence.readings (
  number integer, step integer, facts jsonb not null, primary key (number, step)
);

create function confluence.count_down() returns trigger language plpgsql as $$
declare
  v_left constant integer :=
    coalesce(nullif(current_setting('confluence.statements', true), ''), '0')::integer;
begin
  if v_left = 1 then
    raise exception 'injected crash after a statement on %', tg_table_name using errcode = 'XDIES';
  elsif v_left > 1 then
    perform set_config('confluence.statements', (v_left - 1)::text, true);
  end if;
  return null;
end
$$;

create function confluence.deliver(p_events integer[], p_steps integer[], p_dies_after integer[])
returns integer language plpgsql as $$
declare
  v_body jsonb;
  v_facts jsonb;
  v_crashes integer := 0;
begin
  for v_place in 1 .. coalesce(cardinality(p_events), 0) loop
    select e.body into strict v_body from confluence.events as e where e.number = p_events[v_place];
    select r.facts into v_facts from confluence.readings as r
    where r.number = p_events[v_place] and r.step = p_steps[v_place];
    begin
      perform set_config('confluence.statements', p_dies_after[v_place]::text, true);
      perform billing.process_stripe_event(v_body, v_facts, false);
      perform set_config('confluence.statements', '0', true);
    exception when sqlstate 'XDIES' then
      v_crashes := v_crashes + 1;
    end;
  end loop;
  return v_crashes;
end
$$;

do $$
declare
  v_table regclass;
begin
  for v_table in
    select c.oid from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname in ('billing', 'billing_private') and c.relkind in ('r', 'p') and not c.relispartition
  loop
    execute format(
      'create trigger confluence after insert or update or delete on %s '
      'for each statement execute function confluence.count_down()', v_table
    );
  end loop;
end
$$;
"""

_LOCK = """
do $$
begin
  execute (
    select 'lock table ' || string_agg(c.oid::regclass::text, ', ') || ' in share row exclusive mode nowait'
    from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname in ('billing', 'billing_private') and c.relkind in ('r', 'p') and not c.relispartition
  );
end
$$
"""


@contextmanager
def stage(database: Database, recording: Recording) -> Iterator[Stage]:
    """Build the stage, with the organization's clock at the story's end; it is gone with the block."""
    with database.transaction(force_rollback=True):
        _lock(database)
        database.execute(_STAGE)
        with database.cursor() as cursor:
            events = [(event.number, json.dumps(event.body)) for event in recording.events]
            cursor.executemany("insert into confluence.events values (%s, %s)", events)
            readings = [
                (event.number, step, json.dumps(facts))
                for event in recording.events
                for step, facts in event.readings.items()
            ]
            cursor.executemany("insert into confluence.readings values (%s, %s, %s)", readings)
        database.execute("analyze confluence.events, confluence.readings")
        database.execute(
            "select billing.advance_test_clock(%s, %s)", (recording.organization_id, recording.ends_at)
        )
        yield Stage(database, recording)


def _lock(database: Database) -> None:
    """Take all tables at once or none, so that nobody else is caught in a deadlock."""
    while True:
        try:
            with database.transaction():
                database.execute(_LOCK)
        except psycopg.errors.LockNotAvailable:
            time.sleep(0.02)
        else:
            return
