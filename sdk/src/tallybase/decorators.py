"""`consumes_credits`: a function or method that is paid for, sync or async, plain or a stream."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from tallybase._base import OnUnavailable
from tallybase._calls import Number
from tallybase._charging import Charge, ChargeSpec, Client, Meter, Quantities, configure, refusal, resolve
from tallybase.async_client import AsyncCredits
from tallybase.client import Credits
from tallybase.errors import (
    ApprovalRequired,
    ConfigurationError,
    Conflict,
    IdempotencyConflict,
    LimitExceeded,
    TallybaseError,
)
from tallybase.models import Queued, Quote, Receipt
from tallybase.options import CheckOptions, SpendOptions

__all__ = ["configure", "consumes_credits"]

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("tallybase")


def consumes_credits(
    agent_type: str | None = None,
    action: str | None = None,
    *,
    credits: Client | Callable[..., Client] | None = None,
    quantities: Quantities | Callable[..., Quantities | None] | None = None,
    amount: Number | Callable[..., Number | None] | None = None,
    quantities_from_result: Callable[..., Quantities | None] | None = None,
    estimate: Quantities | Callable[..., Quantities | None] | None = None,
    department_id: UUID | str | None = None,
    metadata: Mapping[str, object] | None = None,
    step: str | Callable[..., str] | None = None,
    idempotency_key: Callable[..., str] | None = None,
    on_unavailable: OnUnavailable = "raise",
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Charge credits whenever the function is called: before it runs, so that a refusal stops the paid work.

    Works on functions and methods, plain and `async`, and on generators of both kinds, which are charged when
    the first item is asked for. A refusal is raised (`InsufficientCredits`, ...) and the function does not
    run.

    With `quantities_from_result` the price is known only afterwards: the estimate is checked first, and a
    refusal stops the work; afterwards what was used is charged. A stream that breaks off is charged what was
    metered so far, and the estimate when nothing was; the transaction's metadata then says `settled:
    estimate` or `outcome: error`.

    Inside `credits.run(...)` the idempotency key derives from the run, the step and the number of the call,
    so that a worker that begins the run again is not charged twice for the same step.

    Args:
        agent_type: who acts; default: attribute `agent_type` of the object, else that of the run.
        action: what is done; default: the function's name.
        credits: the client, or a function of the arguments that returns it. Default: attribute `credits` of
            the object, else the client of the run, else the one given to `configure`.
        quantities: what is counted, by metric, or a function of the arguments that returns it.
        amount: credits, or a function of the arguments; only for actions whose price is set by the caller.
        quantities_from_result: what was used, from the result, or from each item of a stream; None: the
            result does not say.
        estimate: what is checked before and charged when the result does not say.
        department_id: which part of the organization pays; default: attribute `department_id` of the object.
        metadata: kept with each transaction.
        step: name of the step inside a run, or a function of the arguments, where the order of calls may
            change from one attempt of the run to the next.
        idempotency_key: function of the arguments that returns the key, instead of a derived or new one.
        on_unavailable: `queue` keeps the spend in the client's outbox and lets the work go on when the server
            cannot be reached.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        spec = ChargeSpec(
            agent_type=agent_type,
            action=action or function.__name__,
            credits=credits,
            quantities=quantities,
            amount=amount,
            quantities_from_result=quantities_from_result,
            estimate=estimate,
            department_id=department_id,
            metadata=metadata,
            step=step,
            idempotency_key=idempotency_key,
            on_unavailable=on_unavailable,
        )
        return cast(Callable[P, R], functools.wraps(function)(_wrapper(spec, function)))

    return decorate


def _wrapper(spec: ChargeSpec, function: Callable[..., Any]) -> Callable[..., Any]:
    """The charged version of a function, of the same kind as the function."""
    if inspect.isasyncgenfunction(function):
        return _async_stream(spec, function)
    if inspect.iscoroutinefunction(function):
        return _coroutine(spec, function)
    if inspect.isgeneratorfunction(function):
        return _stream(spec, function)
    return _plain(spec, function)


def _plain(spec: ChargeSpec, function: Callable[..., R]) -> Callable[..., R]:
    def charged(*args: object, **keywords: object) -> R:
        with _paid(spec, resolve(spec, args, keywords)) as meter:
            result = function(*args, **keywords)
            if spec.quantities_from_result is not None:
                meter.add(spec.quantities_from_result(result))
        return result

    return charged


def _coroutine(spec: ChargeSpec, function: Callable[..., Awaitable[R]]) -> Callable[..., Awaitable[R]]:
    async def charged(*args: object, **keywords: object) -> R:
        async with _paid_async(spec, resolve(spec, args, keywords)) as meter:
            result = await function(*args, **keywords)
            if spec.quantities_from_result is not None:
                meter.add(spec.quantities_from_result(result))
        return result

    return charged


def _stream(
    spec: ChargeSpec, function: Callable[..., Generator[Any, Any, Any]]
) -> Callable[..., Generator[Any, Any, Any]]:
    def charged(*args: object, **keywords: object) -> Generator[Any, Any, Any]:
        with _paid(spec, resolve(spec, args, keywords)) as meter:
            if spec.quantities_from_result is None:
                return (yield from function(*args, **keywords))
            return (yield from _metered(spec.quantities_from_result, meter, function(*args, **keywords)))

    return charged


def _metered(
    usage: Callable[..., Quantities | None], meter: Meter, items: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """Pass items on and count what each has used."""
    try:
        item = next(items)
        while True:
            meter.add(usage(item))
            item = items.send((yield item))
    except StopIteration as end:
        return end.value
    finally:
        items.close()


def _async_stream(
    spec: ChargeSpec, function: Callable[..., AsyncGenerator[Any, None]]
) -> Callable[..., AsyncGenerator[Any, None]]:
    async def charged(*args: object, **keywords: object) -> AsyncGenerator[Any, None]:
        async with (
            _paid_async(spec, resolve(spec, args, keywords)) as meter,
            aclosing(function(*args, **keywords)) as items,
        ):
            async for item in items:
                if spec.quantities_from_result is not None:
                    meter.add(spec.quantities_from_result(item))
                yield item

    return charged


@contextmanager
def _paid(spec: ChargeSpec, charge: Charge) -> Iterator[Meter]:
    """Charge before the work inside, or check before and settle after it."""
    client = charge.client
    if isinstance(client, AsyncCredits):
        raise ConfigurationError(f"{charge.action} is not async, so it needs Credits, not AsyncCredits.")
    meter = Meter()
    if spec.quantities_from_result is None:
        _consume(client, charge, charge.options)
        yield meter
        return
    _gate(client, charge)
    try:
        yield meter
    except GeneratorExit:
        _settle(client, charge, meter, failed=False)
        raise
    except BaseException as error:
        with _noted(error):
            _settle(client, charge, meter, failed=True)
        raise
    _settle(client, charge, meter, failed=False)


@asynccontextmanager
async def _paid_async(spec: ChargeSpec, charge: Charge) -> AsyncIterator[Meter]:
    """As `_paid`; a sync client is called in a thread, so that the event loop does not stand still."""
    meter = Meter()
    if spec.quantities_from_result is None:
        await _consume_async(charge, charge.options)
        yield meter
        return
    if isinstance(charge.client, AsyncCredits):
        await _gate_async(charge.client, charge)
    else:
        await asyncio.to_thread(_gate, charge.client, charge)
    try:
        yield meter
    except GeneratorExit:
        await _settle_async(charge, meter, failed=False)
        raise
    except BaseException as error:
        with _noted(error):
            await _settle_async(charge, meter, failed=True)
        raise
    await _settle_async(charge, meter, failed=False)


def _check_options(charge: Charge) -> CheckOptions:
    estimated = charge.estimated()
    options: CheckOptions = {
        "quantities": estimated.get("quantities"),
        "amount": estimated.get("amount"),
        "department_id": estimated.get("department_id"),
    }
    return options


def _gate(client: Credits, charge: Charge) -> None:
    """Let the work begin, or raise why not. An approval names one spend, so it is asked about by its key."""
    quote = client.check(charge.agent_type, charge.action, **_check_options(charge))
    if quote.allowed:
        return
    with _parked(client, quote):
        approval = client.request_approval(charge.agent_type, charge.action, **charge.estimated())
        raise refusal(quote, approval.id)


async def _gate_async(client: AsyncCredits, charge: Charge) -> None:
    quote = await client.check(charge.agent_type, charge.action, **_check_options(charge))
    if quote.allowed:
        return
    with _parked(client, quote):
        approval = await client.request_approval(charge.agent_type, charge.action, **charge.estimated())
        raise refusal(quote, approval.id)


@contextmanager
def _parked(client: Client, quote: Quote) -> Iterator[None]:
    """Around asking for an approval: go on if this spend has one, else raise its refusal, whatever fails."""
    said = refusal(quote)
    if not isinstance(said, ApprovalRequired) or not client.requests_approvals:
        raise said
    try:
        yield
    except LimitExceeded:
        raise
    except TallybaseError as error:
        if not isinstance(error, Conflict) or isinstance(error, IdempotencyConflict):
            raise said from error


def _consume(client: Credits, charge: Charge, options: SpendOptions) -> Receipt | Queued:
    return client.consume(charge.agent_type, charge.action, on_unavailable=charge.on_unavailable, **options)


async def _consume_async(charge: Charge, options: SpendOptions) -> Receipt | Queued:
    client = charge.client
    if isinstance(client, AsyncCredits):
        return await client.consume(
            charge.agent_type, charge.action, on_unavailable=charge.on_unavailable, **options
        )
    return await asyncio.to_thread(_consume, client, charge, options)


def _settle(client: Credits, charge: Charge, meter: Meter, *, failed: bool) -> None:
    options = charge.settled(meter, failed=failed)
    if options is not None:
        with _charged_before(charge):
            _consume(client, charge, options)


async def _settle_async(charge: Charge, meter: Meter, *, failed: bool) -> None:
    options = charge.settled(meter, failed=failed)
    if options is not None:
        with _charged_before(charge):
            await _consume_async(charge, options)


@contextmanager
def _charged_before(charge: Charge) -> Iterator[None]:
    """Let a repeated step of a run stand as it was first charged, if it used another quantity this time."""
    try:
        yield
    except IdempotencyConflict as conflict:
        if not charge.is_step:
            raise
        _log.warning(
            "%s.%s was charged in an earlier attempt of this run for other quantities (transaction %s); "
            "that charge stands",
            charge.agent_type,
            charge.action,
            conflict.transaction_id,
        )


@contextmanager
def _noted(error: BaseException) -> Iterator[None]:
    """Keep the error of the work in front when settling fails too, with that failure as a note."""
    try:
        yield
    except TallybaseError as failure:
        error.add_note(f"The work that failed could not be charged: {failure}")
        _log.warning("work that failed could not be charged: %s", failure)
