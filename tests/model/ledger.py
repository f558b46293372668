"""The model's calls: what each named function of the ledger does to a wallet, or why it refuses.

A call checks everything before it changes anything, so that a refusal leaves no trace. The checks of a call
stand in a method of their own, `admit_…`: it answers a known key, refuses, or lets the call pass.
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
    Part,
    Question,
    Receipt,
    Refused,
    Spender,
    round_up,
)
from .limits import fingerprint
from .prices import TOKEN_PRICE, PricedWallet, Spend

ANYBODY = Spender(None, "")


@dataclass
class Ledger(PricedWallet):
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

    @staticmethod
    def before_losing(receipt: Receipt, lost: Decimal) -> Receipt:
        """A receipt is of its own entry; what a grant that is over gets back is ended by the next one."""
        receipt.balance += lost
        receipt.available += lost
        return receipt

    # Consuming (section 3)

    def admit_consume(self, spend: Spend) -> Receipt | None:
        """The key, then the limits, then the credits."""
        if first := self.replay(spend.key, *spend.request):
            return first
        self.require_unrestricted()
        self.require_limits(spend.spender, self.cost(spend), self.now, spend.fingerprint)
        self.require_credits(spend.spender, self.cost(spend))
        return None

    def consume(self, spend: Spend) -> Receipt:
        """consume_credits: whole or not at all."""
        if first := self.admit_consume(spend):
            return first
        amount = self.cost(spend)
        self.use_up(self.require_limits(spend.spender, amount, self.now, spend.fingerprint))
        charge = self.charge(spend.spender, amount)
        parts = self.pay(spend.spender, amount)
        receipt = self.answer(spend.key, amount, parts, *spend.request)
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

    def admit_refund(
        self, spent: Consumption, amount: Decimal | None, reason: str, key: str
    ) -> Receipt | None:
        """Never more than was consumed."""
        if first := self.replay(key, "refund", spent.id, amount, reason):
            return first
        refundable = spent.amount - spent.refunded
        wanted = refundable if amount is None else amount
        if wanted > refundable or not wanted:
            raise Refused(409, "refund_exceeds_consumption", consumed=spent.amount, refundable=refundable)
        return None

    def refund(self, spent: Consumption, amount: Decimal | None, reason: str, key: str) -> Receipt:
        """refund_consumption: to the grants it came from, last taken first (section 3, after the rules)."""
        if first := self.admit_refund(spent, amount, reason, key):
            return first
        wanted = spent.amount - spent.refunded if amount is None else amount
        given, lost = [], ZERO
        for part in self._last_taken_first(spent, wanted):
            back, gone = self._give_back(part, spent, reason)
            given += back
            lost += gone
        spent.refunded += wanted
        self.give_back(spent.charge, wanted)
        receipt = self.answer(key, wanted, given, "refund", spent.id, amount, reason)
        return self.before_losing(receipt, lost)

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
        successor = grant.successor(part.amount, self.now, left)
        return [self._new_grant(successor)], ZERO

    def _new_grant(self, grant: Grant) -> Part:
        """Put a grant in force that carries credits which were somebody's already."""
        grant.remaining = grant.amount
        grant.is_active = True
        self.grants.append(grant)
        return Part(grant, grant.amount)

    # Holds (section 4)

    def admit_hold(
        self, spender: Spender, amount: Decimal, key: str | None, requested: Decimal | None
    ) -> Hold | None:
        """As for a spend; a known key answers its hold again, whatever became of it."""
        known = next((h for h in self.holds if h.key == key), None) if key else None
        if known and known.request != (spender.department, spender.agent_type, requested):
            raise Refused(409, "idempotency_conflict", hold_id=known.id)
        if known:
            return known
        self.require_unrestricted()
        self.require_limits(spender, amount, self.now, fingerprint(spender, amount, key))
        self.require_credits(spender, amount)
        return None

    def hold(
        self,
        spender: Spender,
        amount: Decimal,
        expires_in: timedelta,
        key: str | None = None,
        requested: Decimal | None = None,
    ) -> Hold:
        """hold_credits: claim credits as a spend would take them. `requested` None: the price decided."""
        if known := self.admit_hold(spender, amount, key, requested):
            return known
        self.use_up(self.require_limits(spender, amount, self.now, fingerprint(spender, amount, key)))
        claims, uncovered = self._claim(spender, amount)
        charge = self.charge(spender, amount)
        hold = Hold(amount, spender, self.now, self.now + expires_in, claims, uncovered, charge)
        hold.price = self.price_at(self.now)
        hold.key, hold.request = key, (spender.department, spender.agent_type, requested)
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

    def admit_extend(self, hold: Hold, additional: Decimal, metered: Decimal | None) -> None:
        """What is reserved more counts in the window in which the hold was taken."""
        self.require_open(hold)
        if metered is not None and not hold.metered <= metered <= hold.amount + additional:
            raise Refused(422, "invalid_amount")
        if additional:
            self.require_unrestricted()
            self._require_room(hold, additional)
            self.require_credits(hold.spender, additional)

    def _require_room(self, hold: Hold, additional: Decimal) -> dict[Question, Decimal]:
        asked = ("extend", hold.id, hold.amount + additional)
        return self.require_limits(hold.spender, additional, hold.taken_at, asked)

    def extend(
        self, hold: Hold, additional: Decimal, metered: Decimal | None, expires_in: timedelta | None
    ) -> None:
        """extend_hold: reserve more, report what was used (never less than before), move the end."""
        self.admit_extend(hold, additional, metered)
        if additional:
            self.use_up(self._require_room(hold, additional))
            claims, uncovered = self._claim(hold.spender, additional)
            hold.claims += claims
            hold.uncovered += uncovered
            hold.amount += additional
            self.recount(hold.charge, hold.charge.amount + additional)
        hold.metered = hold.metered if metered is None else metered
        hold.expires_at = self.now + expires_in if expires_in else hold.expires_at
        self.record()

    @staticmethod
    def _settlement(hold: Hold, amount: Decimal | None, tokens: int | None) -> Decimal:
        """What a run came to: the amount, or the tokens at the held prices, or the whole hold."""
        if tokens is not None:
            return round_up(hold.price + tokens * TOKEN_PRICE)
        return hold.amount if amount is None else round_up(amount)

    def admit_capture(
        self, hold: Hold, amount: Decimal | None, key: str | None, tokens: int | None = None
    ) -> Receipt | None:
        """Once; above the hold, the organization's policy decides."""
        if first := self.replay(key, "capture", hold.id, amount, tokens):
            return first
        self.require_open(hold)
        wanted = self._settlement(hold, amount, tokens)
        if wanted > hold.amount:
            self._over_capture(hold, wanted)
        return None

    def capture(
        self, hold: Hold, amount: Decimal | None, key: str | None, tokens: int | None = None
    ) -> Receipt:
        """capture_hold: charge what it came to."""
        if first := self.admit_capture(hold, amount, key, tokens):
            return first
        wanted = self._settlement(hold, amount, tokens)
        captured = wanted if wanted <= hold.amount else self._over_capture(hold, wanted)
        hold.uncollected = wanted - captured
        parts, lost = self.resolve(hold, "captured", captured)
        receipt = self.answer(key, captured, parts, "capture", hold.id, amount, tokens)
        receipt.consumption = hold.consumption
        return self.before_losing(receipt, lost)

    def _over_capture(self, hold: Hold, wanted: Decimal) -> Decimal:
        extra = wanted - hold.amount
        if self.over_capture_policy == "deny":
            raise Refused(422, "invalid_amount")
        if self.over_capture_policy == "allow_debt":
            self.require_limits(hold.spender, extra, hold.taken_at)
            return wanted
        left = [
            room for limit, room, _ in self.limits_left(hold.spender, hold.taken_at) if limit.mode != "soft"
        ]
        return hold.amount + min([extra, max(ZERO, self.spendable(hold.spender, ZERO)), *left])

    def release(self, hold: Hold) -> None:
        """release_hold: once."""
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
        self.move_clock(self.now)  # its time may be over already

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

    def admit_transfer(
        self, source: str | None, target: str | None, amount: Decimal, key: str
    ) -> Receipt | None:
        """Only what is free, and not what the organization owes."""
        if first := self.replay(key, "transfer", source, target, amount):
            return first
        available = min(sum((g.free for g in self._lenders(source)), ZERO), self.balance.available)
        if amount > available:
            raise self.insufficient(amount, available)
        return None

    def _lenders(self, scope: str | None) -> list[Grant]:
        lenders = [g for g in self.grants if g.is_spendable and g.department == scope and g.free]
        return sorted(lenders, key=Grant.burn_down_key)

    def transfer(self, source: str | None, target: str | None, amount: Decimal, key: str) -> Receipt:
        """transfer_credits: free credits change their scope and keep end, priority and cost (section 5)."""
        if first := self.admit_transfer(source, target, amount, key):
            return first
        lent, got = [], []
        left = amount
        for grant in self._lenders(source):
            moved = min(grant.free, left)
            left -= moved
            if moved:
                grant.remaining -= moved
                lent.append(Part(grant, moved))
                got.append(self._new_grant(grant.lend(moved, target)))
        return self.answer(key, ZERO, lent + got, "transfer", source, target, amount)


def later(instant: datetime, by: timedelta | None) -> datetime:
    """Return the instant so much later; None: never."""
    return NEVER if by is None else instant + by
