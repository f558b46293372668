"""The clients of the loads: the floor and the product, in SQL and through PostgREST."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence

from .callers import HttpCall, Session
from .load import Client, ClientFactory
from .tenants import Project, Tenant

_FLOOR = """
update tallybase_bench.balances set amount = amount - 1 where organization_id = $1::uuid and amount >= 1
"""
_ENTRY = "select tallybase_bench.append($1::uuid, $2)"
_SPEND = "select * from billing.consume_credits('TestAgent', 'test', amount => 1, idempotency_key => $1)"
# Each call is of another organization's agent, so its header is set with it, in the one round trip.
_SPEND_OF_ANY = """
with request as materialized (select set_config('request.headers', $1, false) as headers)
select receipt.* from request cross join lateral billing.consume_credits(
  'TestAgent', 'test', amount => case when request.headers <> '' then 1 end, idempotency_key => $2
) as receipt
"""
_BATCH = "select count(*) from billing.consume_credits_batch($1::jsonb)"
_HOLD = """
select hold_id from billing.hold_credits('TestAgent', 'test', amount => $1::numeric, idempotency_key => $2)
"""
_REPORT = "select hold_id from billing.extend_hold($1::uuid, metered => $2::numeric)"
_CAPTURE = "select transaction_id from billing.capture_hold($1::uuid, $2::numeric, idempotency_key => $3)"


def _key(client: int, number: int) -> str:
    """A time-ordered idempotency key, as the SDK makes them."""
    return f"{time.time_ns():020d}-{client}-{number}"


def _event(client: int, number: int) -> dict[str, object]:
    """A spend as an agent sends it."""
    return {
        "agent_type": "TestAgent",
        "action": "test",
        "amount": 1,
        "idempotency_key": _key(client, number),
    }


def floor(database_url: str, tenants: Sequence[Tenant]) -> ClientFactory:
    """The cheapest guarded debit: one conditional update."""

    def client(number: int) -> Client:
        call = Session(database_url).prepare(_FLOOR)
        turns = itertools.islice(itertools.cycle(tenants), number % len(tenants), None)
        return Client(lambda: void(call(next(turns).organization_id)))

    return client


def bare_entry(database_url: str, tenant: Tenant) -> ClientFactory:
    """An entry of the bare ledger: see `tenants`."""

    def client(number: int) -> Client:
        call = Session(database_url).prepare(_ENTRY)
        numbers = itertools.count()
        return Client(lambda: void(call(tenant.organization_id, _key(number, next(numbers)))))

    return client


def spend(database_url: str, tenant: Tenant) -> ClientFactory:
    """A whole spend by an agent key with one limit."""

    def client(number: int) -> Client:
        call = Session(database_url, headers=tenant.headers).prepare(_SPEND)
        numbers = itertools.count()
        return Client(lambda: void(call(_key(number, next(numbers)))))

    return client


def spend_of_any(database_url: str, tenants: Sequence[Tenant]) -> ClientFactory:
    """The same, each call by the next organization's agent."""

    def client(number: int) -> Client:
        call = Session(database_url, headers={}).prepare(_SPEND_OF_ANY)
        headers = [json.dumps(tenant.headers) for tenant in tenants]
        turns = itertools.islice(itertools.cycle(headers), number % len(tenants), None)
        numbers = itertools.count()
        return Client(lambda: void(call(next(turns), _key(number, next(numbers)))))

    return client


def batch(database_url: str, tenant: Tenant, size: int) -> ClientFactory:
    """Batches of so many spends."""

    def client(number: int) -> Client:
        call = Session(database_url, headers=tenant.headers).prepare(_BATCH)
        return Client(lambda: void(call(json.dumps([_event(number, place) for place in range(size)]))))

    return client


class _Lease:
    """An agent that spends one credit after another inside a hold, and takes the next when it is used up.

    What it has spent is reported now and then, so that an agent that dies is charged for what it reported.
    """

    def __init__(self, database_url: str, tenant: Tenant, number: int, size: int, report_every: int) -> None:
        session = Session(database_url, headers=tenant.headers)
        self._take, self._report, self._capture = map(session.prepare, (_HOLD, _REPORT, _CAPTURE))
        self._number, self._size, self._report_every = number, size, report_every
        self._holds = itertools.count()
        self._hold_id = ""
        self._spent = 0

    def call(self) -> None:
        """Spend one credit."""
        if self._spent == self._size:
            self.settle()
        if not self._hold_id:
            self._hold_id = self._take.value(str(self._size), _key(self._number, next(self._holds)))
        self._spent += 1
        if self._spent % self._report_every == 0 and self._spent < self._size:
            self._report(self._hold_id, str(self._spent))

    def warm_up(self) -> None:
        """Make each of the three calls once, so that the session has its plans before the clock starts."""
        self.call()
        self._report(self._hold_id, str(self._spent))
        self.settle()

    def settle(self) -> None:
        """Charge what was spent and give the rest back."""
        if self._hold_id:
            self._capture(self._hold_id, str(self._spent), f"capture-{self._hold_id}")
        self._hold_id, self._spent = "", 0


def lease(database_url: str, tenant: Tenant, size: int, report_every: int) -> ClientFactory:
    """Spends of one credit inside holds.

    Args:
        database_url: of the database.
        tenant: whose agents.
        size: credits of each hold.
        report_every: after so many spends the hold is told what has been spent.
    """

    def client(number: int) -> Client:
        made = _Lease(database_url, tenant, number, size, report_every)
        made.warm_up()
        return Client(made.call, made.settle)

    return client


def statement(database_url: str, text: str, *parameters: str) -> ClientFactory:
    """Any statement, as the schema's owner."""

    def client(number: int) -> Client:
        call = Session(database_url).prepare(text)
        return Client(lambda: void(call(*parameters)))

    return client


def reading(database_url: str, owner_id: str, text: str, *parameters: str) -> ClientFactory:
    """Any query, as a signed-in person under row level security."""

    def client(number: int) -> Client:
        call = Session(database_url, claims={"sub": owner_id, "role": "authenticated"}).prepare(text)
        return Client(lambda: void(call(*parameters)))

    return client


def rpc(project: Project, function: str, tenant: Tenant) -> ClientFactory:
    """An RPC of a spend's arguments through the gateway and PostgREST, as an agent calls it."""

    def client(number: int) -> Client:
        send = HttpCall(project.rest_url, project.headers(tenant.agent_key))
        numbers = itertools.count()
        return Client(lambda: void(send("POST", f"/rpc/{function}", _event(number, next(numbers)))))

    return client


def request(project: Project, token: str, method: str, path: str, body: object = None) -> ClientFactory:
    """The same request again and again, of a signed-in person."""

    def client(number: int) -> Client:
        send = HttpCall(project.rest_url, project.headers() | {"Authorization": f"Bearer {token}"})
        return Client(lambda: void(send(method, path, body)))

    return client


def void(answer: object) -> None:
    """Takes an answer that only had to come."""
