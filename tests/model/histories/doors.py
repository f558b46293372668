"""How a call reaches the database: through SQL exactly as PostgREST does it, or through PostgREST itself.

A door also loses answers: the call is sent, and the client is gone before it is told what became of it.
"""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import httpx
import psycopg
from psycopg import sql
from psycopg.types.json import set_json_loads

from ..database import exactly
from ..entities import Refused
from .world import Caller, Tenant, as_json

#: Functions that answer one row for each event.
SETS = {"consume_credits_batch"}


@dataclass(frozen=True, order=True)
class Mark:
    """What an observer sees: an organization's last entry, and the database's clock."""

    sequence: int
    at: datetime


@dataclass(frozen=True)
class Told:
    """What a client knows of a call: the marks before and after it, and the answer.

    `within`, where it was asked for, is the mark in the same transaction, under the organization's lock.
    """

    before: Mark
    after: Mark
    answer: Any | Refused
    within: Mark | None = None


class Door(Protocol):
    """A way to call. Not shared between threads."""

    def call(self, tenant: Tenant, caller: Caller, function: str, arguments: Mapping[str, Any]) -> Told:
        """Call a function of schema `billing`; refusals are answers, anything else is an error."""

    def lose(self, tenant: Tenant, caller: Caller, function: str, arguments: Mapping[str, Any]) -> Mark:
        """Send a call and be gone before its answer. Returns the mark before it."""

    def close(self) -> None:
        """Let go of the connection."""


class SqlDoor:
    """A session that sets role and request as PostgREST does, one transaction and one round trip a call."""

    def __init__(self, database_url: str, randomness: random.Random) -> None:
        self._url = database_url
        self._random = randomness
        self._connection = _connect(database_url)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def mark(self, tenant: Tenant) -> Mark:
        """Return the organization's last sequence and the database's clock."""
        return _read_mark(self._connection.execute(_mark_query(tenant)).fetchone())

    def call(self, tenant: Tenant, caller: Caller, function: str, arguments: Mapping[str, Any]) -> Told:
        """Call, between two marks."""
        return self._told(tenant, _transaction(tenant, caller, function, arguments), function in SETS)

    def call_placed(
        self, tenant: Tenant, caller: Caller, function: str, arguments: Mapping[str, Any]
    ) -> Told:
        """Call something that writes no entry, and learn its place while the lock is still held."""
        return self._told(tenant, _transaction(tenant, caller, function, arguments, is_placed=True), False)

    def configure(self, tenant: Tenant, column: str, value: object) -> Told:
        """Set a column of the organization as an operator would, under its lock."""
        change = sql.SQL(
            "begin; select billing_private.lock_organization({organization});"
            " update billing.organizations set {column} = {value} where organization_id = {organization};"
            " select null; {mark}; commit; {mark}"
        ).format(
            mark=_mark_query(tenant),
            organization=sql.Literal(tenant.organization_id),
            column=sql.Identifier(column),
            value=sql.Literal(value),
        )
        return self._told(tenant, change, False)

    def sit_on_the_lock(self, tenant: Tenant, seconds: float) -> None:
        """Hold the organization's lock for so long, as a careless report might."""
        self._connection.execute(
            sql.SQL("begin; select pg_advisory_xact_lock({}); select pg_sleep({}); commit").format(
                sql.Literal(tenant.ledger_number), sql.Literal(seconds)
            )
        )

    def lose(self, tenant: Tenant, caller: Caller, function: str, arguments: Mapping[str, Any]) -> Mark:
        """Send a call and die: before the commit, after it, or without knowing, by closing the socket."""
        before = self.mark(tenant)
        way = self._random.choice(("before", "after", "hang up"))
        query = _transaction(tenant, caller, function, arguments, dies=way)
        if way == "hang up":
            self._send_and_hang_up(query.as_bytes(self._connection))
        else:
            with suppress(psycopg.Error):
                self._connection.execute(query)
        self._connection.close()
        self._connection = _connect(self._url)
        return before

    def _send_and_hang_up(self, query: bytes) -> None:
        session = self._connection.pgconn
        session.send_query(query)
        while session.flush():
            pass
        with socket.socket(fileno=os.dup(session.socket)) as line:
            line.shutdown(socket.SHUT_RDWR)

    def _told(self, tenant: Tenant, transaction: sql.Composed, is_set: bool) -> Told:
        before = self.mark(tenant)
        cursor = self._connection.cursor()
        try:
            cursor.execute(transaction)
        except psycopg.Error as error:
            refusal = refusal_of(error)
            cursor.execute(sql.SQL("rollback; {}").format(_mark_query(tenant)))
            cursor.nextset()
            return Told(before, _read_mark(cursor.fetchone()), refusal)
        results = _all_rows(cursor)
        rows = results[1]
        within = _read_mark(results[2][0]) if len(results) == 4 else None
        answer = [row[0] for row in rows] if is_set else rows[0][0]
        return Told(before, _read_mark(results[-1][0]), answer, within)


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    connection = psycopg.connect(url, autocommit=True)
    set_json_loads(exactly, connection)
    return connection


def refusal_of(error: psycopg.Error) -> Refused:
    """Return the refusal that an SQL error is; anything else (a deadlock, say) is a defect and is raised."""
    if not (error.sqlstate or "").startswith("PT"):
        raise error
    details = exactly(error.diag.message_detail or "{}")
    return Refused(int(str(error.sqlstate)[2:]), str(error.diag.message_primary), **details)


def _all_rows(cursor: psycopg.Cursor[tuple[Any, ...]]) -> list[list[tuple[Any, ...]]]:
    found = []
    while True:
        if cursor.description:
            found.append(cursor.fetchall())
        if not cursor.nextset():
            return found


def _transaction(
    tenant: Tenant,
    caller: Caller,
    function: str,
    arguments: Mapping[str, Any],
    *,
    is_placed: bool = False,
    dies: str | None = None,
) -> sql.Composed:
    """Write the transaction in which PostgREST would make a call; then look at where the ledger is.

    Args:
        tenant: whose ledger.
        caller: role, claims and headers of the request.
        function: of schema `billing`.
        arguments: of the function, by name.
        is_placed: look also before the commit, under the organization's lock.
        dies: `before` or `after` the commit the session ends itself.
    """
    death = sql.SQL("select pg_terminate_backend(pg_backend_pid());")
    nothing = sql.SQL("")
    return sql.SQL(
        "begin; select set_config('role', {role}, true), set_config('request.jwt.claims', {claims}, true),"
        " set_config('request.headers', {headers}, true);"
        " select to_jsonb(answer) from billing.{function}({named}) as answer;"
        " {placed} {dies_before} commit; {dies_after} {mark}"
    ).format(
        role=sql.Literal(caller.role),
        claims=sql.Literal(as_json(caller.claims)),
        headers=sql.Literal(as_json(caller.headers)),
        function=sql.Identifier(function),
        named=sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Literal(_as_text(value)))
            for name, value in arguments.items()
        ),
        placed=sql.SQL("reset role; {};").format(_mark_query(tenant)) if is_placed else nothing,
        dies_before=death if dies == "before" else nothing,
        dies_after=death if dies == "after" else nothing,
        mark=_mark_query(tenant),
    )


def _as_text(value: object) -> str | None:
    """Write an argument as an untyped literal; arrays of text as Postgres writes them."""
    if value is None:
        return None
    if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
        return json.dumps(value, default=str)
    if isinstance(value, list):
        return "{" + ",".join(value) + "}"
    return str(value)


def _mark_query(tenant: Tenant) -> sql.Composed:
    return sql.SQL(
        "select coalesce((select t.sequence from billing.credit_transactions as t"
        " where t.organization_id = {} order by t.sequence desc limit 1), 0), clock_timestamp()"
    ).format(sql.Literal(tenant.organization_id))


def _read_mark(row: tuple[Any, ...] | None) -> Mark:
    assert row is not None
    return Mark(row[0], row[1])


class HttpDoor:
    """PostgREST, over HTTP; the marks are read beside it through SQL."""

    def __init__(
        self, supabase_url: str, keys: Mapping[str, str], tokens: Mapping[str, str], observer: SqlDoor
    ) -> None:
        """Open the door.

        Args:
            supabase_url: the project.
            keys: its API keys: `publishable` and `secret`.
            tokens: access tokens by user id.
            observer: reads the marks.
        """
        self._url = supabase_url
        self._keys = keys
        self._tokens = tokens
        self.observer = observer
        self._client = httpx.Client(timeout=60)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
        self.observer.close()

    def call(self, tenant: Tenant, caller: Caller, function: str, arguments: Mapping[str, Any]) -> Told:
        """Call by POST, between two marks."""
        before = self.observer.mark(tenant)
        response = self._client.post(
            self._address(function), content=_as_body(arguments), headers=self._headers(caller)
        )
        body = exactly(response.text)
        if response.status_code == 200:
            return Told(before, self.observer.mark(tenant), body)
        code, slug = body.get("code", ""), body.get("message", "")
        assert code == f"PT{response.status_code}", f"not a refusal of ours: {response.text}"
        refusal = Refused(response.status_code, slug, **exactly(body["details"] or "{}"))
        return Told(before, self.observer.mark(tenant), refusal)

    def lose(self, tenant: Tenant, caller: Caller, function: str, arguments: Mapping[str, Any]) -> Mark:
        """Send the request and close the connection."""
        before = self.observer.mark(tenant)
        with httpx.Client(timeout=httpx.Timeout(60, read=0.000001)) as impatient, suppress(httpx.ReadTimeout):
            impatient.post(
                self._address(function), content=_as_body(arguments), headers=self._headers(caller)
            )
        return before

    def _address(self, function: str) -> str:
        return f"{self._url}/rest/v1/rpc/{function}"

    def _headers(self, caller: Caller) -> dict[str, str]:
        key = self._keys["secret" if caller.role == "service_role" else "publishable"]
        headers = {"apikey": key, "Content-Profile": "billing", "Content-Type": "application/json"}
        if caller.user_id:
            headers["Authorization"] = f"Bearer {self._tokens[caller.user_id]}"
        return headers | dict(caller.headers)


def _as_body(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, default=str)
