"""Which answers are worth another attempt, when, and until when: the one place for the retry rules."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from tallybase import errors
from tallybase._answers import error_of, slug_of
from tallybase._calls import Call, Query, read_success
from tallybase._wire import Reply, TransportFailure

T = TypeVar("T")

_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a call may take and how attempts are spaced. All times are in seconds.

    Attributes:
        deadline: for the whole call, attempts and waits together.
        attempt_timeout: for one attempt.
        first_delay: upper bound of the wait after the first attempt; it doubles with each further one.
        longest_delay: upper bound of any wait that the server did not ask for.
        max_attempts: upper bound of attempts.
    """

    deadline: float = 15.0
    attempt_timeout: float = 5.0
    first_delay: float = 0.1
    longest_delay: float = 2.0
    max_attempts: int = 8

    def delay(self, attempt: int, jitter: float) -> float:
        """Return the wait after an attempt (from 1): half of it fixed, half spread by jitter in [0, 1)."""
        bound = min(self.longest_delay, self.first_delay * 2.0 ** (attempt - 1))
        return bound * (0.5 + 0.5 * jitter)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Ask the driver to send the call once, in at most `timeout` seconds."""

    timeout: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask the driver to let this many seconds pass."""

    seconds: float


Step = Attempt | Wait
StepAnswer = Reply | TransportFailure | None


def exchange(
    call: Call[T] | Query[T],
    policy: RetryPolicy,
    *,
    now: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
) -> Generator[Step, StepAnswer, T]:
    """Run one call to its end without doing any input or output itself.

    Retried are transport failures, failures of the server (`Reply.server_failed`), 429 and `busy`; never a
    402, 403, 404, 409, 413 or 422. A call that is not replayable is only retried when the server said that it
    did nothing. Every attempt sends the same arguments, so the same idempotency key.

    Yields:
        what the driver is to do next.

    Returns:
        the answer, read.

    Raises:
        TallybaseError: the refusal, or CreditsUnavailable when the deadline or the attempts are used up.
    """
    end = now() + (policy.deadline if call.patience is None else min(policy.deadline, call.patience))
    attempt = 0
    while True:
        attempt += 1
        answer = yield Attempt(max(0.05, min(policy.attempt_timeout, end - now())))
        if isinstance(answer, Reply) and answer.ok:
            return read_success(call, answer)
        error = _error(call, answer)
        if not _may_repeat(call, answer):
            raise error
        pause = policy.delay(attempt, jitter())
        if isinstance(answer, Reply) and answer.retry_after is not None:
            pause = max(pause, answer.retry_after)
        if attempt >= policy.max_attempts or now() + pause >= end:
            raise error
        yield Wait(pause)


def _error(call: Call[T] | Query[T], answer: StepAnswer) -> errors.TallybaseError:
    error: errors.TallybaseError
    if isinstance(answer, Reply):
        error = error_of(answer)
    else:
        error = errors.CreditsUnavailable(hint=f"{call.function}: {answer}")
        error.__cause__ = answer
    error.idempotency_key = call.idempotency_key
    return error


def _may_repeat(call: Call[T] | Query[T], answer: StepAnswer) -> bool:
    if not isinstance(answer, Reply):
        return call.replayable
    if answer.status == _TOO_MANY_REQUESTS or slug_of(answer) == errors.Busy.default_slug:
        return True
    return call.replayable and answer.server_failed
