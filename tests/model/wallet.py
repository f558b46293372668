"""The model's wallet: grants, debt and holds at one instant, and how they change as time passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from .entities import NEVER, ZERO, Consumption, Grant, Hold, Part, Receipt, Refused, Spender
from .limits import LimitBook


@dataclass(frozen=True)
class Balance:
    """What an organization has at an instant (section 1)."""

    balance: Decimal
    held: Decimal
    debt: Decimal

    @property
    def available(self) -> Decimal:
        """Balance less held."""
        return self.balance - self.held


@dataclass
class Wallet(LimitBook):
    """One organization's credits. Time is eager here: what falls due happens at its own instant."""

    overdraft: Decimal = ZERO
    over_capture_policy: str = "deny"
    restricted_reason: str | None = None
    debt: Decimal = ZERO
    grants: list[Grant] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    answers: dict[str, Receipt] = field(default_factory=dict)
    history: list[tuple[datetime, Balance]] = field(default_factory=list)

    # Reading (sections 1 and 8)

    @property
    def balance(self) -> Balance:
        """What there is now; a claim on an expired grant counts until its hold is resolved."""
        remaining = sum((g.remaining for g in self.grants if g.is_active), ZERO)
        return Balance(remaining - self.debt, sum((h.amount for h in self.open_holds), ZERO), self.debt)

    @property
    def pending(self) -> Decimal:
        """Grants that are booked and not yet in force."""
        return sum((g.remaining for g in self.grants if not g.is_active), ZERO)

    @property
    def expiring(self) -> dict[datetime, Decimal]:
        """What would be lost, and when, if nothing more were spent."""
        lost: dict[datetime, Decimal] = {}
        for grant in self.grants:
            if grant.is_spendable and grant.expires_at != NEVER and grant.free:
                lost[grant.expires_at] = lost.get(grant.expires_at, ZERO) + grant.free
        return lost

    @property
    def open_holds(self) -> list[Hold]:
        """Holds that are not resolved."""
        return [h for h in self.holds if h.status == "open"]

    def balance_at(self, at: datetime) -> Balance:
        """Return the balance as of a past instant, with all that happened at that instant."""
        past = [b for when, b in self.history if when <= at]
        return past[-1] if past else Balance(ZERO, ZERO, ZERO)

    def record(self) -> None:
        """Write the balance down, for questions about the past."""
        self.history.append((self.now, self.balance))

    # Time (sections 3.4, 4 and 9)

    def move_clock(self, to: datetime) -> None:
        """Let time pass; at one instant holds run out, grants end, plans renew, grants begin."""
        while True:
            due = [at for at in self.due_instants() if at <= to]
            if not due:
                break
            self.now = max(self.now, min(due))
            self._settle()
            self.record()
        self.now = max(self.now, to)

    def due_instants(self) -> list[datetime]:
        """Return when something will happen by itself."""
        ends = [g.expires_at for g in self.grants if g.is_active and not g.is_over]
        begins = [g.effective_at for g in self.grants if not g.is_active and not g.is_over]
        return ends + begins + [h.expires_at for h in self.open_holds]

    def _settle(self) -> None:
        run_out = [h for h in self.open_holds if h.expires_at <= self.now]
        for hold in sorted(run_out, key=lambda h: (h.expires_at, h.id)):
            self.resolve(hold, "expired", hold.metered)
        for grant in self.grants:
            if grant.is_spendable and grant.expires_at <= self.now:
                self.end_grant(grant)
        self.renew()
        begin = [g for g in self.grants if not g.is_active and not g.is_over and g.effective_at <= self.now]
        for grant in sorted(begin, key=lambda g: (g.effective_at, g.id)):
            self.begin_grant(grant)

    def renew(self) -> None:
        """Begin the periods that are due, after grants end and before grants begin; see renewing.py."""

    def begin_grant(self, grant: Grant) -> None:
        """Put a grant in force: it repays debt first (section 6)."""
        repaid = min(self.debt, grant.remaining)
        self.debt -= repaid
        grant.remaining -= repaid
        grant.is_active = True

    def end_grant(self, grant: Grant) -> None:
        """End a grant, by expiry or by being voided: what no hold has claimed is lost."""
        grant.remaining = grant.held
        grant.is_over = True

    # Spending (section 3)

    def spendable_grants(self, spender: Spender) -> list[Grant]:
        """Return the grants that the spender may use, in burn-down order (section 3.3)."""
        usable = [g for g in self.grants if g.is_spendable and g.serves(spender) and g.free > 0]
        return sorted(usable, key=Grant.burn_down_key)

    def spendable(self, spender: Spender, overdraft: Decimal) -> Decimal:
        """Return what a spender may spend at most, below 0 when too deep in debt already.

        Never more than the organization has and may owe (3.1); and what no grant of the spender's pays would
        be debt, for which the overdraft has room as far as it is not used.
        """
        free = sum((g.free for g in self.spendable_grants(spender)), ZERO)
        return min(self.balance.available + overdraft, free + max(ZERO, overdraft - self.debt))

    def require_unrestricted(self) -> None:
        """Refuse an organization whose spending is stopped (section 7)."""
        if self.restricted_reason:
            raise Refused(402, "billing_restricted", reason=self.restricted_reason)

    def require_credits(self, spender: Spender, amount: Decimal) -> None:
        """Refuse what cannot be paid in full (section 3.6); nothing can always be paid."""
        available = self.spendable(spender, self.overdraft)
        if amount > max(ZERO, available):
            raise self.insufficient(amount, available)

    def insufficient(self, required: Decimal, available: Decimal) -> Refused:
        """Return the refusal that says what was needed and what there is."""
        available = max(ZERO, available)
        now = self.balance
        return Refused(
            402,
            "insufficient_credits",
            required=required,
            available=available,
            shortfall=required - available,
            balance=now.balance,
            held=now.held,
        )

    def pick(self, spender: Spender, amount: Decimal) -> tuple[list[Part], Decimal]:
        """Return the pieces of free grants, in order, for an amount, and what they do not cover."""
        parts = []
        for grant in self.spendable_grants(spender):
            taken = min(grant.free, amount)
            if taken > 0:
                parts.append(Part(grant, taken))
                amount -= taken
        return parts, amount

    def pay(self, spender: Spender, amount: Decimal) -> list[Part]:
        """Take an amount from free grants; what they do not cover becomes debt."""
        parts, uncovered = self.pick(spender, amount)
        for part in parts:
            assert part.grant
            part.grant.remaining -= part.amount
        if uncovered:
            self.debt += uncovered
            parts.append(Part(None, uncovered))
        return parts

    # Resolving a hold (section 4)

    def resolve(self, hold: Hold, status: str, captured: Decimal) -> tuple[list[Part], Decimal]:
        """End a hold, once: charge `captured` to its claims and let the rest go.

        What the hold was taken for and no claim covers was taken on the overdraft, and is debt; what goes
        beyond the hold is paid as any spend is.

        Returns:
            The parts that paid, and what is lost: what is let go of a grant that is over.
        """
        paid: list[Part] = []
        lost = ZERO
        left = min(captured, hold.amount)
        for claim in hold.claims:
            grant = claim.grant
            assert grant
            taken = min(claim.amount, left)
            grant.held -= claim.amount
            grant.remaining -= claim.amount if grant.is_over else taken
            lost += claim.amount - taken if grant.is_over else ZERO
            left -= taken
            if taken:
                paid.append(Part(grant, taken))
        hold.status = status
        if left:
            self.debt += left
            paid.append(Part(None, left))
        if captured > hold.amount:
            paid += self.pay(hold.spender, captured - hold.amount)
        self.recount(hold.charge, captured)
        hold.captured = captured
        if captured:
            hold.consumption = Consumption(captured, paid, hold.charge, hold.taken_at)
        return paid, lost
