"""Stripe in this process, with nobody to deliver to; the workers' code, talking to it and to the stack."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import psycopg
import pytest
import stripe
from psycopg import sql

from billing import checkout, stripe_client, topup
from billing.settings import get_settings
from stripe_twin.app import create_app, twin_of
from stripe_twin.settings import TwinSettings
from tests.conftest import StackUnderTest
from tests.money.twin.shop import Shop


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print stories x orders x faults."""
    told = [
        text
        for report in terminalreporter.getreports("passed")
        for name, text in report.user_properties
        if name == "confluence" and report.when == "call"
    ]
    if told:
        terminalreporter.section("confluence")
        for text in sorted(told):
            terminalreporter.write_line(str(text))


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
    """The twin, and our workers' code set up to talk to it."""
    environment = {
        "SUPABASE_URL": stack.supabase_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SUPABASE_SECRET_KEY": stack.secret_key,
        "FRONTEND_URL": stack.frontend_url,
        "STRIPE_TWIN_URL": stack.stripe_twin_url,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.startswith("STRIPE_SECRET")]:
        monkeypatch.delenv(name)

    def client() -> stripe.StripeClient:
        return silent_shop.stripe

    for module in (checkout, stripe_client, topup):
        monkeypatch.setattr(module, "get_client", client)
    get_settings.cache_clear()
    yield silent_shop
    get_settings.cache_clear()
