"""What the twin's tests share: a twin of their own in a fresh schema, and a webhook endpoint that records."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from stripe_twin.app import create_app, twin_of
from stripe_twin.settings import TwinSettings
from tests.money.twin.receiver import SECRET, Receiver
from tests.money.twin.shop import Shop
from tests.money.twin.story import Walk, live_through

WORKERS = Path(__file__).parents[3] / "workers"


@pytest.fixture(scope="session")
def database_url() -> str:
    """The database in which each run makes a schema of its own."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        pytest.fail("DATABASE_URL is not set: the twin's tests need a Postgres")
    return url


@pytest.fixture(scope="session")
def fresh_schema(database_url: str) -> Iterator[str]:
    """A schema name that nobody else uses, dropped at the end."""
    name = f"stripe_twin_test_{secrets.token_hex(6)}"
    yield name
    with psycopg.connect(database_url) as connection:
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """A webhook endpoint that verifies signatures, records what came, and answers as told."""
    running = Receiver()
    yield running
    running.close()


@pytest.fixture(scope="session")
def settings(database_url: str, fresh_schema: str, receiver: Receiver) -> TwinSettings:
    """Settings of the twin under test: short pauses, so that retries can be awaited."""
    return TwinSettings(
        database_url=database_url,
        schema=fresh_schema,
        webhook_url=receiver.url,
        webhook_secret=SECRET,
        retry_pauses_seconds=(0.05, 0.1, 0.2, 0.4),
        delivery_timeout_seconds=5,
        redirect_wait_seconds=5,
    )


@pytest.fixture(scope="session")
def running_shop(settings: TwinSettings) -> Iterator[Shop]:
    """The twin, in this process, with its delivery loop."""
    app = create_app(settings)
    yield Shop(app)
    twin_of(app).stop()


@pytest.fixture(scope="session")
def walk(running_shop: Shop, receiver: Receiver) -> Walk:
    """One walk through everything the twin does, and what was answered, written and delivered on it."""
    running_shop.wait_until_idle()
    running_shop.control("POST", "/reset")
    receiver.forget()
    running_shop.transport.calls.clear()
    live_through(running_shop)
    events = running_shop.all_events()
    for _ in range(5):
        state = running_shop.control("GET", "/wait?seconds=60")
        if state["idle"]:
            break
    assert state["idle"], state
    return Walk(list(running_shop.transport.calls), events, list(receiver.requests))


@pytest.fixture
def shop(running_shop: Shop, receiver: Receiver) -> Iterator[Shop]:
    """The twin with nothing in it, and its endpoint with nothing recorded."""
    running_shop.wait_until_idle()
    running_shop.control("POST", "/reset")
    receiver.forget()
    yield running_shop
    receiver.answer_with(200)
    running_shop.control("POST", "/faults", {})
    running_shop.control("POST", "/deliveries/retry")


@pytest.fixture(scope="module")
def environment(database_url: str) -> Iterator[dict[str, str]]:
    """Environment of a twin in a process of its own: a fresh schema, no workers, no Stripe key."""
    schema = f"stripe_twin_test_{secrets.token_hex(6)}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STRIPE_", "WORKERS_"))}
    yield {**kept, "PYTHONPATH": str(WORKERS), "DATABASE_URL": database_url, "STRIPE_TWIN_SCHEMA": schema}
    with psycopg.connect(database_url) as connection:
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))
