"""Every cell of the access matrix over HTTP: answers are what it says, and a refusal changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from tests.security.cast import PRINCIPALS, Cast
from tests.security.catalogue import Database, Function, functions, money_digest, relations
from tests.security.conftest import CallersOf
from tests.security.http import Answer, Caller
from tests.security.matrix import Matrix, fill
from tests.security.preparing import prepared_cast

MATRIX = Matrix.load()


def test_the_matrix_names_every_table_and_view(owner_session: Database) -> None:
    assert set(MATRIX.tables) == {relation.name for relation in relations(owner_session)}


def test_the_matrix_names_every_function(owner_session: Database) -> None:
    assert set(MATRIX.functions) == {function.name for function in functions(owner_session)}


def test_the_cast_has_rows_of_both_organizations_in_every_table(owner_session: Database, cast: Cast) -> None:
    empty = [
        (relation.name, organization)
        for relation in relations(owner_session)
        if relation.has_organization
        for organization in (cast.acme, cast.globex)
        if not _rows(owner_session, relation.name, "organization_id = %(o)s", {"o": organization})
    ]
    assert empty == []


@pytest.mark.parametrize("table", sorted(MATRIX.tables))
def test_everybody_reads_what_the_matrix_says(
    table: str, owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    wrong = {}
    for principal in PRINCIPALS:
        problem = _reading_problem(table, principal, owner_session, cast, callers[principal])
        if problem:
            wrong[principal] = problem
    assert wrong == {}


def _reading_problem(table: str, principal: str, database: Database, cast: Cast, caller: Caller) -> str:
    rule, level = MATRIX.tables[table], MATRIX.level(table, principal)
    path = f"{table}?{_scope(table, principal, cast)}"
    if level == "no":
        answer = caller.get(path)
        return "" if answer.slug == "42501" else f"not refused: {answer}"
    bound = {"user": cast.users.get(principal), "is_bound": principal == "department_member"}
    parameters = cast.parameters | bound | {"agent_type": cast.ids["agent_type"]}
    condition = f"({MATRIX.levels[level]}) and ({rule.condition})"
    if principal == "stranger" and level != "active":
        # The stranger has an organization too, of which they see what there is.
        condition = f"({condition}) or (organization_id = %(globex)s and ({rule.condition}))"
    before = Counter(_rows(database, table, condition, parameters))
    answer = caller.get(path)
    if answer.status != 200:
        return f"refused: {answer}"
    after = Counter(_rows(database, table, condition, parameters))
    found = Counter(_canonical(row) for row in answer.body)
    # Plans and packs are everybody's, and other tests write theirs meanwhile: what stands neither before nor
    # after the answer is too much, and what stands in both is missing.
    too_many, missing = found - (before | after), (before & after) - found
    return f"{level}: {too_many} too many, {missing} missing" if too_many or missing else ""


def _scope(table: str, principal: str, cast: Cast) -> str:
    """The PostgREST filter under which a cell is compared: none, but for who sees the rows of all tests."""
    rule = MATRIX.tables[table]
    if rule.filter:
        return rule.filter.format_map(cast.ids)
    return f"organization_id=eq.{cast.acme}" if principal == "service" and rule.profile != "public" else ""


def _rows(database: Database, table: str, condition: str, parameters: dict[str, Any]) -> list[str]:
    query = f"select to_jsonb(t)::text as row from billing.{table} as t where {condition}"
    return [
        _canonical(json.loads(row["row"], parse_float=Decimal)) for row in database.execute(query, parameters)
    ]


def _canonical(row: Any) -> str:
    return json.dumps(row, sort_keys=True, default=str)


@pytest.mark.parametrize("table", sorted(MATRIX.tables))
def test_nobody_writes_a_table(
    table: str, owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    before = money_digest(owner_session, str(cast.acme), str(cast.globex))
    column = next(r.columns[0] for r in relations(owner_session) if r.name == table)
    rows = owner_session.execute(f"select to_jsonb(t) as row from billing.{table} as t limit 1")
    row = next(iter(rows))["row"]
    target = f"{table}?{column}=eq.{quote(str(row[column]))}"
    attempts: list[tuple[str, str, object, dict[str, str]]] = [
        ("POST", table, row, {}),
        ("POST", table, [row, row], {"Prefer": "return=representation"}),
        ("POST", table, row, {"Prefer": "resolution=merge-duplicates"}),
        ("POST", table, row, {"Prefer": "resolution=ignore-duplicates,missing=default"}),
        ("PUT", target, row, {}),
        ("PATCH", target, {column: row[column]}, {}),
        ("PATCH", target, row, {"Prefer": "return=representation,handling=lenient"}),
        ("DELETE", target, None, {}),
        ("DELETE", target, None, {"Prefer": "return=representation"}),
    ]
    done = {}
    for principal in PRINCIPALS:
        for method, path, body, headers in attempts:
            answer = callers[principal].send(method, path, body, **headers)
            if not 400 <= answer.status < 500:
                done[principal, method, str(headers)] = answer
    assert done == {}
    assert money_digest(owner_session, str(cast.acme), str(cast.globex)) == before


@pytest.mark.parametrize("name", sorted(MATRIX.functions))
def test_everybody_is_answered_as_the_matrix_says(
    name: str, owner_session: Database, callers_of: CallersOf
) -> None:
    function = next(f for f in functions(owner_session) if f.name == name)
    rule = MATRIX.functions[name]
    wrong: dict[str, str] = {}

    cast = prepared_cast(owner_session, rule)
    callers = callers_of(cast)
    before = money_digest(owner_session, str(cast.acme), str(cast.globex))
    for principal in PRINCIPALS:
        expected = rule.expected(principal, function)
        if expected:
            answer = callers[principal].call(name, fill(rule.arguments, cast))
            if answer.slug != expected or str(cast.globex) in answer.text:
                wrong[principal] = f"expected {expected}, got {answer}"
    assert money_digest(owner_session, str(cast.acme), str(cast.globex)) == before, (
        "a refused call left a trace"
    )

    for number, principal in enumerate(rule.allowed):
        if number and not function.is_read_only:
            cast = prepared_cast(owner_session, rule)
        answer = _rightful_call(function, principal, cast, callers_of(cast)[principal])
        if answer.status not in (200, 204):
            wrong[principal] = f"expected success, got {answer}"
    assert wrong == {}


def _rightful_call(function: Function, principal: str, cast: Cast, caller: Caller) -> Answer:
    rule = MATRIX.functions[function.name]
    arguments = rule.arguments | (rule.as_service if principal == "service" else {})
    return caller.call(function.name, fill(arguments, cast))
