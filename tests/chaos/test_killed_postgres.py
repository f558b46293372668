"""kill -9 of Postgres in the middle of load, again and again: what was acknowledged is there, and there once.

Each round several clients spend, hold and capture with keys that they write down before sending. Postgres is
killed to the last process at a random moment and started again; then every call that was not acknowledged is
sent again.
`TALLYBASE_KILL_ROUNDS=200` runs the long one.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from .private_postgres import PrivatePostgres, private_postgres

pytestmark = [pytest.mark.chaos, pytest.mark.xdist_group("chaos"), pytest.mark.timeout(7200)]

ROUNDS = int(os.environ.get("TALLYBASE_KILL_ROUNDS", "3"))
SEED = int(os.environ.get("TALLYBASE_KILL_SEED", "1"))
CLIENTS = 6
ROUNDS_PER_ORGANIZATION = 20
KILLED_AFTER = (3, 120)  # acknowledged calls
PATIENCE_SECONDS = 60
BATCH = 4

Connection = psycopg.Connection[dict[str, Any]]
SEED_OWNER = "select id from auth.users where email = 'owner@acme.test'"


@dataclass
class Call:
    """A call with a key, written down before it is sent.

    Attributes:
        query: the SQL, with named parameters.
        parameters: its values.
        keys: the idempotency keys of what it books, in the order of its answers.
        answers: by key, once acknowledged: the entry's or the hold's id.
    """

    query: str
    parameters: dict[str, Any]
    keys: list[str]
    answers: dict[str, str] = field(default_factory=dict)


@dataclass
class Round:
    """What the clients of one round sent and were told."""

    calls: list[Call] = field(default_factory=list)
    acknowledged: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def write_down(self, call: Call) -> Call:
        """Note a call before it is sent."""
        with self.changed:
            self.calls.append(call)
        return call

    def acknowledge(self, call: Call, answers: dict[str, str]) -> None:
        """Note what a call was told."""
        with self.changed:
            call.answers = answers
            self.acknowledged += 1
            self.changed.notify_all()

    def wait_for(self, acknowledged: int) -> None:
        """Wait until so many calls have been acknowledged."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.acknowledged >= acknowledged, PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    """A Postgres that may be killed."""
    with private_postgres(tmp_path_factory.mktemp("kills") / "stack") as running:
        yield running


def test_killed_postgres_loses_nothing_acknowledged_and_doubles_nothing(server: PrivatePostgres) -> None:
    randomness = random.Random(SEED)
    seen: Counter[str] = Counter()
    slowest = 0.0
    organization_id = ""
    for number in range(ROUNDS):
        if number % ROUNDS_PER_ORGANIZATION == 0:
            organization_id = _make_organization(server, number)
        story = Round()
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [
                pool.submit(_load, server.url, organization_id, f"{number}-{client}", story)
                for client in range(CLIENTS)
            ]
            story.wait_for(randomness.randint(*KILLED_AFTER))
            seen["processes killed"] += server.kill()
            for client in clients:
                client.result()
        slowest = max(slowest, server.start())
        seen += _prove(server, organization_id, story)
    print(f"\n{ROUNDS} rounds, slowest recovery {slowest:.2f} s: {dict(seen)}")
    assert seen["acknowledged"] > ROUNDS * KILLED_AFTER[0]
    assert seen["unacknowledged"] >= ROUNDS, "the kills went unnoticed: the test shows nothing"


def test_d32_a_hold_outlives_the_killed_database_and_ends_by_itself(server: PrivatePostgres) -> None:
    organization_id = _make_organization(server, ROUNDS)
    with _connect(server.url) as connection:
        connection.execute(
            """
            select billing.hold_credits(
              'TestAgent', 'test', amount => 8, organization_id => %s, expires_in => '3 seconds'
            )
            """,
            (organization_id,),
        )
        assert _available(connection, organization_id) == 999_992
    server.kill()
    server.start()
    with _connect(server.url) as connection:
        connection.execute("select pg_sleep(3.1)")
        assert _available(connection, organization_id) == 1_000_000
        connection.execute("select billing.run_due_jobs()")
        assert _available(connection, organization_id) == 1_000_000
        assert (
            connection.execute("select * from billing.verify_ledger(%s)", (organization_id,)).fetchall() == []
        )


def _available(connection: psycopg.Connection[Any], organization_id: str) -> Decimal:
    row = connection.execute(
        "select available from billing.get_credit_balance(%s)", (organization_id,)
    ).fetchone()
    assert row
    return Decimal(row["available"])


def _make_organization(server: PrivatePostgres, number: int) -> str:
    with _connect(server.url) as connection:
        made = connection.execute(
            f"select organization_id from billing.create_organization(%s, ({SEED_OWNER}))",
            (f"Killed {number}",),
        ).fetchone()
        assert made
        connection.execute(
            "select billing.grant_credits(%s, 1000000, 'adjustment', 'start')", (made["organization_id"],)
        )
        connection.execute(
            "select billing.set_credit_limit('organization', %s::text, 900000, 'day')",
            (made["organization_id"],),
        )
        return str(made["organization_id"])


def _connect(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


# The load


def _load(url: str, organization_id: str, name: str, story: Round) -> None:
    """Spend, hold and capture until the connection breaks."""
    randomness = random.Random(name)
    try:
        with _connect(url) as connection:
            for number in range(1_000_000):
                _one_turn(connection, organization_id, f"{name}-{number}", randomness, story)
    except psycopg.OperationalError:
        return  # killed


def _one_turn(
    connection: Connection, organization_id: str, key: str, randomness: random.Random, story: Round
) -> None:
    turn = randomness.randrange(10)
    if turn < 6:
        _send(connection, _spend(organization_id, key, randomness), story)
    elif turn < 8:
        _send(connection, _batch(organization_id, key, randomness), story)
    else:
        hold = _hold(organization_id, key)
        _send(connection, hold, story)
        _send(connection, _capture(hold, key, randomness), story)


def _amount(randomness: random.Random) -> Decimal:
    return Decimal(randomness.randrange(1, 9_000_000)).scaleb(-6)


def _spend(organization_id: str, key: str, randomness: random.Random) -> Call:
    return Call(
        "select transaction_id as id, replayed from billing.consume_credits('TestAgent', 'test',"
        " amount => %(amount)s, organization_id => %(organization)s, idempotency_key => %(key)s)",
        {"organization": organization_id, "amount": _amount(randomness), "key": key},
        [key],
    )


def _batch(organization_id: str, key: str, randomness: random.Random) -> Call:
    keys = [f"{key}-{place}" for place in range(BATCH)]
    events = [
        {
            "agent_type": "TestAgent",
            "action": "test",
            "amount": str(_amount(randomness)),
            "idempotency_key": k,
        }
        for k in keys
    ]
    return Call(
        "select (receipt).transaction_id as id, (receipt).replayed"
        " from billing.consume_credits_batch(%(events)s::jsonb, true, %(organization)s) order by index",
        {"organization": organization_id, "events": json.dumps(events)},
        keys,
    )


def _hold(organization_id: str, key: str) -> Call:
    return Call(
        "select hold_id as id, replayed from billing.hold_credits('TestAgent', 'test', amount => 10,"
        " organization_id => %(organization)s, idempotency_key => %(key)s)",
        {"organization": organization_id, "key": f"hold-{key}"},
        [f"hold-{key}"],
    )


def _capture(hold: Call, key: str, randomness: random.Random) -> Call:
    return Call(
        "select transaction_id as id, replayed"
        " from billing.capture_hold(%(hold)s, amount => %(amount)s, idempotency_key => %(key)s)",
        {"hold": hold.answers[hold.keys[0]], "amount": _amount(randomness), "key": f"capture-{key}"},
        [f"capture-{key}"],
    )


def _send(connection: Connection, call: Call, story: Round) -> None:
    """Write a call down, send it, and note its answer."""
    rows = _ask(connection, story.write_down(call))
    story.acknowledge(call, _answers(call, rows))


def _ask(connection: Connection, call: Call) -> list[dict[str, Any]]:
    return connection.execute(call.query.encode(), call.parameters).fetchall()


def _answers(call: Call, rows: list[dict[str, Any]]) -> dict[str, str]:
    return {key: str(row["id"]) for key, row in zip(call.keys, rows, strict=True)}


# The proof


def _prove(server: PrivatePostgres, organization_id: str, story: Round) -> Counter[str]:
    """Send again what was not acknowledged; then every key must have one effect, the one that was told."""
    seen: Counter[str] = Counter()
    with _connect(server.url) as connection:
        found = _effects(connection, organization_id, story)
        for call in story.calls:
            if call.answers:
                seen["acknowledged"] += len(call.keys)
                assert call.answers == {key: found.get(key) for key in call.keys}, (
                    "an acknowledged one is lost"
                )
                continue
            seen["unacknowledged"] += len(call.keys)
            survived = sum(key in found for key in call.keys)
            assert survived in (0, len(call.keys)), "a call is there in part"
            seen["of these survived"] += survived
            rows = _ask(connection, call)
            call.answers = _answers(call, rows)
            assert [row["replayed"] for row in rows] == [survived > 0] * len(rows)
        found = _effects(connection, organization_id, story)
        assert found == {key: answer for call in story.calls for key, answer in call.answers.items()}
        violations = connection.execute(
            "select * from billing.verify_ledger(%s)", (organization_id,)
        ).fetchall()
        assert violations == []
    return seen


def _effects(connection: Connection, organization_id: str, story: Round) -> dict[str, str]:
    """Return the ids of all entries and holds with the round's keys; two of one key would fail the count."""
    keys = [key for call in story.calls for key in call.keys]
    rows = connection.execute(
        "select t.idempotency_key as key, t.id from billing.credit_transactions as t"
        " where t.organization_id = %(organization)s and t.idempotency_key = any(%(keys)s)"
        " union all"
        " select h.idempotency_key, h.id from billing.credit_holds as h"
        " where h.organization_id = %(organization)s and h.idempotency_key = any(%(keys)s)",
        {"organization": organization_id, "keys": keys},
    ).fetchall()
    found = {row["key"]: str(row["id"]) for row in rows}
    assert len(found) == len(rows), "a key has two effects"
    return found
