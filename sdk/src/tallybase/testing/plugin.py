"""The pytest plugin of the package: fixtures `fake_credits` and `fake_async_credits`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tallybase.testing.clients import FakeAsyncCredits, FakeCredits


@pytest.fixture
def fake_credits() -> Iterator[FakeCredits]:
    """A client with 100 credits and no server; every action costs 1, or what the caller names."""
    with FakeCredits(balance=100) as credits:
        yield credits


@pytest.fixture
def fake_async_credits(fake_credits: FakeCredits) -> FakeAsyncCredits:
    """An async client on the same ledger as `fake_credits`."""
    return FakeAsyncCredits(ledger=fake_credits.ledger)
