"""Scopes of agent keys through the real API, where PostgREST says which function was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from tests.conftest import Organization, StackUnderTest

Database = psycopg.Connection[dict[str, Any]]
SPEND = {"agent_type": "TestAgent", "action": "test", "amount": 1}
NOBODY = "00000000-0000-0000-0000-000000000000"
#: Every function that an agent may call, with the scope that it needs.
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "consume_credits": ("consume", SPEND),
    "consume_credits_batch": ("consume", {"events": [SPEND]}),
    "request_approval": ("consume", SPEND),
    "check_credits": ("check", SPEND),
    "hold_credits": ("hold", SPEND),
    "extend_hold": ("hold", {"hold_id": NOBODY, "additional": 1}),
    "capture_hold": ("hold", {"hold_id": NOBODY, "amount": 1}),
    "release_hold": ("hold", {"hold_id": NOBODY}),
    "get_credit_balance": ("read", {}),
    "explain_transaction": ("read", {"transaction_id": NOBODY}),
}


@pytest.fixture
def organization(new_organization: Callable[..., Organization]) -> Organization:
    """An organization with credits."""
    return new_organization(credits=100)


@pytest.fixture
def rest(stack: StackUnderTest) -> httpx.Client:
    """PostgREST, as anybody with the publishable key."""
    headers = {"apikey": stack.publishable_key, "Content-Profile": "billing", "Accept-Profile": "billing"}
    return httpx.Client(base_url=stack.rest_url, headers=headers, timeout=30)


def _key(organization: Organization, *scopes: str) -> dict[str, str]:
    arguments = {
        "organization_id": str(organization.organization_id),
        "name": "scoped",
        "scopes": list(scopes),
    }
    made: Any = organization.owner.client.rpc("create_agent_key", arguments).execute().data
    return {"x-agent-key": made["key"]}


def test_every_function_that_an_agent_may_call_has_a_scope(database: Database) -> None:
    query = """
        select p.proname as name from pg_proc as p
        where p.pronamespace = 'billing'::regnamespace and has_function_privilege('anon', p.oid, 'execute')
    """
    found = {row["name"] for row in database.execute(query)}
    assert found == {*CALLS, "describe_agent_key"}


@pytest.mark.parametrize("scope", ["consume", "check", "hold", "read"])
def test_a_key_is_refused_by_every_function_outside_of_its_scope(
    scope: str, organization: Organization, rest: httpx.Client
) -> None:
    headers = _key(organization, scope)
    inside = [name for name, (needed, _) in CALLS.items() if needed == scope]
    outside = [name for name, (needed, _) in CALLS.items() if needed != scope]
    for name in [*inside, *inside]:  # twice: what the first call leaves behind opens nothing
        answer = rest.post(f"/rpc/{name}", json=CALLS[name][1], headers=headers)
        assert answer.status_code in (200, 404, 409), (name, answer.text)
    for name in outside:
        answer = rest.post(f"/rpc/{name}", json=CALLS[name][1], headers=headers)
        assert (answer.status_code, answer.json()["message"]) == (403, "not_authorized"), (name, answer.text)


@pytest.mark.parametrize(
    "path",
    ["/rpc/%63onsume_credits", "/rpc/consume_credits/", "//rpc/consume_credits", "/rpc/Consume_credits"],
)
def test_another_spelling_of_the_path_opens_nothing(
    path: str, organization: Organization, rest: httpx.Client, database: Database
) -> None:
    headers = _key(organization, "read")
    answer = rest.post(path, json=SPEND, headers=headers | {"x-forwarded-path": "/rpc/get_credit_balance"})
    assert answer.status_code in (403, 404), answer.text
    query = "select count(*) as n from billing.credit_usage where organization_id = %s"
    assert database.execute(query, (organization.organization_id,)).fetchone() == {"n": 0}


def test_a_reading_by_get_has_the_scope_of_its_function(
    organization: Organization, rest: httpx.Client
) -> None:
    query = "/rpc/check_credits?agent_type=TestAgent&action=test&amount=1"
    assert rest.get(query, headers=_key(organization, "check")).status_code == httpx.codes.OK
    assert rest.get(query, headers=_key(organization, "read")).status_code == httpx.codes.FORBIDDEN
    assert rest.head(query, headers=_key(organization, "read")).status_code == httpx.codes.FORBIDDEN
