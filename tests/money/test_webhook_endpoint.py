"""The command that makes the webhook endpoint: at our version, with our events, once an address."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
import stripe
from psycopg import sql

from billing import endpoint
from billing.events import RULES
from billing.settings import get_settings
from stripe_twin.app import create_app, twin_of
from stripe_twin.settings import TwinSettings
from tests.conftest import StackUnderTest
from tests.money.twin.shop import Shop

URL = "https://api.example.com/stripe_webhook"


@pytest.fixture(scope="module")
def account(stack: StackUnderTest) -> Iterator[Shop]:
    """A Stripe of the module's own."""
    schema = f"stripe_twin_test_{secrets.token_hex(6)}"
    app = create_app(TwinSettings(database_url=stack.database_url, schema=schema))
    yield Shop(app)
    twin_of(app).stop()
    with psycopg.connect(stack.database_url) as connection:
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))


@pytest.fixture
def client(account: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[stripe.StripeClient]:
    """Stripe without an endpoint, and the command talking to it."""
    monkeypatch.setattr(endpoint, "get_client", lambda: account.stripe)
    yield account.stripe
    for found in account.stripe.v1.webhook_endpoints.list({"limit": 100}).data:
        account.stripe.v1.webhook_endpoints.delete(found.id)


def test_the_endpoint_is_made_at_our_version_with_our_events_and_shows_its_secret_once(
    client: stripe.StripeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert endpoint.main([URL]) == 0

    (made,) = client.v1.webhook_endpoints.list().data
    assert (made.url, made.api_version, set(made.enabled_events)) == (URL, stripe.api_version, set(RULES))
    assert f"{made.id} made" in (told := capsys.readouterr().out)
    assert "\nSTRIPE_WEBHOOK_SECRET=whsec_" in told

    assert endpoint.main([URL]) == 0
    assert capsys.readouterr().out.startswith(f"{made.id} is as it should be")
    assert len(client.v1.webhook_endpoints.list().data) == 1


def test_a_dry_run_makes_nothing(client: stripe.StripeClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert endpoint.main([URL, "--dry-run"]) == 0

    assert "would be made" in capsys.readouterr().out
    assert client.v1.webhook_endpoints.list().data == []


def test_events_that_it_does_not_hear_yet_are_added_to_those_that_it_does(
    client: stripe.StripeClient,
) -> None:
    made = client.v1.webhook_endpoints.create(
        {
            "url": URL,
            "api_version": "2026-10-28.endive",
            "enabled_events": ["invoice.paid", "topup.succeeded"],
        }
    )

    assert endpoint.put(client, URL) == endpoint.Made(made.id, "update", None, ())

    (now,) = client.v1.webhook_endpoints.list().data
    assert set(now.enabled_events) == {*RULES, "topup.succeeded"}


def test_an_endpoint_of_another_version_is_left_alone_and_named(
    client: stripe.StripeClient, capsys: pytest.CaptureFixture[str]
) -> None:
    older = client.v1.webhook_endpoints.create(
        {"url": URL, "api_version": "2025-09-30.clover", "enabled_events": ["*"]}
    )

    assert endpoint.main([URL]) == 0

    assert f"{older.id} has another version" in capsys.readouterr().out
    versions = {found.api_version for found in client.v1.webhook_endpoints.list().data}
    assert versions == {"2025-09-30.clover", stripe.api_version}


def test_a_live_endpoint_is_https(
    client: stripe.StripeClient, stack: StackUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SUPABASE_URL": stack.supabase_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SUPABASE_SECRET_KEY": stack.secret_key,
        "FRONTEND_URL": "https://app.example.com",
        "STRIPE_SECRET_KEY": "sk_live_of_nobody",
        "STRIPE_MODE": "live",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("STRIPE_TWIN_URL", raising=False)
    get_settings.cache_clear()
    try:
        with pytest.raises(SystemExit):
            endpoint.main(["http://api.example.com/stripe_webhook"])
    finally:
        get_settings.cache_clear()
    assert client.v1.webhook_endpoints.list().data == []
