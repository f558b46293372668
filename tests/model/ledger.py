"""The model's calls: what each named function of the ledger does to a wallet, or why it refuses.

A call checks everything before it changes anything, so that a refusal leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from .entities import (
    NEVER,
    ZERO,
    Consumption,
    Grant,
    Hold,
    Limit,
    Part,
    Receipt,
    Refused,
    Spender,
    round_up,
)
from .wallet import Wallet

ANYBODY = Spender(None, "")


@dataclass
class Spend:
    """One event of consume_credits or of a batch."""

    spender: Spender
    amount: Decimal
    key: str | None = None


@dataclass
class Ledger(Wallet):
    """A wallet with the ledger's calls."""

    # Keys (section 3.2)

    def replay(self, key: str | None, *request: object) -> Receipt | None:
        """Answer a known key before anything else is looked at; None: it is new."""
        first = self.answers.get(key) if key else None
        if first is None:
            return None
        if first.request != request:
            raise Refused(409, "idempotency_conflict")
        return replace(first, replayed=True)

    def answer(self, key: str | None, amount: Decimal, parts: list[Part], *request: object) -> Receipt:
        """Write a movement down and return its receipt."""
        self.record()
        now = self.balance
        receipt = Receipt(amount, now.balance, now.available, parts, request)
        if key:
            self.answers[key] = receipt
        return receipt

    # Consuming (section 3)

    def consume(self, spend: Spend) -> Receipt:
        """consume_credits: the key, the price, the limits, the grants; whole or not at all."""
        amount = round_up(spend.amount)
        request = ("consume", spend.spender, amount)
        if first := self.replay(spend.key, *request):
            return first
        self.require_limits(spend.spender, amount, self.now)
        self.require_credits(spend.spender, amount)
        charge = self.charge(spend.spender, amount)
        parts = self.pay(spend.spender, amount)
        receipt = self.answer(spend.key, amount, parts, *request)
        receipt.limits = self.limits_left(spend.spender, self.now)
        receipt.consumption = Consumption(amount, parts, charge, self.now)
        return receipt

    def consume_batch(self, spends: Sequence[Spend]) -> list[Receipt | Refused]:
        """consume_credits_batch: one answer for each event, in order. For `atomic`, call it on a copy."""
        answers: list[Receipt | Refused] = []
        for spend in spends:
            try:
                answers.append(self.consume(spend))
            except Refused as refusal:
                answers.append(refusal)
        return answers

    def refund(self, spent: Consumption, amount: Decimal | None, reason: str, key: str) -> Receipt:
        """refund_consumption: to the grants it came from, last taken first (section 3, after the rules)."""
        request = ("refund", spent.id, amount, reason)
        if first := self.replay(key, *request):
            return first
        refundable = spent.amount - spent.refunded
        wanted = refundable if amount is None else amount
        if wanted > refundable or not wanted:
            raise Refused(409, "refund_exceeds_consumption", consumed=spent.amount, refundable=refundable)
        given, lost = [], ZERO
        for part in self._last_taken_first(spent, wanted):
            back, gone = self._give_back(part, spent, reason)
            given += back
            lost += gone
        spent.refunded += wanted
        spent.charge.amount -= wanted  # windows that are closed are not looked at again
        receipt = self.answer(key, wanted, given, *request)
        # The entry gives back; what goes to a grant that is over is expired by the next entry.
        receipt.balance += lost
        receipt.available += lost
        return receipt

    @staticmethod
    def _last_taken_first(spent: Consumption, wanted: Decimal) -> list[Part]:
        """Cut from the end of what was taken, after what earlier refunds have cut already."""
        skipped, pieces = spent.refunded, []
        for part in reversed(spent.parts):
            free = part.amount - min(part.amount, skipped)
            skipped -= part.amount - free
            taken = min(free, wanted)
            wanted -= taken
            if taken:
                pieces.append(Part(part.grant, taken))
        return pieces

    def _give_back(self, part: Part, spent: Consumption, reason: str) -> tuple[list[Part], Decimal]:
        """Give one piece back. Returns what grants got, and how much of it is lost at once."""
        grant = part.grant
        if grant is None:
            repaid = min(self.debt, part.amount)
            self.debt -= repaid
            rest = part.amount - repaid
            return ([self._new_grant(Grant(rest, self.now))] if rest else []), ZERO
        if not grant.is_over:
            grant.remaining += part.amount
            return [part], ZERO
        if reason == "customer":
            return [part], part.amount
        left = (
            NEVER
            if grant.expires_at == NEVER
            else self.now + (grant.expires_at - max(spent.spent_at, grant.effective_at))
        )
        successor = replace(
            grant,
            amount=part.amount,
            effective_at=self.now,
            expires_at=left,
            unit_cost=ZERO,
            held=ZERO,
            is_over=False,
            is_voided=False,
            id="",
        )
        return [self._new_grant(successor)], ZERO

    def _new_grant(self, grant: Grant) -> Part:
        """Put a grant in force that carries credits which were somebody's already."""
        grant.remaining = grant.amount
        grant.is_active = True
        self.grants.append(grant)
        return Part(grant, grant.amount)

    # Holds (section 4)

    def hold(self, spender: Spender, amount: Decimal, expires_in: timedelta) -> Hold:
        """hold_credits: claim credits as a spend would take them."""
        self.require_limits(spender, amount, self.now)
        self.require_credits(spender, amount)
        claims, uncovered = self._claim(spender, amount)
        charge = self.charge(spender, amount)
        hold = Hold(amount, spender, self.now, self.now + expires_in, claims, uncovered, charge)
        self.holds.append(hold)
        self.record()
        return hold

    def _claim(self, spender: Spender, amount: Decimal) -> tuple[list[Part], Decimal]:
        parts, uncovered = self.pick(spender, amount)
        for part in parts:
            assert part.grant
            part.grant.held += part.amount
        return parts, uncovered

    def require_open(self, hold: Hold) -> None:
        """Refuse a second resolution with the name of the first."""
        if hold.status != "open":
            raise Refused(409, f"hold_{hold.status}")

    def extend(
        self, hold: Hold, additional: Decimal, metered: Decimal | None, expires_in: timedelta | None
    ) -> None:
        """extend_hold: reserve more, report what was used (never less than before), move the end."""
        self.require_open(hold)
        if metered is not None and not hold.metered <= metered <= hold.amount + additional:
            raise Refused(422, "invalid_amount")
        if additional:
            self.require_limits(hold.spender, additional, hold.taken_at)
            self.require_credits(hold.spender, additional)
            claims, uncovered = self._claim(hold.spender, additional)
            hold.claims += claims
            hold.uncovered += uncovered
            hold.amount += additional
            hold.charge.amount += additional
        hold.metered = hold.metered if metered is None else metered
        hold.expires_at = self.now + expires_in if expires_in else hold.expires_at
        self.record()

    def capture(self, hold: Hold, amount: Decimal | None, key: str | None) -> Receipt:
        """capture_hold: charge what it came to; above the hold, the organization's policy decides."""
        request = ("capture", hold.id, amount)
        if first := self.replay(key, *request):
            return first
        self.require_open(hold)
        wanted = hold.amount if amount is None else round_up(amount)
        captured = wanted if wanted <= hold.amount else self._over_capture(hold, wanted)
        hold.uncollected = wanted - captured
        parts = self.resolve(hold, "captured", captured)
        receipt = self.answer(key, captured, parts, *request)
        receipt.consumption = hold.consumption
        return receipt

    def _over_capture(self, hold: Hold, wanted: Decimal) -> Decimal:
        extra = wanted - hold.amount
        if self.over_capture_policy == "deny":
            raise Refused(422, "invalid_amount")
        if self.over_capture_policy == "allow_debt":
            self.require_limits(hold.spender, extra, hold.taken_at)
            return wanted
        left = [room for _, room, _ in self.limits_left(hold.spender, hold.taken_at)]
        return hold.amount + min([extra, max(ZERO, self.spendable(hold.spender, ZERO)), *left])

    def release(self, hold: Hold) -> None:
        """release_hold: idempotent once released."""
        if hold.status != "released":
            self.require_open(hold)
            self.resolve(hold, "released", ZERO)
            self.record()

    # Granting and correcting (sections 5 and 6)

    def grant(self, grant: Grant) -> None:
        """grant_credits: what begins later is only booked."""
        grant.remaining = grant.amount
        self.grants.append(grant)
        if grant.effective_at <= self.now:
            self.begin_grant(grant)
        self.record()

    def void(self, grant: Grant) -> None:
        """void_grant: removes what is left; what a hold has claimed goes when the hold lets it go."""
        if not grant.is_over and grant.remaining:
            self.end_grant(grant)
            grant.is_voided = True
            self.record()

    def adjust(self, delta: Decimal, key: str) -> Receipt:
        """adjust_credits: a grant, or taken from unscoped grants; what is not there becomes debt."""
        if first := self.replay(key, "adjust", delta):
            return first
        if delta > 0:
            grant = Grant(delta, self.now, remaining=delta)
            self.grants.append(grant)
            self.begin_grant(grant)
            parts = [Part(grant, grant.remaining)]
        else:
            parts = [p for p in self.pay(ANYBODY, -delta) if p.grant]
        return self.answer(key, delta, parts, "adjust", delta)

    def transfer(self, source: str | None, target: str | None, amount: Decimal, key: str) -> Receipt:
        """transfer_credits: free credits change their scope and keep end, priority and cost (section 5)."""
        request = ("transfer", source, target, amount)
        if first := self.replay(key, *request):
            return first
        lenders = [g for g in self.grants if g.is_spendable and g.department == source and g.free]
        available = min(sum((g.free for g in lenders), ZERO), self.balance.available)
        if amount > available:
            raise self.insufficient(amount, available)
        lent, got = [], []
        left = amount
        for grant in sorted(lenders, key=Grant.burn_down_key):
            moved = min(grant.free, left)
            left -= moved
            if moved:
                grant.remaining -= moved
                lent.append(Part(grant, moved))
                moved_grant = replace(grant, amount=moved, department=target, held=ZERO, id="")
                got.append(self._new_grant(moved_grant))
        return self.answer(key, ZERO, lent + got, *request)

    def set_limit(self, limit: Limit) -> Limit:
        """set_credit_limit: a new cap, or another amount for a known one; its counter stays."""
        for known in self.limits:
            if (known.subject, known.window) == (limit.subject, limit.window):
                known.amount, known.zone = limit.amount, limit.zone
                return known
        self.limits.append(limit)
        return limit


def later(instant: datetime, by: timedelta | None) -> datetime:
    """Return the instant so much later; None: never."""
    return NEVER if by is None else instant + by
