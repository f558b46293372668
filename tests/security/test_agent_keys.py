"""Attacks with agent keys: wrong ones, revoked ones, others' ones, and more than a key is good for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest
from postgrest.exceptions import APIError

from supabase import Client
from tests.conftest import Organization, StackUnderTest
from tests.security.cast import Cast, make_cast
from tests.security.catalogue import Database, money_digest
from tests.security.conftest import CallersOf
from tests.security.http import Answer, Caller


def _agent(rest: httpx.Client, stack: StackUnderTest, key: str) -> Caller:
    return Caller("agent", rest, {"apikey": stack.publishable_key, "x-agent-key": key})


def _spend(cast: Cast, **more: object) -> dict[str, object]:
    return {"agent_type": cast.ids["agent_type"], "action": "do", "amount": 1, **more}


def _key(owner: Caller, cast: Cast, **more: object) -> str:
    made = owner.call("create_agent_key", {"organization_id": cast.acme, "name": "another", **more})
    assert made.status == 200, made
    return str(made.body["key"])


def test_wrong_keys_cannot_be_told_apart(
    owner_session: Database, callers_of: CallersOf, rest: httpx.Client, stack: StackUnderTest
) -> None:
    cast = make_cast(owner_session)
    owner = callers_of(cast)["owner"]
    good, revoked, expired = _key(owner, cast), _key(owner, cast), _key(owner, cast)
    assert owner.call("revoke_agent_key", {"key_id": revoked.split("_")[2]}).status == 200
    statement = "update billing.agent_keys set expires_at = now() where key_id = %s"
    owner_session.execute(statement, (expired.split("_")[2],))
    before = money_digest(owner_session, str(cast.acme))
    prefix, _, rest_of_key = good.partition("_")
    wrong = {
        "unknown": f"tb_test_{'0' * 16}_{'0' * 64}_{'0' * 8}",
        "truncated": good[:-1],
        "without checksum": good.rpartition("_")[0],
        "wrong secret": good.replace(good.split("_")[3], "a" * 64),
        "id alone": good.split("_")[2],
        "upper case": good.upper(),
        "other prefix": f"{prefix}x_{rest_of_key}",
        "revoked": revoked,
        "expired": expired,
        "empty": "",
        "10,000 characters": "tb_test_" * 1250,
        "two keys": f"{good}, {good}",
        "quoted": f"'{good}' or true --",
    }
    calls: dict[str, dict[str, Any]] = {
        "consume_credits": _spend(cast),
        "check_credits": _spend(cast),
        "get_credit_balance": {},
        "hold_credits": _spend(cast),
        "release_hold": {"hold_id": cast.ids["hold"]},
        "explain_transaction": {"transaction_id": cast.ids["transaction"]},
    }
    for name, arguments in calls.items():
        answers = {what: _agent(rest, stack, key).call(name, arguments).answer for what, key in wrong.items()}
        assert len(set(answers.values())) == 1, answers
        assert {status for status, _ in answers.values()} == {401}
        assert all("agent_key_invalid" in text for _, text in answers.values())
    assert money_digest(owner_session, str(cast.acme)) == before
    assert _agent(rest, stack, good).call("consume_credits", _spend(cast)).status == 200


def test_a_key_that_is_revoked_in_a_burst_spends_nothing_afterwards(
    owner_session: Database, callers_of: CallersOf, rest: httpx.Client, stack: StackUnderTest
) -> None:
    cast = make_cast(owner_session)
    owner = callers_of(cast)["owner"]
    agent = _agent(rest, stack, cast.agent_key)
    with ThreadPoolExecutor(max_workers=12) as pool:
        burst = [pool.submit(agent.call, "consume_credits", _spend(cast)) for _ in range(60)]
        burst[10].result()
        assert owner.call("revoke_agent_key", {"key_id": cast.ids["key_id"]}).status == 200
        spent_at_revocation = _spent_by_key(owner, cast)
        late = [agent.call("consume_credits", _spend(cast)) for _ in range(5)]
        answers = [future.result() for future in burst]
    assert {answer.slug for answer in late} == {"agent_key_invalid"}
    assert {answer.status for answer in answers} <= {200, 401}
    receipts = sum(answer.status == 200 for answer in answers)
    # The cast's own spend came before; after the revocation's commit there was none.
    assert _spent_by_key(owner, cast) == receipts + 1 == spent_at_revocation


def _spent_by_key(owner: Caller, cast: Cast) -> int:
    rows = owner.get(f"credit_usage?select=amount&agent_key_id=eq.{cast.ids['key_id']}&limit=1000").body
    return int(sum(Decimal(row["amount"]) for row in rows))


def test_a_key_is_good_for_its_own_organization_department_and_agent_types(
    owner_session: Database, callers_of: CallersOf, rest: httpx.Client, stack: StackUnderTest
) -> None:
    cast = make_cast(owner_session)
    owner = callers_of(cast)["owner"]
    bound = _key(owner, cast, department_id=cast.ids["department"], agent_types=[cast.ids["agent_type"]])
    agent = _agent(rest, stack, bound)
    before = money_digest(owner_session, str(cast.acme), str(cast.globex))
    refused: list[Answer] = [
        agent.call("consume_credits", _spend(cast, organization_id=cast.globex)),
        agent.call("consume_credits", _spend(cast, department_id=cast.ids["other_department"])),
        agent.call("consume_credits", _spend(cast, department_id=cast.ids["foreign_department"])),
        agent.call("consume_credits", _spend(cast) | {"agent_type": "TestAgent"}),
        agent.call("hold_credits", _spend(cast, department_id=cast.ids["other_department"])),
        agent.call("get_credit_balance", {"organization_id": cast.globex}),
        agent.call("consume_credits_batch", {"events": [_spend(cast, organization_id=cast.globex)]}),
    ]
    assert {answer.slug for answer in refused} == {"not_authorized"}
    assert money_digest(owner_session, str(cast.acme), str(cast.globex)) == before
    assert agent.call("consume_credits", _spend(cast)).status == 200
    usage = owner.get(f"credit_usage?select=department_id&agent_key_id=eq.{bound.split('_')[2]}").body
    assert usage == [{"department_id": cast.ids["department"]}], (
        "it is charged to its department, though it named none"
    )


def test_a_hold_belongs_to_the_key_that_took_it(
    owner_session: Database, callers_of: CallersOf, rest: httpx.Client, stack: StackUnderTest
) -> None:
    cast = make_cast(owner_session)
    callers = callers_of(cast)
    other = _agent(rest, stack, _key(callers["owner"], cast))
    before = money_digest(owner_session, str(cast.acme), str(cast.globex))
    for name in ("capture_hold", "release_hold", "extend_hold"):
        own, foreign = (other.call(name, {"hold_id": cast.ids[hold]}) for hold in ("hold", "foreign_hold"))
        assert own.answer == foreign.answer
        assert own.slug == "not_found"
    assert money_digest(owner_session, str(cast.acme), str(cast.globex)) == before
    assert callers["agent"].call("release_hold", {"hold_id": cast.ids["hold"]}).status == 200


def test_a_department_that_is_left_during_a_hold_is_charged_nevertheless(
    owner_session: Database, callers_of: CallersOf
) -> None:
    """Moving a member does not move what they have reserved: the limit of the hold's department counts it."""
    cast = make_cast(owner_session)
    callers = callers_of(cast)
    bound = callers["department_member"]
    hold = bound.call("hold_credits", _spend(cast, organization_id=cast.acme)).body
    moved = {"organization_id": cast.acme, "user_id": cast.users["department_member"], "role": "member"}
    assert (
        callers["owner"]
        .call("set_member_role", moved | {"department_id": cast.ids["other_department"]})
        .status
        == 200
    )
    receipt = bound.call("capture_hold", {"hold_id": hold["hold_id"]})
    assert receipt.status == 200, receipt
    charged = (
        callers["owner"]
        .get(f"credit_usage?select=department_id&transaction_id=eq.{receipt.body['transaction_id']}")
        .body
    )
    assert charged == [{"department_id": cast.ids["department"]}]


def test_a_users_token_wins_over_a_key(
    owner_session: Database, callers_of: CallersOf, rest: httpx.Client, stack: StackUnderTest
) -> None:
    """A stranger who found Acme's key does not add its rights to their own session."""
    cast = make_cast(owner_session)
    stranger = callers_of(cast)["stranger"]
    both = Caller("both", rest, stranger.headers | {"x-agent-key": cast.agent_key})
    assert both.call("consume_credits", _spend(cast, organization_id=cast.acme)).slug == "not_authorized"
    receipt = both.call("consume_credits", _spend(cast))
    assert receipt.body["organization_id"] == str(cast.globex)


@pytest.mark.parametrize("place", ["apikey", "Authorization", "query"])
def test_a_key_counts_only_where_it_belongs(
    place: str, cast: Cast, rest: httpx.Client, stack: StackUnderTest, anon_caller: Caller
) -> None:
    headers = {
        "apikey": {"apikey": cast.agent_key},
        "Authorization": {"Authorization": f"Bearer {cast.agent_key}"},
        "query": {},
    }[place]
    caller = Caller(place, rest, anon_caller.headers | headers)
    query = f"?x-agent-key={cast.agent_key}" if place == "query" else ""
    answer = caller.send("POST", f"rpc/get_credit_balance{query}", {})
    assert answer.status in (400, 401, 403, 404), answer


def test_the_secret_of_a_key_is_nowhere_to_be_read(
    owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    secret = cast.agent_key.split("_")[3]
    for caller in (callers["owner"], callers["service"]):
        for table in ("agent_keys", "audit_log"):
            text = caller.get(f"{table}?organization_id=eq.{cast.acme}").text
            assert cast.ids["key_id"] in text
            assert secret not in text
    query = "select count(*) as n from billing_private.agent_key_secrets as s where s::text like %s"
    row = owner_session.execute(query, (f"%{secret}%",)).fetchone()
    assert row == {"n": 0}


def test_a_key_ends_by_its_organizations_clock_although_it_spent_just_now(
    stack: StackUnderTest, new_organization: Callable[..., Organization], as_agent: Callable[[str], Client]
) -> None:
    organization = new_organization()
    named = {"organization_id": str(organization.organization_id)}
    organization.service.rpc("advance_test_clock", {**named, "to": "2031-01-01T00:00:00Z"}).execute()
    organization.grant(10)
    key: Any = organization.owner.client.rpc(
        "create_agent_key", {**named, "name": "For a day", "expires_at": "2031-01-02T00:00:00Z"}
    ).execute()
    agent = as_agent(key.data["key"])
    spend = {"agent_type": "TestAgent", "action": "test", "amount": 1}
    for _ in range(2):  # the second one by the terms that the first one left
        agent.rpc("consume_credits", spend).execute()
    organization.service.rpc("advance_test_clock", {**named, "to": "2031-01-02T00:00:00Z"}).execute()
    with pytest.raises(APIError) as refused:
        agent.rpc("consume_credits", spend).execute()
    assert refused.value.message == "agent_key_invalid"
