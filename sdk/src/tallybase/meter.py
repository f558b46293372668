"""Meters: charges for what has been done already, booked in the background, many in one call.

For actions that need no permission, such as a log line or a cached answer: the work does not wait for the
ledger, and a refusal comes too late to stop it. While one batch is on its way the next fills; there is no
timer.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack
from uuid import UUID

from tallybase import _calls, _spend
from tallybase._calls import MAX_BATCH
from tallybase._spend import Steps
from tallybase.errors import (
    AgentKeyInvalid,
    ConfigurationError,
    CreditsUnavailable,
    TallybaseError,
    UnexpectedAnswer,
)
from tallybase.models import Consumption, Outcome
from tallybase.options import SpendOptions
from tallybase.outbox import Outbox

if TYPE_CHECKING:
    from tallybase._base import BaseClient
    from tallybase.async_client import AsyncCredits
    from tallybase.client import Credits

#: Told of each charge that the ledger refused, in a thread of the meter's.
OnRefused = Callable[[Consumption, TallybaseError], None]

_KEPT_REFUSALS = 1_000
_PAUSE_SECONDS = 1.0
_log = logging.getLogger("tallybase")


@dataclass(frozen=True, slots=True)
class _Charge:
    """A charge that waits; its key is fixed."""

    consumption: Consumption
    organization_id: UUID | str | None

    @property
    def key(self) -> str:
        return str(self.consumption.idempotency_key)

    def keep_in(self, outbox: Outbox) -> None:
        outbox.add(self.key, _calls.consume(self.consumption, self.organization_id).arguments)


#: A charge, and why it was refused.
_Refusal = tuple[_Charge, TallybaseError]


class _Ledger:
    """What waits, what is on its way, and what became of the rest. Whoever uses it holds the meter's lock."""

    def __init__(self, client: BaseClient, most_waiting: int, on_refused: OnRefused | None) -> None:
        if most_waiting < 1:
            raise ConfigurationError("A meter needs room for at least one charge (most_waiting).")
        self._client = client
        self._most_waiting = most_waiting
        self._on_refused = on_refused
        self.waiting: deque[_Charge] = deque()
        self.flying: list[_Charge] = []
        self.booked = 0
        self.refusals: deque[tuple[Consumption, TallybaseError]] = deque(maxlen=_KEPT_REFUSALS)
        self.is_closed = False

    @property
    def unbooked(self) -> int:
        return len(self.waiting) + len(self.flying)

    @property
    def has_room(self) -> bool:
        return self.is_closed or len(self.waiting) < self._most_waiting

    def prepare(self, agent_type: str | None, action: str, options: SpendOptions) -> _Charge:
        """Complete a charge as `consume` does, with the run, department and key of this moment."""
        spend, call = self._client._prepare_spend(agent_type, action, options)
        consumption = replace(spend.consumption, idempotency_key=call.idempotency_key)
        return _Charge(consumption, spend.organization_id)

    def add(self, charge: _Charge) -> None:
        if self.is_closed:
            raise ConfigurationError("This meter is closed.")
        self.waiting.append(charge)

    def board(self) -> Steps[list[Outcome]]:
        """Take the charges of the next call, of one organization and in their order, and return that call."""
        payer = self.waiting[0].organization_id
        while self.waiting and len(self.flying) < MAX_BATCH and self.waiting[0].organization_id == payer:
            self.flying.append(self.waiting.popleft())
        events = [charge.consumption for charge in self.flying]
        return _spend.batch_steps(events, payer, None, self._client._approvals, atomic=False)

    def refused_of(self, batch: Sequence[_Charge], outcomes: Sequence[Outcome]) -> list[_Refusal]:
        """What the ledger refused of a batch."""
        answers = zip(batch, outcomes, strict=True)
        return [(charge, answer.error) for charge, answer in answers if answer.error is not None]

    def land(self, refused: Sequence[_Refusal]) -> None:
        """Count what became of the batch on its way: it has been told of."""
        self.booked += max(0, len(self.flying) - len(refused))
        self.refusals.extend((charge.consumption, error) for charge, error in refused)
        self.flying = []

    def turn_back(self) -> None:
        """Let a batch wait again: nobody knows what became of it, and by its keys it is charged once."""
        self.waiting.extendleft(reversed(self.flying))
        self.flying = []

    def take_all(self) -> list[_Charge]:
        """Take what waits, and what has no answer yet."""
        left = [*self.flying, *self.waiting]
        self.flying = []
        self.waiting.clear()
        return left

    def keep(self, charges: Sequence[_Charge]) -> None:
        """Put charges on disk, without the lock.

        Raises:
            CreditsUnavailable: there is no outbox.
        """
        if charges and self._client.outbox is None:
            raise CreditsUnavailable(
                f"{len(charges)} metered charges could not be booked, and there is no outbox to keep them in."
            )
        for charge in charges:
            charge.keep_in(self._client.require_outbox())

    def tell(self, refused: Sequence[_Refusal]) -> None:
        """Let somebody know of refusals, without the lock: they come after the work."""
        outbox = self._client.outbox
        for charge, error in refused:
            if outbox is not None:
                charge.keep_in(outbox)
                if not isinstance(error, AgentKeyInvalid):  # that one waits for another key
                    outbox.refuse(charge.key, error)
            if self._on_refused is None:
                spent = charge.consumption
                _log.warning("A metered charge was refused: %s %s: %s", spent.agent_type, spent.action, error)
                continue
            try:
                self._on_refused(charge.consumption, error)
            except Exception:
                _log.exception("The on_refused of a meter failed.")


def _all_refused(batch: Sequence[_Charge], error: TallybaseError) -> list[Outcome]:
    return [Outcome(index, charge.key, error=error) for index, charge in enumerate(batch)]


class Meter:
    """Charges in the background, from any thread; made by `Credits.meter`. Use `with`, or close it.

    What waits when the client is closed or the process ends is booked before. A killed process loses what
    waits: where that must not be, use `consume(on_unavailable="queue")`.

    While the server cannot be reached, charges go to the client's outbox; without one they wait in memory,
    and when `most_waiting` do, `record` waits, too. Refused charges are told to `on_refused` or logged, and
    kept in the outbox if there is one.
    """

    def __init__(self, credits: Credits, most_waiting: int, on_refused: OnRefused | None) -> None:
        self._credits = credits
        self._ledger = _Ledger(credits, most_waiting, on_refused)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        atexit.register(_close_at_exit, weakref.ref(self))

    @property
    def booked(self) -> int:
        """Charges with a receipt so far, replays included."""
        return self._ledger.booked

    @property
    def unbooked(self) -> int:
        """Charges that wait or are on their way."""
        with self._changed:
            return self._ledger.unbooked

    @property
    def refusals(self) -> list[tuple[Consumption, TallybaseError]]:
        """The last 1,000 charges that were refused, each with its refusal."""
        with self._changed:
            return list(self._ledger.refusals)

    def record(self, agent_type: str | None, action: str, **options: Unpack[SpendOptions]) -> str:
        """Charge what has been done, soon. Never raises a refusal.

        Args:
            agent_type: who acted, as in the price list; None: the agent type of the current run.
            action: what was done.
            **options: as of `Credits.consume`. Budgets of runs are not looked at, since the work is done.

        Returns:
            the idempotency key under which it is charged once.

        Raises:
            ConfigurationError, InvalidArgument: it cannot be sent at all, or the meter is closed.
        """
        charge = self._ledger.prepare(agent_type, action, options)
        with self._changed:
            self._changed.wait_for(lambda: self._ledger.has_room)
            self._ledger.add(charge)
            if (
                self._thread is None or not self._thread.is_alive()
            ):  # the first charge, or the first after a fork
                self._thread = threading.Thread(target=self._work, name="tallybase-meter", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return charge.key

    def flush(self, within: float = 30.0) -> bool:
        """Wait up to `within` seconds until all that was recorded is booked, refused or in the outbox.

        Returns:
            whether it is.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._ledger.unbooked == 0, within)

    def close(self, within: float = 30.0) -> None:
        """Book what waits; what is not booked in `within` seconds goes to the outbox.

        Raises:
            CreditsUnavailable: some is not booked, and there is no outbox.
        """
        with self._changed:
            if self._ledger.is_closed:
                return
            self._changed.wait_for(lambda: self._ledger.unbooked == 0, within)
            self._ledger.is_closed = True
            left = self._ledger.take_all()
            self._changed.notify_all()
        self._ledger.keep(left)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ledger.waiting or self._ledger.is_closed)
                if self._ledger.is_closed:
                    return
                call = self._ledger.board()
                batch = list(self._ledger.flying)
            try:
                outcomes = self._credits.follow(call)
            except (CreditsUnavailable, UnexpectedAnswer):
                self._wait_or_keep(batch)
                continue
            except TallybaseError as error:
                outcomes = _all_refused(batch, error)
            refused = self._ledger.refused_of(batch, outcomes)
            self._ledger.tell(refused)
            with self._changed:
                self._ledger.land(refused)
                self._changed.notify_all()

    def _wait_or_keep(self, batch: Sequence[_Charge]) -> None:
        """After an attempt without an answer: to the outbox, or once more in a second."""
        has_outbox = self._credits.outbox is not None
        if has_outbox:
            self._ledger.keep(batch)
        with self._changed:
            if has_outbox:
                self._ledger.flying = []
                self._changed.notify_all()
            elif self._ledger.flying:
                self._ledger.turn_back()
                self._changed.wait_for(lambda: self._ledger.is_closed, _PAUSE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _close_at_exit(reference: weakref.ref[Meter]) -> None:
    meter = reference()
    if meter is None:
        return
    try:
        meter.close()
    except CreditsUnavailable as error:
        _log.error("%s", error)


class AsyncMeter:
    """Charges in the background for asyncio; made by `AsyncCredits.meter`. Use `async with`.

    As `Meter`, but for one thing: a loop that ends without `aclose` takes what waits with it.
    """

    def __init__(self, credits: AsyncCredits, most_waiting: int, on_refused: OnRefused | None) -> None:
        self._credits = credits
        self._ledger = _Ledger(credits, most_waiting, on_refused)
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @property
    def booked(self) -> int:
        """Charges with a receipt so far, replays included."""
        return self._ledger.booked

    @property
    def unbooked(self) -> int:
        """Charges that wait or are on their way."""
        return self._ledger.unbooked

    @property
    def refusals(self) -> list[tuple[Consumption, TallybaseError]]:
        """The last 1,000 charges that were refused, each with its refusal."""
        return list(self._ledger.refusals)

    async def record(self, agent_type: str | None, action: str, **options: Unpack[SpendOptions]) -> str:
        """Charge what has been done, soon; see `Meter.record`."""
        charge = self._ledger.prepare(agent_type, action, options)
        async with self._changed:
            await self._changed.wait_for(lambda: self._ledger.has_room)
            self._ledger.add(charge)
            if self._task is None:
                self._task = asyncio.create_task(self._work(), name="tallybase-meter")
            self._changed.notify_all()
        return charge.key

    async def flush(self, within: float = 30.0) -> bool:
        """Wait until all is booked, refused or in the outbox; see `Meter.flush`."""
        try:
            async with asyncio.timeout(within), self._changed:
                await self._changed.wait_for(lambda: self._ledger.unbooked == 0)
        except TimeoutError:
            return False
        return True

    async def aclose(self, within: float = 30.0) -> None:
        """Book what waits; see `Meter.close`."""
        if self._ledger.is_closed:
            return
        await self.flush(within)
        async with self._changed:
            self._ledger.is_closed = True
            left = self._ledger.take_all()
            self._changed.notify_all()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._ledger.keep, left)

    async def _work(self) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._ledger.waiting))
                call = self._ledger.board()
                batch = list(self._ledger.flying)
            try:
                outcomes = await self._credits.follow(call)
            except (CreditsUnavailable, UnexpectedAnswer):
                await self._wait_or_keep(batch)
                continue
            except TallybaseError as error:
                outcomes = _all_refused(batch, error)
            refused = self._ledger.refused_of(batch, outcomes)
            await asyncio.to_thread(self._ledger.tell, refused)
            async with self._changed:
                self._ledger.land(refused)
                self._changed.notify_all()

    async def _wait_or_keep(self, batch: Sequence[_Charge]) -> None:
        """After an attempt without an answer: to the outbox, or once more in a second."""
        if self._credits.outbox is None:
            async with self._changed:
                self._ledger.turn_back()
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        await asyncio.to_thread(self._ledger.keep, batch)
        async with self._changed:
            self._ledger.flying = []
            self._changed.notify_all()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
