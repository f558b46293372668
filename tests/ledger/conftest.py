"""Fixtures of the ledger's tests: an organization with its own clock, and every story's closing proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Organization, StackUnderTest

from .api import Answer, LedgerApi

# Day 0 of a story, at midnight, so that a story's T5 is `day(5)`.
EPOCH = datetime(2031, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """Return the instant of day `number` of a story."""
    return EPOCH + timedelta(days=number)


class Story:
    """One organization under a test clock, told in days; everything goes through PostgREST as the service."""

    def __init__(self, api: LedgerApi, organization: Organization) -> None:
        self.api = api
        self.organization = organization
        self.organization_id = str(organization.organization_id)

    def go_to(self, at: datetime) -> None:
        """Move the clock; what falls due on the way is booked."""
        self.api.call(
            "advance_test_clock", organization_id=self.organization_id, to=at.isoformat()
        ).accepted()

    def set_clock_only(self, at: datetime, database: Any) -> None:
        """Move the clock without running any job: a sweeper that is down."""
        database.execute(
            "update billing.organizations set test_clock = %s where organization_id = %s",
            (at, self.organization_id),
        )

    def grant(self, amount: object, **arguments: Any) -> str:
        """Grant credits as promotion and return the grant's id; instants may be datetimes."""
        for name in ("effective_at", "expires_at"):
            if isinstance(arguments.get(name), datetime):
                arguments[name] = arguments[name].isoformat()
        arguments.setdefault("source", "promotion")
        answer = self.api.call(
            "grant_credits", organization_id=self.organization_id, amount=amount, **arguments
        )
        return str(answer.accepted()["grant_id"])

    def consume(self, amount: object, **arguments: object) -> Answer:
        """Spend as TestAgent.test."""
        return self.api.consume(amount, organization_id=self.organization_id, **arguments)

    def left(self, grant_id: str) -> Any:
        """What is left of a grant (a Decimal)."""
        rows = self.api.select(f"credit_grants?select=remaining&id=eq.{grant_id}").accepted()
        return rows[0]["remaining"]

    def balance(self, as_of: datetime | None = None) -> Any:
        """The answer of get_credit_balance."""
        return self.api.call(
            "get_credit_balance",
            organization_id=self.organization_id,
            as_of=as_of.isoformat() if as_of else None,
        ).accepted()

    def entries(self) -> list[dict[str, Any]]:
        """The ledger, in order."""
        path = f"credit_transactions?organization_id=eq.{self.organization_id}&order=sequence"
        rows: list[dict[str, Any]] = self.api.select(path).accepted()
        return rows


@pytest.fixture(scope="session")
def service_api(stack: StackUnderTest) -> LedgerApi:
    """The RPCs as the service."""
    return LedgerApi(stack.supabase_url, stack.secret_key)


@pytest.fixture
def story(service_api: LedgerApi, new_organization: Callable[..., Organization]) -> Iterator[Story]:
    """A new organization at day 0 of its clock; at the end its ledger must verify."""
    told = Story(service_api, new_organization())
    told.go_to(EPOCH)
    yield told
    assert service_api.call("verify_ledger", organization_id=told.organization_id).accepted() == []
