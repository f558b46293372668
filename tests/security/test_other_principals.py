"""The principals that have no column in the matrix: others' sessions of a person, and a platform admin.

A session through a third party's application and an anonymous one read what the person reads and change
nothing. A platform admin does what `platform_admin` says in the matrix, in any organization, and reads no
table of theirs.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.security.cast import Cast, make_cast
from tests.security.catalogue import Database, Function, functions, money_digest, relations
from tests.security.conftest import CallersOf, SigningKey
from tests.security.http import Answer, Caller, user_token
from tests.security.matrix import Matrix, fill
from tests.security.preparing import prepared_cast

MATRIX = Matrix.load()
SESSIONS: dict[str, dict[str, Any]] = {
    "an application": {"client_id": "some-app"},
    "an anonymous session": {"is_anonymous": True},
}


def _session(
    callers: dict[str, Caller], rest: httpx.Client, key: SigningKey, user_id: object, **claims: Any
) -> Caller:
    token = user_token(key, user_id, **claims)
    return Caller("session", rest, callers["anon"].headers | {"Authorization": f"Bearer {token}"})


def _call(function: Function, caller: Caller, cast: Cast) -> Answer:
    return caller.call(function.name, fill(MATRIX.functions[function.name].arguments, cast))


@pytest.mark.parametrize("session", SESSIONS)
def test_a_session_that_is_not_the_persons_own_calls_what_reads_and_nothing_else(
    session: str, owner_session: Database, callers_of: CallersOf, rest: httpx.Client, signing_key: SigningKey
) -> None:
    wrong = {}
    for function in functions(owner_session):
        rule = MATRIX.functions[function.name]
        cast = prepared_cast(owner_session, rule)
        person = cast.users["owner" if "owner" in rule.allowed else "stranger"]
        caller = _session(callers_of(cast), rest, signing_key, person, **SESSIONS[session])
        before = money_digest(owner_session, str(cast.acme), str(cast.globex))
        answer = _call(function, caller, cast)
        may = function.is_read_only and "owner" in rule.allowed and not rule.in_person
        if (answer.status == 200) is not may or (not may and answer.status not in (401, 403, 404)):
            wrong[function.name] = answer
        assert money_digest(owner_session, str(cast.acme), str(cast.globex)) == before, function.name
    assert wrong == {}


@pytest.mark.parametrize("session", SESSIONS)
def test_a_session_that_is_not_the_persons_own_reads_what_they_read(
    session: str,
    owner_session: Database,
    cast: Cast,
    callers: dict[str, Caller],
    rest: httpx.Client,
    signing_key: SigningKey,
) -> None:
    caller = _session(callers, rest, signing_key, cast.users["owner"], **SESSIONS[session])
    for relation in relations(owner_session):
        query = f"{relation.name}?limit=1000&order={relation.columns[0]}"
        for _ in range(20):  # other tests price actions meanwhile: until nothing moved between two readings
            earlier = callers["owner"].get(query)
            mine, persons = caller.get(query), callers["owner"].get(query)
            if earlier.body == persons.body:
                break
        assert mine.status == persons.status == 200
        assert sorted(map(str, mine.body)) == sorted(map(str, persons.body)), relation.name


def test_a_platform_admin_does_what_the_matrix_says_and_no_more(
    owner_session: Database, callers_of: CallersOf, rest: httpx.Client, signing_key: SigningKey
) -> None:
    wrong = {}
    for function in functions(owner_session):
        rule = MATRIX.functions[function.name]
        cast = prepared_cast(owner_session, rule)
        admin = cast.users["former_member"]
        owner_session.execute("insert into billing_private.platform_admins (user_id) values (%s)", (admin,))
        answer = _call(function, _session(callers_of(cast), rest, signing_key, admin), cast)
        expected = rule.platform_admin or "former_member" in rule.allowed
        if (answer.status in (200, 204)) is not expected or answer.status >= 500:
            wrong[function.name] = answer
    assert wrong == {}


def test_a_platform_admin_reads_no_table_of_an_organization(
    owner_session: Database, callers_of: CallersOf, rest: httpx.Client, signing_key: SigningKey
) -> None:
    cast = make_cast(owner_session, furnished=True)
    admin = cast.users["former_member"]
    owner_session.execute("insert into billing_private.platform_admins (user_id) values (%s)", (admin,))
    caller = _session(callers_of(cast), rest, signing_key, admin)
    for relation in relations(owner_session):
        if relation.has_organization:
            assert caller.get(f"{relation.name}?organization_id=eq.{cast.acme}").body == [], relation.name
