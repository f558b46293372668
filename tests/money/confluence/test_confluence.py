"""Every order of a story's deliveries ends in the same books, whatever comes twice, late or dies on the way.

TALLYBASE_CONFLUENCE_ORDERS: how many orders of each story (all permutations where that is fewer; default 12).
TALLYBASE_CONFLUENCE_ROUNDS: how often each story is delivered by many at once (default 1).
TALLYBASE_CONFLUENCE_SEED: the seed of what is random (default 2027). A failure names the order, which comes
again with the same seed.
"""

from __future__ import annotations

import itertools
import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.conftest import StackUnderTest
from tests.money.confluence.books import Json, read_books
from tests.money.confluence.conftest import Tally, Webhook
from tests.money.confluence.delivering import (
    Delivery,
    deliver,
    in_order,
    spend,
    stage,
    tellings,
)
from tests.money.confluence.recording import Recording, record
from tests.money.confluence.stories import STORIES
from tests.money.twin.shop import Shop

ORDERS = int(os.environ.get("TALLYBASE_CONFLUENCE_ORDERS", "12"))
ROUNDS = int(os.environ.get("TALLYBASE_CONFLUENCE_ROUNDS", "1"))
SEED = int(os.environ.get("TALLYBASE_CONFLUENCE_SEED", "2027"))
# One after the other: two stories that crash on purpose would each wait for the other's tables.
pytestmark = [pytest.mark.serial, pytest.mark.timeout(600 + 2 * ORDERS)]

#: Orders that are told on one stage: it keeps the product's tables to itself.
_ORDERS_A_STAGE = 100
_SENDERS = 6
Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture(params=sorted(STORIES))
def story(request: pytest.FixtureRequest) -> str:
    """A story's name."""
    return str(request.param)


@pytest.fixture(params=sorted(name for name in STORIES if "after_spending" not in name))
def unspent_story(request: pytest.FixtureRequest) -> str:
    """A story that can be delivered when all of it has happened: nobody spent in between."""
    return str(request.param)


@pytest.fixture(scope="module")
def recordings() -> dict[str, Recording]:
    """Stories that were recorded and of which nothing was delivered for good."""
    return {}


@pytest.fixture
def recording(story: str, recordings: dict[str, Recording], shop: Shop, database: Database) -> Recording:
    """The story; recorded once for all tests that leave no trace of it."""
    if story not in recordings:
        recordings[story] = record(shop, STORIES[story], database)
    return recordings[story]


def test_every_order_ends_in_the_same_books(
    story: str, recording: Recording, database: Database, tally: Tally
) -> None:
    with stage(database, recording) as place:
        expected = place.tell(in_order(recording, early=False))
    assert expected["violations"] == []
    told = itertools.chain([in_order(recording, early=True)], tellings(recording, ORDERS, SEED))

    while some := list(itertools.islice(told, _ORDERS_A_STAGE)):
        with stage(database, recording) as place:
            for telling in some:
                books = place.tell(telling)
                assert books == expected, f"{story}, {telling.name}: {difference(books, expected)}"
                tally.add_telling(story, telling.deliveries)
            tally.add(story, crashes=place.crashes)


def test_a_crash_between_any_two_statements_changes_nothing_in_the_end(
    story: str, recording: Recording, database: Database, tally: Tally
) -> None:
    with stage(database, recording) as place:
        expected = place.tell(in_order(recording, early=False))

        books = place.tell_dying_everywhere(in_order(recording, early=False))

    assert books == expected, difference(books, expected)
    assert place.crashes > len(recording.events)
    tally.add(story, crashes=place.crashes)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_deliveries_at_once_end_in_the_same_books(
    story: str,
    number: int,
    recordings: dict[str, Recording],
    shop: Shop,
    database: Database,
    stack: StackUnderTest,
    tally: Tally,
) -> None:
    recording = recordings.pop(story, None) or record(shop, STORIES[story], database)
    expected = _expected(database, recording)

    def send(delivery: Delivery) -> None:
        with psycopg.connect(stack.database_url, autocommit=True, row_factory=dict_row) as session:
            while True:
                try:
                    deliver(session, delivery)
                except psycopg.Error as error:
                    if error.sqlstate != "PT503":  # busy: Stripe would send it again
                        raise
                else:
                    return

    (telling,) = itertools.islice(tellings(recording, 1, SEED + number), 1)
    for place, act in enumerate(telling.acts):
        with ThreadPoolExecutor(_SENDERS) as pool:
            list(pool.map(send, act))
        if place < len(recording.spends):
            spend(database, recording, recording.spends[place])
    books = read_books(database, recording.organization_id)

    assert books == expected, difference(books, expected)
    tally.add(story, at_once=len(telling.deliveries))


def test_signed_deliveries_at_once_over_http_end_in_the_same_books(
    unspent_story: str, shop: Shop, database: Database, webhook: Webhook, tally: Tally
) -> None:
    recording = record(shop, STORIES[unspent_story], database)
    expected = _expected(database, recording)
    bodies = [event.body for event in recording.events]
    bodies += random.Random(SEED).choices(bodies, k=len(bodies) // 2)
    random.Random(SEED).shuffle(bodies)

    with ThreadPoolExecutor(_SENDERS) as pool:
        list(pool.map(webhook.deliver_until_taken, bodies))
    books = read_books(database, recording.organization_id)

    assert books == expected, difference(books, expected)
    tally.add(unspent_story, over_http=len(bodies))


def _expected(database: Database, recording: Recording) -> Json:
    """The books after the story as it happened; leaves the organization's clock at its end."""
    with stage(database, recording) as place:
        expected = place.tell(in_order(recording, early=False))
    database.execute(
        "select billing.advance_test_clock(%s, %s)", (recording.organization_id, recording.ends_at)
    )
    return expected


def difference(books: Json, expected: Json) -> str:
    """Name the rows that differ."""
    return "; ".join(
        f"{name}: {_without(books[name], expected[name])} instead of {_without(expected[name], books[name])}"
        for name in expected
        if books[name] != expected[name]
    )


def _without(rows: list[Json], others: list[Json]) -> list[Json]:
    return [row for row in rows if row not in others]
