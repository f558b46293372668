"""Settings that contradict each other stop the worker before it does anything with them."""

from __future__ import annotations

import json
import secrets
from typing import Any

import psycopg
import pytest
import structlog
from psycopg.sql import SQL, Identifier
from pydantic import ValidationError

from billing import logs
from billing.errors import NotConfiguredError
from billing.settings import Settings, get_settings
from billing.stripe_client import make_client
from tests.conftest import StackUnderTest

BASE = {
    "SUPABASE_URL": "http://127.0.0.1:54321/",
    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
    "SUPABASE_SECRET_KEY": "sb_secret_x",
    "FRONTEND_URL": "https://app.example",
    "STRIPE_TWIN_URL": "http://127.0.0.1:12111",
}
TEST = {**BASE, "STRIPE_SECRET_KEY": "sk_test_1"}
LIVE = {**BASE, "STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_TWIN_URL": ""}


def load(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> Settings:
    """Read the settings from this environment alone."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Settings()  # type: ignore[call-arg] # read from the environment


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        (BASE, "twin"),
        ({**BASE, "STRIPE_SECRET_KEY": "  \n"}, "twin"),
        (TEST, "test"),
        ({**TEST, "STRIPE_SECRET_KEY": "rk_test_1\n"}, "test"),
        (LIVE, "live"),
        ({**LIVE, "STRIPE_MODE": "live", "STRIPE_PUBLISHABLE_KEY": "pk_live_1"}, "live"),
    ],
)
def test_the_secret_key_decides_the_mode(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], mode: str
) -> None:
    settings = load(monkeypatch, values)

    assert settings.mode == mode
    assert settings.livemode == (mode == "live")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({**LIVE, "STRIPE_TWIN_URL": "http://127.0.0.1:12111"}, "STRIPE_TWIN_URL"),
        ({**LIVE, "STRIPE_TWIN_IN_PROCESS": "true"}, "STRIPE_TWIN_IN_PROCESS"),
        ({**TEST, "STRIPE_TWIN_IN_PROCESS": "true"}, "STRIPE_TWIN_IN_PROCESS"),
        ({**BASE, "STRIPE_TWIN_IN_PROCESS": "true"}, "DATABASE_URL"),
        ({**TEST, "STRIPE_MODE": "live"}, "STRIPE_MODE"),
        ({**LIVE, "STRIPE_MODE": "test"}, "STRIPE_MODE"),
        ({**TEST, "STRIPE_MODE": "twin"}, "STRIPE_MODE"),
        ({**TEST, "STRIPE_PUBLISHABLE_KEY": "pk_live_1"}, "STRIPE_PUBLISHABLE_KEY"),
        ({**LIVE, "STRIPE_PUBLISHABLE_KEY": "pk_test_1"}, "STRIPE_PUBLISHABLE_KEY"),
        ({**LIVE, "FRONTEND_URL": "http://app.example"}, "FRONTEND_URL"),
        ({**TEST, "STRIPE_SECRET_KEY": "pk_test_1"}, "STRIPE_SECRET_KEY"),
        ({**TEST, "STRIPE_SECRET_KEY": "whsec_1"}, "STRIPE_SECRET_KEY"),
        ({**BASE, "STRIPE_TWIN_URL": ""}, "STRIPE_TWIN_URL"),
        ({**BASE, "FRONTEND_URL": "app.example"}, "http"),
        ({**BASE, "SUPABASE_URL": "https://user:pw@project.example"}, "http"),
    ],
)
def test_contradictions_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        load(monkeypatch, values)


def test_a_refusal_names_settings_and_never_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "sk_live_the_real_thing"
    with pytest.raises(ValidationError):
        load(monkeypatch, {**LIVE, "STRIPE_SECRET_KEY": secret, "STRIPE_TWIN_URL": "http://127.0.0.1:1"})
    get_settings.cache_clear()

    with pytest.raises(NotConfiguredError) as refusal:
        get_settings()

    get_settings.cache_clear()
    assert secret not in str(refusal.value.body())
    assert "sb_secret_x" not in str(refusal.value.body())


def test_secrets_are_stripped_listed_and_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, {**TEST, "STRIPE_WEBHOOK_SECRET": " whsec_new\n, whsec_old ,, "})

    assert settings.webhook_secrets == ("whsec_new", "whsec_old")
    assert settings.supabase_url == "http://127.0.0.1:54321"
    assert "whsec_" not in repr(settings)
    assert "sb_secret_x" not in repr(settings)


def test_the_twin_runs_in_the_workers_own_process_when_asked(
    monkeypatch: pytest.MonkeyPatch, stack: StackUnderTest
) -> None:
    schema = f"stripe_twin_{secrets.token_hex(4)}"
    in_process = {"STRIPE_TWIN_URL": "", "STRIPE_TWIN_IN_PROCESS": "true", "DATABASE_URL": stack.database_url}
    monkeypatch.setenv("STRIPE_TWIN_SCHEMA", schema)
    monkeypatch.delenv("WORKERS_URL", raising=False)
    client = make_client(load(monkeypatch, {**BASE, **in_process}))
    try:
        made = client.v1.customers.create({"email": "in@process.test"}, {"idempotency_key": "once"})
        again = client.v1.customers.create({"email": "in@process.test"}, {"idempotency_key": "once"})
    finally:
        app: Any = client._requestor._client
        app._wsgi_app.extensions["stripe_twin"].stop()
        with psycopg.connect(stack.database_url, autocommit=True) as database:
            database.execute(SQL("drop schema {} cascade").format(Identifier(schema)))

    assert made.id.startswith("cus_")
    assert made.id == again.id
    assert not made.livemode


def test_the_log_hides_what_is_secret(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    logs.configure()
    try:
        logs.get_logger("test").info("hello", token="eyJ.secret", Authorization="Bearer x", amount=5)
    finally:
        structlog.configure(**before)

    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["module"], line["amount"]) == ("hello", "test", 5)
    assert (line["token"], line["Authorization"]) == ("[hidden]", "[hidden]")


def test_the_library_is_told_to_retry_and_to_give_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client(load(monkeypatch, TEST))

    assert client._requestor._options.max_network_retries == 2
