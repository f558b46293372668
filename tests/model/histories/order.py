"""Looks for the serial order that explains a concurrent history, with the model as the judge.

The ledger's gap-free sequence is the order of effects. The model is told the calls in that order, each at the
instant at which its entry is dated, and must give every answer that was given. What left no entry (a refusal,
a reading) must be right at some state between the marks of its caller.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from ..entities import ALWAYS, NEVER, Refused
from ..ledger import Ledger
from .applying import Applying
from .claims import AnomalyError, Causes, Claim
from .observing import Observer, observers_of
from .operations import Evidence, History, Operation


@dataclass
class _Glimpse:
    """The model between two instants at which something happens by itself."""

    ledger: Ledger
    begins: datetime
    ends: datetime


class SerialOrder:
    """The search for one tenant."""

    def __init__(self, history: History, evidence: Evidence) -> None:
        self._entries = evidence.entries
        self._evidence = evidence
        self._operations = history.operations
        self._applying = Applying(history.tenant)
        self._seen: Counter[str] = Counter()
        self._since = ALWAYS  # when the present state began

    def check(self) -> Counter[str]:
        """Find the order and return how much of each sort it explains.

        Raises:
            AnomalyError: there is none.
        """
        self._require_running_balance()
        causes = Causes(self._evidence, self._operations)
        self._applying.places = causes.places
        observers = [seen for call in self._operations for seen in observers_of(call, self._applying)]
        self._waiting = sorted(observers, key=lambda seen: seen.first, reverse=True)
        self._open: list[Observer] = []
        self._edits = sorted(
            (o for o in self._operations if o.within), key=lambda o: o.within or o.after, reverse=True
        )
        for here, there in pairwise([0, *sorted(causes.owners), len(self._entries) + 1]):
            if here:
                self._apply(here, causes.owners[here], causes.replays[here])
            self._look_around(here, there)
        if unexplained := self._open + self._waiting:
            raise AnomalyError(f"never right: {unexplained[0].operation}")
        self._require_remains()
        self._seen["entries"] += len(self._entries)
        refusals = (o.answer for o in self._operations if isinstance(o.answer, Refused))
        self._seen["busy"] += sum(refusal.slug == "busy" for refusal in refusals)
        return self._seen

    def _require_running_balance(self) -> None:
        running = Decimal(0)
        for place, entry in enumerate(self._entries, 1):
            running += entry["amount"]
            if (entry["sequence"], entry["balance_after"]) != (place, running):
                raise AnomalyError(f"entry {place} has {entry['balance_after']}, the sum is {running}")

    def _apply(self, place: int, owner: Claim, replays: list[Claim]) -> None:
        entry = self._entries[place - 1]
        ledger = self._applying.ledger
        ledger.history.clear()
        try:
            ledger.move_clock(entry["created_at"])
            self._applying.apply(owner, entry)
            told = owner.answer or (replays[0].answer if replays else None)
            for replay in replays:
                _require_same_answer(owner.operation.function, told, replay.answer)
        except (AssertionError, Refused) as error:
            raise AnomalyError(
                f"entry {place} is not right: {error!r}; {owner.operation}; {entry}"
            ) from error
        self._seen[owner.operation.function] += 1
        self._seen["replays"] += len(replays)
        self._seen["lost answers"] += owner.operation.was_lost

    def _look_around(self, here: int, there: int) -> None:
        """Explain what was observed after entry `here` and before the next caused one, `there`."""
        self._since = self._applying.ledger.now
        until = self._entries[there - 1]["created_at"] if there <= len(self._entries) else NEVER
        while self._waiting and self._waiting[-1].first < there:
            self._open.append(self._waiting.pop())
        self._observe(until)
        while self._edits and _place(self._edits[-1]) < there:
            self._applying.edit(self._edits.pop())
            self._seen["edits"] += 1
            self._observe(until)
        for seen in self._open:
            if seen.last < there:
                raise AnomalyError(
                    f"not right at any state from {seen.first} to {seen.last}, {seen.since} to {seen.until}: "
                    f"{seen.operation}; last {self._applying.ledger.balance} from {here}, {self._since}, "
                    f"to {there}, {until}; entries "
                    f"{[self._told(place) for place in range(seen.first, there + 1)]}; "
                    f"the model said {getattr(seen.is_right, 'said', [])[-8:]}"
                )
        self._applying.ledger.now = self._since
        self._require_own_entries(here, there)

    def _told(self, place: int) -> str:
        """An entry in a few words, for whoever reads of an anomaly."""
        if not 1 <= place <= len(self._entries):
            return f"{place}: none"
        entry = self._entries[place - 1]
        return f"{place}: {entry['kind']} {entry['amount']}, {entry['reason']}, at {entry['created_at']}"

    def _require_own_entries(self, here: int, there: int) -> None:
        """What the ledger booked by itself must leave the balance that the model has at that instant."""
        ledger = self._applying.ledger
        for place in range(here, there - 1):
            entry = self._entries[place]
            ledger.move_clock(entry["created_at"])
            is_last = place + 1 == len(self._entries)
            if is_last or self._entries[place + 1]["created_at"] > entry["created_at"]:
                now = ledger.balance
                told = (entry["balance_after"], entry["held_after"], entry["debt_after"])
                if told != (now.balance, now.held, now.debt):
                    raise AnomalyError(
                        f"entry {place + 1} was booked by itself, and leaves not {now}: {entry}"
                    )
            self._seen["by itself"] += 1

    # States between two entries

    def _observe(self, until: datetime) -> None:
        """Close what the present state explains, at any instant of it before `until`."""
        ledger = self._applying.ledger
        self._glimpses = [_Glimpse(ledger, self._since, min(ledger.due_instants(), default=NEVER))]
        still_open = []
        for seen in self._open:
            if self._explains(seen, until):
                answer = seen.operation.answer
                self._seen[answer.slug if isinstance(answer, Refused) else "readings"] += 1
            else:
                still_open.append(seen)
        self._open = still_open

    def _explains(self, seen: Observer, until: datetime) -> bool:
        if seen.reads_at:
            return seen.is_right(self._glimpse(max(self._since, seen.reads_at)))
        at = max(self._since, seen.since)
        last = seen.until if seen.is_lock_free else min(until, seen.until)
        while at <= last:
            if seen.is_right(self._glimpse(at)):
                return True
            # Not at the instants that are known at first: a grant that begins meanwhile may end meanwhile.
            at = self._state_at(at).ends
        return False

    def _glimpse(self, at: datetime) -> Ledger:
        """Return the model as it is at an instant."""
        ledger = self._state_at(at).ledger
        ledger.now = at
        return ledger

    def _state_at(self, at: datetime) -> _Glimpse:
        """Return the state that holds at an instant: the model until something falls due, or a copy."""
        for known in self._glimpses:
            if known.begins <= at < known.ends:
                return known
        model = self._applying.ledger
        ledger = copy.deepcopy(model, {id(model.history): [], id(model.answers): model.answers})
        begins = self._since
        while (due := min(ledger.due_instants(), default=NEVER)) <= at:
            ledger.move_clock(due)
            begins = due
        self._glimpses.append(_Glimpse(ledger, begins, due))
        return self._glimpses[-1]

    def _require_remains(self) -> None:
        ledger = self._applying.ledger
        ledger.move_clock(self._evidence.settled_at)
        expected = {g.id: (g.remaining, g.held) for g in ledger.grants}
        if expected != self._evidence.remains:
            differing = set(expected.items()) ^ set(self._evidence.remains.items())
            raise AnomalyError(f"grants have something else left: {sorted(differing)}")


def _place(operation: Operation) -> int:
    assert operation.within
    return operation.within.sequence


def _require_same_answer(
    function: str, first: Mapping[str, Any] | None, again: Mapping[str, Any] | None
) -> None:
    """A replay is the first receipt again; that of a hold tells what has become of it."""
    assert first is not None
    assert again is not None
    if function == "hold_credits":
        names = {"hold_id", "organization_id", "agent_type", "action", "created_at", "idempotency_key"}
    else:
        names = set(first) - {"replayed"}
    assert {n: first[n] for n in names} == {n: again[n] for n in names}, (first, again)
