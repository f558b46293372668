"""`AsyncCredits`: the client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload
from uuid import UUID

from tallybase import _calls, _settings, _spend, _telemetry
from tallybase._base import BaseClient, OnUnavailable
from tallybase._calls import CONSUME, Call, Number, Query
from tallybase._combine import AsyncCombiner
from tallybase._holds import Duration
from tallybase._retry import RetryPolicy, StepAnswer, Wait, exchange
from tallybase._spend import Steps
from tallybase._wire import Reply, Request, TransportFailure, read
from tallybase.errors import (
    AgentKeyInvalid,
    CreditsUnavailable,
    TallybaseError,
    UnexpectedAnswer,
)
from tallybase.holds import AsyncHold
from tallybase.meter import AsyncMeter, OnRefused
from tallybase.models import Approval, Balance, Consumption, Outcome, Queued, Quote, Receipt
from tallybase.options import CheckOptions, SpendOptions
from tallybase.outbox import Outbox
from tallybase.runs import current_run
from tallybase.transport import AsyncHttpxTransport, AsyncTransport

T = TypeVar("T")


class AsyncCredits(BaseClient):
    """Charges credits for what agents do, from one event loop; close it at the end, or use `async with`.

    The arguments are those of `Credits`; transport and sleep are asynchronous.

    Raises:
        ConfigurationError: for settings that cannot work.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        agent_key: str | None = None,
        access_token: str | None = None,
        organization_id: UUID | str | None = None,
        retry: RetryPolicy | None = None,
        transport: AsyncTransport | None = None,
        combine: bool = True,
        outbox: Outbox | str | None = None,
        request_approvals: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            url,
            key,
            agent_key=agent_key,
            access_token=access_token,
            organization_id=organization_id,
            retry=retry,
            outbox=outbox,
            request_approvals=request_approvals,
        )
        self._transport = transport or AsyncHttpxTransport()
        self._owns_transport = transport is None
        self._combiner = AsyncCombiner(self._send_rpc) if combine else None
        self._meters: weakref.WeakSet[AsyncMeter] = weakref.WeakSet()
        self._sleep = sleep

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None, **keywords: Any) -> Self:
        """Make a client from TALLYBASE_URL, TALLYBASE_KEY and TALLYBASE_AGENT_KEY.

        Also read, when set: TALLYBASE_ACCESS_TOKEN, TALLYBASE_ORGANIZATION_ID, TALLYBASE_OUTBOX.

        Args:
            environment: instead of `os.environ`.
            **keywords: further arguments of `Credits`; they win over the environment.

        Raises:
            ConfigurationError: when a variable is missing.
        """
        found = _settings.from_environment(environment)
        settings = {
            "agent_key": found.agent_key,
            "access_token": found.access_token,
            "organization_id": found.organization_id,
            "outbox": found.outbox,
        }
        return cls(found.url, found.key, **(settings | keywords))

    @overload
    async def consume(
        self,
        agent_type: str | None,
        action: str,
        *,
        on_unavailable: Literal["raise"] = "raise",
        **options: Unpack[SpendOptions],
    ) -> Receipt: ...

    @overload
    async def consume(
        self,
        agent_type: str | None,
        action: str,
        *,
        on_unavailable: OnUnavailable,
        **options: Unpack[SpendOptions],
    ) -> Receipt | Queued: ...

    async def consume(
        self,
        agent_type: str | None,
        action: str,
        *,
        on_unavailable: OnUnavailable = "raise",
        **options: Unpack[SpendOptions],
    ) -> Receipt | Queued:
        """Charge one action, or refuse it whole. Arguments and errors are those of `Credits.consume`."""
        self._require_open()
        outbox = self.require_outbox() if on_unavailable == "queue" else None
        spend, call = self._prepare_spend(agent_type, action, options)
        try:
            return await self.follow(_spend.spend_steps(spend, call, self._approvals))
        except CreditsUnavailable as error:
            if outbox is None:
                raise
            key = str(call.idempotency_key)
            await asyncio.to_thread(outbox.add, key, call.arguments)
            return Queued(key, str(error))

    def hold(
        self,
        agent_type: str | None,
        action: str,
        *,
        up_to: Number | None = None,
        expires_in: Duration = "15m",
        estimate: Number | None = None,
        **options: Unpack[SpendOptions],
    ) -> AsyncHold:
        """Reserve credits for work of unknown cost; enter it by `async with`. See `Credits.hold`."""
        self._require_open()
        spend = self._prepare_hold(agent_type, action, up_to, options)
        return AsyncHold(self, spend, expires_in, estimate, self._approvals)

    async def check(self, agent_type: str | None, action: str, **options: Unpack[CheckOptions]) -> Quote:
        """Ask what a spend would cost and whether it would be allowed now. See `Credits.check`."""
        spend, call = self._prepare_check(agent_type, action, options)
        quote = await self.perform(call)
        _telemetry.record_quote(spend.consumption.agent_type, action, quote)
        return quote

    async def request_approval(
        self, agent_type: str | None, action: str, **options: Unpack[SpendOptions]
    ) -> Approval:
        """Ask owner and admin to approve a spend that a limit refuses. See `Credits.request_approval`."""
        return await self.perform(self._prepare_request(agent_type, action, options))

    async def balance(self, organization_id: UUID | str | None = None) -> Balance:
        """Read what the organization has: of the agent key, of the client, or the one named."""
        return await self.perform(_calls.balance(organization_id or self.organization_id))

    async def consume_many(
        self,
        events: Sequence[Consumption],
        *,
        atomic: bool = True,
        organization_id: UUID | str | None = None,
    ) -> list[Outcome]:
        """Charge up to 1,000 actions of one organization in one call. See `Credits.consume_many`."""
        payer = organization_id or self.organization_id
        steps = _spend.batch_steps(events, payer, current_run(), self._approvals, atomic=atomic)
        return await self.follow(steps)

    def meter(self, *, most_waiting: int = 10_000, on_refused: OnRefused | None = None) -> AsyncMeter:
        """Make a meter, for charges that nothing waits for. See `Credits.meter`; `record` is awaited here."""
        self._require_open()
        meter = AsyncMeter(self, most_waiting, on_refused)
        self._meters.add(meter)
        return meter

    async def settle_outbox(self, retry: RetryPolicy | None = None) -> list[Outcome]:
        """Book what waits in the outbox, oldest first, until the server cannot be reached.

        Args:
            retry: instead of the client's.

        Returns:
            what became of each spend that was answered; refused ones stay in `outbox.refused()`.

        Raises:
            AgentKeyInvalid: the agent key has ended; everything keeps waiting.
        """
        outbox = self.require_outbox()
        outcomes: list[Outcome] = []
        for entry in await asyncio.to_thread(outbox.waiting):
            key = entry.idempotency_key
            try:
                call = _calls.stored(key, entry.arguments)
                receipt = await self.follow(_spend.stored_steps(call, self._approvals), retry)
            except (CreditsUnavailable, UnexpectedAnswer):
                break
            except AgentKeyInvalid:
                raise
            except TallybaseError as error:
                await asyncio.to_thread(outbox.refuse, key, error)
                outcomes.append(Outcome(len(outcomes), key, error=error))
            else:
                await asyncio.to_thread(outbox.remove, key)
                outcomes.append(Outcome(len(outcomes), key, receipt=receipt))
        return outcomes

    async def perform(self, call: Call[T] | Query[T], retry: RetryPolicy | None = None) -> T:
        """Run one prepared call to its end, with retries; the rest of the package is built on this."""
        self._require_open()
        steps = exchange(call, retry or self.retry)
        answer: StepAnswer = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Wait):
                await self._sleep(step.seconds)
                answer = None
            else:
                answer = await self._attempt(call, step.timeout)

    async def follow(self, steps: Steps[T], retry: RetryPolicy | None = None) -> T:
        """Drive what surrounds a call; holds are built on it."""
        advance = functools.partial(next, steps)
        while True:
            try:
                call = advance()
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                advance = functools.partial(steps.send, await self.perform(call, retry))
            except TallybaseError as error:
                advance = functools.partial(steps.throw, error)

    async def _attempt(self, call: Call[T] | Query[T], time_limit: float) -> Reply | TransportFailure:
        if self._combiner is not None and isinstance(call, Call) and call.function == CONSUME:
            return await self._combiner.submit(call.arguments, time_limit)
        return await self._send(call.request(self._endpoint), time_limit)

    async def _send_rpc(
        self, function: str, arguments: Mapping[str, object], time_limit: float
    ) -> Reply | TransportFailure:
        return await self._send(self._endpoint.rpc(function, arguments), time_limit)

    async def _send(self, request: Request, time_limit: float) -> Reply | TransportFailure:
        try:
            return read(await self._transport.send(request, time_limit))
        except TransportFailure as failure:
            return TransportFailure(self._endpoint.redact(str(failure)))

    async def aclose(self) -> None:
        """Close its meters, try once to book what waits in the outbox, then close the connections.

        Raises:
            CreditsUnavailable: a meter could not book all it had, and there is no outbox.
        """
        if self._closed:
            return
        async with contextlib.AsyncExitStack() as cleaning:
            cleaning.push_async_callback(self._close_connections)
            for meter in list(self._meters):
                cleaning.push_async_callback(meter.aclose)

    async def _close_connections(self) -> None:
        if self.outbox is not None:
            with contextlib.suppress(TallybaseError):
                await self.settle_outbox(replace(self.retry, max_attempts=1))
        self._closed = True
        if self._combiner is not None:
            await self._combiner.aclose()
        if self._owns_transport:
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
