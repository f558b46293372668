"""What all tests share: the stack under test, clients for each kind of caller, and fresh tenants.

Under `make test` the addresses come from the environment. Called by hand, pytest takes the running instance
(`make up`); with SUPABASE_URL set, any Supabase project will do.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

import psycopg
import pytest
import structlog
from psycopg.rows import dict_row

from stack.environment import public_environment
from stack.settings import StackSettings
from stack.supervisor.ports import is_free
from supabase import Client, ClientOptions, create_client

PASSWORD = "tallybase-demo"
SCHEMA = "billing"
ACME = UUID("11111111-1111-4111-8111-111111111111")
GLOBEX = UUID("22222222-2222-4222-8222-222222222222")


@dataclass(frozen=True)
class StackUnderTest:
    """Addresses and keys of the project that the tests talk to, as `make env` prints them."""

    supabase_url: str
    publishable_key: str
    secret_key: str
    database_url: str
    workers_url: str
    frontend_url: str
    stripe_twin_url: str
    mailbox_url: str
    stripe_webhook_secret: str

    @property
    def rest_url(self) -> str:
        """Base address of PostgREST."""
        return f"{self.supabase_url}/rest/v1"

    def client(self, key: str | None = None, headers: dict[str, str] | None = None) -> Client:
        """Return a supabase-py client of schema `billing`.

        Args:
            key: an API key; the publishable one when omitted.
            headers: sent with every request, such as `x-agent-key`.
        """
        options = ClientOptions(schema=SCHEMA, auto_refresh_token=False, persist_session=False)
        options.headers.update(headers or {})
        return create_client(self.supabase_url, key or self.publishable_key, options)


@dataclass(frozen=True)
class User:
    """A user that a test made, and their client.

    Attributes:
        user_id: in `auth.users`.
        email: with which, and `PASSWORD`, they sign in.
        client: signed in as them.
    """

    user_id: UUID
    email: str
    client: Client


@dataclass(frozen=True)
class Organization:
    """A tenant of a test's own.

    Attributes:
        organization_id: its id.
        name: unique.
        owner: the user who owns it.
        service: a client with the secret key.
    """

    organization_id: UUID
    name: str
    owner: User
    service: Client

    def grant(self, amount: Decimal | int | str, source: str = "adjustment", **arguments: object) -> Any:
        """Grant credits and return the grant's receipt.

        Args:
            amount: credits.
            source: see `grant_credits`.
            arguments: further arguments of `grant_credits`.
        """
        named = {
            "organization_id": str(self.organization_id),
            "amount": str(amount),
            "source": source,
            **arguments,
        }
        named.setdefault("source_reference", f"test-{secrets.token_hex(8)}")
        return self.service.rpc("grant_credits", named).execute().data

    @cached_property
    def agent_key(self) -> str:
        """A key of an agent of this organization, unbound and uncapped."""
        arguments = {"organization_id": str(self.organization_id), "name": f"agent {secrets.token_hex(4)}"}
        created: Any = self.owner.client.rpc("create_agent_key", arguments).execute().data
        return str(created["key"])


def _take_running_instance() -> None:
    """Fill the environment from the running local instance when nothing else is named."""
    if os.environ.get("SUPABASE_URL"):
        return
    settings = StackSettings.load()
    if is_free(settings.ports.gateway):
        pytest.exit(
            "no stack to test: run `make up` first, or `make test`, or set SUPABASE_URL", returncode=1
        )
    for name, value in public_environment(settings).items():
        os.environ.setdefault(name, value)


_take_running_instance()
# A twin in this process may still deliver for an earlier test while a later one reads what a command printed.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))


@pytest.fixture(scope="session")
def stack() -> StackUnderTest:
    """The project under test."""
    value = os.environ.get
    return StackUnderTest(
        supabase_url=os.environ["SUPABASE_URL"],
        publishable_key=os.environ["SUPABASE_PUBLISHABLE_KEY"],
        secret_key=os.environ["SUPABASE_SECRET_KEY"],
        database_url=value("DATABASE_URL", ""),
        workers_url=value("WORKERS_URL", ""),
        frontend_url=value("FRONTEND_URL", ""),
        stripe_twin_url=value("STRIPE_TWIN_URL", ""),
        mailbox_url=value("MAILBOX_URL", ""),
        stripe_webhook_secret=value("STRIPE_WEBHOOK_SECRET", ""),
    )


@pytest.fixture
def database(stack: StackUnderTest) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A session as `postgres`, in autocommit, rows as dictionaries."""
    with psycopg.connect(stack.database_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture(scope="session")
def secret_client(stack: StackUnderTest) -> Client:
    """A client with the secret key, by which the fixtures below make tenants."""
    return stack.client(stack.secret_key)


@pytest.fixture(scope="session")
def service(secret_client: Client) -> Client:
    """A client with the secret key: role service_role."""
    return secret_client


@pytest.fixture
def anon(stack: StackUnderTest) -> Client:
    """A client with the publishable key and nobody signed in."""
    return stack.client()


@pytest.fixture
def as_user(stack: StackUnderTest) -> Callable[[str], Client]:
    """Returns a function: e-mail address → client signed in as that user (with the demo password)."""

    def sign_in(email: str) -> Client:
        client = stack.client()
        client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
        return client

    return sign_in


@pytest.fixture
def as_agent(stack: StackUnderTest) -> Callable[[str], Client]:
    """Returns a function: agent key → client that calls as that agent."""
    return lambda key: stack.client(headers={"x-agent-key": key})


@pytest.fixture
def new_user(secret_client: Client, as_user: Callable[[str], Client]) -> Callable[[], User]:
    """Returns a function that makes a user with a confirmed address and signs them in."""

    def create() -> User:
        email = f"user-{secrets.token_hex(6)}@tests.test"
        made = secret_client.auth.admin.create_user(
            {"email": email, "password": PASSWORD, "email_confirm": True}
        )
        return User(UUID(made.user.id), email, as_user(email))

    return create


@pytest.fixture
def new_organization(secret_client: Client, new_user: Callable[[], User]) -> Callable[..., Organization]:
    """Returns a function that makes an organization with an owner of its own.

    Its argument `credits` is granted at once (default 0: none).
    """

    def create(credits: Decimal | int | str = 0) -> Organization:  # noqa: A002 - the domain's word
        owner = new_user()
        name = f"Organization {secrets.token_hex(6)}"
        arguments = {"name": name, "owner_user_id": str(owner.user_id)}
        made: Any = secret_client.rpc("create_organization", arguments).execute().data
        organization = Organization(UUID(made["organization_id"]), name, owner, secret_client)
        if Decimal(credits) > 0:
            organization.grant(credits)
        return organization

    return create
