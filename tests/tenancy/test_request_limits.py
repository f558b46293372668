"""Limits of requests over HTTP: 429, the body of every refusal, and a Retry-After that clients understand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from tests.conftest import Organization, StackUnderTest, User

Database = psycopg.Connection[dict[str, Any]]
ORGANIZATIONS_AN_HOUR = 20
API_ROLES = ("anon", "authenticated", "service_role", "billing_agent")


@pytest.fixture
def rest(stack: StackUnderTest) -> httpx.Client:
    """PostgREST, as anybody with the publishable key."""
    headers = {"apikey": stack.publishable_key, "Content-Profile": "billing", "Accept-Profile": "billing"}
    return httpx.Client(base_url=stack.rest_url, headers=headers, timeout=30)


def _bearer(user: User) -> dict[str, str]:
    session = user.client.auth.get_session()
    assert session is not None
    return {"Authorization": f"Bearer {session.access_token}"}


def test_a_burst_of_new_organizations_is_cut_off_exactly_at_the_limit(
    new_user: Callable[[], User], rest: httpx.Client, database: Database
) -> None:
    user = new_user()
    headers = _bearer(user)

    def create(number: int) -> httpx.Response:
        return rest.post("/rpc/create_organization", json={"name": f"burst {number}"}, headers=headers)

    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(create, range(ORGANIZATIONS_AN_HOUR + 10)))
    assert Counter(answer.status_code for answer in answers) == {200: ORGANIZATIONS_AN_HOUR, 429: 10}
    refused = next(answer for answer in answers if answer.status_code == httpx.codes.TOO_MANY_REQUESTS)
    body = refused.json()
    details = json.loads(body["details"])
    assert set(body) == {"code", "message", "details", "hint"}
    assert (body["code"], body["message"]) == ("PT429", "rate_limited")
    assert refused.reason_phrase.isascii()
    assert refused.headers["Retry-After"] == str(details["retry_after"])
    assert 0 < details["retry_after"] <= 3600
    assert (details["limit"], details["requests"], details["per_seconds"]) == (
        "create_organization",
        ORGANIZATIONS_AN_HOUR,
        3600,
    )
    query = "select count(*) as n from billing.organization_members where user_id = %s"
    assert database.execute(query, (user.user_id,)).fetchone() == {"n": ORGANIZATIONS_AN_HOUR}


def test_a_key_that_spends_too_fast_is_told_when_to_come_back_and_another_goes_on(
    new_organization: Callable[..., Organization],
    rest: httpx.Client,
    database: Database,
    stack: StackUnderTest,
) -> None:
    organization = new_organization(credits=1000)
    database.execute(
        "select billing.set_request_limit('spend_by_agent_key', 10, '1 hour', %s)",
        (organization.organization_id,),
    )
    spend = {"agent_type": "TestAgent", "action": "test", "amount": 1}
    quick = {"x-agent-key": organization.agent_key}

    def spend_once() -> httpx.Response:
        return rest.post("/rpc/consume_credits", json=spend, headers=quick)

    answer = spend_once()
    count = 1
    while answer.status_code == httpx.codes.OK:  # at most a second's worth beyond the limit
        answer = spend_once()
        count += 1
    assert count > 10
    assert answer.status_code == httpx.codes.TOO_MANY_REQUESTS
    assert 0 < int(answer.headers["Retry-After"]) <= 3600
    assert "retry-after" in answer.headers["Access-Control-Expose-Headers"].lower()
    assert {spend_once().status_code for _ in range(5)} == {httpx.codes.TOO_MANY_REQUESTS}
    through_worker = httpx.post(
        f"{stack.workers_url}/api/credits/use",
        json=spend,
        headers={"Authorization": f"Bearer {organization.agent_key}"},
        timeout=30,
    )
    assert through_worker.status_code == httpx.codes.TOO_MANY_REQUESTS
    assert int(through_worker.headers["Retry-After"]) > 0
    assert through_worker.json()["message"] == "rate_limited"
    calm: Any = organization.owner.client.rpc(
        "create_agent_key", {"organization_id": str(organization.organization_id), "name": "calm"}
    ).execute()
    other = rest.post("/rpc/consume_credits", json=spend, headers={"x-agent-key": calm.data["key"]})
    assert other.status_code == httpx.codes.OK
    entries = database.execute(
        "select count(*) as n from billing.credit_usage where organization_id = %s",
        (organization.organization_id,),
    ).fetchone()
    assert entries == {"n": count}  # count - 1 of the quick key, and the calm one's
    assert (
        database.execute(
            "select * from billing.verify_ledger(%s)", (organization.organization_id,)
        ).fetchall()
        == []
    )


def test_every_role_has_a_longest_statement_and_a_longest_wait(database: Database) -> None:
    query = """
        select r.rolname as role, split_part(c.entry, '=', 1) as name, split_part(c.entry, '=', 2) as value
        from pg_db_role_setting as d
        inner join pg_roles as r on r.oid = d.setrole
        cross join unnest(d.setconfig) as c (entry)
        where d.setdatabase = 0
    """
    found = {(row["role"], row["name"]): row["value"] for row in database.execute(query)}
    missing = [
        (role, name)
        for role in API_ROLES
        for name in ("statement_timeout", "lock_timeout")
        if found.get((role, name), "0") == "0"
    ]
    assert missing == []


@pytest.mark.serial  # PostgREST reads the schema anew
def test_postgrest_ends_a_call_that_takes_too_long(
    rest: httpx.Client, stack: StackUnderTest, database: Database
) -> None:
    """A sleeping function in schema public stands for any statement that does not end."""
    database.execute("""
        create or replace function public.tenancy_test_sleep() returns void language sql volatile
        as 'select pg_sleep(60)'
    """)
    database.execute("grant execute on function public.tenancy_test_sleep() to anon")
    database.execute("notify pgrst, 'reload schema'")
    try:
        answer = rest.post("/rpc/tenancy_test_sleep", headers={"Content-Profile": "public"})
        while answer.status_code == httpx.codes.NOT_FOUND:  # PostgREST has not read the schema again yet
            answer = rest.post("/rpc/tenancy_test_sleep", headers={"Content-Profile": "public"})
        assert answer.json()["code"] == "57014"
    finally:
        database.execute("drop function public.tenancy_test_sleep()")
        database.execute("notify pgrst, 'reload schema'")


def test_a_reading_has_at_most_a_thousand_rows_whatever_is_asked_for(
    new_organization: Callable[..., Organization], database: Database
) -> None:
    organization = new_organization()
    database.execute(
        "insert into billing.departments (organization_id, name)"
        " select %s, 'd' || n from generate_series(1, 1500) as n",
        (organization.organization_id,),
    )
    asked = organization.owner.client.table("departments").select("id", count="exact")  # type: ignore[arg-type]
    answer = asked.limit(100_000).execute()
    assert len(answer.data) == 1000
    assert answer.count == 1500


def test_the_gateway_takes_no_body_without_end(rest: httpx.Client) -> None:
    answer = rest.post(
        "/rpc/consume_credits", content=b'{"agent_type": "' + b"x" * (17 * 1024 * 1024) + b'"}'
    )
    assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
