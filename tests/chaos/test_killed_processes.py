"""kill -9 of Postgres, PostgREST and a worker during a run of spends: nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from stack.supervisor.events import read_from
from stack.supervisor.record import read
from stack.testing.instance import running_instance
from supabase import ClientOptions, create_client
from tallybase import Credits, RetryPolicy
from tallybase.transport import HttpxTransport, Request, Response

pytestmark = [pytest.mark.chaos, pytest.mark.xdist_group("chaos"), pytest.mark.timeout(300)]

AGENTS = 6
SPENDS_EACH = 60
PRICE = Decimal(1)
GRANTED = Decimal(AGENTS * SPENDS_EACH + 7)
PATIENCE_SECONDS = 90
#: After this many receipts the named process is killed; the run goes on meanwhile.
KILLS = {40: "postgrest", 110: "postgres", 190: "workers", 270: "postgres"}

#: The body of PostgREST's 400 for a connection to the database that broke during the COMMIT.
CUT_OFF = {"code": "", "details": None, "hint": None, "message": ""}


@dataclass
class Run:
    """What the agents were told.

    Attributes:
        receipts: by idempotency key.
        retries: answers and errors that made an agent ask again, counted.
    """

    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    retries: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An instance of its own, with commits flushed to the disk as in production."""
    folder = tmp_path_factory.mktemp("chaos") / "stack"
    with running_instance(folder, {"TALLYBASE_FRONTEND": "0", "TALLYBASE_DURABLE": "1"}) as environment:
        yield environment


@pytest.fixture(scope="module")
def agent_key(instance: dict[str, str]) -> str:
    """A key of an agent of a new organization that has `GRANTED` credits."""
    options = ClientOptions(schema="billing")
    service = create_client(instance["SUPABASE_URL"], instance["SUPABASE_SECRET_KEY"], options)
    user = service.auth.admin.create_user(
        {"email": "owner@chaos.test", "password": "chaos-chaos", "email_confirm": True}
    )
    made: Any = (
        service.rpc("create_organization", {"name": "Chaos", "owner_user_id": user.user.id}).execute().data
    )
    organization = {"organization_id": made["organization_id"]}
    grant = {"amount": str(GRANTED), "source": "adjustment", "source_reference": "chaos"}
    service.rpc("grant_credits", organization | grant).execute()
    key: Any = service.rpc("create_agent_key", organization | {"name": "chaos"}).execute().data
    return str(key["key"])


def test_no_credit_is_lost_or_doubled(instance: dict[str, str], agent_key: str) -> None:
    run = Run()
    with ThreadPoolExecutor(AGENTS + 1) as pool:
        killer = pool.submit(_kill_on_the_way, instance, run)
        agents = [pool.submit(_spend_all, instance, agent_key, number, run) for number in range(AGENTS)]
        for agent in agents:
            agent.result()
        assert killer.result() == list(KILLS.values())

    assert len(run.receipts) == AGENTS * SPENDS_EACH
    assert sum(run.retries.values()) > 0, "the kills went unnoticed: the test shows nothing"
    with psycopg.connect(instance["DATABASE_URL"], autocommit=True) as connection:
        booked = connection.execute(
            "select transaction_id::text, amount from billing.credit_usage where agent_type = 'TestAgent'"
        ).fetchall()
        assert {row[0] for row in booked} == {receipt["transaction_id"] for receipt in run.receipts.values()}
        assert len(booked) == AGENTS * SPENDS_EACH
        assert sum(row[1] for row in booked) == PRICE * len(booked)
        balance = connection.execute(
            "select balance from billing.credit_balances as b"
            " join billing.organizations as o using (organization_id) where o.name = 'Chaos'"
        ).fetchone()
        assert balance == (GRANTED - PRICE * len(booked),)
        assert connection.execute("select * from billing.verify_ledger()").fetchall() == []

    died = Counter(event["service"] for event in _events(instance) if event["event"] == "service_died")
    recovered = Counter(
        event["service"] for event in _events(instance) if event["event"] == "service_recovered"
    )
    assert died >= Counter(KILLS.values())
    assert recovered >= Counter(KILLS.values())


def test_a_spend_that_is_cut_off_in_its_commit_is_asked_again(
    instance: dict[str, str], agent_key: str
) -> None:
    transport = _Recorder()
    client = Credits(
        instance["SUPABASE_URL"],
        instance["SUPABASE_PUBLISHABLE_KEY"],
        agent_key=agent_key,
        retry=RetryPolicy(deadline=PATIENCE_SECONDS, max_attempts=100),
        transport=transport,
    )
    with client, _slow_commits(instance["DATABASE_URL"]), ThreadPoolExecutor(1) as pool:
        spend = pool.submit(client.consume, "TestAgent", "test", amount=3, idempotency_key="cut-off")
        os.kill(_committing(instance["DATABASE_URL"]), signal.SIGKILL)
        receipt = spend.result(PATIENCE_SECONDS)
    assert (transport.answers[0].status, json.loads(transport.answers[0].content)) == (400, CUT_OFF)
    assert receipt.amount == 3
    with psycopg.connect(instance["DATABASE_URL"], autocommit=True) as connection:
        booked = connection.execute(
            "select transaction_id::text from billing.credit_usage where idempotency_key = 'cut-off'"
        ).fetchall()
        assert booked == [(str(receipt.transaction_id),)]
        assert connection.execute("select * from billing.verify_ledger()").fetchall() == []


class _Recorder(HttpxTransport):
    """Sends as the SDK does and keeps the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Response] = []

    def send(self, request: Request, time_limit: float) -> Response:
        answer = super().send(request, time_limit)
        self.answers.append(answer)
        return answer


@contextmanager
def _slow_commits(database_url: str) -> Iterator[None]:
    """Let every transaction that writes the ledger take a second over its COMMIT."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            """
            create function public.take_time() returns trigger language plpgsql
            as 'begin perform pg_sleep(1); return null; end';
            create constraint trigger take_time after insert on billing.credit_transactions
            deferrable initially deferred for each row execute function public.take_time();
            """
        )
    try:
        yield
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("drop function public.take_time cascade")


def _committing(database_url: str) -> int:
    """Return the process of a connection of PostgREST that is in its COMMIT."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(database_url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            found = connection.execute(
                "select pid from pg_stat_activity where usename = 'authenticator' and wait_event = 'PgSleep'"
            ).fetchone()
            if found is not None:
                return int(found[0])
            time.sleep(0.02)
    raise AssertionError("no COMMIT was seen")


def _spend_all(instance: dict[str, str], agent_key: str, agent: int, run: Run) -> None:
    """Spend, every third time through the workers, asking again with the same key until answered."""
    headers = {
        "apikey": instance["SUPABASE_PUBLISHABLE_KEY"],
        "x-agent-key": agent_key,
        "Content-Profile": "billing",
    }
    direct = f"{instance['SUPABASE_URL']}/rest/v1/rpc/consume_credits"
    through_worker = f"{instance['WORKERS_URL']}/api/credits/use"
    with httpx.Client(headers=headers, timeout=20) as client:
        for number in range(SPENDS_EACH):
            key = f"chaos-{agent}-{number}"
            body = {"agent_type": "TestAgent", "action": "test", "amount": str(PRICE), "idempotency_key": key}
            receipt = _ask_until_answered(client, through_worker if number % 3 == 0 else direct, body, run)
            with run.lock:
                run.receipts[key] = receipt


def _ask_until_answered(client: httpx.Client, url: str, body: dict[str, str], run: Run) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = client.post(url, json=body, headers={"Idempotency-Key": body["idempotency_key"]})
        except httpx.TransportError as error:
            reason = type(error).__name__
        else:
            if answer.status_code < 300:
                receipt: dict[str, Any] = answer.json()
                return receipt
            assert answer.status_code >= 500 or _says_nothing(answer), answer.text
            reason = str(answer.status_code)
        with run.lock:
            run.retries[reason] += 1
        time.sleep(0.1)
    raise AssertionError(f"no answer in {PATIENCE_SECONDS} s: {dict(run.retries)}")


def _says_nothing(answer: httpx.Response) -> bool:
    """Whether it is PostgREST's answer for a connection to the database that broke during the COMMIT."""
    return answer.status_code == 400 and answer.json() == CUT_OFF


def _kill_on_the_way(instance: dict[str, str], run: Run) -> list[str]:
    killed = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    for receipts, service in KILLS.items():
        while len(run.receipts) < receipts:
            assert time.monotonic() < deadline, f"the run stands still at {len(run.receipts)} receipts"
            time.sleep(0.005)
        os.kill(_pid(instance, service), signal.SIGKILL)
        killed.append(service)
    return killed


def _pid(instance: dict[str, str], service: str) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        record = read(Path(instance["TALLYBASE_STACK_DIR"]) / "run" / "processes.json")
        one = record.services.get(service) if record is not None else None
        if one is not None and one.state == "running" and one.pid is not None:
            return one.pid
        time.sleep(0.05)
    raise AssertionError(f"{service} does not run")


def _events(instance: dict[str, str]) -> list[dict[str, Any]]:
    return read_from(Path(instance["TALLYBASE_STACK_DIR"]) / "logs" / "supervisor.log", 0)[0]
