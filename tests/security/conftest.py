"""Fixtures of the security tests: the cast on stage, and a caller for each principal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.conftest import StackUnderTest
from tests.security.cast import PRINCIPALS, Cast, make_cast, token_claims
from tests.security.catalogue import Database
from tests.security.http import Caller, user_token

SigningKey = Mapping[str, str]
CallersOf = Callable[[Cast], dict[str, Caller]]


@pytest.fixture(scope="session")
def owner_session(stack: StackUnderTest) -> Iterator[Database]:
    """A session of the schema's owner, in autocommit, for the whole run."""
    with psycopg.connect(stack.database_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """The project's private key, with which only its auth server should sign."""
    key: dict[str, Any] = json.loads(Path(os.environ["TALLYBASE_SIGNING_KEY_FILE"]).read_text())
    return key


@pytest.fixture(scope="session")
def rest(stack: StackUnderTest) -> Iterator[httpx.Client]:
    """Connections to PostgREST through the gateway."""
    with httpx.Client(base_url=stack.rest_url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def anon_caller(stack: StackUnderTest, rest: httpx.Client) -> Caller:
    """A visitor."""
    return Caller("anon", rest, {"apikey": stack.publishable_key})


@pytest.fixture(scope="session")
def tokens_on(owner_session: Database) -> Iterator[None]:
    """Agents' tokens are on while any process of the run needs them: the last one switches them off."""
    shared = "pg_catalog.hashtextextended('tests.agent_tokens', 0)"
    owner_session.execute(f"select pg_advisory_lock_shared({shared})".encode())
    owner_session.execute(
        "insert into billing_private.settings (name, value) values ('agent_tokens', 'on')"
        " on conflict (name) do update set value = 'on'"
    )
    yield
    owner_session.execute(f"select pg_advisory_unlock_shared({shared})".encode())
    switch_off = "delete from billing_private.settings where name = 'agent_tokens'"
    owner_session.execute(f"{switch_off} and pg_try_advisory_lock({shared})".encode())


@pytest.fixture(scope="session")
def callers_of(
    stack: StackUnderTest, rest: httpx.Client, signing_key: SigningKey, anon_caller: Caller, tokens_on: None
) -> CallersOf:
    """Returns a function: a cast → a caller for each of its principals."""

    def callers(cast: Cast) -> dict[str, Caller]:
        visitor = anon_caller.headers
        made = {
            "anon": anon_caller,
            "agent": Caller("agent", rest, visitor | {"x-agent-key": cast.agent_key}),
            "service": Caller("service", rest, {"apikey": stack.secret_key}),
        }
        claims = token_claims(cast) | {"role": "billing_agent", "aud": "billing_agent"}
        token = user_token(signing_key, None, **claims)
        made["agent_token"] = Caller("agent_token", rest, visitor | {"Authorization": f"Bearer {token}"})
        for name, user_id in cast.users.items():
            token = user_token(signing_key, user_id)
            made[name] = Caller(name, rest, visitor | {"Authorization": f"Bearer {token}"})
        assert set(made) == set(PRINCIPALS)
        return made

    return callers


@pytest.fixture(scope="module")
def cast(owner_session: Database) -> Cast:
    """A furnished cast for one module, whose tests only read or are refused."""
    return make_cast(owner_session, furnished=True)


@pytest.fixture(scope="module")
def callers(cast: Cast, callers_of: CallersOf) -> dict[str, Caller]:
    """A caller for each principal of the module's cast."""
    return callers_of(cast)
