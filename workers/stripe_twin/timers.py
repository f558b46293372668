"""What happens by itself when its time comes: renewals, retries, expiries, settlements.

A timer is a row that names an object and a kind. Its time is that of the customer: the test clock's, or the
time of day (plus what a control call moved it ahead). Timers run in the order of their times, each at its own
time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from stripe_twin.unit import UnitOfWork

Handler = Callable[[UnitOfWork, str], None]
TIMERS: dict[str, Handler] = {}

_MOST_STEPS = 5_000


def timer(kind: str) -> Callable[[Handler], Handler]:
    """Register the decorated function as what happens when a timer of a kind is due.

    It is called with the unit of work, whose time is the timer's, and the id of the object. It locks the
    object and looks whether it is still to happen: someone else may have been faster.
    """

    def register(handler: Handler) -> Handler:
        assert kind not in TIMERS, kind
        TIMERS[kind] = handler
        return handler

    return register


def set_timer(unit: UnitOfWork, object_id: str, kind: str, due_at: int | None, customer: str | None) -> None:
    """Set, move or (with no time) remove a timer.

    Args:
        unit: The unit of work.
        object_id: The object it concerns.
        kind: What is to happen.
        due_at: When, in seconds since 1970 in the customer's time; None for never.
        customer: The customer whose clock counts, if there is one.
    """
    assert kind in TIMERS, kind
    if due_at is None:
        unit.connection.execute("delete from timers where object_id = %s and kind = %s", (object_id, kind))
        return
    unit.connection.execute(
        "insert into timers (object_id, kind, due_at, customer, clock) "
        "values (%s, %s, %s, %s, (select data->>'test_clock' from objects where id = %s)) "
        "on conflict (object_id, kind) do update set due_at = excluded.due_at",
        (object_id, kind, due_at, customer, customer),
    )


def clear_timers(unit: UnitOfWork, object_id: str) -> None:
    """Remove every timer of an object."""
    unit.connection.execute("delete from timers where object_id = %s", (object_id,))


def run_clock(unit: UnitOfWork, clock_id: str, until: int) -> int:
    """Let a test clock run up to a time; return how many timers fired."""
    return _run(unit, "clock = %s", clock_id, until)


def run_customer(unit: UnitOfWork, customer_id: str, until: int) -> int:
    """Let the time of one customer without a clock run up to a time; return how many timers fired."""
    return _run(unit, "clock is null and customer = %s", customer_id, until)


def _run(unit: UnitOfWork, condition: str, owner: str, until: int) -> int:
    for step in range(_MOST_STEPS):
        row = unit.connection.execute(
            f"select object_id, kind, due_at from timers where {condition} and due_at <= %s "
            "order by due_at, object_id, kind limit 1",
            (owner, until),
        ).fetchone()
        if row is None:
            return step
        _fire(unit, row["object_id"], row["kind"], row["due_at"])
    raise RuntimeError(f"more than {_MOST_STEPS} things were to happen before {until}")


def _fire(unit: UnitOfWork, object_id: str, kind: str, moment: int) -> None:
    """Let it happen, then forget the timer unless it was set anew; objects are locked before timers."""
    TIMERS[kind](unit.at(moment), object_id)
    unit.connection.execute(
        "delete from timers where object_id = %s and kind = %s and due_at <= %s", (object_id, kind, moment)
    )


class TimerFailedError(RuntimeError):
    """Raised when what a timer lets happen failed; names the timer, so that it can be put off."""

    def __init__(self, object_id: str, kind: str) -> None:
        super().__init__(f"{kind} of {object_id}")
        self.object_id = object_id
        self.kind = kind


def put_off(unit: UnitOfWork, object_id: str, kind: str, seconds: int = 60) -> None:
    """Try a timer that failed again later, so that it does not keep the others waiting."""
    unit.connection.execute(
        "update timers t set due_at = %s + %s + coalesce("
        "  (select (c.hidden->>'seconds_ahead')::bigint from objects c where c.id = t.customer), 0) "
        "where object_id = %s and kind = %s",
        (int(time.time()), seconds, object_id, kind),
    )


def fire_next_due(unit: UnitOfWork) -> bool:
    """Let the next timer that is due by the time of day happen; return whether there was one.

    One transaction at a time does this; another one finds nothing to do meanwhile.

    Raises:
        TimerFailedError: When it failed, for whatever reason.
    """
    row = unit.connection.execute(
        "select pg_try_advisory_xact_lock(hashtextextended(current_schema() || ':timers', 0)) as held"
    ).fetchone()
    if row is None or not row["held"]:
        return False
    due = unit.connection.execute(
        """
        select t.object_id, t.kind, t.due_at from timers t left join objects c on c.id = t.customer
        where t.clock is null and t.due_at <= %s + coalesce((c.hidden->>'seconds_ahead')::bigint, 0)
        order by t.due_at, t.object_id, t.kind limit 1
        """,
        (int(time.time()),),
    ).fetchone()
    if due is None:
        return False
    try:
        _fire(unit, due["object_id"], due["kind"], due["due_at"])
    except Exception as error:
        raise TimerFailedError(due["object_id"], due["kind"]) from error
    return True
