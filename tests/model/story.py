"""The frame of a random story: an organization in model and database, time passing, what must always hold.

Rules draw from few amounts, keys and spans, so that stories meet themselves: keys come again, grants and
holds end at one instant.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from .comparing import expiring, outcome, same_receipt, same_refusal
from .database import Database, Row
from .entities import Consumption, Parked, Question, Receipt, Refused, Spender
from .ledger import Ledger
from .prices import Spend

# Just before New York's clocks go forward, so that a local day of 23 hours is in reach.
START = datetime(2031, 3, 7, 12, tzinfo=UTC)
ACTIONS = {"TestAgent": "test", "QAAgent": "answer_question"}

GRANTED = st.sampled_from([Decimal(text) for text in ("10", "1", "25", "50", "100", "0.000001", "12.345678")])
SPENT = st.sampled_from(
    [Decimal(text) for text in ("5", "1", "10", "12.5", "30", "60", "0.000001", "3.33333333")]
)
SPANS = [timedelta(minutes=15), timedelta(hours=1), timedelta(days=1), timedelta(days=3), timedelta(days=40)]
SPAN = st.sampled_from(SPANS)
HOLD_SPAN = st.sampled_from(SPANS[:4])
KEY = st.sampled_from(["key-0", "key-1", "key-2", "key-3", "key-4", "key-5"])
DEPARTMENT = st.sampled_from([None, None, 0, 1])
PICK = st.integers(0, 30)
AGENT = st.sampled_from(["TestAgent", "TestAgent", "TestAgent", "QAAgent"])


class Story(RuleBasedStateMachine):
    """One story.

    A rule is enabled by what was tried, never by what came of it: of two limits that stop a call the one with
    the lower id refuses, and of two equal grants it is spent first. Ids are random, and hypothesis must find
    the same rules enabled whenever it tells the same beginning.
    """

    connection: psycopg.Connection[Row]
    owner: UUID

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(self.connection, self.owner, START)
        self.departments = [self.database.department(name) for name in ("Marketing", "Research")]
        self.ledger = Ledger(START)
        self.sent: list[Spend] = []
        self.granted: list[tuple[str, int, Row]] = []
        self.voided: dict[str, tuple[Decimal, Decimal]] = {}
        self.taken: list[tuple[Spender, Decimal | None, timedelta, str | None]] = []
        self.captures: list[tuple[int, Decimal | None, str | None, int | None]] = []
        self.spent: list[str] = []
        self.consumptions: dict[str, Consumption] = {}
        self.parked: dict[Question, str] = {}
        self.is_swept = True

    # Helpers

    def _department(self, index: int | None) -> str | None:
        return None if index is None else self.departments[index]

    def _hold(self, index: int) -> int:
        return index % len(self.ledger.holds)

    def _learn_consumption(self, receipt: Receipt, transaction_id: object) -> None:
        if receipt.consumption and not receipt.replayed and receipt.amount:
            receipt.consumption.id = str(transaction_id)
            self.spent.append(receipt.consumption.id)
            self.consumptions[receipt.consumption.id] = receipt.consumption

    def know_parked(self, question: Question, approval_id: object) -> None:
        """An approval has one id, and an id is of one approval."""
        assert self.parked.setdefault(question, str(approval_id)) == str(approval_id)
        assert len(set(self.parked.values())) == len(self.parked)

    def same_refusal(self, expected: object, actual: object) -> bool:
        """Assert that both refuse alike, or neither does; learn the ids of approvals on the way."""
        if not same_refusal(expected, actual):
            return False
        if isinstance(expected, Parked) and expected.question:
            assert isinstance(actual, Refused)
            self.know_parked(expected.question, actual.details["approval_id"])
        return True

    def _same_movement(self, expected: Receipt | Refused, actual: Row | Refused) -> None:
        if self.same_refusal(expected, actual):
            return
        assert isinstance(expected, Receipt)
        assert isinstance(actual, dict)
        same_receipt(expected, actual)
        self._learn_consumption(expected, actual["transaction_id"])
        self.is_swept = self.is_swept or not expected.replayed

    def _event(self, spend: Spend) -> Row:
        return {
            "agent_type": spend.spender.agent_type,
            "action": ACTIONS[spend.spender.agent_type],
            "amount": spend.amount,
            "quantities": None if spend.tokens is None else {"input_tokens": spend.tokens},
            "department_id": spend.spender.department,
            "idempotency_key": spend.key,
        }

    def _spend(self, spend: Spend) -> None:
        expected = outcome(lambda: self.ledger.consume(spend))
        organization_id = self.database.organization_id
        actual = outcome(
            lambda: self.database.one(
                "consume_credits", organization_id=organization_id, **self._event(spend)
            )
        )
        self._same_movement(expected, actual)

    def _new_spend(self, amount: Decimal, agent: str, department: int | None, key: str | None) -> Spend:
        spender = Spender(self._department(department), agent)
        if agent == "TestAgent":
            spend = Spend(spender, amount, key)
        else:  # the amount only says how many tokens
            tokens = int(amount) * 111
            spend = Spend(spender, None, key, tokens or None)
        self.sent.append(spend)
        return spend

    # Time

    @rule(by=SPAN | st.just(timedelta(hours=12)))
    def advance(self, by: timedelta) -> None:
        """Section 9: time passes and all that falls due is booked."""
        self.ledger.move_clock(self.ledger.now + by)
        organization_id = self.database.organization_id
        self.database.one("advance_test_clock", organization_id=organization_id, to=self.ledger.now)
        self.is_swept = True

    @rule(by=SPAN | st.just(timedelta(hours=12)))
    def pass_unswept(self, by: timedelta) -> None:
        """Section 3.4: time passes while the sweeper is down."""
        self.ledger.move_clock(self.ledger.now + by)
        self.database.configure("test_clock", self.ledger.now)
        self.is_swept = False

    @rule()
    def run_due_jobs(self) -> None:
        """Section 9: the sweeper, late or twice."""
        self.database.call("run_due_jobs")
        self.is_swept = True

    @rule(share=st.floats(0, 1))
    def look_back(self, share: float) -> None:
        """Section 8: the balance as of a past instant."""
        self._same_past(START + timedelta(seconds=int((self.ledger.now - START).total_seconds() * share)))

    def _same_past(self, at: datetime) -> None:
        then, told = self.ledger.balance_at(at), self.database.balance(at)
        assert (told["balance"], told["held"], told["debt"]) == (then.balance, then.held, then.debt), (
            at,
            told,
        )

    # What must hold after every step

    @invariant()
    def same_balance(self) -> None:
        """Section 8: right at every instant, whether or not the sweeper ran."""
        now, told = self.ledger.balance, self.database.balance()
        expected = (now.balance, now.held, now.available, now.debt, self.ledger.pending)
        actual = tuple(told[name] for name in ("balance", "held", "available", "debt", "pending"))
        assert actual == expected, (actual, expected)
        assert expiring(told["expiring"]) == self.ledger.expiring

    @invariant()
    def same_remains(self) -> None:
        """What each grant has left, once what fell due is booked."""
        if self.is_swept:
            expected = {g.id: (g.remaining, g.held) for g in self.ledger.grants}
            assert self.database.remains() == expected

    def teardown(self) -> None:
        """The story's end."""
        if not sys.exc_info()[0]:  # else the story broke off
            self.close()

    def close(self) -> None:
        """All is swept, the past is right, and the ledger proves itself."""
        self.advance(timedelta(0))
        self.same_balance()
        self.same_remains()
        for at in sorted({when for when, _ in self.ledger.history})[::4]:
            self._same_past(at)
        organization_id = self.database.organization_id
        assert self.database.call("verify_ledger", organization_id=organization_id) == []
        (total,) = self.database.query(
            "select coalesce(sum(amount), 0) as total"
            " from billing.credit_transactions where organization_id = %s"
        )
        assert total["total"] == self.ledger.balance.balance
