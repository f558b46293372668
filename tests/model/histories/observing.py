"""What left no entry, and when it would have been right: refusals, readings, replays of the present."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from ..comparing import expiring, same_refusal
from ..entities import NEVER, Refused
from ..ledger import Ledger
from ..prices import Spend
from .applying import Applying, decimal, instant, rounded, same_hold, spend_of
from .claims import AnomalyError
from .operations import Operation

#: A call waits so long for the organization's lock and no longer; a loaded machine may be late to say so.
BUSY_AFTER = timedelta(seconds=1.95)
BUSY_AT_THE_LATEST = timedelta(seconds=6)

Judge = Callable[[Ledger], bool]


@dataclass
class Observer:
    """Something that left no entry, and the states at which it may have been right.

    Attributes:
        operation: the call.
        first: the earliest entry after which it may have been answered.
        last: the latest.
        is_right: whether a model, at its instant, answers so.
        reads_at: the instant that the answer itself names, if any.
    """

    operation: Operation
    first: int
    last: int
    is_right: Judge
    reads_at: datetime | None = None

    @property
    def is_lock_free(self) -> bool:
        """Whether it may have been answered while another call, dated already, was still to commit.

        A known key is answered, and a stranger sent away, before the lock is taken.
        """
        answer = self.operation.answer
        return isinstance(answer, Refused) and answer.slug in ("idempotency_conflict", "not_found")

    @property
    def since(self) -> datetime:
        """The earliest instant at which it may have been answered."""
        return self.operation.before.at

    @property
    def until(self) -> datetime:
        """The latest."""
        return self.operation.after.at


def observers_of(operation: Operation, applying: Applying) -> Iterator[Observer]:
    """Yield what in a call's answer is right or wrong by the state of the ledger alone.

    Raises:
        AnomalyError: the answer is wrong whatever the state was.
    """
    first, last = operation.before.sequence, operation.after.sequence
    answer = operation.answer
    due = operation.static_refusal()
    if due or isinstance(answer, Refused):
        if not isinstance(answer, Refused) or (due and (answer.status, answer.slug) != due):
            raise AnomalyError(f"should have been refused with {due}: {operation}")
        if answer.slug == "busy":
            _require_patience(operation)
        elif not due:
            yield Observer(operation, first, last, _refusal(operation, answer, applying))
    elif operation.function == "consume_credits_batch":
        yield from _refused_events(operation, answer, applying)
    elif operation.function == "get_credit_balance":
        as_of = instant(answer["as_of"])
        yield Observer(operation, first, last, lambda ledger: _is_balance(ledger, answer), as_of)
    elif (
        operation.within is None
        and answer.get("replayed")
        and (judge := _present(operation, answer, applying)) is not None
    ):
        yield Observer(operation, first, last, judge)


def _require_patience(operation: Operation) -> None:
    waited = operation.after.at - operation.before.at
    if not BUSY_AFTER <= waited <= BUSY_AT_THE_LATEST:
        raise AnomalyError(f"busy after {waited}: {operation}")


@dataclass
class _RefusesLike:
    """Whether a model refuses, with the same words.

    Attributes:
        said: what it said instead, at which instants.
    """

    actual: Refused
    admit: Callable[[Ledger], object]
    said: list[str] = field(default_factory=list)

    def __call__(self, ledger: Ledger) -> bool:
        try:
            self.admit(ledger)
        except Refused as expected:
            try:
                return same_refusal(expected, self.actual)
            except AssertionError:
                self.said.append(f"at {ledger.now}, {ledger.balance}: {expected.slug} {expected.details}")
                return False
        self.said.append(f"at {ledger.now}, {ledger.balance}: no refusal")
        return False


def _refuses_like(actual: Refused, admit: Callable[[Ledger], object]) -> Judge:
    return _RefusesLike(actual, admit)


def _refused_spend(refusal: Refused, spend: Spend) -> Judge:
    return _refuses_like(refusal, lambda ledger: ledger.admit_consume(spend))


def _refusal(operation: Operation, refusal: Refused, applying: Applying) -> Judge:
    """Return what says whether the model would refuse a call so."""
    told = operation.arguments
    if operation.function == "consume_credits":
        return _refused_spend(refusal, spend_of(operation, told))
    if operation.function == "consume_credits_batch":
        return _RefusesBatch(operation, refusal)
    if operation.function == "grant_credits":
        return _refused_grant(told, refusal, operation.after.at, applying)
    if operation.function.endswith("_hold"):
        return _refused_resolution(operation, refusal, applying)
    admit: Mapping[str, Callable[[Ledger], object]] = {
        "hold_credits": lambda ledger: ledger.admit_hold(
            operation.spender(), rounded(operation.cost()), told["idempotency_key"], decimal(told["amount"])
        ),
        "refund_consumption": lambda ledger: ledger.admit_refund(
            applying.consumptions[told["transaction_id"]],
            decimal(told["amount"]),
            told["reason"],
            told["idempotency_key"],
        ),
        "adjust_credits": lambda ledger: ledger.replay(
            told["idempotency_key"], "adjust", Decimal(told["delta"])
        ),
        "transfer_credits": lambda ledger: ledger.admit_transfer(
            told["from_department_id"],
            told["to_department_id"],
            Decimal(told["amount"]),
            told["idempotency_key"],
        ),
    }
    if operation.function not in admit:
        raise AnomalyError(f"never to be refused: {operation}")
    return _refuses_like(refusal, admit[operation.function])


@dataclass
class _RefusesBatch:
    """Whether a model refuses an atomic batch with the same words.

    Its events are booked one after the other, each at its own instant, and what falls due meanwhile is booked
    between them. What was refused left no entries that would say when: any instant until the answer will do.
    """

    operation: Operation
    actual: Refused
    said: list[str] = field(default_factory=list)

    def __call__(self, ledger: Ledger) -> bool:
        return self._is_refused_from(0, copy.deepcopy(ledger))

    def _is_refused_from(self, index: int, ledger: Ledger) -> bool:
        events = self.operation.arguments["events"]
        later = copy.deepcopy(ledger)
        if index < len(events) and self._is_refused_at(index, ledger):
            return True
        due = min(later.due_instants(), default=NEVER)
        if index == 0 or index >= len(events) or due > self.operation.after.at:
            return False  # before the first event, the instants are those that it is asked for
        later.move_clock(due)
        return self._is_refused_from(index, later)

    def _is_refused_at(self, index: int, ledger: Ledger) -> bool:
        event = self.operation.arguments["events"][index]
        try:
            ledger.consume(spend_of(self.operation, event))
        except Refused as refusal:
            expected = Refused(refusal.status, refusal.slug, index=index, **refusal.details)
            try:
                return same_refusal(expected, self.actual)
            except AssertionError:
                self.said.append(f"at {ledger.now}, {ledger.balance}: {expected.slug} {expected.details}")
                return False
        return self._is_refused_from(index + 1, ledger)


def _refused_grant(told: Mapping[str, Any], refusal: Refused, until: datetime, applying: Applying) -> Judge:
    def is_right(_: Ledger) -> bool:
        known = applying.references.get(told["source_reference"])
        if refusal.slug == "idempotency_conflict":
            return (
                known is not None
                and known.amount != Decimal(told["amount"])
                and refusal.details == {"grant_id": known.id}
            )
        ends = instant(told["expires_at"])
        is_late = refusal.slug == "invalid_argument" and refusal.details == {"argument": "expires_at"}
        return is_late and known is None and ends is not None and ends <= until

    return is_right


def _refused_resolution(operation: Operation, refusal: Refused, applying: Applying) -> Judge:
    told = operation.arguments

    def is_right(ledger: Ledger) -> bool:
        hold = applying.find_hold(ledger, told["hold_id"])
        if hold is None:
            return False
        if not applying.may_resolve(operation, hold):
            return (refusal.status, refusal.slug, refusal.details) == (404, "not_found", {"what": "hold"})

        def admit(model: Ledger) -> None:
            if operation.function == "extend_hold":
                model.admit_extend(hold, Decimal(told["additional"]), decimal(told["metered"]))
            elif operation.function == "capture_hold":
                model.admit_capture(hold, decimal(told["amount"]), told["idempotency_key"])
            else:
                model.require_open(hold)

        return _refuses_like(refusal, admit)(ledger)

    return is_right


def _refused_events(operation: Operation, answer: list[Any], applying: Applying) -> Iterator[Observer]:
    """Each refused event was decided between its neighbours in the batch that left an entry."""
    places = {
        row["index"]: applying.places[row["receipt"]["transaction_id"]]
        for row in answer
        if row["ok"] and not row["receipt"]["replayed"]
    }
    for row in answer:
        if row["ok"]:
            continue
        error = row["error"]
        refusal = Refused(error["status"], error["message"], **(error["details"] or {}))
        event = operation.arguments["events"][row["index"]]
        earlier = [place for index, place in places.items() if index < row["index"]]
        later = [place - 1 for index, place in places.items() if index > row["index"]]
        yield Observer(
            operation,
            max(earlier, default=operation.before.sequence),
            min(later, default=operation.after.sequence),
            _refused_spend(refusal, spend_of(operation, event)),
        )


def _present(operation: Operation, answer: Mapping[str, Any], applying: Applying) -> Judge | None:
    """Holds tell what there is now, as does a void that finds nothing; other replays what was then."""
    if operation.function == "hold_credits":

        def is_right(ledger: Ledger) -> bool:
            hold = applying.find_hold(ledger, answer["hold_id"])
            try:
                assert hold
                same_hold(hold, answer)
            except AssertionError:
                return False
            return _is_wallet(ledger, answer)

        return is_right
    if operation.function == "void_grant" and answer["transaction_id"] is None:
        return _HasWallet(answer)
    return None


@dataclass
class _HasWallet:
    """Whether a model has the balance of an answer.

    Attributes:
        said: what it had instead, at which instants.
    """

    answer: Mapping[str, Any]
    said: list[str] = field(default_factory=list)

    def __call__(self, ledger: Ledger) -> bool:
        self.said.append(f"at {ledger.now}: {ledger.balance}")
        return _is_wallet(ledger, self.answer)


def _is_wallet(ledger: Ledger, answer: Mapping[str, Any]) -> bool:
    now = ledger.balance
    return (answer["balance"], answer["available"]) == (now.balance, now.available)


def _is_balance(ledger: Ledger, answer: Mapping[str, Any]) -> bool:
    now = ledger.balance
    told = tuple(answer[name] for name in ("balance", "held", "available", "debt", "pending"))
    return (
        told == (now.balance, now.held, now.available, now.debt, ledger.pending)
        and expiring(answer["expiring"]) == ledger.expiring
    )
