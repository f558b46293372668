"""Fixtures of the money tests."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from supabase import Client
from tests.conftest import PASSWORD, Organization, StackUnderTest, User
from tests.money.world import PACK_500, Deliveries, Workers


@dataclass(frozen=True)
class Books:
    """What the database says about one organization, read past every policy.

    Attributes:
        database: a session as `postgres`.
        organization_id: whose books.
    """

    database: psycopg.Connection[dict[str, Any]]
    organization_id: UUID

    def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Return the rows of a query whose first placeholder is the organization."""
        return self.database.execute(query, (self.organization_id, *arguments)).fetchall()

    @property
    def balance(self) -> Decimal:
        """The balance."""
        rows = self.rows("select balance from billing.credit_balances where organization_id = %s")
        return Decimal(rows[0]["balance"]) if rows else Decimal(0)

    @property
    def payments(self) -> list[dict[str, Any]]:
        """Every payment, oldest first."""
        return self.rows("select * from billing.payments where organization_id = %s order by created_at")

    @property
    def grants(self) -> list[dict[str, Any]]:
        """Every grant."""
        return self.rows(
            "select id, source, source_reference, amount, unit_cost, currency, "
            "nullif(expires_at, 'infinity') as expires_at "
            "from billing_private.credit_grant_lots where organization_id = %s"
        )

    @property
    def checkouts(self) -> list[dict[str, Any]]:
        """Every attempt to buy, oldest first."""
        return self.rows(
            "select * from billing.checkout_sessions where organization_id = %s order by created_at"
        )

    @property
    def notifications(self) -> list[dict[str, Any]]:
        """Every notification."""
        return self.rows("select * from billing.notifications where organization_id = %s order by created_at")

    def assert_sound(self) -> None:
        """Fail when any invariant of the ledger is broken."""
        assert self.rows("select * from billing.verify_ledger(%s)") == []


@pytest.fixture
def deliveries(stack: StackUnderTest) -> Deliveries:
    """Stripe's side of the webhook."""
    return Deliveries(stack)


@pytest.fixture
def workers_as(stack: StackUnderTest) -> Callable[[Client | None], Workers]:
    """Returns a function: a signed-in client (or None) → the workers as that person."""

    def act(client: Client | None) -> Workers:
        session = None if client is None else client.auth.get_session()
        return Workers(stack, None if session is None else session.access_token)

    return act


@dataclass(frozen=True)
class Buyer:
    """An owner who shops for a fresh organization.

    Attributes:
        organization: the tenant.
        workers: the workers as its owner.
        books: what the database says.
    """

    organization: Organization
    workers: Workers
    books: Books

    @property
    def organization_id(self) -> UUID:
        """The tenant's id."""
        return self.organization.organization_id

    @property
    def user(self) -> User:
        """The owner."""
        return self.organization.owner

    def buy(self, package_key: str = PACK_500, **more: object) -> dict[str, Any]:
        """Open a checkout for 500 credits, unless another pack is named."""
        return self.workers.buy(self.organization_id, package_key, **more)


@pytest.fixture
def new_buyer(
    new_organization: Callable[..., Organization],
    workers_as: Callable[[Client | None], Workers],
    database: psycopg.Connection[dict[str, Any]],
) -> Callable[[], Buyer]:
    """Returns a function that makes a fresh organization with an owner who shops."""

    def make() -> Buyer:
        organization = new_organization()
        return Buyer(
            organization, workers_as(organization.owner.client), Books(database, organization.organization_id)
        )

    return make


@pytest.fixture
def buyer(new_buyer: Callable[[], Buyer]) -> Buyer:
    """One such owner."""
    return new_buyer()


@pytest.fixture(scope="module")
def refused_buyer(stack: StackUnderTest, secret_client: Client) -> Iterator[Buyer]:
    """An owner with 100 credits, for all tests of a module whose every call is refused: nothing changes."""
    email = f"refused-{secrets.token_hex(6)}@tests.test"
    made = secret_client.auth.admin.create_user({"email": email, "password": PASSWORD, "email_confirm": True})
    client = stack.client()
    client.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    session = client.auth.get_session()
    assert session is not None
    named = {"name": f"Refused {secrets.token_hex(6)}", "owner_user_id": made.user.id}
    tenant: Any = secret_client.rpc("create_organization", named).execute().data
    organization = Organization(
        UUID(tenant["organization_id"]),
        tenant["name"],
        User(UUID(made.user.id), email, client),
        secret_client,
    )
    organization.grant(100)
    with psycopg.connect(stack.database_url, autocommit=True, row_factory=dict_row) as database:
        books = Books(database, organization.organization_id)
        yield Buyer(organization, Workers(stack, session.access_token), books)


@pytest.fixture
def trouble(stack: StackUnderTest) -> Iterator[httpx.Client]:
    """The switch of Stripe's misbehaviour, for tests that run alone; off again after the test."""
    with httpx.Client(base_url=f"{stack.stripe_twin_url}/_twin", timeout=30) as control:
        yield control
        control.post("/api-faults/clear", json={}).raise_for_status()
