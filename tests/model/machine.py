"""The calls that a random story is made of; every answer of the database is compared with the model's."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from .comparing import learn, outcome, same_refusal
from .database import Row
from .entities import ZERO, Grant, Hold, Refused, Spender, round_up
from .ledger import later
from .several import SeveralStory
from .story import (
    ACTIONS,
    AGENT,
    DEPARTMENT,
    GRANTED,
    HOLD_SPAN,
    KEY,
    PICK,
    SPANS,
    SPENT,
)


class LedgerMachine(SeveralStory):
    """All calls of the ledger's vocabulary."""

    # Granting

    @rule(
        amount=GRANTED,
        begins=st.sampled_from([None, None, None, *SPANS]),
        ends=st.sampled_from([None, *SPANS]),
        priority=st.sampled_from([100, 100, 50]),
        unit_cost=st.sampled_from([ZERO, Decimal("0.5")]),
        department=DEPARTMENT,
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
        self.granted.append((reference, len(self.ledger.grants) - 1, receipt))
        now = self.ledger.balance
        assert (receipt["balance"], receipt["available"]) == (now.balance, now.available)
        assert not receipt["replayed"]
        self.is_swept = True

    @precondition(lambda self: self.granted)
    @rule(which=PICK, is_same=st.booleans())
    def grant_again(self, which: int, is_same: bool) -> None:
        """Section 6: a known source reference replays; with another amount it is a conflict."""
        reference, index, first = self.granted[which % len(self.granted)]
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
            assert actual == {**first, "replayed": True}

    @precondition(lambda self: self.ledger.grants)
    @rule(which=PICK)
    def void(self, which: int) -> None:
        """Section 6: what is left of a grant goes, once."""
        grant = self.ledger.grants[which % len(self.ledger.grants)]
        self.ledger.void(grant)
        receipt = self.database.one("void_grant", grant_id=grant.id, reason="model")
        now = self.ledger.balance
        told = (receipt["balance"], receipt["available"])
        assert told == self.voided.get(grant.id, (now.balance, now.available)), (receipt, now, grant)
        if receipt["transaction_id"]:
            self.voided[grant.id] = told
        self.is_swept = self.is_swept or not receipt["replayed"]

    # Spending

    @rule(amount=SPENT, agent=AGENT, department=DEPARTMENT, key=st.none() | KEY)
    def consume(self, amount: Decimal, agent: str, department: int | None, key: str | None) -> None:
        """Section 3."""
        self._spend(self._new_spend(amount, agent, department, key))

    @precondition(lambda self: self.sent)
    @rule(which=PICK)
    def consume_again(self, which: int) -> None:
        """Section 3.2: the very same call once more."""
        self._spend(self.sent[which % len(self.sent)])

    @rule(
        events=st.lists(st.tuples(SPENT, AGENT, DEPARTMENT, st.none() | KEY), min_size=1, max_size=5),
        is_atomic=st.booleans(),
    )
    def consume_batch(
        self, events: list[tuple[Decimal, str, int | None, str | None]], is_atomic: bool
    ) -> None:
        """Section 3: one answer for each event; atomic: all or nothing."""
        spends = [self._new_spend(*event) for event in events]
        # Copied together: what is known of earlier consumptions goes on pointing at the ledger's grants.
        trial, known = copy.deepcopy((self.ledger, self.consumptions))
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
        self.ledger, self.consumptions = trial, known
        assert [row["index"] for row in actual] == list(range(len(spends)))
        for answer, row in zip(expected, actual, strict=True):
            error = row["error"] or {}
            told = Refused(error["status"], error["message"], **error["details"]) if error else row["receipt"]
            self._same_movement(answer, told)

    @precondition(lambda self: self.sent)
    @rule(
        which=PICK,
        amount=st.none() | SPENT,
        reason=st.sampled_from(["customer", "platform_fault"]),
        key=KEY.map("refund-{}".format) | KEY,
    )
    def refund(self, which: int, amount: Decimal | None, reason: str, key: str) -> None:
        """Section 3: a consumption given back, in part or whole."""
        if not self.spent:
            return
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
        self.is_swept = True

    @rule(
        amount=st.just(ZERO) | SPENT,
        agent=AGENT,
        department=DEPARTMENT,
        expires_in=HOLD_SPAN,
        key=st.none() | KEY,
    )
    def hold(
        self, amount: Decimal, agent: str, department: int | None, expires_in: timedelta, key: str | None
    ) -> None:
        """Section 4: reserve an amount, or (QAAgent) what the call costs."""
        requested = amount.quantize(Decimal("0.000001")) if agent == "TestAgent" else None
        self._take_hold(Spender(self._department(department), agent), requested, expires_in, key)

    @precondition(lambda self: self.taken)
    @rule(which=PICK)
    def hold_again(self, which: int) -> None:
        """Section 4: the very same hold once more."""
        self._take_hold(*self.taken[which % len(self.taken)])

    def _take_hold(
        self, spender: Spender, requested: Decimal | None, expires_in: timedelta, key: str | None
    ) -> None:
        self.taken.append((spender, requested, expires_in, key))
        listed = round_up(self.ledger.price_at(self.ledger.now))
        amount = listed if requested is None else requested
        expected = outcome(lambda: self.ledger.hold(spender, amount, expires_in, key, requested))
        actual = outcome(
            lambda: self.database.one(
                "hold_credits",
                agent_type=spender.agent_type,
                action=ACTIONS[spender.agent_type],
                amount=requested,
                organization_id=self.database.organization_id,
                department_id=spender.department,
                expires_in=expires_in,
                idempotency_key=key,
            )
        )
        if not self.same_refusal(expected, actual):
            assert isinstance(expected, Hold)
            assert isinstance(actual, dict)
            self._same_hold(expected, actual)

    @precondition(lambda self: self.taken)
    @rule(
        which=PICK,
        additional=st.just(ZERO) | SPENT,
        metered=st.none() | st.just(ZERO) | SPENT,
        expires_in=st.none() | HOLD_SPAN,
    )
    def extend(
        self, which: int, additional: Decimal, metered: Decimal | None, expires_in: timedelta | None
    ) -> None:
        """Section 4: reserve more, report what was used, move the end."""
        if not self.ledger.holds:
            return
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

    @precondition(lambda self: self.taken)
    @rule(which=PICK)
    def release(self, which: int) -> None:
        """Section 4: let go."""
        if not self.ledger.holds:
            return
        hold = self.ledger.holds[self._hold(which)]
        self._on_hold(
            hold,
            lambda: self.ledger.release(hold),
            lambda: self.database.one("release_hold", hold_id=hold.id),
        )

    def _on_hold(self, hold: Hold, model: Callable[[], None], database: Callable[[], Row]) -> None:
        expected, actual = outcome(model), outcome(database)
        if not self.same_refusal(expected, actual):
            assert isinstance(actual, dict)
            self._same_hold(hold, actual)

    @precondition(lambda self: self.taken)
    @rule(
        which=PICK,
        amount=st.none() | st.just(ZERO) | SPENT,
        tokens=st.none() | st.sampled_from([0, 1000, 7777]),
        key=st.none() | KEY,
    )
    def capture(self, which: int, amount: Decimal | None, tokens: int | None, key: str | None) -> None:
        """Section 4: charge what the run cost: an amount, or tokens at the prices that the hold fixed."""
        if not self.ledger.holds:
            return
        hold = self.ledger.holds[self._hold(which)]
        tokens = tokens if amount is None and hold.spender.agent_type == "QAAgent" else None
        self._capture(hold, amount, key, tokens)
        self.captures.append((self._hold(which), amount, key, tokens))

    @precondition(lambda self: self.taken)
    @rule(which=PICK)
    def capture_again(self, which: int) -> None:
        """Section 4: the very same capture once more."""
        if not self.captures:
            return
        index, amount, key, tokens = self.captures[which % len(self.captures)]
        self._capture(self.ledger.holds[index], amount, key, tokens)

    def _capture(self, hold: Hold, amount: Decimal | None, key: str | None, tokens: int | None) -> None:
        expected = outcome(lambda: self.ledger.capture(hold, amount, key, tokens))
        actual = outcome(
            lambda: self.database.one(
                "capture_hold",
                hold_id=hold.id,
                amount=amount,
                quantities=None if tokens is None else {"input_tokens": tokens},
                idempotency_key=key,
            )
        )
        self._same_movement(expected, actual)
        rows = self.database.query(
            "select uncollected_amount from billing.credit_holds where organization_id = %s and id = %s",
            hold.id,
        )
        assert rows == [{"uncollected_amount": hold.uncollected}]

    # Corrections and settings

    @rule(
        delta=st.sampled_from([Decimal(-20), Decimal(-5), Decimal("-0.5"), Decimal(15), Decimal(40)]),
        key=KEY.map("adjust-{}".format),
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
        amount=GRANTED,
        key=KEY.map("transfer-{}".format),
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
        price=st.sampled_from([Decimal(3), Decimal("7.5"), Decimal("1.0000001"), ZERO]),
        begins=st.just(timedelta(0)) | st.sampled_from(SPANS[:3]),
    )
    def price(self, price: Decimal, begins: timedelta) -> None:
        """Section 3.5: a price of the organization's own, from now on or from some day on."""
        since = self.ledger.now + begins
        expected = outcome(lambda: self.ledger.set_price(since, price))
        actual = outcome(
            lambda: self.database.one(
                "set_agent_action_cost",
                agent_type="QAAgent",
                action=ACTIONS["QAAgent"],
                credit_cost=price,
                organization_id=self.database.organization_id,
                effective_from=since,
            )
        )
        self.same_refusal(expected, actual)

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
