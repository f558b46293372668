"""Every order of a story's deliveries ends in the same books; so does every crash of the handler.

TALLYBASE_CONFLUENCE_ORDERS: how many orders of each story (all permutations where that is fewer; default 6).
TALLYBASE_CONFLUENCE_SEED: the seed of what is random (default 2027); a failure names the order's own seed.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.conftest import StackUnderTest
from tests.money.confluence.books import read_books
from tests.money.confluence.delivering import (
    Delivery,
    deliver,
    in_order,
    rolled_back,
    shuffled,
    spend,
    tell,
    tell_with_crashes,
)
from tests.money.confluence.recording import Recording, record
from tests.money.confluence.stories import STORIES
from tests.money.twin.shop import Shop

# One after the other: two stories that crash on purpose would each wait for the other's tables.
pytestmark = pytest.mark.serial

ORDERS = int(os.environ.get("TALLYBASE_CONFLUENCE_ORDERS", "6"))
SEED = int(os.environ.get("TALLYBASE_CONFLUENCE_SEED", "2027"))
Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture(params=sorted(STORIES))
def story(request: pytest.FixtureRequest) -> str:
    """A story's name."""
    return str(request.param)


@pytest.fixture
def recording(story: str, shop: Shop, database: Database) -> Recording:
    """The story, recorded anew."""
    return record(shop, STORIES[story], database)


def orders_of(recording: Recording) -> list[tuple[str, list[list[Delivery]]]]:
    """The orders to try: every permutation of a short story's events, or as many random ones as wanted."""
    (only, *more) = in_order(recording, early=False)
    if not more and math.factorial(len(only)) <= ORDERS:
        return [(f"permutation {n}", [list(p)]) for n, p in enumerate(itertools.permutations(only))]
    seeds = [SEED * 100_003 + number for number in range(ORDERS)]
    return [(f"seed {seed}", shuffled(recording, random.Random(seed))) for seed in seeds]


def test_every_order_ends_in_the_same_books(
    story: str, recording: Recording, database: Database, record_property: Any
) -> None:
    with rolled_back(database, recording.organization_id, recording.ends_at):
        expected = tell(database, recording, in_order(recording, early=False))
    assert expected["violations"] == []
    orders = [("as it happened", in_order(recording, early=True)), *orders_of(recording)]

    for name, acts in orders:
        with rolled_back(database, recording.organization_id, recording.ends_at):
            books = tell(database, recording, acts)
        assert books == expected, f"{story}, {name}: {difference(books, expected)}"

    deliveries = sum(len(act) for _, acts in orders for act in acts)
    told = f"{len(recording.events)} events x {len(orders)} orders, {deliveries} deliveries"
    record_property("confluence", f"{story}: {told}")


def test_a_crash_between_any_two_statements_changes_nothing_in_the_end(
    story: str, recording: Recording, database: Database, record_property: Any
) -> None:
    acts = in_order(recording, early=False)
    with rolled_back(database, recording.organization_id, recording.ends_at):
        expected = tell(database, recording, acts)

    with rolled_back(database, recording.organization_id, recording.ends_at):
        books, crashes = tell_with_crashes(database, recording, acts)

    assert books == expected, difference(books, expected)
    assert crashes > 0
    record_property("confluence", f"{story}: {len(recording.events)} events x {crashes} crashes")


def test_concurrent_deliveries_end_in_the_same_books(
    story: str, recording: Recording, database: Database, stack: StackUnderTest
) -> None:
    organization_id = recording.organization_id
    with rolled_back(database, organization_id, recording.ends_at):
        expected = tell(database, recording, in_order(recording, early=False))
    database.execute("select billing.advance_test_clock(%s, %s)", (organization_id, recording.ends_at))

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

    for number, act in enumerate(shuffled(recording, random.Random(SEED))):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(send, act))
        if number < len(recording.spends):
            spend(database, recording, recording.spends[number])
    books = read_books(database, organization_id)

    assert books == expected, difference(books, expected)


def difference(books: dict[str, Any], expected: dict[str, Any]) -> str:
    """Name what differs, and how."""
    return "; ".join(
        f"{name}: {books[name]} instead of {expected[name]}"
        for name in expected
        if books[name] != expected[name]
    )
