"""Concurrent histories have a serial order that explains every answer: receipts, refusals, replays, readings.

`TALLYBASE_HISTORY_OPERATIONS=100000` runs the long one.
"""

from __future__ import annotations

import copy
import os
import random
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import StackUnderTest, User

from ..database import Database
from ..entities import Refused
from .claims import AnomalyError
from .doors import HttpDoor, SqlDoor
from .operations import Evidence, History, Operation, gather
from .order import SerialOrder
from .running import run_histories
from .vocabulary import Client
from .world import SERVICE, People, make_tenant

OPERATIONS = int(os.environ.get("TALLYBASE_HISTORY_OPERATIONS", "3000"))
SEED = int(os.environ.get("TALLYBASE_HISTORY_SEED", "1"))
CONNECTIONS = 32
TENANTS = 4

pytestmark = [pytest.mark.timeout(7200), pytest.mark.xdist_group("histories")]


@pytest.fixture(scope="module")
def users(secret_client: Any, stack: StackUnderTest) -> dict[str, User]:
    """The four persons, by their part."""
    from tests.conftest import PASSWORD

    found = {}
    for part in ("owner", "member", "bound", "outsider"):
        email = f"{part}-{os.urandom(6).hex()}@histories.test"
        made = secret_client.auth.admin.create_user(
            {"email": email, "password": PASSWORD, "email_confirm": True}
        )
        client = stack.client()
        client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
        found[part] = User(made.user.id, email, client)
    return found


@pytest.fixture(scope="module")
def people(users: dict[str, User]) -> People:
    """Their ids."""
    return People(**{part: user.user_id for part, user in users.items()})


def test_thirty_two_connections_have_a_serial_order(stack: StackUnderTest, people: People) -> None:
    def client(number: int, randomness: random.Random) -> Client:
        door = SqlDoor(stack.database_url, randomness)
        return Client(door, door, randomness, number)

    seen, seconds, _ = run_histories(
        stack.database_url,
        people,
        client,
        operations=OPERATIONS,
        connections=CONNECTIONS,
        tenants=TENANTS,
        seed=SEED,
    )
    print(f"\n{OPERATIONS} calls in {seconds:.1f} s: {dict(sorted(seen.items()))}")
    for sort in ("replays", "lost answers", "by itself", "readings", "edits", "insufficient_credits"):
        assert seen[sort], f"the history shows nothing of: {sort}"
    for sort in ("limit_exceeded", "idempotency_conflict", "hold_expired", "refund_exceeds_consumption"):
        assert seen[sort], f"nothing was refused with {sort}"


def test_clients_of_postgrest_have_a_serial_order(
    stack: StackUnderTest, people: People, users: dict[str, User]
) -> None:
    tokens = {}
    for user in users.values():
        session = user.client.auth.get_session()
        assert session
        tokens[str(user.user_id)] = session.access_token
    keys = {"publishable": stack.publishable_key, "secret": stack.secret_key}

    def client(number: int, randomness: random.Random) -> Client:
        observer = SqlDoor(stack.database_url, randomness)
        door = HttpDoor(stack.supabase_url, keys, tokens, observer)
        return Client(door, observer, randomness, number)

    seen, seconds, _ = run_histories(
        stack.database_url,
        people,
        client,
        operations=max(800, OPERATIONS // 20),
        connections=8,
        tenants=2,
        seed=SEED + 500,
    )
    print(f"\nthrough PostgREST in {seconds:.1f} s: {dict(sorted(seen.items()))}")
    assert seen["replays"]
    assert seen["lost answers"]


def test_what_is_read_after_a_grant_began_and_ended_unseen_is_explained(
    stack: StackUnderTest, people: People
) -> None:
    """A void that waits for the lock while a grant begins and ends finds nothing, and an old balance."""
    randomness = random.Random(SEED)
    door = SqlDoor(stack.database_url, randomness)
    with Database.connect(stack.database_url) as connection, closing(door):
        history = History(make_tenant(connection, people, 0))
        tenant = history.tenant

        def call(function: str, **arguments: Any) -> Any:
            told = door.call(tenant, SERVICE, function, arguments)
            history.operations.append(
                Operation(SERVICE, function, arguments, told.before, told.after, told.answer)
            )
            return told.answer

        def grant(amount: str, **times: str) -> Any:
            told = {"source": "promotion", "source_reference": secrets.token_hex(6), "priority": 100}
            told |= dict.fromkeys(("effective_at", "expires_at", "department_id", "agent_types"))
            told |= {"organization_id": tenant.organization_id, "amount": amount, "unit_cost": "0"} | times
            return call("grant_credits", **told)

        first = grant("3")
        call(
            "adjust_credits",
            organization_id=tenant.organization_id,
            delta="-3",
            reason="spent",
            idempotency_key="all",
        )
        begins, ends = (datetime.now(UTC) + timedelta(seconds=later) for later in (0.4, 0.8))
        grant("10", effective_at=begins.isoformat(), expires_at=ends.isoformat())
        with ThreadPoolExecutor(1) as pool, closing(SqlDoor(stack.database_url, randomness)) as other:
            sitting = pool.submit(other.sit_on_the_lock, tenant, 1.2)
            time.sleep(max(0, (begins - datetime.now(UTC)).total_seconds() + 0.1))
            nothing = call("void_grant", grant_id=first["grant_id"], reason="late")
            sitting.result()
        evidence = gather(connection, tenant)
    assert nothing["transaction_id"] is None
    assert nothing["balance"] == 0
    assert [entry["kind"] for entry in evidence.entries[-2:]] == ["grant", "expire"]
    assert SerialOrder(history, evidence).check()["readings"] == 1


# The judge itself: a history that was tampered with must not be explained.

Tampering = Callable[[History, Evidence], None]


@pytest.fixture(scope="module")
def proven(stack: StackUnderTest, people: People) -> tuple[History, Evidence]:
    """A small history that has a serial order."""

    def client(number: int, randomness: random.Random) -> Client:
        door = SqlDoor(stack.database_url, randomness)
        return Client(door, door, randomness, number)

    *_, last = run_histories(
        stack.database_url, people, client, operations=400, connections=8, tenants=1, seed=SEED + 900
    )
    return last.histories[0], last.evidence[0]


def _receipts(history: History, function: str = "consume_credits") -> list[Operation]:
    return [
        o
        for o in history.operations
        if o.function == function and not o.is_refused and not o.was_lost and not o.answer["replayed"]
    ]


def _swap_two_receipts(history: History, _: Evidence) -> None:
    one, *_rest = receipts = _receipts(history)
    other = next(o for o in receipts if o.answer["amount"] != one.answer["amount"])
    one.answer, other.answer = other.answer, one.answer


def _change_one_balance(history: History, _: Evidence) -> None:
    _receipts(history)[5].answer["balance"] += Decimal("0.000001")


def _change_one_amount(history: History, _: Evidence) -> None:
    _receipts(history)[7].answer["amount"] += 1


def _charge_another_grant(history: History, _: Evidence) -> None:
    receipt = next(o.answer for o in _receipts(history) if o.answer["grants"])
    receipt["grants"][0]["grant_id"] = "00000000-0000-4000-8000-000000000000"


def _forget_one_call(history: History, _: Evidence) -> None:
    history.operations.remove(_receipts(history)[3])


def _answer_before_the_entry(history: History, _: Evidence) -> None:
    one = _receipts(history)[9]
    one.before, one.after = history.operations[0].before, history.operations[0].before


def _lose_one_entry(_: History, evidence: Evidence) -> None:
    del evidence.entries[len(evidence.entries) // 2]


def _change_one_entry(_: History, evidence: Evidence) -> None:
    entry = next(e for e in evidence.entries if e["kind"] == "consume" and e["amount"])
    entry["amount"] -= 1


def _refuse_what_was_affordable(history: History, _: Evidence) -> None:
    refused = next(
        o
        for o in history.operations
        if isinstance(o.answer, Refused) and o.answer.slug == "insufficient_credits"
    )
    assert isinstance(refused.answer, Refused)
    details: dict[str, Any] = dict(refused.answer.details)
    refused.answer = Refused(
        402, "insufficient_credits", **{**details, "available": details["available"] + 1}
    )


def _read_a_balance_that_never_was(history: History, _: Evidence) -> None:
    reading = next(o for o in history.operations if o.function == "get_credit_balance")
    reading.answer["balance"] += 1
    reading.answer["available"] += 1


def _keep_credits_that_are_gone(_: History, evidence: Evidence) -> None:
    grant_id, (remaining, held) = next(iter(evidence.remains.items()))
    evidence.remains[grant_id] = (remaining + 1, held)


@pytest.mark.parametrize(
    "tamper",
    [
        _swap_two_receipts,
        _change_one_balance,
        _change_one_amount,
        _charge_another_grant,
        _forget_one_call,
        _answer_before_the_entry,
        _lose_one_entry,
        _change_one_entry,
        _refuse_what_was_affordable,
        _read_a_balance_that_never_was,
        _keep_credits_that_are_gone,
    ],
)
def test_a_history_that_was_tampered_with_is_rejected(
    proven: tuple[History, Evidence], tamper: Tampering
) -> None:
    history, evidence = copy.deepcopy(proven)
    SerialOrder(*copy.deepcopy((history, evidence))).check()
    tamper(history, evidence)
    with pytest.raises(AnomalyError):
        SerialOrder(history, evidence).check()


def test_the_model_reads_json_without_floats(stack: StackUnderTest) -> None:
    with Database.connect(stack.database_url) as connection:
        row = connection.execute("select '{\"x\": 0.1}'::jsonb as value").fetchone()
    assert row is not None
    assert row["value"] == {"x": Decimal("0.1")}
