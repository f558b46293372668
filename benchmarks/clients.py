"""The clients of the loads: the floor and the product, in SQL and through PostgREST."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from functools import partial

import httpx
import psycopg

from .load import ClientFactory
from .tenants import Tenant

_FLOOR = "update tallybase_bench.balances set amount = amount - 1 where organization_id = %s and amount >= 1"
_SPEND = "select * from billing.consume_credits('TestAgent', 'test', amount => 1, idempotency_key => %s)"
_BATCH = "select count(*) from billing.consume_credits_batch(%s)"


def _key(client: int, number: int) -> str:
    """A time-ordered idempotency key, as the SDK makes them."""
    return f"{time.time_ns():020d}-{client}-{number}"


def _connect(database_url: str, agent_key: str | None) -> psycopg.Connection[tuple[object, ...]]:
    connection = psycopg.connect(database_url, autocommit=True, prepare_threshold=0)
    if agent_key is not None:
        # What PostgREST sets for a request with this key; here once a connection.
        connection.execute(
            "select set_config('request.headers', %s, false)", (json.dumps({"x-agent-key": agent_key}),)
        )
        connection.execute("set role anon")
    return connection


def floor(database_url: str, tenants: Sequence[Tenant]) -> ClientFactory:
    """The cheapest guarded debit: one conditional update."""

    def client(number: int) -> Callable[[], None]:
        connection = _connect(database_url, None)
        turns = itertools.cycle(tenants[number % len(tenants) :] + tenants[: number % len(tenants)])  # type: ignore[operator]
        return lambda: _execute(connection, _FLOOR, next(turns).organization_id)

    return client


def spend(database_url: str, tenants: Sequence[Tenant]) -> ClientFactory:
    """A whole spend by an agent key with one limit; a client keeps to one organization."""

    def client(number: int) -> Callable[[], None]:
        connection = _connect(database_url, tenants[number % len(tenants)].agent_key)
        numbers = itertools.count()
        return lambda: _execute(connection, _SPEND, _key(number, next(numbers)))

    return client


def batch(database_url: str, tenant: Tenant, size: int) -> ClientFactory:
    """Batches of so many spends."""

    def call(connection: psycopg.Connection[tuple[object, ...]], number: int) -> None:
        events = [
            {"agent_type": "TestAgent", "action": "test", "amount": 1, "idempotency_key": _key(number, place)}
            for place in range(size)
        ]
        body = json.dumps(events)
        while True:  # the same keys again, as a client does when it is told that the organization is busy
            try:
                return _execute(connection, _BATCH, body)
            except psycopg.Error as refused:
                if refused.sqlstate != "PT503":
                    raise

    return lambda number: partial(call, _connect(database_url, tenant.agent_key), number)


def _execute(connection: psycopg.Connection[tuple[object, ...]], query: str, argument: object) -> None:
    connection.execute(query, (argument,))


def rpc(rest_url: str, publishable_key: str, function: str, tenant: Tenant) -> ClientFactory:
    """An RPC through the gateway and PostgREST, as an agent calls it."""
    headers = {
        "apikey": publishable_key,
        "x-agent-key": tenant.agent_key,
        "Content-Profile": "billing",
        "Content-Type": "application/json",
    }

    def client(number: int) -> Callable[[], None]:
        session = httpx.Client(base_url=rest_url, headers=headers, timeout=60)
        numbers = itertools.count()

        def call() -> None:
            body = {
                "agent_type": "TestAgent",
                "action": "test",
                "amount": 1,
                "idempotency_key": _key(number, next(numbers)),
            }
            session.post(f"/rpc/{function}", json=body).raise_for_status()

        return call

    return client
