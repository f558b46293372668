"""Holds: credits reserved for work of unknown cost, charged when it is known, given back when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tallybase import _calls
from tallybase._approvals import ApprovalRequests
from tallybase._calls import Number
from tallybase._holds import Duration, HoldBase
from tallybase._spend import Spend
from tallybase.errors import HoldResolved, TallybaseError
from tallybase.models import HoldState, Receipt

if TYPE_CHECKING:
    from tallybase.async_client import AsyncCredits
    from tallybase.client import Credits

__all__ = ["AsyncHold", "Duration", "Hold"]


class Hold(HoldBase):
    """A hold of `Credits.hold`, taken and ended by `with`. While it is open it extends itself.

    Leaving the block without a capture charges what was metered, else the estimate; after an exception only
    what was metered; everything else is released.
    """

    def __init__(
        self,
        client: Credits,
        spend: Spend,
        expires_in: Duration,
        estimate: Number | None,
        approvals: ApprovalRequests,
    ) -> None:
        super().__init__(spend, expires_in, estimate, approvals)
        self._client = client
        self._left = threading.Event()

    def capture(
        self, amount: Number | None = None, *, quantities: Mapping[str, Number] | None = None
    ) -> Receipt:
        """Charge what the work came to and release the rest.

        Args:
            amount: credits.
            quantities: what was counted, at the prices that the hold fixed. With neither, the whole hold.

        Returns:
            the receipt; of a hold that has expired, that of its late settlement.

        Raises:
            HoldCaptured, HoldReleased: it ended before.
            InvalidAmount: more than the hold, where the organization does not allow it; the hold stays open.
        """
        return self._client.follow(self._capture_steps(amount, quantities))

    def meter(self, amount: Number) -> HoldState:
        """Report what the work has cost so far, in all: charged if nobody captures."""
        return self._client.follow(self._extend_steps(0, amount, None))

    def extend(self, additional: Number = 0, *, expires_in: Duration | None = None) -> HoldState:
        """Reserve more, or let it end so long from now.

        Raises:
            InsufficientCredits, LimitExceeded: there is not so much; the hold stays as it was.
        """
        return self._client.follow(self._extend_steps(additional, None, expires_in))

    def release(self) -> None:
        """Give all of it back."""
        self._client.follow(self._release_steps())

    def __enter__(self) -> Self:
        self._client.follow(self._open_steps())
        threading.Thread(target=self._keep_alive, name="tallybase-hold", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left.set()
        if not self.is_open:
            return
        # What stopped the work matters more than a failure here: then the hold ends by itself.
        with contextlib.suppress(*([TallybaseError] if error is not None else [])):
            self._client.follow(self._leave_steps(failed=error is not None))

    def _keep_alive(self) -> None:
        while not self._left.wait(self._pause) and self.is_open:
            try:
                self._client.perform(_calls.extend_hold(self.id, expires_in=self._expires_in))
            except HoldResolved:
                return
            except TallybaseError:
                continue  # the next time may do


class AsyncHold(HoldBase):
    """A hold of `AsyncCredits.hold`, taken and ended by `async with`; see `Hold`."""

    def __init__(
        self,
        client: AsyncCredits,
        spend: Spend,
        expires_in: Duration,
        estimate: Number | None,
        approvals: ApprovalRequests,
    ) -> None:
        super().__init__(spend, expires_in, estimate, approvals)
        self._client = client
        self._keeper: asyncio.Task[None] | None = None

    async def capture(
        self, amount: Number | None = None, *, quantities: Mapping[str, Number] | None = None
    ) -> Receipt:
        """Charge what the work came to and release the rest. See `Hold.capture`."""
        return await self._client.follow(self._capture_steps(amount, quantities))

    async def meter(self, amount: Number) -> HoldState:
        """Report what the work has cost so far, in all: charged if nobody captures."""
        return await self._client.follow(self._extend_steps(0, amount, None))

    async def extend(self, additional: Number = 0, *, expires_in: Duration | None = None) -> HoldState:
        """Reserve more, or let it end so long from now. See `Hold.extend`."""
        return await self._client.follow(self._extend_steps(additional, None, expires_in))

    async def release(self) -> None:
        """Give all of it back."""
        await self._client.follow(self._release_steps())

    async def __aenter__(self) -> Self:
        await self._client.follow(self._open_steps())
        self._keeper = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        if not self.is_open:
            return
        # What stopped the work matters more than a failure here: then the hold ends by itself.
        with contextlib.suppress(*([TallybaseError] if error is not None else [])):
            await self._client.follow(self._leave_steps(failed=error is not None))

    async def _keep_alive(self) -> None:
        while self.is_open:
            await asyncio.sleep(self._pause)
            try:
                await self._client.perform(_calls.extend_hold(self.id, expires_in=self._expires_in))
            except HoldResolved:
                return
            except TallybaseError:
                continue  # the next time may do
