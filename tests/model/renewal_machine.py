"""Stories with a free plan: starting it, leaving it, coming back, beside the ledger's whole vocabulary."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from .machine import LedgerMachine
from .renewing import Plan, RenewingLedger
from .story import PICK, START

TERMS: list[dict[str, Any]] = [
    {"credits": Decimal(50), "interval": "day", "rollover_cap": Decimal(20)},
    {"credits": Decimal(30), "interval": "week"},
    {"credits": Decimal(100), "interval": "month", "rollover_cap": Decimal(100)},
    {"credits": Decimal(25), "interval": "day", "credit_expiry": timedelta(days=3)},
]
PLAN = st.integers(0, len(TERMS) - 1)


class RenewalMachine(LedgerMachine):
    """All calls of the ledger's vocabulary, and those of free plans."""

    ledger: RenewingLedger

    def __init__(self) -> None:
        super().__init__()
        self.ledger = RenewingLedger(START)
        self.plans = [self._plan(terms) for terms in TERMS]

    def _plan(self, terms: dict[str, Any]) -> Plan:
        plan = Plan(f"model_{secrets.token_hex(8)}", **terms)
        self.connection.execute(
            "insert into billing.subscription_plans"
            " (key, name, unit_amount, credits_per_period, billing_interval, rollover_cap, credit_expiry)"
            " values (%s, 'Model', 0, %s, %s, %s, %s)",
            (plan.key, plan.credits, plan.interval, plan.rollover_cap, plan.credit_expiry),
        )
        return plan

    @initialize(which=PLAN, zone=st.sampled_from(["UTC", "America/New_York"]))
    def begin_on_a_plan(self, which: int, zone: str) -> None:
        """Every story has a plan from its beginning."""
        self.start_free(which, zone)

    @rule(which=PLAN, zone=st.sampled_from(["UTC", "America/New_York"]))
    def start_free(self, which: int, zone: str) -> None:
        """Section 6: a free plan, or back to it, or to another one from the next period on."""
        plan = self.plans[which]
        row = self.database.one(
            "start_free_subscription",
            organization_id=self.database.organization_id,
            plan_key=plan.key,
            timezone=zone,
        )
        self.ledger.start_free(str(row["id"]), plan, zone)
        assert self.ledger.subscription
        assert str(row["id"]) == self.ledger.subscription.id
        self.is_swept = True

    @precondition(lambda self: self.ledger.grants)
    @rule(which=PICK)
    def void(self, which: int) -> None:
        """Section 6: a grant of a period that is not booked yet cannot be named."""
        if self.is_swept:
            super().void(which)

    @precondition(lambda self: self.ledger.subscription)
    @rule(at_period_end=st.booleans())
    def cancel_free(self, at_period_end: bool) -> None:
        """Section 6: leaving it, with the period or now."""
        self.ledger.cancel_free(at_period_end)
        self.database.one(
            "cancel_free_subscription",
            organization_id=self.database.organization_id,
            at_period_end=at_period_end,
        )
        self.is_swept = True

    @rule()
    def run_due_jobs(self) -> None:
        """Section 9: it leaves to another run, such as the scheduler's, what that one has in hand."""
        was_swept = self.is_swept
        super().run_due_jobs()
        self.is_swept = was_swept

    @invariant()
    def same_remains(self) -> None:
        """What each grant has left at every instant; of what has come and gone unbooked nothing is told."""
        told = self.database.remains()
        expected = {grant.id: (grant.remaining, grant.held) for grant in self.ledger.grants}
        assert told.keys() <= expected.keys()
        assert {grant_id: told.get(grant_id, (0, 0)) for grant_id in expected} == expected

    @invariant()
    def same_subscription(self) -> None:
        """The subscription stands where it should, once what fell due is booked."""
        mine = self.ledger.subscription
        if not mine or not self.is_swept:
            return
        (row,) = self.database.query(
            "select status, current_period_start, current_period_end, ends_at from billing.subscriptions"
            " where organization_id = %s and id = %s",
            mine.id,
        )
        told: tuple[str, datetime, datetime] = (
            row["status"],
            row["current_period_start"],
            row["current_period_end"],
        )
        assert told == (mine.status, mine.start, mine.end)
        assert (row["ends_at"] is not None) == (mine.is_ending or mine.status == "canceled")
