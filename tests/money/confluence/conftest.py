"""Stripe in this process, with nobody to deliver to; the workers' code, talking to it and to the stack."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import functions_framework
import httpx
import psycopg
import pytest
import stripe
from psycopg import sql
from werkzeug.serving import make_server

from billing import checkout, stripe_client, topup
from billing import webhook as webhook_worker
from billing.settings import get_settings
from stripe_twin.app import create_app, twin_of
from stripe_twin.cards import TestCard
from stripe_twin.settings import TwinSettings
from tests.conftest import StackUnderTest
from tests.money.confluence.books import Json
from tests.money.confluence.delivering import Delivery
from tests.money.twin.shop import Shop

_SECRET = "whsec_of_the_confluence"
_SOURCE = Path(stripe_client.__file__).parents[1] / "main.py"


@dataclass
class Tally:
    """What was told, story by story.

    Attributes:
        counts: story → what → how often.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, story: str, **numbers: int) -> None:
        """Count something of a story."""
        self.counts.setdefault(story, Counter()).update(numbers)

    def add_telling(self, story: str, deliveries: list[Delivery]) -> None:
        """Count an order of deliveries that was told."""
        events = {delivery.event.number for delivery in deliveries}
        early = sum(
            bool(delivery.event.readings) and delivery.step < max(delivery.event.readings)
            for delivery in deliveries
        )
        again = len(deliveries) - len(events)
        self.counts.setdefault(story, Counter())["events"] = len(events)
        self.add(story, orders=1, deliveries=len(deliveries), again=again, early=early)

    def lines(self) -> Iterator[str]:
        """A line a story, and their sum: stories x orders x faults."""
        for story, counts in sorted(self.counts.items()):
            yield f"{story}: {counts['events']} events x {counts['orders']:,} orders, {_faults(counts)}"
        total = sum(self.counts.values(), Counter[str]())
        yield f"{len(self.counts)} stories x {total['orders']:,} orders x faults: {_faults(total)}"


def _faults(counts: Counter[str]) -> str:
    return (
        f"{counts['deliveries']:,} deliveries ({counts['again']:,} again, {counts['early']:,} read early), "
        f"{counts['crashes']:,} crashes, {counts['at_once']:,} at once, {counts['over_http']:,} over HTTP"
    )


_TALLY = pytest.StashKey[Tally]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.stash[_TALLY] = Tally()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print stories x orders x faults."""
    tally = terminalreporter.config.stash.get(_TALLY, Tally())
    if tally.counts:
        seed = os.environ.get("TALLYBASE_CONFLUENCE_SEED", "2027")
        terminalreporter.section(f"confluence, seed {seed}")
        for text in tally.lines():
            terminalreporter.write_line(text)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Counts what is told; printed at the end."""
    return request.config.stash[_TALLY]


@pytest.fixture(scope="module")
def silent_shop(stack: StackUnderTest) -> Iterator[Shop]:
    """A twin of the module's own, in a fresh schema, without a webhook endpoint."""
    schema = f"stripe_twin_test_{secrets.token_hex(6)}"
    app = create_app(TwinSettings(database_url=stack.database_url, schema=schema))
    yield Shop(app)
    twin_of(app).stop()
    with psycopg.connect(stack.database_url) as connection:
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))


@pytest.fixture
def shop(silent_shop: Shop, stack: StackUnderTest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The twin, and our workers' code set up to talk to it. Its cards are new: a trial is had once a card."""
    mark = secrets.token_hex(8)
    monkeypatch.setattr(TestCard, "fingerprint", property(lambda card: f"{card.number}-{mark}"))
    environment = {
        "SUPABASE_URL": stack.supabase_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SUPABASE_SECRET_KEY": stack.secret_key,
        "FRONTEND_URL": stack.frontend_url,
        "STRIPE_TWIN_URL": stack.stripe_twin_url,
        "STRIPE_WEBHOOK_SECRET": _SECRET,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith("STRIPE_SECRET")]:
        monkeypatch.delenv(name)

    def client() -> stripe.StripeClient:
        return silent_shop.stripe

    for module in (checkout, stripe_client, topup, webhook_worker):
        monkeypatch.setattr(module, "get_client", client)
    get_settings.cache_clear()
    yield silent_shop
    get_settings.cache_clear()


@dataclass(frozen=True)
class Webhook:
    """The real function `stripe_webhook`, listening on a port, and Stripe's side of it.

    Attributes:
        url: where it listens.
    """

    url: str

    def deliver_until_taken(self, event: Json) -> None:
        """Send an event, signed, as often as Stripe would: until the answer is 200."""
        body = json.dumps(event)
        signature = stripe.WebhookSignature.generate_signature_header(body, _SECRET)
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
        for _ in range(20):
            answer = httpx.post(self.url, content=body.encode(), headers=headers, timeout=30)
            if answer.status_code == 200:
                return
            assert answer.status_code == 500, answer.text
        pytest.fail(f"{event['type']} was refused for good: {answer.text}")


@pytest.fixture
def webhook(shop: Shop) -> Iterator[Webhook]:
    """The webhook function behind a server of its own, talking to the silent twin."""
    app = functions_framework.create_app("stripe_webhook", str(_SOURCE))  # type: ignore[no-untyped-call]
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield Webhook(f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()
    thread.join()
