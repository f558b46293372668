"""`FakeCredits` and `FakeAsyncCredits`: the real clients on a transport that ends in a `FakeLedger`."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from tallybase import _json
from tallybase._calls import Number
from tallybase._retry import RetryPolicy
from tallybase._wire import Request, Response
from tallybase.async_client import AsyncCredits
from tallybase.client import Credits
from tallybase.outbox import Outbox
from tallybase.testing.ledger import FakeLedger
from tallybase.testing.prices import Prices

_URL = "https://fake.tallybase.invalid"
_KEY = "sb_publishable_fake"


def _answer(ledger: FakeLedger, request: Request) -> Response:
    function = request.url.rpartition("/")[2]
    arguments: Any = _json.decode(request.content or b"{}")
    status, body = ledger.answer(function, arguments)
    return Response(status, {"content-type": "application/json"}, _json.encode(body))


class FakeTransport:
    """Hands requests to a ledger in this process."""

    def __init__(self, ledger: FakeLedger) -> None:
        self._ledger = ledger

    def send(self, request: Request, time_limit: float) -> Response:
        """See `tallybase.transport.Transport.send`."""
        return _answer(self._ledger, request)

    def close(self) -> None:
        """Nothing to release."""


class FakeAsyncTransport:
    """As `FakeTransport`, for asyncio."""

    def __init__(self, ledger: FakeLedger) -> None:
        self._ledger = ledger

    async def send(self, request: Request, time_limit: float) -> Response:
        """See `tallybase.transport.AsyncTransport.send`. Other tasks run meanwhile."""
        await asyncio.sleep(0)
        return _answer(self._ledger, request)

    async def aclose(self) -> None:
        """Nothing to release."""


class FakeCredits(Credits):
    """`Credits` without a server.

    Args:
        balance: credits at the start.
        prices: see `FakeLedger`.
        ledger: a ledger to share with other clients, instead of balance and prices.
        retry: as for `Credits`; waits between attempts take no time.
        combine: as for `Credits`.
        outbox: as for `Credits`.

    Attributes:
        ledger: what was booked, and switches for outages.
    """

    def __init__(
        self,
        balance: Number = 100,
        prices: Prices | None = None,
        *,
        ledger: FakeLedger | None = None,
        organization_id: UUID | None = None,
        retry: RetryPolicy | None = None,
        combine: bool = True,
        outbox: Outbox | str | None = None,
    ) -> None:
        self.ledger = ledger or FakeLedger(balance, prices, organization_id=organization_id)
        super().__init__(
            _URL,
            _KEY,
            agent_key="tb_fake",
            retry=retry,
            transport=FakeTransport(self.ledger),
            combine=combine,
            outbox=outbox,
            sleep=_no_wait,
        )


class FakeAsyncCredits(AsyncCredits):
    """`AsyncCredits` without a server; see `FakeCredits`."""

    def __init__(
        self,
        balance: Number = 100,
        prices: Prices | None = None,
        *,
        ledger: FakeLedger | None = None,
        organization_id: UUID | None = None,
        retry: RetryPolicy | None = None,
        combine: bool = True,
        outbox: Outbox | str | None = None,
    ) -> None:
        self.ledger = ledger or FakeLedger(balance, prices, organization_id=organization_id)
        super().__init__(
            _URL,
            _KEY,
            agent_key="tb_fake",
            retry=retry,
            transport=FakeAsyncTransport(self.ledger),
            combine=combine,
            outbox=outbox,
            sleep=_no_wait_async,
        )


def _no_wait(seconds: float) -> None:
    """Let no time pass."""


async def _no_wait_async(seconds: float) -> None:
    await asyncio.sleep(0)
