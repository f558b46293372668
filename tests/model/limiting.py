"""The part of a random story that is about limits: setting them, and deciding on what they have parked."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from .comparing import outcome, same_refusal
from .entities import Approval, Limit, Parked
from .story import PICK, Story


class LimitStory(Story):
    """Limits and approvals."""

    @rule(
        subject=st.sampled_from(["organization", "department", "agent_type"]),
        window=st.sampled_from(["day", "lifetime", "week", "month"]),
        amount=st.sampled_from([Decimal(40), Decimal(10), Decimal(0), Decimal(100), Decimal("12.5")]),
        zone=st.sampled_from(["UTC", "America/New_York"]),
        mode=st.sampled_from(["hard", "hard", "ask", "soft"]),
    )
    def limit(self, subject: str, window: str, amount: Decimal, zone: str, mode: str) -> None:
        """Section 5: a limit, set or edited; editing resets nothing."""
        subject_id = {
            "organization": str(self.database.organization_id),
            "department": self.departments[0],
            "agent_type": "TestAgent",
        }[subject]
        limit = self.ledger.set_limit(Limit(subject, subject_id, window, amount, zone, mode))
        actual = self.database.one(
            "set_credit_limit",
            subject_type=subject,
            subject_id=subject_id,
            amount=amount,
            window=window,
            mode=mode,
            timezone=zone,
            organization_id=self.database.organization_id,
        )
        limit.id = limit.id or str(actual["id"])
        assert limit.id == str(actual["id"])

    @precondition(lambda self: self.sent or self.taken)
    @rule(
        which=PICK,
        is_approved=st.sampled_from([True, True, True, False]),
        additional=st.sampled_from([None, None, Decimal(10), Decimal(50), Decimal("0.5")]),
    )
    def resolve_approval(self, which: int, is_approved: bool, additional: Decimal | None) -> None:
        """Section 5: somebody decides on what is parked, or decides again."""
        if not self.parked:
            return
        question = list(self.parked)[which % len(self.parked)]
        additional = additional if is_approved else None
        expected = outcome(lambda: self.ledger.resolve_approval(question, is_approved, additional))
        actual = outcome(
            lambda: self.database.one(
                "resolve_approval", id=self.parked[question], approve=is_approved, additional=additional
            )
        )
        if not same_refusal(expected, actual):
            assert isinstance(expected, Approval)
            assert isinstance(actual, dict)
            assert actual["status"] == ("approved" if expected.is_approved else "rejected")
            assert actual["additional"] == expected.additional
            assert actual["window_start"] == question.window_start

    @precondition(lambda self: self.sent)
    @rule(which=PICK)
    def request_approval(self, which: int) -> None:
        """Section 5: the row by which people find a parked spend; it decides nothing."""
        spend = self.sent[which % len(self.sent)]
        expected = outcome(lambda: self.ledger.ask(spend.spender, self.ledger.cost(spend), spend.fingerprint))
        actual = outcome(
            lambda: self.database.one(
                "request_approval", organization_id=self.database.organization_id, **self._event(spend)
            )
        )
        if isinstance(expected, Parked):
            assert expected.question
            assert isinstance(actual, dict), actual
            self.know_parked(expected.question, actual["id"])
            assert (actual["status"], actual["required"]) == ("pending", self.ledger.cost(spend))
            self.is_swept = True
        else:
            assert same_refusal(expected, actual)
