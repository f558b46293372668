"""The model's free plans: periods that begin by themselves, what rolls over, how a plan ends (section 6)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from .entities import NEVER, ZERO, Consumption, Grant, Receipt
from .ledger import Ledger


def derived_id(name: str) -> str:
    """Return the id of a grant that follows from other facts: a UUID of version 8 over their MD5."""
    digits = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return str(UUID(f"{digits[:12]}8{digits[13:16]}8{digits[17:]}"))


@dataclass
class Plan:
    """What a plan grants. `credit_expiry` None: until the period ends."""

    key: str
    credits: Decimal
    interval: str
    rollover_cap: Decimal = ZERO
    credit_expiry: timedelta | None = None
    grace: timedelta = timedelta(days=3)


@dataclass
class PlanGrant(Grant):
    """Credits of a period. `expires_at` is the end of the grace while the subscription goes on."""

    subscription_id: str = ""
    period_ends_at: datetime = NEVER
    grace_ends_at: datetime = NEVER
    rollover_cap: Decimal = ZERO

    @property
    def burn_by(self) -> datetime:
        """The end of the period, or its own."""
        return min(self.expires_at, self.period_ends_at)

    @property
    def rolling(self) -> Decimal:
        """What would roll over now."""
        return min(self.rollover_cap, self.free)

    def lend(self, amount: Decimal, department: str | None) -> Grant:
        """The cap goes along as far as what stays behind has no use for it."""
        stays = min(self.rollover_cap, self.remaining)
        lent = replace(super().lend(amount, department), rollover_cap=self.rollover_cap - stays)  # type: ignore[call-arg]
        self.rollover_cap = stays
        return lent


@dataclass
class Subscription:
    """A free plan that an organization is on; `number` counts periods from the anchor."""

    id: str
    plan: Plan
    interval: str
    anchor: datetime
    zone: str
    number: int = 0
    status: str = "active"
    is_ending: bool = False
    next_plan: Plan | None = None

    @property
    def start(self) -> datetime:
        """First instant of the current period."""
        return occurrence(self.anchor, self.interval, self.number, self.zone)

    @property
    def end(self) -> datetime:
        """First instant after it."""
        return occurrence(self.anchor, self.interval, self.number + 1, self.zone)


def occurrence(anchor: datetime, interval: str, number: int, zone: str) -> datetime:
    """Return the start of a period, counted from the anchor in local time; the 31st may be the 28th."""
    if not number:
        return anchor
    local = anchor.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    if interval in ("day", "week"):
        local += timedelta(days=number * (7 if interval == "week" else 1))
    else:
        month = local.month - 1 + number
        first = local.replace(year=local.year + month // 12, month=month % 12 + 1, day=1)
        days = ((first + timedelta(days=31)).replace(day=1) - first).days
        local = first.replace(day=min(local.day, days))
    # Of a local time that is skipped or comes twice, the later reading counts.
    readings = (local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1))
    return max(readings)


@dataclass
class RenewingLedger(Ledger):
    """A ledger with at most one free plan."""

    subscription: Subscription | None = None

    def _in_force(self) -> list[PlanGrant]:
        """Return the grants of the subscription that end with a period, spent ones included."""
        assert self.subscription
        mine = [g for g in self.grants if isinstance(g, PlanGrant) and g.period_ends_at != NEVER]
        return [g for g in mine if g.subscription_id == self.subscription.id and g.expires_at > self.now]

    @property
    def expiring(self) -> dict[datetime, Decimal]:
        """A plan's credits are lost with their period, but for what rolls over."""
        lost: dict[datetime, Decimal] = {}
        for grant in self.grants:
            amount = grant.free
            if isinstance(grant, PlanGrant) and self.now < grant.period_ends_at < grant.expires_at:
                amount -= grant.rolling
            if grant.is_spendable and grant.burn_by != NEVER and amount:
                lost[grant.burn_by] = lost.get(grant.burn_by, ZERO) + amount
        return lost

    def due_instants(self) -> list[datetime]:
        """A period's end is due, too."""
        plan = self.subscription
        return [*super().due_instants(), *([plan.end] if plan and plan.status == "active" else [])]

    def refund(self, spent: Consumption, amount: Decimal | None, reason: str, key: str) -> Receipt:
        """What replaces a grant that was ended at the instant of its spend has no time left."""
        receipt = super().refund(spent, amount, reason, key)
        self.move_clock(self.now)
        return receipt

    # Renewing

    def renew(self) -> None:
        """End the period that is over, and begin the next one or none."""
        mine = self.subscription
        if not mine or mine.status != "active" or mine.end > self.now:
            return
        if mine.is_ending:
            mine.status = "canceled"
            return
        ended = mine.end
        mine.plan, mine.next_plan = mine.next_plan or mine.plan, None
        mine.number += 1
        if mine.plan.interval != mine.interval:
            mine.interval, mine.anchor, mine.number = mine.plan.interval, ended, 0
        following = self._period_grant()
        for grant in self._in_force():
            self._roll_over(grant, following)
        self._begin_period(following)

    def _begin_period(self, grant: PlanGrant) -> None:
        self.grants.append(grant)
        self.begin_grant(grant)

    def _roll_over(self, grant: PlanGrant, following: PlanGrant) -> None:
        """End a grant; what rolls over keeps its scope, comes before the new period's and ends with it."""
        rolled = ZERO if grant.is_over else grant.rolling
        if rolled:
            grant.remaining -= rolled
            over = replace(
                following,
                id=derived_id(f"rollover:{grant.id}"),
                amount=rolled,
                remaining=rolled,
                rollover_cap=ZERO,
                priority=grant.priority - 1,
                department=grant.department,
                agent_types=grant.agent_types,
                effective_at=self.now,
                is_active=True,
            )
            self.grants.append(over)
        if not grant.is_over:
            self.end_grant(grant)
        grant.expires_at = self.now

    def _period_grant(self) -> PlanGrant:
        mine = self.subscription
        assert mine
        grant = PlanGrant(mine.plan.credits, min(mine.start, self.now), subscription_id=mine.id)
        grant.id = derived_id(f"{mine.id}:{mine.start.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}")
        grant.remaining = grant.amount
        if mine.plan.credit_expiry:
            grant.expires_at = mine.start + mine.plan.credit_expiry
        else:
            grant.period_ends_at = mine.end
            grant.expires_at = grant.grace_ends_at = mine.end + mine.plan.grace
            grant.rollover_cap = min(grant.amount, mine.plan.rollover_cap)
        return grant

    # Starting and canceling

    @property
    def runs(self) -> bool:
        """Whether the period of the last subscription is not over."""
        return self.subscription is not None and self.subscription.end > self.now

    def start_free(self, subscription_id: str, plan: Plan, zone: str) -> None:
        """start_free_subscription: a new one, or back to the one whose period still runs."""
        if self.runs:
            mine = self.subscription
            assert mine
            mine.status, mine.is_ending = "active", False
            mine.next_plan = None if plan.key == mine.plan.key else plan
            for grant in self._in_force():
                grant.expires_at = grant.grace_ends_at
        else:
            self.subscription = Subscription(subscription_id, plan, plan.interval, self.now, zone)
            self._begin_period(self._period_grant())
        self.record()

    def cancel_free(self, at_period_end: bool) -> None:
        """cancel_free_subscription: at the end of the period, or now."""
        mine = self.subscription
        if not mine or mine.status != "active" or (at_period_end and mine.is_ending):
            return
        if at_period_end:
            mine.is_ending = True
            for grant in self._in_force():
                grant.expires_at = grant.period_ends_at
        else:
            mine.status = "canceled"
            for grant in self._in_force():
                if not grant.is_over:
                    self.end_grant(grant)
                grant.expires_at = self.now
        self.record()
