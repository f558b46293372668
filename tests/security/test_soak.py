"""Members come and go and keys are revoked while everybody works: nothing succeeds after the revoking commit.

Two organizations, twenty principals with connections of their own, two managers. TALLYBASE_SOAK_SECONDS is
how long (300 before a release).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

import httpx
import pytest

from tests.conftest import StackUnderTest
from tests.security.cast import Cast, make_cast
from tests.security.catalogue import Database
from tests.security.conftest import CallersOf, SigningKey
from tests.security.http import Answer, Caller, user_token

# Alone: it counts every answer, and other tests change what all requests share.
pytestmark = pytest.mark.serial
SECONDS = float(os.environ.get("TALLYBASE_SOAK_SECONDS", "12"))
_SPEND = {"agent_type": "", "action": "do", "amount": 1}
_REFUSED = ("not_authorized", "agent_key_invalid", "not_found", "busy")


@dataclass
class Worker:
    """A person or an agent of one organization, who works until told to stop.

    Attributes:
        caller: how they come.
        organization_id: whose they are.
        user_id: the person; None for an agent.
        key_id: the agent's key.
        gone: when they had no right: from the answer to the revocation to the call that gave it back.
        spent: Σ of their receipts.
        wrong: what should not have happened.
        statuses: how often each status came.
    """

    caller: Caller
    organization_id: UUID
    user_id: UUID | None = None
    key_id: str = ""
    gone: list[list[float]] = field(default_factory=list)
    spent: Decimal = Decimal(0)
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    finished: list[tuple[float, float, str]] = field(default_factory=list)

    def had_no_right(self, began: float, ended: float) -> bool:
        """Whether a call lay wholly in a time without any right."""
        return any(start <= began and ended <= end for start, end in self.gone)


@dataclass
class House:
    """One organization at work."""

    cast_id: UUID
    owner: Caller
    agent_type: str
    workers: list[Worker]
    foreign: tuple[str, ...] = ()


def _work(worker: Worker, house: House, until: float, seed: str) -> None:
    """Spend, hold and read until the time is over; remember every success with its begin and end."""
    chance = random.Random(seed)
    body = _SPEND | {"agent_type": house.agent_type, "organization_id": str(worker.organization_id)}
    while time.monotonic() < until:
        what = chance.choice(
            ("consume_credits", "consume_credits", "hold_credits", "get_credit_balance", "read")
        )
        began = time.monotonic()
        if what == "read":
            answer = worker.caller.get(
                f"credit_transactions?organization_id=eq.{worker.organization_id}&limit=5"
            )
            succeeded = answer.status == 200 and answer.body != []
        else:
            arguments = (
                {"organization_id": str(worker.organization_id)} if what == "get_credit_balance" else body
            )
            answer = worker.caller.call(what, arguments)
            succeeded = answer.status == 200
        ended = time.monotonic()
        worker.statuses[answer.status] += 1
        _judge(worker, house, what, answer)
        if succeeded:
            worker.finished.append((began, ended, what))
            if what == "consume_credits":
                worker.spent += Decimal(answer.body["amount"])
            if what == "hold_credits":
                worker.caller.call("release_hold", {"hold_id": answer.body["hold_id"]})


def _judge(worker: Worker, house: House, what: str, answer: Answer) -> None:
    if answer.status >= 400 and answer.slug not in (*_REFUSED, "42501"):
        worker.wrong.append(f"{what}: {answer}")
    if any(value in answer.text for value in house.foreign):
        worker.wrong.append(f"{what} shows another organization: {answer}")


def _manage(house: House, until: float, seed: str, rest: httpx.Client, stack: StackUnderTest) -> int:
    """Remove members and revoke keys, and give them back a little later; return how often."""
    chance, changes = random.Random(seed), 0
    while time.monotonic() < until:
        worker = chance.choice(house.workers)
        if worker.user_id:
            person = {"organization_id": house.cast_id, "user_id": worker.user_id}
            assert house.owner.call("remove_member", person).status == 200
            worker.gone.append([time.monotonic(), float("inf")])
            _pause(chance, until)
            _invite_back(house, worker)
        else:
            assert house.owner.call("revoke_agent_key", {"key_id": worker.key_id}).status == 200
            worker.gone.append([time.monotonic(), float("inf")])
            _pause(chance, until)
            made = house.owner.call("create_agent_key", {"organization_id": house.cast_id, "name": "next"})
            worker.gone[-1][1] = time.monotonic()
            worker.key_id = made.body["key_id"]
            headers = {"apikey": stack.publishable_key, "x-agent-key": made.body["key"]}
            worker.caller = Caller("agent", rest, headers)
        changes += 1
    return changes


def _pause(chance: random.Random, until: float) -> None:
    """Stay away for a few calls of the others: an event of its own, or the end."""
    threading.Event().wait(min(chance.uniform(0.05, 0.4), max(until - time.monotonic(), 0)))


def _invite_back(house: House, worker: Worker) -> None:
    email = f"{worker.user_id}@security.test"
    wish = {"organization_id": house.cast_id, "email": email, "role": "member"}
    invitation = house.owner.call("invite_member", wish)
    assert invitation.status == 200, invitation
    worker.gone[-1][1] = time.monotonic()
    assert worker.caller.call("accept_invitation", {"token": invitation.body["token"]}).status == 200


@contextmanager
def _unlimited(database: Database) -> Iterator[None]:
    """Take away the limits of what the managers and those who come back do more often than people would."""
    limits = database.execute(
        "select name, requests, per from billing_private.request_limits where organization_id is null "
        "and name in ('invite_member', 'accept_invitation', 'create_agent_key')"
    ).fetchall()
    assert len(limits) == 3
    change = "select billing.set_request_limit(%s, %s, %s, reason => 'soak')"
    for limit in limits:
        database.execute(change, (limit["name"], None, limit["per"]))
    try:
        yield
    finally:
        for limit in limits:
            database.execute(change, (limit["name"], limit["requests"], limit["per"]))


@contextmanager
def _connections(stack: StackUnderTest) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.rest_url, timeout=30, limits=httpx.Limits(max_connections=60)) as client:
        yield client


def _houses(
    database: Database, callers_of: CallersOf, rest: httpx.Client, stack: StackUnderTest, key: SigningKey
) -> list[House]:
    houses = []
    for _ in range(2):
        cast = make_cast(database)
        grant = "select billing.grant_credits(%s, 1000000, 'promotion', 'soak')"
        database.execute(grant, (cast.acme,))
        database.execute("delete from billing.credit_limits where organization_id = %s", (cast.acme,))
        owner = callers_of(cast)["owner"]
        workers = [_person(database, cast, rest, stack, key) for _ in range(5)]
        workers += [_agent(owner, cast, rest, stack) for _ in range(5)]
        houses.append(House(cast.acme, owner, cast.ids["agent_type"], workers, (str(cast.globex),)))
    first, second = houses
    first.foreign += (str(second.cast_id),)
    second.foreign += (str(first.cast_id),)
    return houses


def _person(
    database: Database, cast: Cast, rest: httpx.Client, stack: StackUnderTest, key: SigningKey
) -> Worker:
    row = database.execute(
        "insert into auth.users (instance_id, id, aud, role, email, email_confirmed_at, raw_app_meta_data, "
        "raw_user_meta_data, created_at, updated_at) select '00000000-0000-0000-0000-000000000000', i, "
        "'authenticated', 'authenticated', i || '@security.test', now(), '{}', '{}', now(), now() "
        "from gen_random_uuid() as i returning id"
    ).fetchone()
    assert row is not None
    member = (
        "insert into billing.organization_members (organization_id, user_id, role) values (%s, %s, 'member')"
    )
    database.execute(member, (cast.acme, row["id"]))
    token = user_token(key, row["id"])
    headers = {"apikey": stack.publishable_key, "Authorization": f"Bearer {token}"}
    return Worker(Caller("member", rest, headers), cast.acme, user_id=row["id"])


def _agent(owner: Caller, cast: Cast, rest: httpx.Client, stack: StackUnderTest) -> Worker:
    made = owner.call("create_agent_key", {"organization_id": cast.acme, "name": "soak"}).body
    headers = {"apikey": stack.publishable_key, "x-agent-key": made["key"]}
    return Worker(Caller("agent", rest, headers), cast.acme, key_id=made["key_id"])


@pytest.mark.timeout(SECONDS + 180)
def test_nothing_succeeds_after_a_right_is_gone(
    owner_session: Database, callers_of: CallersOf, stack: StackUnderTest, signing_key: SigningKey
) -> None:
    with _connections(stack) as rest, _unlimited(owner_session):
        houses = _houses(owner_session, callers_of, rest, stack, signing_key)
        before = {house.cast_id: _consumed(owner_session, house.cast_id) for house in houses}
        until = time.monotonic() + SECONDS
        with ThreadPoolExecutor(max_workers=22) as pool:
            work = [
                pool.submit(_work, worker, house, until, f"{place}-{number}")
                for place, house in enumerate(houses)
                for number, worker in enumerate(house.workers)
            ]
            managing = [
                pool.submit(_manage, house, until, f"manager {place}", rest, stack)
                for place, house in enumerate(houses)
            ]
            changes = sum(future.result() for future in managing)
            for future in work:
                future.result()
    late = [
        (what, began, ended)
        for house in houses
        for worker in house.workers
        for began, ended, what in worker.finished
        if worker.had_no_right(began, ended)
    ]
    statuses: Counter[int] = sum((w.statuses for house in houses for w in house.workers), Counter())
    print(f"{sum(statuses.values())} calls {dict(statuses)}, {changes} revocations, {len(late)} late")
    assert late == []
    assert [wrong for house in houses for worker in house.workers for wrong in worker.wrong] == []
    assert changes > SECONDS / 4
    assert statuses[401] + statuses[403] > 0, "people without a right were at the door"
    for house in houses:
        receipts = sum((worker.spent for worker in house.workers), Decimal(0))
        assert _consumed(owner_session, house.cast_id) - before[house.cast_id] == receipts
        broken = owner_session.execute("select * from billing.verify_ledger(%s)", (house.cast_id,))
        assert broken.fetchall() == []


def _consumed(database: Database, organization_id: UUID) -> Decimal:
    query = "select coalesce(sum(amount), 0) as n from billing.credit_usage where organization_id = %s"
    row = database.execute(query, (organization_id,)).fetchone()
    assert row is not None
    return Decimal(row["n"])
