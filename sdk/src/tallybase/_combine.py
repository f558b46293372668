"""Combines concurrent spends: while one request of an organization is in flight, the next fills.

There is no timer and no thread. A lone spend goes out at once as `consume_credits`. Spends that arrive while
it travels leave together as one `consume_credits_batch` when it is back, and each caller gets its own receipt
or refusal. This is what lets many agents of one process share one hot ledger
(docs/how-to/agents-concurrency.md).

Combining happens below the retry rules: a caller sees the answer that its event would have had alone, and
    repeats it, with
the same key, as it would alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tallybase._calls import CONSUME, CONSUME_BATCH, batch_arguments, batch_replies
from tallybase._wire import Reply, TransportFailure

#: The most spends in one request. A batch of this size holds the organization's lock for a few milliseconds.
MAX_COMBINED = 200

#: Answers to a batch that may be the fault of a single event; the events are then sent alone, so that none
#: suffers.
_ISOLATE = frozenset({400, 404, 409, 413, 422})

Event = Mapping[str, object]
Answer = Reply | TransportFailure
Send = Callable[[str, Event, float], Answer]
AsyncSend = Callable[[str, Event, float], Awaitable[Answer]]


def _combined(events: Sequence[Event]) -> tuple[str, Event]:
    """Function and arguments of one request for these events, all of the same organization."""
    if len(events) == 1:
        return CONSUME, events[0]
    return CONSUME_BATCH, batch_arguments(events, events[0].get("organization_id"), atomic=False)


def _share(answer: Answer, count: int) -> list[Answer | None]:
    """What each event of a request is answered; None: ask again, alone."""
    if count == 1 or not isinstance(answer, Reply):
        return [answer] * count
    if not answer.ok:
        is_isolated = answer.status in _ISOLATE and not answer.server_failed
        return [None if is_isolated else answer] * count
    try:
        return list(batch_replies(answer.payload, count))
    except ValueError as error:
        return [TransportFailure(f"the answer to a batch was not understood: {error}")] * count


@dataclass(eq=False, slots=True)
class _Ticket:
    event: Event
    time_limit: float
    wake: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None
    answered: bool = False
    leads: bool = False


class _Lane:
    """The queue of one organization. One caller at a time leads and carries what waits along with its own."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: deque[_Ticket] = deque()
        self._flying = False

    def submit(self, event: Event, time_limit: float) -> Answer:
        ticket = _Ticket(event, time_limit)
        with self._lock:
            ticket.leads = not self._flying
            self._flying = True
            if not ticket.leads:
                self._waiting.append(ticket)
        if not ticket.leads:
            self._await_turn(ticket)
        if ticket.leads:
            self._fly(ticket)
        if ticket.answered and ticket.answer is None:
            return self._send(CONSUME, event, time_limit)
        return ticket.answer or TransportFailure(f"no answer within {time_limit:g} s")

    def _await_turn(self, ticket: _Ticket) -> None:
        """Wait until another caller brought the answer, or made this one the leader."""
        try:
            ticket.wake.wait(ticket.time_limit)
        except BaseException:
            self._leave(ticket)
            raise
        if not ticket.wake.is_set():
            self._leave(ticket)

    def _leave(self, ticket: _Ticket) -> None:
        """Give up waiting. A leadership that came at the same moment is passed on."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            elif ticket.leads:
                ticket.leads = False
                self._promote()

    def _promote(self) -> None:
        """Make the first waiting caller the leader, or let the lane rest. Called with the lock held."""
        if not self._waiting:
            self._flying = False
            return
        leader = self._waiting.popleft()
        leader.leads = True
        leader.wake.set()

    def _fly(self, leader: _Ticket) -> None:
        with self._lock:
            crew = [leader]
            while self._waiting and len(crew) < MAX_COMBINED:
                crew.append(self._waiting.popleft())
        answer: Answer = TransportFailure("the call that carried this spend was interrupted")
        try:
            longest = max(ticket.time_limit for ticket in crew)
            answer = self._send(*_combined([ticket.event for ticket in crew]), longest)
        finally:
            for ticket, share in zip(crew, _share(answer, len(crew)), strict=True):
                ticket.answer = share
                ticket.answered = True
                ticket.wake.set()
            with self._lock:
                self._promote()


class Combiner:
    """Combines the spends of one client, by organization, for callers in threads.

    Args:
        send: sends one function call once: (function, arguments, timeout in seconds) to the answer.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._lanes: dict[object, _Lane] = {}

    def submit(self, event: Event, time_limit: float) -> Answer:
        """Send one spend, alone or with others, and return the answer that it has alone."""
        with self._lock:
            lane = self._lanes.setdefault(event.get("organization_id"), _Lane(self._send))
        return lane.submit(event, time_limit)


@dataclass(eq=False, slots=True)
class _AsyncTicket:
    event: Event
    time_limit: float
    answer: asyncio.Future[Answer | None]


class AsyncCombiner:
    """As `Combiner`, for tasks of one event loop. A cancelled caller does not take the others down."""

    def __init__(self, send: AsyncSend) -> None:
        self._send = send
        self._waiting: dict[object, deque[_AsyncTicket]] = {}
        self._flights: dict[object, asyncio.Task[None]] = {}

    async def submit(self, event: Event, time_limit: float) -> Answer:
        """Send one spend, alone or with others, and return the answer that it has alone."""
        organization_id = event.get("organization_id")
        ticket = _AsyncTicket(event, time_limit, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(organization_id, deque()).append(ticket)
        if organization_id not in self._flights:
            self._flights[organization_id] = asyncio.create_task(self._fly(organization_id))
        try:
            async with asyncio.timeout(2 * time_limit):  # for the flight before and for its own
                answer = await ticket.answer
        except TimeoutError:
            return TransportFailure(f"no answer within {2 * time_limit:g} s")
        return answer if answer is not None else await self._send(CONSUME, event, time_limit)

    async def _fly(self, organization_id: object) -> None:
        """Carry what waits, and again, until nothing waits."""
        waiting = self._waiting[organization_id]
        try:
            while crew := self._board(waiting):
                answer: Answer = TransportFailure("the call that carried this spend was interrupted")
                try:
                    longest = max(ticket.time_limit for ticket in crew)
                    answer = await self._send(*_combined([ticket.event for ticket in crew]), longest)
                finally:
                    for ticket, share in zip(crew, _share(answer, len(crew)), strict=True):
                        if not ticket.answer.done():
                            ticket.answer.set_result(share)
        finally:
            del self._flights[organization_id]

    @staticmethod
    def _board(waiting: deque[_AsyncTicket]) -> list[_AsyncTicket]:
        """Take the next passengers; those who were cancelled meanwhile are left out and never charged."""
        crew: list[_AsyncTicket] = []
        while waiting and len(crew) < MAX_COMBINED:
            ticket = waiting.popleft()
            if not ticket.answer.done():
                crew.append(ticket)
        return crew

    async def aclose(self) -> None:
        """Wait for what is in flight."""
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
