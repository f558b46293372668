"""Runs: what is spent inside `with credits.run(...)` carries the run's id and counts to its budget."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import TracebackType
from typing import ParamSpec, TypeVar
from uuid import UUID

from tallybase import _keys, _threads
from tallybase._calls import Number, require_number
from tallybase.errors import ConfigurationError, RunBudgetExceeded
from tallybase.models import Receipt

P = ParamSpec("P")
R = TypeVar("R")

_current: contextvars.ContextVar[Run | None] = contextvars.ContextVar("tallybase_run", default=None)


def current_run() -> Run | None:
    """Return the innermost run that this code is part of, or None."""
    return _current.get()


class Run:
    """One piece of work of an agent, entered by `with` (in async code too).

    A run's id names *one* piece of work: when a worker dies and another does the same work again under the
    same id, every step has the key that it had before and is charged once. So do not use the id of a
    conversation, whose next turn would look like a repetition.

    Args:
        run_id: 1 to 255 printable characters; without one, a new time-ordered UUID.
        agent_type: default agent type of what is charged inside by the decorator or a crew.
        budget: most credits that may be spent inside, including runs inside it; None: no budget.
        credits: the client that made the run; decorators inside use it when they have no other.

    The budget is enforced by this process: it counts what this process saw charged, replays included. A limit
        set with
    `set_credit_limit('run', ...)` is enforced by the database across processes.
    """

    def __init__(
        self,
        *,
        run_id: str | UUID | None = None,
        agent_type: str | None = None,
        budget: Number | None = None,
        department_id: UUID | str | None = None,
        credits: object = None,
    ) -> None:
        self.id = str(run_id) if run_id is not None else _keys.new_key()
        self.agent_type = agent_type
        self.budget = None if budget is None else Decimal(require_number("budget", budget))
        self.department_id = department_id
        self.credits = credits
        self._parent: Run | None = None
        self._token: contextvars.Token[Run | None] | None = None
        self._lock = threading.Lock()
        self._steps: Counter[str] = Counter()
        self._spent = Decimal(0)
        self._reserved = Decimal(0)
        self._counted: set[UUID] = set()

    @property
    def spent(self) -> Decimal:
        """Credits charged inside so far, each transaction once."""
        with self._lock:
            return self._spent

    @property
    def remaining(self) -> Decimal | None:
        """What is left of the budget, not counting spends in flight, or None without a budget."""
        if self.budget is None:
            return None
        with self._lock:
            return max(Decimal(0), self.budget - self._spent - self._reserved)

    def step_key(self, agent_type: str, action: str, step: str | None = None) -> str:
        """Derive the idempotency key of the next step.

        Args:
            agent_type: who acts.
            action: what is done.
            step: a name that is the same when the run is repeated (`"chapter-3"`). Without one, calls of the
                same action are numbered in the order in which they come; name the steps where that order may
                differ next time.
        """
        with self._lock:
            label = f"{agent_type}.{action}:{step or ''}"
            self._steps[label] += 1
            number = self._steps[label]
        return _keys.step_key(
            self.id, agent_type, action, str(number) if step is None else f"{step}:{number}"
        )

    def bind(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function so that it is part of this run wherever it is called."""

        @functools.wraps(function)
        def inside(*args: P.args, **keywords: P.kwargs) -> R:
            token = _current.set(self)
            try:
                return function(*args, **keywords)
            finally:
                _current.reset(token)

        return inside

    def __enter__(self) -> Run:
        if self._token is not None:
            raise ConfigurationError("A run can be entered once at a time.")
        self._parent = _current.get()
        self._token = _current.set(self)
        _threads.inherit(_current)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            _threads.release()
            _current.reset(token)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    @property
    def is_capped(self) -> bool:
        """Whether this run or one around it has a budget."""
        return self.budget is not None or (self._parent is not None and self._parent.is_capped)

    def reserve(self, amount: Decimal) -> None:
        """Claim a part of the budgets of this run and those around it, or refuse whole.

        Raises:
            RunBudgetExceeded: when a budget would be passed; nothing is claimed then.
        """
        with self._lock:
            if self.budget is not None and self._spent + self._reserved + amount > self.budget:
                raise RunBudgetExceeded(details=self._budget_details(amount))
            self._reserved += amount
        if self._parent is not None:
            try:
                self._parent.reserve(amount)
            except RunBudgetExceeded:
                with self._lock:
                    self._reserved -= amount
                raise

    def release(self, amount: Decimal) -> None:
        """Give back what was claimed and not spent."""
        with self._lock:
            self._reserved -= amount
        if self._parent is not None:
            self._parent.release(amount)

    def count(self, receipts: Sequence[Receipt], claimed: Decimal = Decimal(0)) -> None:
        """Count each transaction once, here and in the runs around, in place of what was claimed for it."""
        with self._lock:
            self._reserved -= claimed
            for receipt in receipts:
                if receipt.transaction_id not in self._counted:
                    self._counted.add(receipt.transaction_id)
                    self._spent += receipt.amount
        if self._parent is not None:
            self._parent.count(receipts, claimed)

    def _budget_details(self, amount: Decimal) -> dict[str, object]:
        used = self._spent + self._reserved
        budget = self.budget or Decimal(0)
        return {
            "subject_type": "run",
            "subject_id": self.id,
            "limit": budget,
            "used": used,
            "required": amount,
            "remaining": max(Decimal(0), budget - used),
        }
