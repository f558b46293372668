"""Whatever changes an organization holds that organization's lock when it is done.

Each exposed function is called rightfully in a transaction that stays open, and the server is asked which
locks it holds. A function whose lock was forgotten is found without any luck of timing.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.conftest import StackUnderTest
from tests.security.cast import Cast, make_cast, speak
from tests.security.catalogue import Database, Function, functions
from tests.security.matrix import Matrix, fill
from tests.security.preparing import prepared_cast

MATRIX = Matrix.load()
#: What changes something without an organization's lock, and why that is right.
UNLOCKED = {
    "create_organization": "nobody knows the new organization before the commit",
    "accept_invitation": "one UPDATE takes the invitation; the membership is inserted under its key",
    "set_agent_action_cost": "an exclusion constraint decides between two prices",
    "create_promotion_code": "a code belongs to no organization",
    "set_subscription_plan": "a plan belongs to no organization; its row is locked",
    "open_customer": "the row of customer_claims is locked",
    "record_customer": "the row of customer_claims is locked",
    "renew_failed_customer_claim": "the row of customer_claims is locked",
    "forget_customer": "one UPDATE",
    "attach_checkout_session": "the row of the checkout is locked",
    "record_checkout_error": "one UPDATE",
    "prepare_checkout": "one new row; its price is fixed in it",
    "record_stripe_price": "the catalogue belongs to no organization",
    "open_reconciliation": "a lock of its own: the run belongs to no organization",
    "compare_with_stripe": "reports are upserted under their key",
    "record_stripe_event_failure": "the inbox belongs to no organization; the event's row is locked",
    "reopen_stripe_event": "one UPDATE of the inbox",
    "replay_stripe_events": "the events' rows are locked",
    "erase_address": "the address of the call is nobody's; see below",
    # The matrix's call finds nothing to do; tests/money has those that do.
    "process_stripe_event": "the event's row is locked first; its effect takes the organization's lock",
    "fulfil_checkout": "the session of the call was not paid",
    "sync_subscription": "the subscription of the call is nobody's",
    "run_due_jobs": "nothing is due",
}


def _value(argument: object, type_name: str) -> str:
    """SQL that reads an argument from the JSON parameter as PostgREST would."""
    if type_name == "jsonb":
        return f"%(j)s::jsonb -> '{argument}'"
    if type_name.endswith("[]"):
        element = type_name[:-2]
        return f"array(select jsonb_array_elements_text(%(j)s::jsonb -> '{argument}'))::{element}[]"
    return f"(%(j)s::jsonb ->> '{argument}')::{type_name}"


def call_in_session(database: Database, function: Function, arguments: dict[str, Any]) -> None:
    """Call an exposed function with JSON arguments, as whoever the session speaks for."""
    named = ", ".join(
        f'"{name}" => ' + ("null" if value is None else _value(name, function.arguments[name]))
        for name, value in arguments.items()
    )
    statement = f"select count(*) from billing.{function.name}({named})"
    database.execute(statement.encode(), {"j": json.dumps(arguments, default=str)})


def held_locks(database: Database) -> set[int]:
    """Return the keys of the advisory locks that this session holds."""
    rows = database.execute(
        "select (l.classid::bigint << 32) | l.objid::bigint as key from pg_locks as l "
        "where l.locktype = 'advisory' and l.objsubid = 1 and l.pid = pg_backend_pid() and l.granted"
    )
    return {row["key"] for row in rows}


def lock_key(database: Database, cast: Cast) -> int:
    """Return the key of Acme's lock."""
    query = "select ledger_number from billing.organizations where organization_id = %s"
    row = database.execute(query, (cast.acme,)).fetchone()
    assert row is not None
    return int(row["ledger_number"])


@pytest.mark.usefixtures("tokens_on")
@pytest.mark.parametrize("name", sorted(name for name, rule in MATRIX.functions.items() if rule.allowed))
def test_what_changes_an_organization_holds_its_lock_and_what_reads_does_not(
    name: str, stack: StackUnderTest, owner_session: Database
) -> None:
    function = next(f for f in functions(owner_session) if f.name == name)
    rule = MATRIX.functions[name]
    expected = not function.is_read_only and name not in UNLOCKED
    for principal in {rule.allowed[0], rule.allowed[-1]}:
        cast = prepared_cast(owner_session, rule)
        arguments = rule.arguments | (rule.as_service if principal == "service" else {})
        with psycopg.connect(stack.database_url, row_factory=dict_row) as session:
            speak(session, cast, principal)
            call_in_session(session, function, fill(arguments, cast))
            speak(session, cast, "")
            held = lock_key(session, cast) in held_locks(session)
            session.rollback()
        assert held is expected, f"{name} as {principal}"


def test_an_address_is_erased_under_the_locks_of_the_organizations_that_know_it(
    stack: StackUnderTest, owner_session: Database
) -> None:
    cast = make_cast(owner_session)
    address = f"somebody-{secrets.token_hex(6)}@security.test"
    owner_session.execute("select billing.invite_member(%s, %s, 'member')", (cast.acme, address))
    with psycopg.connect(stack.database_url, row_factory=dict_row) as session:
        speak(session, cast, "service")
        session.execute("select billing.erase_address(%s)", (address,))
        speak(session, cast, "")
        held = held_locks(session)
        session.rollback()
    assert lock_key(owner_session, cast) in held
