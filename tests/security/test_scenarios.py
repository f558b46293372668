"""The security scenarios of the design, each told as it was seen in the wild, through a real PostgREST."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest

from tests.security.cast import Cast, make_cast
from tests.security.catalogue import Database, functions, money_digest
from tests.security.conftest import CallersOf
from tests.security.http import Caller
from tests.security.matrix import Matrix, fill

MATRIX = Matrix.load()


def test_an_owner_cannot_write_a_balance(
    owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    """The pattern of starters whose users may update their own row of credits."""
    owner, acme = callers["owner"], cast.acme
    before = money_digest(owner_session, str(acme))
    balance = {"organization_id": acme, "balance": 1_000_000}
    grant = {
        "organization_id": acme,
        "source": "promotion",
        "source_reference": "x",
        "amount": 1000,
        "remaining": 1000,
    }
    entry = {"organization_id": acme, "sequence": 99, "kind": "grant", "amount": 1000, "balance_after": 1000}
    answers = [
        owner.send("PATCH", f"credit_balances?organization_id=eq.{acme}", balance),
        owner.send("POST", "credit_balances", balance, Prefer="resolution=merge-duplicates"),
        owner.send("POST", "credit_grants", grant),
        owner.send("POST", "credit_transactions", entry),
        owner.send(
            "POST",
            "credit_transactions?on_conflict=organization_id,sequence",
            entry,
            Prefer="resolution=merge-duplicates",
        ),
        owner.send("PATCH", f"organizations?organization_id=eq.{acme}", {"overdraft_limit": 1_000_000}),
        owner.send("PATCH", f"organizations?organization_id=eq.{acme}", {"test_clock": "2020-01-01"}),
        owner.send("DELETE", f"credit_usage?organization_id=eq.{acme}"),
        owner.send("DELETE", f"credit_usage_daily?organization_id=eq.{acme}"),
        owner.send("PATCH", f"credit_limits?organization_id=eq.{acme}", {"amount": 1_000_000}),
    ]
    assert {answer.status for answer in answers} == {403}, answers
    assert money_digest(owner_session, str(acme)) == before


def test_a_visitor_calls_every_function_in_vain(
    owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    before = money_digest(owner_session, str(cast.acme), str(cast.globex))
    for function in functions(owner_session):
        constant = {
            "invitation_token": "x",
            "promotion_code": "CODE",
            "asking_run": "none",
            "approval": str(cast.acme),
            "invitation": str(cast.acme),
            "free_organization": str(cast.acme),
            "package": str(cast.acme),
            "event": "x",
        } | cast.ids
        arguments = fill(
            MATRIX.functions[function.name].arguments, Cast(cast.acme, cast.globex, cast.users, "", constant)
        )
        bodies: tuple[dict[str, object], ...] = (arguments, {})
        for body in bodies:
            answer = callers["anon"].call(function.name, body)
            assert answer.status in (401, 403, 404), (function.name, answer)
            assert str(cast.globex) not in answer.text
    assert money_digest(owner_session, str(cast.acme), str(cast.globex)) == before


def test_another_organization_is_answered_as_none(
    owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    spend = {"agent_type": cast.ids["agent_type"], "action": "do", "amount": 1}
    before = money_digest(owner_session, str(cast.globex))
    for principal in ("member", "billing", "admin", "owner"):
        foreign = callers[principal].call("consume_credits", spend | {"organization_id": cast.globex})
        nowhere = callers[principal].call("consume_credits", spend | {"organization_id": uuid4()})
        assert foreign.answer == nowhere.answer
        assert foreign.slug == "not_authorized"
    embedded = callers["owner"].get(
        f"organizations?select=*,departments(*),credit_limits(*)&organization_id=eq.{cast.globex}"
    )
    assert embedded.body == []
    counted = callers["owner"].get(
        f"credit_transactions?organization_id=eq.{cast.globex}", Prefer="count=exact"
    )
    assert (counted.body, counted.count) == ([], "0")
    assert money_digest(owner_session, str(cast.globex)) == before


@pytest.mark.parametrize("name", ["open_customer", "prepare_checkout", "find_checkout"])
def test_a_worker_does_nothing_for_who_may_not(
    name: str, owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    """The service names the person for whom it acts, and the database judges that person, not the service."""
    before = money_digest(owner_session, str(cast.acme), str(cast.globex))
    rightful = fill(MATRIX.functions[name].arguments, _with_package(cast))
    elsewhere = {"organization_id": uuid4(), "stripe_session_id": f"cs_{uuid4()}"}
    for person in ("stranger", "former_member", "member", "department_member"):
        arguments = rightful | {"user_id": cast.users[person]}
        unknown = arguments | {key: value for key, value in elsewhere.items() if key in arguments}
        answers = [callers["service"].call(name, body) for body in (arguments, unknown)]
        assert answers[0].answer == answers[1].answer, person
        assert answers[0].slug == "not_authorized", (person, answers[0])
    assert money_digest(owner_session, str(cast.acme), str(cast.globex)) == before


def _with_package(cast: Cast) -> Cast:
    return Cast(cast.acme, cast.globex, cast.users, "", {"package": str(cast.acme)} | cast.ids)


def test_a_caller_without_a_user_is_not_trusted(
    owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    """The pattern of a function whose guard takes a null user for the system itself."""
    before = money_digest(owner_session, str(cast.acme))
    for arguments in ({"organization_id": cast.acme}, {"organization_id": None}, {}):
        for name in ("get_credit_balance", "verify_ledger", "create_organization", "leave_organization"):
            named = arguments | ({"name": "x"} if name == "create_organization" else {})
            assert callers["anon"].call(name, named).status in (401, 403, 404), name
    assert money_digest(owner_session, str(cast.acme)) == before


def test_a_member_reads_though_the_services_functions_are_closed(
    owner_session: Database, callers_of: CallersOf
) -> None:
    """What policies call must stay executable when everything else is revoked."""
    cast = make_cast(owner_session)
    member = callers_of(cast)["member"]
    rows = member.get("credit_balances?select=balance,available").body
    assert rows == [{"balance": Decimal("995.000000"), "available": Decimal("985.000000")}]
    for function in functions(owner_session):
        if function.roles == {"service_role"}:
            answer = member.call(function.name, dict.fromkeys(function.arguments))
            assert (answer.status, answer.slug) == (403, "42501"), function.name


_LATER = "update billing.organizations set test_clock = now() + interval '2 days' where organization_id = %s"


def test_a_grant_that_runs_out_before_the_sweeper_comes_is_shown_to_managers_alone(
    owner_session: Database, callers_of: CallersOf
) -> None:
    """Such grants come from a function and not from a table, so no policy stands before them."""
    cast = make_cast(owner_session)
    callers = callers_of(cast)
    grant = "select billing.grant_credits(%s, 7, 'promotion', 'soon', now() + interval '1 day')"
    for organization in (cast.acme, cast.globex):
        owner_session.execute(grant, (organization,))
        owner_session.execute(_LATER, (organization,))
    query = "credit_grants?select=organization_id,remaining&source_reference=eq.soon"
    for principal in ("billing", "admin", "owner"):
        rows = callers[principal].get(query).body
        assert rows == [{"organization_id": str(cast.acme), "remaining": Decimal("0.000000")}], principal
    for principal in ("member", "department_member", "former_member"):
        assert callers[principal].get("credit_grants").body == [], principal
