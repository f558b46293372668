"""The gateway treats keys, tokens, browsers and CORS as a hosted project's does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.conftest import SCHEMA, Organization, StackUnderTest

#: Callers at once, and refused requests of each.
CALLERS, ROUNDS = 6, 40
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"


def rest(stack: StackUnderTest, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Call PostgREST through the gateway; underscores in header names become dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    profile = {"Accept-Profile": SCHEMA, "Content-Profile": SCHEMA}
    body = {"name": "changed"} if method == "PATCH" else None
    return httpx.request(method, f"{stack.rest_url}/{path}", headers=profile | named, json=body)


def test_a_request_without_a_key_is_refused(stack: StackUnderTest) -> None:
    answer = rest(stack, "subscription_plans")
    assert answer.status_code == 401
    assert answer.json()["message"] == "No API key found in request"


@pytest.mark.parametrize(
    "key", ["sb_publishable_wrong", "sb_secret_wrong", "none", "anon", "eyJhbGciOiJub25lIn0.e30."]
)
def test_an_unknown_key_is_refused(stack: StackUnderTest, key: str) -> None:
    answer = rest(stack, "subscription_plans", apikey=key)
    assert answer.status_code == 401
    assert answer.json()["message"] == "Invalid API key"


def test_the_publishable_key_acts_as_anon(stack: StackUnderTest) -> None:
    assert rest(stack, "subscription_plans", apikey=stack.publishable_key).status_code == 200
    refused = rest(stack, "organizations", apikey=stack.publishable_key)
    assert refused.status_code == 401
    assert refused.json()["code"] == "42501"


def test_the_secret_key_acts_as_service_role(stack: StackUnderTest) -> None:
    answer = rest(stack, "organizations?select=organization_id&limit=1", apikey=stack.secret_key)
    assert answer.status_code == 200
    assert len(answer.json()) == 1


def test_a_key_may_be_repeated_as_bearer_but_not_contradicted(stack: StackUnderTest) -> None:
    same = rest(
        stack,
        "subscription_plans",
        apikey=stack.publishable_key,
        authorization=f"Bearer {stack.publishable_key}",
    )
    assert same.status_code == 200
    other = rest(
        stack, "organizations", apikey=stack.publishable_key, authorization=f"Bearer {stack.secret_key}"
    )
    assert other.status_code == 401
    assert other.json()["message"] == "Invalid API key"


def test_a_secret_key_is_refused_from_a_browser(stack: StackUnderTest) -> None:
    answer = rest(stack, "organizations", apikey=stack.secret_key, user_agent=BROWSER)
    assert answer.status_code == 401
    assert answer.json()["message"] == "Forbidden use of secret API key in browser"
    assert (
        rest(stack, "subscription_plans", apikey=stack.publishable_key, user_agent=BROWSER).status_code == 200
    )


def test_a_users_token_wins_over_the_secret_key(
    stack: StackUnderTest, new_organization: Callable[..., Organization]
) -> None:
    mine, other = new_organization(), new_organization()
    session = mine.owner.client.auth.get_session()
    assert session is not None
    answer = rest(
        stack,
        "organizations?select=organization_id",
        apikey=stack.secret_key,
        authorization=f"Bearer {session.access_token}",
    )
    assert [row["organization_id"] for row in answer.json()] == [str(mine.organization_id)]
    assert str(other.organization_id) not in answer.text


@pytest.mark.parametrize("role", ["service_role", "postgres", "supabase_admin", "authenticated"])
@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_a_forged_token_is_refused(stack: StackUnderTest, role: str, algorithm: str) -> None:
    claims = {"role": role, "sub": str(uuid4()), "exp": 4_000_000_000}
    token = jwt.encode(claims, "a" * 40 if algorithm == "HS256" else "", algorithm)
    answer = rest(stack, "organizations", apikey=stack.publishable_key, authorization=f"Bearer {token}")
    assert answer.status_code == 401


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("query", ["", "?select=organization_id", "?limit=1&order=name"])
def test_a_whole_table_is_never_changed(stack: StackUnderTest, method: str, query: str) -> None:
    answer = rest(stack, f"organizations{query}", method, apikey=stack.secret_key)
    assert answer.status_code == 400
    assert answer.json()["code"] == "21000"
    filtered = rest(stack, f"organizations?organization_id=eq.{uuid4()}", method, apikey=stack.secret_key)
    assert filtered.json()["code"] == "42501", "a filtered one reaches the database, which decides"


def test_a_browser_may_send_an_agents_key(stack: StackUnderTest) -> None:
    asked = "apikey, authorization, content-profile, x-agent-key, x-client-info"
    headers = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    answer = httpx.options(f"{stack.rest_url}/rpc/consume_credits", headers=headers)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] in ("*", "https://app.example")
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {"apikey", "content-profile", "x-agent-key"} <= allowed


def test_every_answer_has_one_cors_header(stack: StackUnderTest) -> None:
    paths = ("rest/v1/subscription_plans", "auth/v1/health", "functions/v1/nothing", "workers/v1/nothing")
    for path in paths:
        headers = {"apikey": stack.publishable_key, "Origin": "https://app.example", "Accept-Profile": SCHEMA}
        answer = httpx.get(f"{stack.supabase_url}/{path}", headers=headers)
        assert len(answer.headers.get_list("access-control-allow-origin")) == 1, path


def test_an_agents_key_reaches_the_database(stack: StackUnderTest) -> None:
    body = {"agent_type": "TestAgent", "action": "test", "amount": "1"}
    headers = {"apikey": stack.publishable_key, "Content-Profile": SCHEMA, "x-agent-key": "tb_local_nonsense"}
    answer = httpx.post(f"{stack.rest_url}/rpc/consume_credits", headers=headers, json=body)
    assert (answer.status_code, answer.json()["message"]) == (401, "agent_key_invalid")


def test_public_keys_are_public_and_only_public(stack: StackUnderTest) -> None:
    keys: list[dict[str, Any]] = httpx.get(f"{stack.supabase_url}/auth/v1/.well-known/jwks.json").json()[
        "keys"
    ]
    assert [key["kty"] for key in keys] == ["EC"]
    assert not {"d", "k"} & set(keys[0])


@pytest.mark.parametrize("query", ["", "?apikey=sb_publishable_wrong"])
def test_a_websocket_needs_a_key(stack: StackUnderTest, query: str) -> None:
    address = stack.supabase_url.replace("http", "ws", 1) + f"/realtime/v1/websocket{query}"
    with pytest.raises(InvalidStatus) as refused, connect(address):
        pass
    assert refused.value.response.status_code in (401, 403)


def test_an_unknown_path_is_not_found(stack: StackUnderTest) -> None:
    assert (
        httpx.get(f"{stack.supabase_url}/nothing", headers={"apikey": stack.publishable_key}).status_code
        == 404
    )


def test_private_schemas_are_not_reachable(stack: StackUnderTest) -> None:
    for schema in ("billing_private", "auth", "stripe_twin", "pg_catalog"):
        answer = httpx.get(
            f"{stack.rest_url}/", headers={"apikey": stack.secret_key, "Accept-Profile": schema}
        )
        assert answer.status_code == 406, schema


def test_a_body_that_nobody_read_spoils_no_other_request(stack: StackUnderTest) -> None:
    """PostgREST refuses a forged token before it reads the body, and closes where more than 8 kB are left.

    Neither a request on that connection, nor the caller's next one, for whose head the rest of the body could
    be taken, may be answered otherwise than alone. The refused one may itself be answered 502, where the
    connection is closed before the gateway has read the refusal.
    """
    headers = {"apikey": stack.publishable_key, "Content-Profile": SCHEMA, "Content-Type": "application/json"}
    forged = headers | {"Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"}
    address = f"{stack.rest_url}/rpc/describe_agent_key"
    bodies = [
        b"GET /rest/v1/taken_for_a_request HTTP/1.1\r\nHost: x\r\n\r\n" * n for n in (200, 2000, 10_000)
    ]

    def call(_: int) -> list[tuple[int, str]]:
        answers = []
        with httpx.Client(timeout=60) as client:
            for number in range(ROUNDS):
                refused = client.post(address, headers=forged, content=bodies[number % len(bodies)])
                assert refused.status_code in (401, 502), refused.text
                for _ in range(2):
                    after = client.post(address, headers=headers, content=b"{}")
                    answers += [(after.status_code, str(after.json()["message"]))]
        return answers

    with ThreadPoolExecutor(CALLERS) as pool:
        every = [answer for answers in pool.map(call, range(CALLERS)) for answer in answers]
    assert {answer: every.count(answer) for answer in set(every)} == {
        (401, "agent_key_invalid"): CALLERS * ROUNDS * 2
    }


@pytest.mark.parametrize("size", [7_000, 9_000, 1_000_000])
def test_a_long_body_arrives_whole(stack: StackUnderTest, size: int) -> None:
    arguments = {"agent_type": "TestAgent", "action": "test", "metadata": {"text": "x" * size}}
    headers = {"apikey": stack.publishable_key, "Content-Profile": SCHEMA, "x-agent-key": "tb_local_nonsense"}
    address = f"{stack.rest_url}/rpc/consume_credits"
    answer = httpx.post(address, headers=headers, json=arguments, timeout=60)
    assert answer.json()["message"] == "agent_key_invalid", (
        "the caller is looked at first, in a body that was read"
    )
    chunked = httpx.post(
        address,
        headers=headers | {"Content-Type": "application/json"},
        content=iter([b'{"agent_type": "TestAgent", "action": "test", ', b'"amount": 1}' + b" " * size]),
        timeout=60,
    )
    assert chunked.json()["message"] == "agent_key_invalid", "of a length that was not said as well"
