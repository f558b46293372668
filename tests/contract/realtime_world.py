"""Topics with known rules, and people who may or may not use them."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql

from tests.contract.auth_clients import AuthClient, PythonAuthClient
from tests.contract.node_driver import NodeDriver
from tests.contract.realtime_clients import JavaScriptRealtimeClient, PythonRealtimeClient, RealtimeClient
from tests.contract.target import PASSWORD, Json, Target, new_email

_OWN_TOPIC = "split_part((select realtime.topic()), ':', 3) = (select auth.uid())::text"
_FAILING = "1 / (0 * length((select realtime.topic()))) = 1"
_RULES = {
    "select": f"{_OWN_TOPIC} and case when (select realtime.topic()) like 'contract-broken:%'"
    f" then {_FAILING} else true end",
    "insert": f"{_OWN_TOPIC} and (select realtime.topic()) like 'contract-rw:%'",
}


@pytest.fixture(scope="session")
def rules(target: Target) -> Iterator[None]:
    """Policies: the owner of a topic `<kind>:…:<user id>` may read it, and write it if `contract-rw`."""
    suffix = secrets.token_hex(4)
    with psycopg.connect(target.database_url, autocommit=True) as connection:
        for command, rule in _RULES.items():
            clause = "using" if command == "select" else "with check"
            connection.execute(
                sql.SQL("create policy {} on realtime.messages for {} to authenticated {} ({})").format(
                    sql.Identifier(f"contract_{command}_{suffix}"),
                    sql.SQL(command),
                    sql.SQL(clause),
                    sql.SQL(rule),
                )
            )
        yield
        for command in _RULES:
            connection.execute(
                sql.SQL("drop policy {} on realtime.messages").format(
                    sql.Identifier(f"contract_{command}_{suffix}")
                )
            )


@dataclass(frozen=True)
class Person:
    """A signed-in user."""

    user_id: str
    email: str
    access_token: str

    def topic(self, kind: str = "contract") -> str:
        """A fresh topic that only this person may read."""
        return f"{kind}:{secrets.token_hex(4)}:{self.user_id}"


@pytest.fixture
def new_person(target: Target, administrator: AuthClient, rules: None) -> PersonFactory:
    """Makes signed-in users."""
    return PersonFactory(target, administrator)


@dataclass(frozen=True)
class PersonFactory:
    """Registers users and signs them in."""

    target: Target
    administrator: AuthClient

    def __call__(self) -> Person:
        """Register somebody new."""
        email = new_email("listener")
        self.administrator.admin("create_user", {"email": email, "password": PASSWORD, "email_confirm": True})
        client = PythonAuthClient(self.target, self.target.publishable_key)
        answer = client.call("sign_in_with_password", {"email": email, "password": PASSWORD})
        return Person(answer.user_id, email, answer.access_token)


@dataclass
class Lines:
    """Opens realtime connections and closes them after the test."""

    target: Target
    node: NodeDriver
    library: str
    opened: list[RealtimeClient] = field(default_factory=list)

    def open(self, token: str | None = None, library: str | None = None) -> RealtimeClient:
        """Open a connection, as a user or with the publishable key alone."""
        client: RealtimeClient
        if (library or self.library) == "supabase-py":
            client = PythonRealtimeClient(self.target, token)
        else:
            client = JavaScriptRealtimeClient(self.node, self.target, token)
        self.opened.append(client)
        return client


@pytest_asyncio.fixture(params=["supabase-py", "supabase-js"])
async def lines(request: pytest.FixtureRequest, target: Target, node: NodeDriver) -> AsyncIterator[Lines]:
    """Realtime connections of one library; each test runs with both."""
    opened = Lines(target, node, request.param)
    yield opened
    for client in opened.opened:
        await client.close()


async def send_from_database(
    target: Target, topic: str, payload: Json | str, *, event: str = "changed", private: bool = True
) -> None:
    """Send as a migration's trigger would: with `realtime.send` in a transaction of its own."""
    content = payload if isinstance(payload, str) else json.dumps(payload)
    async with await psycopg.AsyncConnection.connect(target.database_url) as connection:
        await connection.execute(
            "select realtime.send(%s::jsonb, %s, %s, %s)", [content, event, topic, private]
        )
