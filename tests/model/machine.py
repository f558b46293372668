"""Random stories of one organization, told to the model and to the database; every answer is compared.

Rules draw from few amounts, keys and spans, so that stories meet themselves: keys are repeated, grants and holds end at one instant.
"""

from __future__ import annotations

import copy
import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from .comparing import expiring, learn, outcome, same_receipt, same_refusal
from .database import Database, Row
from .entities import ZERO, Consumption, Grant, Hold, Limit, Receipt, Refused, Spender
from .ledger import Ledger, Spend, later

# Just before New York's clocks go forward, so that a local day of 23 hours is in reach.
START = datetime(2031, 3, 7, 12, tzinfo=UTC)
QA_PRICE = Decimal(5)  # QAAgent.answer_question: 5 a call, by the seed

_GRANTED = st.sampled_from([Decimal(text) for text in ("10", "1", "25", "50", "100", "0.000001", "12.345678")])
_SPENT = st.sampled_from([Decimal(text) for text in ("5", "1", "10", "12.5", "30", "60", "0.000001", "3.33333333")])
_SPANS = [timedelta(minutes=15), timedelta(hours=1), timedelta(days=1), timedelta(days=3), timedelta(days=40)]
_SPAN = st.sampled_from(_SPANS)
_HOLD_SPAN = st.sampled_from(_SPANS[:4])
_KEY = st.sampled_from(["key-0", "key-1", "key-2", "key-3", "key-4", "key-5"])
_DEPARTMENT = st.sampled_from([None, None, 0, 1])
_PICK = st.integers(0, 30)
_AGENT = st.sampled_from(["TestAgent", "TestAgent", "TestAgent", "QAAgent"])


class LedgerMachine(RuleBasedStateMachine):
    """One story."""

    connection: psycopg.Connection[Row]
    owner: UUID

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(self.connection, self.owner, START)
        self.departments = [self.database.department(name) for name in ("Marketing", "Research")]
        self.ledger = Ledger(START)
        self.sent: list[Spend] = []
        self.granted: list[tuple[str, int]] = []
        self.spent: list[str] = []
        self.consumptions: dict[str, Consumption] = {}
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

    def _same_movement(self, expected: Receipt | Refused, actual: Row | Refused) -> None:
        if same_refusal(expected, actual):
            return
        assert isinstance(expected, Receipt)
        assert isinstance(actual, dict)
        same_receipt(expected, actual)
        self._learn_consumption(expected, actual["transaction_id"])
        self.is_swept = self.is_swept or not expected.replayed

    def _event(self, spend: Spend) -> Row:
        is_caller_priced = spend.spender.agent_type == "TestAgent"
        return {
            "agent_type": spend.spender.agent_type,
            "action": "test" if is_caller_priced else "answer_question",
            "amount": spend.amount if is_caller_priced else None,
            "department_id": spend.spender.department,
            "idempotency_key": spend.key,
        }

    def _spend(self, spend: Spend) -> None:
        expected = outcome(lambda: self.ledger.consume(spend))
        organization_id = self.database.organization_id
        actual = outcome(
            lambda: self.database.one("consume_credits", organization_id=organization_id, **self._event(spend))
        )
        self._same_movement(expected, actual)

    def _new_spend(self, amount: Decimal, agent: str, department: int | None, key: str | None) -> Spend:
        price = amount if agent == "TestAgent" else QA_PRICE
        spend = Spend(Spender(self._department(department), agent), price, key)
        self.sent.append(spend)
        return spend

    # Granting

    @rule(
        amount=_GRANTED,
        begins=st.sampled_from([None, None, None, *_SPANS]),
        ends=st.sampled_from([None, *_SPANS]),
        priority=st.sampled_from([100, 100, 50]),
        unit_cost=st.sampled_from([ZERO, Decimal("0.5")]),
        department=_DEPARTMENT,
        agent_types=st.sampled_from([None, None, ("TestAgent",), ("QAAgent",)]),
    )
    def grant(
        self,
        amount: Decimal,
        begins: timedelta | None,
        ends: timedelta | None,
        priority: int,
        unit_cost: Decimal,
        department: int | None,
        agent_types: tuple[str, ...] | None,
    ) -> None:
        """Section 6: a grant, perhaps still to come, perhaps scoped."""
        effective_at = self.ledger.now + (begins or timedelta(0))
        scope = self._department(department)
        expires_at = later(effective_at, ends)
        grant = Grant(amount, effective_at, expires_at, priority, scope, agent_types, unit_cost)
        reference = secrets.token_hex(8)
        receipt = self.database.one(
            "grant_credits",
            organization_id=self.database.organization_id,
            amount=amount,
            source="promotion",
            source_reference=reference,
            effective_at=effective_at if begins else None,
            expires_at=expires_at if ends else None,
            priority=priority,
            department_id=scope,
            agent_types=list(agent_types) if agent_types else None,
            unit_cost=unit_cost,
        )
        learn(grant, receipt["grant_id"])
        self.ledger.grant(grant)
        self.granted.append((reference, len(self.ledger.grants) - 1))
        now = self.ledger.balance
        assert (receipt["balance"], receipt["available"]) == (now.balance, now.available)
        assert not receipt["replayed"]
        self.is_swept = True

    @precondition(lambda self: self.granted)
    @rule(which=_PICK, is_same=st.booleans())
    def grant_again(self, which: int, is_same: bool) -> None:
        """Section 6: a known source reference replays; with another amount it is a conflict."""
        reference, index = self.granted[which % len(self.granted)]
        grant = self.ledger.grants[index]
        actual = outcome(
            lambda: self.database.one(
                "grant_credits",
                organization_id=self.database.organization_id,
                amount=grant.amount + (0 if is_same else 1),
                source="promotion",
                source_reference=reference,
            )
        )
        if isinstance(actual, Refused):
            assert not is_same
            assert actual.slug == "idempotency_conflict"
        else:
            assert is_same
            assert (actual["replayed"], str(actual["grant_id"])) == (True, grant.id)

    @precondition(lambda self: self.ledger.grants)
    @rule(which=_PICK)
    def void(self, which: int) -> None:
        """Section 6: what is left of a grant goes, once."""
        grant = self.ledger.grants[which % len(self.ledger.grants)]
        self.ledger.void(grant)
        receipt = self.database.one("void_grant", grant_id=grant.id, reason="model")
        now = self.ledger.balance
        assert (receipt["balance"], receipt["available"]) == (now.balance, now.available)
        self.is_swept = self.is_swept or not receipt["replayed"]

    # Spending

    @rule(amount=_SPENT, agent=_AGENT, department=_DEPARTMENT, key=st.none() | _KEY)
    def consume(self, amount: Decimal, agent: str, department: int | None, key: str | None) -> None:
        """Section 3."""
        self._spend(self._new_spend(amount, agent, department, key))

    @precondition(lambda self: self.sent)
    @rule(which=_PICK)
    def consume_again(self, which: int) -> None:
        """Section 3.2: the very same call once more."""
        self._spend(self.sent[which % len(self.sent)])

    @rule(
        events=st.lists(st.tuples(_SPENT, _AGENT, _DEPARTMENT, st.none() | _KEY), min_size=1, max_size=5),
        is_atomic=st.booleans(),
    )
    def consume_batch(
        self, events: list[tuple[Decimal, str, int | None, str | None]], is_atomic: bool
    ) -> None:
        """Section 3: one answer for each event; atomic: all or nothing."""
        spends = [self._new_spend(*event) for event in events]
        trial = copy.deepcopy(self.ledger)
        expected = trial.consume_batch(spends)
        actual = outcome(
            lambda: self.database.call(
                "consume_credits_batch",
                events=[self._event(spend) for spend in spends],
                atomic=is_atomic,
                organization_id=self.database.organization_id,
            )
        )
        refusals = [(i, x) for i, x in enumerate(expected) if isinstance(x, Refused)]
        if is_atomic and refusals:
            index, first = refusals[0]
            assert same_refusal(Refused(first.status, first.slug, index=index, **first.details), actual)
            return
        assert isinstance(actual, list)
        self._adopt(trial)
        assert [row["index"] for row in actual] == list(range(len(spends)))
        for answer, row in zip(expected, actual, strict=True):
            error = row["error"] or {}
            told = Refused(error["status"], error["message"], **error["details"]) if error else row["receipt"]
            self._same_movement(answer, told)

    def _adopt(self, trial: Ledger) -> None:
        """Take the copy on which a batch was tried, with what it knows of earlier consumptions."""
        copies = {h.consumption.id: h.consumption for h in trial.holds if h.consumption}
        copies |= {r.consumption.id: r.consumption for r in trial.answers.values() if r.consumption}
        self.ledger = trial
        self.consumptions |= {name: found for name, found in copies.items() if name in self.consumptions}

    @precondition(lambda self: self.spent)
    @rule(
        which=_PICK,
        amount=st.none() | _SPENT,
        reason=st.sampled_from(["customer", "platform_fault"]),
        key=_KEY.map("refund-{}".format) | _KEY,
    )
    def refund(self, which: int, amount: Decimal | None, reason: str, key: str) -> None:
        """Section 3: a consumption given back, in part or whole."""
        amount = None if amount is None else amount.quantize(Decimal("0.000001"))
        transaction_id = self.spent[which % len(self.spent)]
        spent = self.consumptions[transaction_id]
        expected = outcome(lambda: self.ledger.refund(spent, amount, reason, key))
        actual = outcome(
            lambda: self.database.one(
                "refund_consumption",
                transaction_id=transaction_id,
                amount=amount,
                reason=reason,
                idempotency_key=key,
            )
        )
        self._same_movement(expected, actual)

    # Holds

    def _same_hold(self, hold: Hold, actual: Row) -> None:
        hold.id = hold.id or str(actual["hold_id"])
        told = (str(actual["hold_id"]), actual["status"], actual["amount"], actual["metered"])
        assert told == (hold.id, hold.status, hold.amount, hold.metered), (hold, actual)
        assert (actual["captured_amount"] or ZERO) == (hold.captured or ZERO), (hold, actual)
        now = self.ledger.balance
        assert (actual["balance"], actual["available"]) == (now.balance, now.available), (hold, actual)
        self.is_swept = self.is_swept or not actual["replayed"]

    @rule(amount=st.just(ZERO) | _SPENT, department=_DEPARTMENT, expires_in=_HOLD_SPAN)
    def hold(self, amount: Decimal, department: int | None, expires_in: timedelta) -> None:
        """Section 4: reserve."""
        spender = Spender(self._department(department), "TestAgent")
        amount = amount.quantize(Decimal("0.000001"))
        expected = outcome(lambda: self.ledger.hold(spender, amount, expires_in))
        actual = outcome(
            lambda: self.database.one(
                "hold_credits",
                agent_type="TestAgent",
                action="test",
                amount=amount,
                organization_id=self.database.organization_id,
                department_id=spender.department,
                expires_in=expires_in,
            )
        )
        if not same_refusal(expected, actual):
            assert isinstance(expected, Hold)
            assert isinstance(actual, dict)
            self._same_hold(expected, actual)

    @precondition(lambda self: self.ledger.holds)
    @rule(
        which=_PICK,
        additional=st.just(ZERO) | _SPENT,
        metered=st.none() | st.just(ZERO) | _SPENT,
        expires_in=st.none() | _HOLD_SPAN,
    )
    def extend(
        self, which: int, additional: Decimal, metered: Decimal | None, expires_in: timedelta | None
    ) -> None:
        """Section 4: reserve more, report what was used, move the end."""
        hold = self.ledger.holds[self._hold(which)]
        additional = additional.quantize(Decimal("0.000001"))
        metered = None if metered is None else metered.quantize(Decimal("0.000001"))
        self._on_hold(
            hold,
            lambda: self.ledger.extend(hold, additional, metered, expires_in),
            lambda: self.database.one(
                "extend_hold",
                hold_id=hold.id,
                additional=additional,
                metered=metered,
                expires_in=expires_in,
            ),
        )

    @precondition(lambda self: self.ledger.holds)
    @rule(which=_PICK)
    def release(self, which: int) -> None:
        """Section 4: let go."""
        hold = self.ledger.holds[self._hold(which)]
        self._on_hold(
            hold,
            lambda: self.ledger.release(hold),
            lambda: self.database.one("release_hold", hold_id=hold.id),
        )

    def _on_hold(self, hold: Hold, model: Callable[[], None], database: Callable[[], Row]) -> None:
        expected, actual = outcome(model), outcome(database)
        if not same_refusal(expected, actual):
            assert isinstance(actual, dict)
            self._same_hold(hold, actual)

    @precondition(lambda self: self.ledger.holds)
    @rule(which=_PICK, amount=st.none() | st.just(ZERO) | _SPENT, key=st.none() | _KEY)
    def capture(self, which: int, amount: Decimal | None, key: str | None) -> None:
        """Section 4: charge what the run cost."""
        hold = self.ledger.holds[self._hold(which)]
        expected = outcome(lambda: self.ledger.capture(hold, amount, key))
        actual = outcome(
            lambda: self.database.one("capture_hold", hold_id=hold.id, amount=amount, idempotency_key=key)
        )
        self._same_movement(expected, actual)
        rows = self.database.query(
            "select uncollected_amount from billing.credit_holds where organization_id = %s and id = %s", hold.id
        )
        assert rows == [{"uncollected_amount": hold.uncollected}]

    # Corrections and settings

    @rule(
        delta=st.sampled_from([Decimal(-20), Decimal(-5), Decimal("-0.5"), Decimal(15), Decimal(40)]),
        key=_KEY.map("adjust-{}".format),
    )
    def adjust(self, delta: Decimal, key: str) -> None:
        """Section 6."""
        expected = outcome(lambda: self.ledger.adjust(delta, key))
        actual = outcome(
            lambda: self.database.one(
                "adjust_credits",
                organization_id=self.database.organization_id,
                delta=delta,
                reason="model",
                idempotency_key=key,
            )
        )
        self._same_movement(expected, actual)

    @rule(
        scopes=st.sampled_from([(None, 0), (None, 1), (0, None), (1, None), (0, 1), (1, 0)]),
        amount=_GRANTED,
        key=_KEY.map("transfer-{}".format),
    )
    def transfer(self, scopes: tuple[int | None, int | None], amount: Decimal, key: str) -> None:
        """Section 5."""
        source, target = map(self._department, scopes)
        expected = outcome(lambda: self.ledger.transfer(source, target, amount, key))
        actual = outcome(
            lambda: self.database.one(
                "transfer_credits",
                from_department_id=source,
                to_department_id=target,
                amount=amount,
                idempotency_key=key,
            )
        )
        self._same_movement(expected, actual)

    @rule(
        subject=st.sampled_from(["organization", "department", "agent_type"]),
        window=st.sampled_from(["day", "lifetime", "week", "month"]),
        amount=st.sampled_from([Decimal(40), Decimal(10), Decimal(0), Decimal(100), Decimal("12.5")]),
        zone=st.sampled_from(["UTC", "America/New_York"]),
    )
    def limit(self, subject: str, window: str, amount: Decimal, zone: str) -> None:
        """Section 5: a hard limit, set or edited; editing resets nothing."""
        subject_id = {
            "organization": str(self.database.organization_id),
            "department": self.departments[0],
            "agent_type": "TestAgent",
        }[subject]
        limit = self.ledger.set_limit(Limit(subject, subject_id, window, amount, zone))
        actual = self.database.one(
            "set_credit_limit",
            subject_type=subject,
            subject_id=subject_id,
            amount=amount,
            window=window,
            timezone=zone,
            organization_id=self.database.organization_id,
        )
        limit.id = limit.id or str(actual["id"])
        assert limit.id == str(actual["id"])

    @rule(overdraft=st.sampled_from([Decimal(20), ZERO, Decimal("2.5")]))
    def overdraft(self, overdraft: Decimal) -> None:
        """Section 3.1: how far below zero a spend may go."""
        self.ledger.overdraft = overdraft
        self.database.configure("overdraft_limit", overdraft)

    @rule(policy=st.sampled_from(["deny", "up_to_available", "allow_debt"]))
    def policy(self, policy: str) -> None:
        """Section 4: what a capture above its hold does."""
        self.ledger.over_capture_policy = policy
        self.database.configure("over_capture_policy", policy)

    # Time

    @rule(by=_SPAN | st.just(timedelta(hours=12)))
    def advance(self, by: timedelta) -> None:
        """Section 9: time passes and all that falls due is booked."""
        self.ledger.move_clock(self.ledger.now + by)
        organization_id = self.database.organization_id
        self.database.one("advance_test_clock", organization_id=organization_id, to=self.ledger.now)
        self.is_swept = True

    @rule(by=_SPAN | st.just(timedelta(hours=12)))
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
        assert (told["balance"], told["held"], told["debt"]) == (then.balance, then.held, then.debt), (at, told)

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
        """The story's end: all is swept, the past is right, and the ledger proves itself."""
        if sys.exc_info()[0]:
            return  # the story broke off
        self.advance(timedelta(0))
        self.same_balance()
        self.same_remains()
        for at in sorted({when for when, _ in self.ledger.history})[::4]:
            self._same_past(at)
        organization_id = self.database.organization_id
        assert self.database.call("verify_ledger", organization_id=organization_id) == []
        (total,) = self.database.query(
            "select coalesce(sum(amount), 0) as total from billing.credit_transactions where organization_id = %s"
        )
        assert total["total"] == self.ledger.balance.balance


