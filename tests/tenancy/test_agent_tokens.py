"""A short-lived token in place of an agent key: off by default; turned on, never more than its key."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from billing import agent_tokens
from tests.conftest import Organization, StackUnderTest
from tests.tenancy.in_process import post, settings_of

Database = psycopg.Connection[dict[str, Any]]
SPEND = {"agent_type": "TestAgent", "action": "test", "amount": 1}
#: What PostgREST allows for clocks that differ.
CLOCK_SKEW_SECONDS = 30

pytestmark = pytest.mark.serial  # agent_tokens is a setting of the whole installation


@pytest.fixture(scope="module")
def signing_key() -> str:
    """A private key that the project's verifiers know: what an operator imports."""
    return Path(os.environ["TALLYBASE_SIGNING_KEY_FILE"]).read_text()


@pytest.fixture
def tokens_on(database: Database) -> Iterator[None]:
    """Tokens are switched on, for as long as the test runs."""
    with _switched(database, "on"):
        yield


@pytest.fixture
def tokens_off(database: Database) -> Iterator[None]:
    """Nothing is said about tokens, as in a new installation."""
    with _switched(database, None):
        yield


@contextmanager
def _switched(database: Database, value: str | None) -> Iterator[None]:
    query = "select value from billing_private.settings where name = 'agent_tokens'"
    before = database.execute(query).fetchone()
    _switch(database, value)
    yield
    _switch(database, None if before is None else before["value"])


def _switch(database: Database, value: str | None) -> None:
    database.execute("delete from billing_private.settings where name = 'agent_tokens'")
    if value is not None:
        query = "insert into billing_private.settings (name, value) values ('agent_tokens', %s)"
        database.execute(query, (value,))


@pytest.fixture
def organization(new_organization: Callable[..., Organization]) -> Organization:
    """An organization with credits."""
    return new_organization(credits=100)


@pytest.fixture
def rest(stack: StackUnderTest) -> httpx.Client:
    """PostgREST, as anybody with the publishable key."""
    headers = {"apikey": stack.publishable_key, "Content-Profile": "billing", "Accept-Profile": "billing"}
    return httpx.Client(base_url=stack.rest_url, headers=headers, timeout=30)


def _exchange(stack: StackUnderTest, signing_key: str, key: str, **body: object) -> tuple[int, Any]:
    with settings_of(stack, AGENT_TOKEN_SIGNING_KEY=signing_key):
        return post(agent_tokens.exchange, body, {"X-Agent-Key": key})


def _call(
    rest: httpx.Client, token: str, function: str = "consume_credits", **more: object
) -> httpx.Response:
    arguments = (SPEND if function != "describe_agent_key" else {}) | more
    return rest.post(f"/rpc/{function}", json=arguments, headers={"Authorization": f"Bearer {token}"})


def _signed(signing_key: str, key_id: str, **claims: object) -> str:
    """A token as the worker signs them, with other claims."""
    jwk = json.loads(signing_key)
    now = int(time.time())
    every = {
        "aud": "billing_agent",
        "role": "billing_agent",
        "iat": now,
        "exp": now + 300,
        "agent_key_id": key_id,
        "scopes": ["check", "consume", "hold", "read"],
    } | claims
    return jwt.encode(every, jwt.PyJWK(jwk, "ES256").key, "ES256", headers={"kid": jwk["kid"]})


def test_tokens_are_off_unless_both_switches_are_on(
    organization: Organization, stack: StackUnderTest, rest: httpx.Client, signing_key: str, tokens_off: None
) -> None:
    asked = httpx.post(
        f"{stack.workers_url}/workers/v1/exchange_agent_key",
        json={},
        headers={"X-Agent-Key": organization.agent_key},
        timeout=30,
    )
    assert (asked.status_code, asked.json()["message"]) == (404, "not_found")
    refused = _call(rest, _signed(signing_key, organization.agent_key.split("_")[2]))
    assert (refused.status_code, refused.json()["message"]) == (401, "agent_key_invalid")


def test_a_token_does_what_its_key_may_and_ends_with_it(
    organization: Organization, stack: StackUnderTest, rest: httpx.Client, signing_key: str, tokens_on: None
) -> None:
    status, answer = _exchange(stack, signing_key, organization.agent_key, lifetime_seconds=60)
    assert status == httpx.codes.OK, answer
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 60
    token = answer["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["role"] == "billing_agent"
    assert "sub" not in claims, "it is nobody's session"
    spent = _call(rest, token, idempotency_key="one")
    assert spent.status_code == httpx.codes.OK, spent.text
    again = rest.post(
        "/rpc/consume_credits",
        json=SPEND | {"idempotency_key": "one"},
        headers={"x-agent-key": organization.agent_key},
    )
    assert again.json()["replayed"], "token and key are one spender"
    held = _call(rest, token, "hold_credits").json()
    headers = {"Authorization": f"Bearer {token}"}
    captured = rest.post("/rpc/capture_hold", json={"hold_id": held["hold_id"], "amount": 1}, headers=headers)
    assert captured.status_code == httpx.codes.OK, captured.text
    by_worker = httpx.get(f"{stack.workers_url}/api/credits/balance", headers=headers, timeout=30)
    assert by_worker.json()["balance"] == 98

    key_id = organization.agent_key.split("_")[2]
    organization.owner.client.rpc("revoke_agent_key", {"key_id": key_id, "reason": "over"}).execute()
    late = _call(rest, token)
    assert (late.status_code, late.json()["message"]) == (401, "agent_key_invalid")
    status, answer = _exchange(stack, signing_key, organization.agent_key)
    assert (status, answer["message"]) == (401, "agent_key_invalid")


def test_a_token_has_the_scopes_it_was_asked_for_and_never_more_than_its_key(
    organization: Organization, stack: StackUnderTest, rest: httpx.Client, signing_key: str, tokens_on: None
) -> None:
    status, answer = _exchange(stack, signing_key, organization.agent_key, scopes=["read", "consume"])
    assert (status, answer["scopes"]) == (200, ["consume", "read"])
    token = answer["access_token"]
    assert _call(rest, token).status_code == httpx.codes.OK
    assert _call(rest, token, "hold_credits").json()["message"] == "not_authorized"
    assert _call(rest, token, "describe_agent_key").json()["scopes"] == ["consume", "read"]
    made: Any = organization.owner.client.rpc(
        "create_agent_key",
        {"organization_id": str(organization.organization_id), "name": "reads", "scopes": ["read"]},
    ).execute()
    status, answer = _exchange(stack, signing_key, made.data["key"], scopes=["consume"])
    assert (status, answer["message"]) == (403, "not_authorized")
    forged = _signed(signing_key, made.data["key_id"])
    assert _call(rest, forged).json()["message"] == "not_authorized", (
        "the row decides, whatever the token says"
    )


def test_a_token_expires(
    organization: Organization, rest: httpx.Client, signing_key: str, tokens_on: None
) -> None:
    key_id = organization.agent_key.split("_")[2]
    long_gone = _signed(signing_key, key_id, exp=int(time.time()) - CLOCK_SKEW_SECONDS - 5)
    assert _call(rest, long_gone).status_code == httpx.codes.UNAUTHORIZED
    just_now = _signed(signing_key, key_id, exp=int(time.time()) - 1)
    answer = _call(rest, just_now)
    assert (answer.status_code, answer.json()["message"]) == (401, "agent_key_invalid"), "no skew, no cache"
    eternal = jwt.decode(_signed(signing_key, key_id), options={"verify_signature": False})
    del eternal["exp"]
    jwk = json.loads(signing_key)
    token = jwt.encode(eternal, jwt.PyJWK(jwk, "ES256").key, "ES256", headers={"kid": jwk["kid"]})
    assert _call(rest, token).status_code == httpx.codes.UNAUTHORIZED


def test_a_token_never_outlives_its_key(
    organization: Organization, stack: StackUnderTest, signing_key: str, tokens_on: None, database: Database
) -> None:
    statement = "update billing.agent_keys set expires_at = clock_timestamp() + %s where key_id = %s"
    database.execute(statement, (timedelta(seconds=100), organization.agent_key.split("_")[2]))
    status, answer = _exchange(stack, signing_key, organization.agent_key, lifetime_seconds=900)
    assert status == httpx.codes.OK
    assert 90 <= answer["expires_in"] <= 100


def test_everything_else_is_refused(
    organization: Organization, stack: StackUnderTest, rest: httpx.Client, signing_key: str, tokens_on: None
) -> None:
    key_id = organization.agent_key.split("_")[2]
    token = _signed(signing_key, key_id)
    headers = {"Authorization": f"Bearer {token}"}
    tables = ("agent_keys", "organizations", "credit_balances", "credit_transactions", "subscription_plans")
    answers = {table: rest.get(f"/{table}", headers=headers) for table in tables}
    assert {answer.json()["code"] for answer in answers.values()} == {"42501"}
    named: dict[str, Any] = {"organization_id": str(organization.organization_id)}
    calls: dict[str, dict[str, Any]] = {
        "create_agent_key": named | {"name": "child"},
        "revoke_agent_key": {"key_id": key_id},
        "grant_credits": named | {"amount": 5, "source": "promotion"},
        "create_organization": {"name": "x"},
        "get_usage_breakdown": named | {"from": "2026-01-01", "to": "2027-01-01"},
        "verify_ledger": named,
    }
    for function, arguments in calls.items():
        answer = rest.post(f"/rpc/{function}", json=arguments, headers=headers)
        assert answer.json()["code"] == "42501", (function, answer.text)
    beside_a_key = rest.post(
        "/rpc/consume_credits", json=SPEND, headers=headers | {"x-agent-key": organization.agent_key}
    )
    assert beside_a_key.json()["message"] == "agent_key_invalid"
    other = jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    forged = _signed(json.dumps({**other, "kid": json.loads(signing_key)["kid"]}), key_id)
    assert _call(rest, forged).status_code == httpx.codes.UNAUTHORIZED
    unsigned = jwt.encode(jwt.decode(token, options={"verify_signature": False}), key="", algorithm="none")
    assert _call(rest, unsigned).status_code == httpx.codes.UNAUTHORIZED
    for path in ("/auth/v1/user", "/auth/v1/admin/users"):
        auth = httpx.get(
            f"{stack.supabase_url}{path}", headers=headers | {"apikey": stack.publishable_key}, timeout=30
        )
        assert auth.status_code in (401, 403), (path, auth.text)
    worker = httpx.post(
        f"{stack.workers_url}/workers/v1/create_checkout_session", json=named, headers=headers, timeout=30
    )
    assert worker.status_code == httpx.codes.UNAUTHORIZED
    bodies: list[dict[str, Any]] = [
        {"lifetime_seconds": 901},
        {"scopes": ["admin"]},
        {"scopes": []},
        {"role": "service_role"},
    ]
    for body in bodies:
        status, answer = _exchange(stack, signing_key, organization.agent_key, **body)
        assert (status, answer["message"]) == (422, "invalid_argument"), body


@pytest.mark.parametrize(
    "wrong", ["not json", "[]", '{"kty": "oct", "k": "x"}', '{"kty": "EC", "crv": "P-256"}']
)
def test_a_signing_key_that_is_none_is_said_without_showing_it(
    wrong: str, organization: Organization, stack: StackUnderTest
) -> None:
    status, answer = _exchange(stack, wrong, organization.agent_key)
    assert (status, answer["message"]) == (500, "not_configured")
    assert wrong not in json.dumps(answer)
