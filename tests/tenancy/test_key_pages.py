"""docs/how-to/agents-keys.md: what it shows works as it stands, from the first key to its end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from stack.settings import REPOSITORY
from tests.conftest import Organization, StackUnderTest

_PAGE = REPOSITORY / "docs" / "how-to" / "agents-keys.md"
_SPEND = {"agent_type": "TestAgent", "action": "test", "amount": 1}


@pytest.fixture
def page(
    monkeypatch: pytest.MonkeyPatch, stack: StackUnderTest, new_organization: Callable[..., Organization]
) -> tuple[dict[str, Any], Organization]:
    """The page's functions, and the organization whose owner runs them."""
    organization = new_organization(credits=100)
    session = organization.owner.client.auth.get_session()
    assert session is not None
    monkeypatch.setenv("TALLYBASE_URL", stack.supabase_url)
    monkeypatch.setenv("TALLYBASE_KEY", stack.publishable_key)
    monkeypatch.setenv("TALLYBASE_ACCESS_TOKEN", session.access_token)
    monkeypatch.setenv("TALLYBASE_ORGANIZATION_ID", str(organization.organization_id))
    monkeypatch.delenv("TALLYBASE_AGENT_KEY", raising=False)
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    exec(compile("\n".join(blocks), str(_PAGE), "exec"), names)
    return names, organization


def _spend(stack: StackUnderTest, key: str) -> int:
    headers = {"apikey": stack.publishable_key, "x-agent-key": key, "Content-Profile": "billing"}
    answer = httpx.post(f"{stack.rest_url}/rpc/consume_credits", json=_SPEND, headers=headers, timeout=30)
    return answer.status_code


def test_a_key_is_made_checked_rotated_and_ended_as_the_page_says(
    page: tuple[dict[str, Any], Organization],
    stack: StackUnderTest,
    database: psycopg.Connection[dict[str, Any]],
) -> None:
    names, organization = page
    store: dict[str, str] = {}
    first = names["make_key"](store, "crew")
    assert names["check_key"](store) == ["consume"]
    assert names["is_agent_key"](first.key)
    assert not names["is_agent_key"](first.key[:-1] + ("0" if first.key[-1] != "0" else "1"))
    pattern = re.search(r"`(tb_\[a-z0-9\][^`]+)`", _PAGE.read_text())
    assert pattern is not None
    assert re.fullmatch(pattern[1], first.key)
    assert _spend(stack, first.key) == httpx.codes.OK

    second = names["rotate_key"](store, first.key_id)
    assert store["tallybase-agent-key"] == second.key != first.key
    assert [_spend(stack, key) for key in (first.key, second.key)] == [200, 200], "both work meanwhile"
    used = database.execute(
        "select used from billing_private.credit_limit_counters as c"
        " inner join billing.credit_limits as l"
        " on l.organization_id = c.organization_id and l.id = c.limit_id"
        " where l.organization_id = %s and l.subject_type = 'agent_key'",
        (organization.organization_id,),
    ).fetchall()
    assert used == [{"used": 3}], "one cap for both"
    names["end_key"](first.key_id)
    assert [_spend(stack, key) for key in (first.key, second.key)] == [401, 200]
    listed: Any = (
        organization.owner.client.table("agent_keys")
        .select("key_id, last_used_at, scopes, revoked_at")
        .execute()
        .data
    )
    assert all(row["last_used_at"] is not None for row in listed)
    reasons: Any = (
        organization.owner.client.table("audit_log")
        .select("action, reason")
        .like("action", "%agent_key")
        .order("id")
        .execute()
        .data
    )
    assert reasons == [
        {"action": "create_agent_key", "reason": "production"},
        {"action": "rotate_agent_key", "reason": "every quarter"},
        {"action": "revoke_agent_key", "reason": "rotated"},
    ]
