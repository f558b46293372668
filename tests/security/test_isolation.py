"""Nothing of one organization reaches another's people: no table, embedding, filter, count or function tells.

Generated over the catalogue: a new table, view, foreign key or function is covered without a new test.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import StackUnderTest
from tests.security.cast import Cast
from tests.security.catalogue import Database, functions, money_digest, relations
from tests.security.http import Caller
from tests.security.matrix import Matrix, fill

MATRIX = Matrix.load()
INSIDERS = ("member", "department_member", "billing", "admin", "owner")
OUTSIDERS = ("anon", "agent", "former_member", *INSIDERS)


def _foreign_values(cast: Cast) -> list[str]:
    """Everything by which a row of Globex could be recognised."""
    return [
        str(cast.globex),
        str(cast.users["stranger"]),
        *(value for name, value in cast.ids.items() if name.startswith("foreign_")),
    ]


def _leaks(cast: Cast, text: str) -> list[str]:
    return [value for value in _foreign_values(cast) if value in text]


def _questions(table: str, columns: tuple[str, ...], cast: Cast) -> Iterator[tuple[str, dict[str, str]]]:
    """Queries that ask for rows of Globex, directly and by side channels."""
    globex = str(cast.globex)
    counted = {"Prefer": "count=exact"}
    yield f"{table}?organization_id=eq.{globex}", {}
    yield f"{table}?organization_id=eq.{globex}", counted
    yield f"{table}?organization_id=in.({globex},{cast.acme})", counted
    yield f"{table}?organization_id=neq.{cast.acme}", counted
    yield (
        f"{table}?or=(organization_id.eq.{globex},organization_id.is.null)&organization_id=not.is.null",
        counted,
    )
    yield f"{table}?not.and=(organization_id.eq.{cast.acme})", {}
    yield f"{table}?organization_id=eq.{globex}&select=count", {}
    yield f"{table}?select=organization_id&organization_id=gt.{cast.acme}&order=organization_id", {}
    yield f"{table}?limit=1000&offset=0&order={columns[-1]}", counted
    yield f"{table}?organization_id=eq.{globex}", {"Range": "0-999", "Range-Unit": "items"}


def _columns(table: str, columns: tuple[str, ...], cast: Cast) -> Iterator[tuple[str, dict[str, str]]]:
    for column in columns:
        yield f"{table}?organization_id=eq.{cast.globex}&order={column}.desc&limit=1&select={column}", {}


def test_an_insider_of_one_organization_reads_nothing_of_another(
    owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    found = []
    asked = 0
    for relation in relations(owner_session):
        if not relation.has_organization:
            continue
        for principal in INSIDERS:
            questions = list(_questions(relation.name, relation.columns, cast))
            if principal == "owner":
                questions += _columns(relation.name, relation.columns, cast)
            for path, headers in questions:
                answer = callers[principal].get(path, **headers)
                asked += 1
                empty = (
                    answer.status != 200
                    or f"organization_id=eq.{cast.globex}" not in path
                    or _is_empty(answer.body)
                )
                if _leaks(cast, answer.text) or not empty or answer.status >= 500:
                    found.append((principal, path, answer))
                if "organization_id=eq." in path and answer.count not in ("", "0", "*"):
                    found.append((principal, path, answer))
    assert found == []
    assert asked > 1000, "the catalogue was read"


def _is_empty(body: Any) -> bool:
    return bool(body == [] or body == [{"count": 0}])


def test_the_questions_find_what_is_there_when_its_owner_asks(
    owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    for relation in relations(owner_session):
        if relation.has_organization:
            answer = callers["stranger"].get(
                f"{relation.name}?organization_id=eq.{cast.globex}", Prefer="count=exact"
            )
            assert answer.status == 200, relation.name
            assert int(answer.count) > 0, relation.name
            assert _leaks(cast, answer.text), relation.name


def test_embedding_one_resource_in_another_shows_nothing_foreign(
    owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    names = [relation.name for relation in relations(owner_session)]
    scoped = {relation.name for relation in relations(owner_session) if relation.has_organization}
    embedded = 0
    found = []
    for outer in names:
        for inner in names:
            scope = f"&{inner}.organization_id=eq.{cast.globex}" if inner in scoped else ""
            for path in (f"{outer}?select=*,{inner}(*)", f"{outer}?select=*,{inner}!inner(*){scope}"):
                answer = callers["owner"].get(path)
                embedded += answer.status == 200
                if _leaks(cast, answer.text) or answer.status >= 500:
                    found.append((path, answer))
    assert found == []
    assert embedded > 20, "the catalogue has foreign keys, so some embeddings must work"


def with_foreign_ids(arguments: Any, names: dict[str, str]) -> Any:
    text = json.dumps(arguments)
    for own, other in names.items():
        text = text.replace("{" + own + "}", other)
    return json.loads(text)


FOREIGN_NAMES = ("acme", "department", "hold", "grant", "transaction", "key_id", "checkout", "member")


def foreign_names(name: str) -> list[str]:
    """The ids in a function's rightful call for which Globex has one too."""
    return [own for own in FOREIGN_NAMES if "{" + own + "}" in json.dumps(MATRIX.functions[name].arguments)]


def foreign_and_unknown(name: str, cast: Cast) -> tuple[dict[str, str], dict[str, str]]:
    """Return, for each id of a function's rightful call, Globex's and nobody's."""
    used = foreign_names(name)
    foreign = {own: cast.ids.get(f"foreign_{own}", "") for own in used}
    foreign |= {"acme": str(cast.globex)} if "acme" in used else {}
    foreign |= {"member": str(cast.users["stranger"])} if "member" in used else {}
    return foreign, {own: secrets.token_hex(8) if own == "key_id" else str(uuid4()) for own in used}


@pytest.mark.parametrize("name", sorted(filter(foreign_names, MATRIX.functions)))
def test_what_is_foreign_is_answered_as_what_is_not(
    name: str, owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    """Each function, with ids of Globex and with ids of nobody, one at a time and all together."""
    arguments = MATRIX.functions[name].arguments
    used = foreign_names(name)
    foreign, unknown = foreign_and_unknown(name, cast)
    before = money_digest(owner_session, str(cast.acme), str(cast.globex))
    different = []
    for changed in [[own] for own in used] + [used]:
        for principal in OUTSIDERS:
            answers = [
                callers[principal].call(
                    name,
                    fill(
                        with_foreign_ids(arguments, {own: ids[own] for own in changed}), same_each_time(cast)
                    ),
                )
                for ids in (foreign, unknown)
            ]
            if (
                answers[0].answer != answers[1].answer
                or answers[0].headers != answers[1].headers
                or answers[0].status < 400
                or _leaks(cast, answers[0].text)
            ):
                different.append((principal, changed, answers))
    assert different == []
    assert money_digest(owner_session, str(cast.acme), str(cast.globex)) == before


def same_each_time(cast: Cast) -> Cast:
    """The cast with one value for each {unique} and so on, so that two answers can be compared."""
    constant = {
        "unique": "SAME",
        "invitation_token": "none",
        "promotion_code": "NONE",
        "asking_run": "none",
        "approval": str(cast.acme),
        "invitation": str(cast.acme),
        "free_organization": str(cast.acme),
        "package": str(cast.acme),
        "event": "none",
    }
    return Cast(cast.acme, cast.globex, cast.users, cast.agent_key, constant | cast.ids)


def test_a_visitor_sees_plans_and_packs_and_no_stripe_id(
    owner_session: Database, anon_caller: Caller
) -> None:
    answered = {r.name: anon_caller.get(f"{r.name}?limit=1000") for r in relations(owner_session)}
    readable = {name: answer for name, answer in answered.items() if answer.status == 200}
    assert set(readable) == {"subscription_plans", "credit_packages"}
    for answer in readable.values():
        assert answer.body
        assert not re.search(r"stripe|price_|prod_|livemode", answer.text, re.IGNORECASE)


def test_the_description_of_the_api_shows_a_visitor_no_more(
    owner_session: Database, anon_caller: Caller
) -> None:
    """Hosted projects do not describe the API to visitors; where it is described, it is what they may use."""
    answer = anon_caller.get("", Accept="application/openapi+json")
    if answer.status != 200:
        assert answer.status in (401, 403, 404)
        return
    open_functions = {f"/rpc/{f.name}" for f in functions(owner_session) if "anon" in f.roles}
    assert set(answer.body["paths"]) <= {"/", "/subscription_plans", "/credit_packages"} | open_functions


@pytest.mark.parametrize(
    "schema", ["billing_private", "auth", "pg_catalog", "information_schema", "realtime", "extensions"]
)
def test_other_schemas_are_not_there(schema: str, callers: dict[str, Caller]) -> None:
    for principal, caller in callers.items():
        for table in ("credit_grant_lots", "agent_key_secrets", "users", "pg_authid", "settings"):
            answer = caller.get(table, Accept_Profile=schema)
            assert (answer.status, answer.slug) == (406, "PGRST106"), principal
        answer = caller.send("POST", "rpc/consume_credits", {}, Content_Profile=schema)
        assert (answer.status, answer.slug) == (406, "PGRST106"), principal


def test_plans_of_queries_are_not_told(callers: dict[str, Caller]) -> None:
    for caller in callers.values():
        answer = caller.get("credit_packages", Accept="application/vnd.pgrst.plan+json")
        assert answer.status in (406, 415)


def test_the_realtime_topic_of_another_organization_is_closed(
    owner_session: Database, cast: Cast, stack: StackUnderTest
) -> None:
    """What the policy on realtime.messages says to each principal, asked as Realtime asks it."""
    assert stack.supabase_url
    allowed = _may_listen(owner_session, cast)
    for name in (*INSIDERS, "former_member", "stranger"):
        assert allowed(name, str(cast.acme)) is (name in INSIDERS), name
        assert allowed(name, str(cast.globex)) is (name == "stranger"), name
        assert not allowed(name, str(uuid4())), name


def _may_listen(database: Database, cast: Cast) -> Callable[[str, str], bool]:
    def allowed(name: str, organization_id: str) -> bool:
        topic = f"organization:{organization_id}:billing"
        with database.transaction(force_rollback=True):
            database.execute("select realtime.send('{}', 'ledger_changed', %s, true)", (topic,))
            claims = json.dumps({"sub": str(cast.users[name]), "role": "authenticated"})
            database.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
            database.execute("select set_config('realtime.topic', %s, true)", (topic,))
            database.execute("set local role authenticated")
            query = "select count(*) as n from realtime.messages where extension = 'broadcast' and topic = %s"
            row = database.execute(query, (topic,)).fetchone()
            assert row is not None
            return bool(row["n"])

    return allowed
