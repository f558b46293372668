"""`Credits`: the client for threads and plain functions."""

from __future__ import annotations

import contextlib
import functools
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload
from uuid import UUID

from tallybase import _calls, _settings, _spend, _telemetry
from tallybase._base import BaseClient, OnUnavailable
from tallybase._calls import CONSUME, Call, Number, Query
from tallybase._combine import Combiner
from tallybase._holds import Duration
from tallybase._retry import RetryPolicy, StepAnswer, Wait, exchange
from tallybase._spend import Steps
from tallybase._wire import Reply, Request, Response, TransportFailure, read
from tallybase.errors import (
    AgentKeyInvalid,
    CreditsUnavailable,
    TallybaseError,
    UnexpectedAnswer,
)
from tallybase.holds import Hold
from tallybase.meter import Meter, OnRefused
from tallybase.models import Approval, Balance, Consumption, Outcome, Queued, Quote, Receipt
from tallybase.options import CheckOptions, SpendOptions
from tallybase.outbox import Outbox
from tallybase.runs import current_run
from tallybase.transport import HttpxTransport, Transport

T = TypeVar("T")


class Credits(BaseClient):
    """Charges credits for what agents do. Close it at the end, or use `with`.

    One client serves all threads of a process.

    Args:
        url: base URL of the Supabase project.
        key: publishable key; or, for a trusted service, a secret key.
        agent_key: key of the agent, which names its organization. Goes with the publishable key.
        access_token: JWT of a signed-in member instead of an agent key.
        organization_id: who pays when the key does not say it (a service, a member of several organizations).
        retry: how long a call may take and how attempts are spaced.
        transport: how requests travel; default: a pool of connections.
        combine: send spends together that wait for the same organization. Each still has its own receipt or
            refusal.
        outbox: file for spends with `on_unavailable="queue"`.
        request_approvals: after `ApprovalRequired`, let owner and admin see what waits for them. Once for
            each approval; a failure of that call never replaces the refusal.
        sleep: lets seconds pass between attempts.

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
        transport: Transport | None = None,
        combine: bool = True,
        outbox: Outbox | str | None = None,
        request_approvals: bool = True,
        sleep: Callable[[float], None] = time.sleep,
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
        self._transport = transport or HttpxTransport()
        self._owns_transport = transport is None
        self._combiner = Combiner(self._send_rpc) if combine else None
        self._meters: weakref.WeakSet[Meter] = weakref.WeakSet()
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
    def consume(
        self,
        agent_type: str | None,
        action: str,
        *,
        on_unavailable: Literal["raise"] = "raise",
        **options: Unpack[SpendOptions],
    ) -> Receipt: ...

    @overload
    def consume(
        self,
        agent_type: str | None,
        action: str,
        *,
        on_unavailable: OnUnavailable,
        **options: Unpack[SpendOptions],
    ) -> Receipt | Queued: ...

    def consume(
        self,
        agent_type: str | None,
        action: str,
        *,
        on_unavailable: OnUnavailable = "raise",
        **options: Unpack[SpendOptions],
    ) -> Receipt | Queued:
        """Charge one action, or refuse it whole.

        Args:
            agent_type: who acts, as in the price list; None: the agent type of the current run.
            action: what is done, as in the price list.
            on_unavailable: `queue` keeps the spend in the outbox when the server cannot be reached and
                returns `Queued`.
            **options: quantities, amount, organization_id, department_id, run_id, idempotency_key, metadata:
                see `tallybase.options.SpendOptions`.

        Raises:
            InsufficientCredits, LimitExceeded, ApprovalRequired, BillingRestricted: not allowed; nothing was
                charged.
            IdempotencyConflict: the key belongs to a different spend.
            CreditsUnavailable: no answer within the deadline. The work must not go on.
            TallybaseError: any other refusal; see `tallybase.errors`.
        """
        self._require_open()
        outbox = self.require_outbox() if on_unavailable == "queue" else None
        spend, call = self._prepare_spend(agent_type, action, options)
        try:
            return self.follow(_spend.spend_steps(spend, call, self._approvals))
        except CreditsUnavailable as error:
            if outbox is None:
                raise
            key = str(call.idempotency_key)
            outbox.add(key, call.arguments)
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
    ) -> Hold:
        """Reserve credits for work of unknown cost; enter it by `with`.

        with credits.hold("ResearchAgent", "run", up_to=400) as hold:
            result = agent.run(question)
            hold.capture(quantities=result.usage)

        Args:
            agent_type: who acts, as in the price list; None: the agent type of the current run.
            action: what is done, as in the price list.
            up_to: credits to reserve; without it, the price of `quantities`.
            expires_in: when it ends by itself if this process dies; while the block runs it is extended.
            estimate: credits to charge when the block ends well with neither a capture nor a report.
            **options: as of `consume`.

        Raises (on entering):
            InsufficientCredits, LimitExceeded, ApprovalRequired, BillingRestricted: nothing is reserved; the
                block does not run.
            TallybaseError: any other refusal; see `tallybase.errors`.
        """
        self._require_open()
        spend = self._prepare_hold(agent_type, action, up_to, options)
        return Hold(self, spend, expires_in, estimate, self._approvals)

    def check(self, agent_type: str | None, action: str, **options: Unpack[CheckOptions]) -> Quote:
        """Ask what a spend would cost and whether it would be allowed now. Charges and reserves nothing.

        Args:
            agent_type: who acts, as in the price list; None: the agent type of the current run.
            action: what is done, as in the price list.
            **options: quantities, amount, organization_id, department_id, run_id: see
                `tallybase.options.CheckOptions`.

        Returns:
            the quote. A spend that would be refused is an answer too (`allowed` is False).

        Raises:
            UnknownAction: the action has no price.
            TallybaseError: the caller may not ask, or no answer came.
        """
        spend, call = self._prepare_check(agent_type, action, options)
        quote = self.perform(call)
        _telemetry.record_quote(spend.consumption.agent_type, action, quote)
        return quote

    def request_approval(
        self, agent_type: str | None, action: str, **options: Unpack[SpendOptions]
    ) -> Approval:
        """Ask owner and admin to approve a spend that a limit in mode `ask` refuses.

        A client does so by itself after `ApprovalRequired`, unless made with `request_approvals=False`. The
        same request twice is one approval.

        Args:
            agent_type: as in the refused spend.
            action: as in the refused spend.
            **options: as in the refused spend; `idempotency_key` is that of the error.

        Returns:
            the approval, `pending` until somebody decides.

        Raises:
            Conflict: no limit asks about this spend now: make it.
            LimitExceeded: it was rejected, or a hard limit refuses it.
            TallybaseError: any other refusal of the spend.
        """
        return self.perform(self._prepare_request(agent_type, action, options))

    def balance(self, organization_id: UUID | str | None = None) -> Balance:
        """Read what the organization has: of the agent key, of the client, or the one named."""
        return self.perform(_calls.balance(organization_id or self.organization_id))

    def consume_many(
        self,
        events: Sequence[Consumption],
        *,
        atomic: bool = True,
        organization_id: UUID | str | None = None,
    ) -> list[Outcome]:
        """Charge up to 1,000 actions of one organization in one call.

        Args:
            events: the spends, in order. Those without a key get one; to repeat the call after
                `CreditsUnavailable`, give them keys of your own.
            atomic: all or nothing: the first refusal is raised and nothing is booked. Otherwise each event
                has its own receipt or refusal in the result.
            organization_id: who pays, if not the client's.

        Raises:
            TallybaseError: the batch as a whole was refused.
        """
        payer = organization_id or self.organization_id
        steps = _spend.batch_steps(events, payer, current_run(), self._approvals, atomic=atomic)
        return self.follow(steps)

    def meter(self, *, most_waiting: int = 10_000, on_refused: OnRefused | None = None) -> Meter:
        """Make a meter, for charges that nothing waits for.

        with credits.meter() as meter:
            meter.record("QAAgent", "cached_answer")

        Args:
            most_waiting: charges in memory beyond which `record` waits.
            on_refused: told of each refused charge, in the meter's thread; default: a warning in the log.
        """
        self._require_open()
        meter = Meter(self, most_waiting, on_refused)
        self._meters.add(meter)
        return meter

    def settle_outbox(self, retry: RetryPolicy | None = None) -> list[Outcome]:
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
        for entry in outbox.waiting():
            key = entry.idempotency_key
            try:
                call = _calls.stored(key, entry.arguments)
                receipt = self.follow(_spend.stored_steps(call, self._approvals), retry)
            except (CreditsUnavailable, UnexpectedAnswer):
                break
            except AgentKeyInvalid:
                raise
            except TallybaseError as error:
                outbox.refuse(key, error)
                outcomes.append(Outcome(len(outcomes), key, error=error))
            else:
                outbox.remove(key)
                outcomes.append(Outcome(len(outcomes), key, receipt=receipt))
        return outcomes

    def perform(self, call: Call[T] | Query[T], retry: RetryPolicy | None = None) -> T:
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
                self._sleep(step.seconds)
                answer = None
            else:
                answer = self._attempt(call, step.timeout)

    def send_once(self, call: Call[T] | Query[T], time_limit: float) -> Response:
        """Send a prepared call once and return the answer as it is, for diagnosis.

        Raises:
            TransportFailure: when no answer came within `time_limit` seconds.
        """
        self._require_open()
        try:
            return self._transport.send(call.request(self._endpoint), time_limit)
        except TransportFailure as failure:
            raise TransportFailure(self._endpoint.redact(str(failure))) from None

    def follow(self, steps: Steps[T], retry: RetryPolicy | None = None) -> T:
        """Drive what surrounds a call; holds are built on it."""
        advance = functools.partial(next, steps)
        while True:
            try:
                call = advance()
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                advance = functools.partial(steps.send, self.perform(call, retry))
            except TallybaseError as error:
                advance = functools.partial(steps.throw, error)

    def _attempt(self, call: Call[T] | Query[T], time_limit: float) -> Reply | TransportFailure:
        if self._combiner is not None and isinstance(call, Call) and call.function == CONSUME:
            return self._combiner.submit(call.arguments, time_limit)
        return self._send(call.request(self._endpoint), time_limit)

    def _send_rpc(
        self, function: str, arguments: Mapping[str, object], time_limit: float
    ) -> Reply | TransportFailure:
        return self._send(self._endpoint.rpc(function, arguments), time_limit)

    def _send(self, request: Request, time_limit: float) -> Reply | TransportFailure:
        try:
            return read(self._transport.send(request, time_limit))
        except TransportFailure as failure:
            return TransportFailure(self._endpoint.redact(str(failure)))

    def close(self) -> None:
        """Close its meters, try once to book what waits in the outbox, then close the connections.

        Raises:
            CreditsUnavailable: a meter could not book all it had, and there is no outbox.
        """
        if self._closed:
            return
        with contextlib.ExitStack() as cleaning:
            cleaning.callback(self._close_connections)
            for meter in list(self._meters):
                cleaning.callback(meter.close)

    def _close_connections(self) -> None:
        if self.outbox is not None:
            with contextlib.suppress(TallybaseError):
                self.settle_outbox(replace(self.retry, max_attempts=1))
        self._closed = True
        if self._owns_transport:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
