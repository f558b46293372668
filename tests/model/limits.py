"""The model's limits: what stands against each, whom they stop, and who may pass all the same (section 5)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from .entities import ZERO, Approval, Charge, Limit, Parked, Question, Refused, Spender


@dataclass
class LimitBook:
    """Limits, and what counts against them. `totals` remembers sums of charges, nothing else."""

    now: datetime
    limits: list[Limit] = field(default_factory=list)
    charges: list[Charge] = field(default_factory=list)
    approvals: dict[Question, Approval] = field(default_factory=dict)
    totals: dict[tuple[int, datetime], Decimal] = field(default_factory=dict)

    def set_limit(self, limit: Limit) -> Limit:
        """set_credit_limit: a new cap, or another amount for a known one; its counter stays."""
        for known in self.limits:
            if known.names() == limit.names():
                known.amount, known.zone, known.mode = limit.amount, limit.zone, limit.mode
                self.totals.clear()  # another zone has other windows
                return known
        self.limits.append(limit)
        return limit

    def used(self, limit: Limit, at: datetime) -> Decimal:
        """Return what stands against a limit in its window around an instant."""
        window = limit.window_at(at)
        place = (self.limits.index(limit), window[0])
        if place not in self.totals:
            self.totals[place] = self.charged(limit, window)
        return self.totals[place]

    def charged(self, limit: Limit, window: tuple[datetime, datetime]) -> Decimal:
        """Add up what stands against a limit in one window; `totals` only remembers this sum."""
        return sum((c.amount for c in self.charges if c.counts_in(limit, window)), ZERO)

    def applicable_limits(self, spender: Spender) -> list[Limit]:
        """Return the limits on a spender, by id."""
        return sorted((x for x in self.limits if x.applies_to(spender)), key=lambda x: x.id)

    def cap(self, limit: Limit, at: datetime) -> Decimal:
        """Return a limit's amount in its window around an instant, with what approvals have added to it."""
        start = limit.window_at(at)[0]
        decided = (a for q, a in self.approvals.items() if (q.limit_id, q.window_start) == (limit.id, start))
        return limit.amount + sum((a.additional or ZERO for a in decided), ZERO)

    def blocks(self, limit: Limit, amount: Decimal, at: datetime) -> bool:
        """Whether an amount would pass a limit by a millionth; a limit of 0 blocks everything."""
        cap = self.cap(limit, at)
        return self.used(limit, at) + amount > cap or not cap

    def require_limits(
        self, spender: Spender, amount: Decimal, at: datetime, fingerprint: tuple[object, ...] | None = None
    ) -> dict[Question, Decimal]:
        """Refuse what a limit stops: the hard ones first, then those that ask, each by id.

        Args:
            spender: for whom.
            amount: how much.
            at: an instant of the windows that count.
            fingerprint: by which an approval knows the request; None: nobody is asked, `ask` is `hard`.

        Returns:
            By how much each approval that is used up widens its limit.
        """
        stopping = [x for x in self.applicable_limits(spender) if self.blocks(x, amount, at)]
        for limit in stopping:
            if limit.mode == "hard" or (limit.mode == "ask" and fingerprint is None):
                raise Refused(402, "limit_exceeded", **self._standing(limit, amount, at))
        used_up = {}
        for limit in (x for x in stopping if x.mode == "ask"):
            question = self._question(limit, limit.window_at(at)[0], fingerprint or ())
            approval = self.approvals.get(question)
            if approval is None:
                raise Parked(402, "approval_required", question, **self._standing(limit, amount, at))
            if not approval.is_approved:
                raise Refused(402, "limit_exceeded", **self._standing(limit, amount, at))
            used_up[question] = self.used(limit, at) + amount - self.cap(limit, at)
        return used_up

    def _question(self, limit: Limit, start: datetime, fingerprint: tuple[object, ...]) -> Question:
        """Return what is asked now: approvals of the same request that are used up count no more."""
        question = Question(limit.id, start, fingerprint)
        while (known := self.approvals.get(question)) and known.is_approved and known.additional is not None:
            question = replace(question, number=question.number + 1)
        return question

    def _standing(self, limit: Limit, amount: Decimal, at: datetime) -> dict[str, object]:
        cap, used = self.cap(limit, at), self.used(limit, at)
        return {
            "limit_id": limit.id,
            "subject_type": limit.subject_type,
            "subject_id": limit.subject,
            "limit": cap,
            "used": used,
            "required": amount,
            "remaining": max(ZERO, cap - used),
        }

    def use_up(self, approvals: dict[Question, Decimal]) -> None:
        """An approval of one spend becomes what that spend took."""
        for question, shortfall in approvals.items():
            self.approvals[question].additional = shortfall

    def limits_left(self, spender: Spender, at: datetime) -> list[tuple[Limit, Decimal, datetime]]:
        """Return what each limit on a spender has left in its window, and when the window ends."""
        return [
            (limit, max(ZERO, self.cap(limit, at) - self.used(limit, at)), limit.window_at(at)[1])
            for limit in self.applicable_limits(spender)
        ]

    def charge(self, spender: Spender, amount: Decimal) -> Charge:
        """Count an amount against limits from now on."""
        charge = Charge(self.now, spender, ZERO)
        self.charges.append(charge)
        self.recount(charge, amount)
        return charge

    def give_back(self, charge: Charge, amount: Decimal) -> None:
        """Take a refunded amount off the windows that are still open."""
        returned = Charge(charge.at, charge.spender, ZERO, self.now)
        self.charges.append(returned)
        self.recount(returned, -amount)

    def recount(self, charge: Charge, amount: Decimal) -> None:
        """Let a charge stand for another amount than before, in the windows in which it was taken."""
        for number, limit in enumerate(self.limits):
            window = limit.window_at(charge.at)
            place = (number, window[0])
            if place in self.totals and charge.counts_in(limit, window):
                self.totals[place] += amount - charge.amount
        charge.amount = amount

    # Approvals

    def resolve_approval(self, question: Question, is_approved: bool, additional: Decimal | None) -> Approval:
        """resolve_approval: once; the same decision again changes nothing."""
        known = self.approvals.get(question)
        if known:
            differs = known.is_approved != is_approved or additional not in (None, known.additional)
            if differs:
                raise Refused(409, "conflict", what="approved" if known.is_approved else "rejected")
            return known
        limit = next(x for x in self.limits if x.id == question.limit_id)
        if limit.mode != "ask" or limit.window_at(self.now)[0] != question.window_start:
            raise Refused(404, "not_found", what="approval")
        self.approvals[question] = Approval(is_approved, additional)
        return self.approvals[question]

    def ask(self, spender: Spender, amount: Decimal, fingerprint: tuple[object, ...]) -> Parked:
        """request_approval: what a spend is parked for; one that would pass is a conflict."""
        try:
            self.require_limits(spender, amount, self.now, fingerprint)
        except Parked as parked:
            return parked
        raise Refused(409, "conflict", what="approval")


def fingerprint(
    spender: Spender, requested: Decimal | None, key: str | None, tokens: int | None = None
) -> tuple[object, ...]:
    """Return by what an approval knows a spend or hold: its key, or else all that it says."""
    if key is not None:
        return "key", key
    return "call", spender.agent_type, requested, tokens, spender.department, spender.run
