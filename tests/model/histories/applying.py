"""Tells the model what a history's successes did, one after another, and compares every answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ..comparing import learn, same_receipt
from ..database import Row
from ..entities import ALWAYS, NEVER, ZERO, Consumption, Grant, Hold, Limit, Receipt, round_up
from ..ledger import Ledger
from ..prices import Spend
from .claims import Claim
from .operations import Operation
from .world import TakenHold, Tenant


def decimal(value: object) -> Decimal | None:
    """Read an amount as it was sent."""
    return None if value is None else Decimal(str(value))


def instant(text: object) -> datetime | None:
    """Read an instant as it was sent."""
    return None if text is None else datetime.fromisoformat(str(text)).astimezone(UTC)


def duration(text: object) -> timedelta | None:
    """Read a duration as it was sent: so many milliseconds."""
    return None if text is None else timedelta(milliseconds=int(str(text).split()[0]))


def spend_of(operation: Operation, told: Mapping[str, Any]) -> Spend:
    """Return a spend as the model takes it."""
    return Spend(operation.spender(told), operation.cost(told), told.get("idempotency_key"))


def receipt_in(entry: Row) -> dict[str, Any]:
    """Return the receipt that an entry is: what its caller was told, or would have been."""
    is_consumption = entry["kind"] == "consume"
    ids, amounts = entry["grant_ids"], entry["grant_amounts"]
    if ids is None:
        head = entry["head_grant_id"]
        ids, amounts = ([head], [entry["amount"]]) if head and entry["amount"] else ([], [])
    return {
        "amount": -entry["amount"] if is_consumption else entry["amount"],
        "balance": entry["balance_after"],
        "available": entry["balance_after"] - entry["held_after"],
        "replayed": False,
        "grants": [
            {"grant_id": str(grant_id), "amount": amount}
            for grant_id, amount in zip(ids, amounts, strict=True)
        ],
        "limits": entry["limits"] or [],
    }


class Applying:
    """The model of one tenant, and the things that answers name by their ids."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.ledger = Ledger(
            ALWAYS, overdraft=Decimal(tenant.overdraft_limit), over_capture_policy=tenant.over_capture_policy
        )
        self.consumptions: dict[str, Consumption] = {}
        self.references: dict[str, Grant] = {}
        self.places: dict[str, int] = {}  # of entries, by transaction id
        self._calls: dict[str, Callable[[Claim, Row], None]] = {
            "consume_credits": self._consume,
            "consume_credits_batch": self._consume,
            "refund_consumption": self._refund,
            "adjust_credits": self._adjust,
            "transfer_credits": self._transfer,
            "grant_credits": self._grant,
            "void_grant": self._void,
            "hold_credits": self._hold,
            "extend_hold": self._extend,
            "capture_hold": self._capture,
            "release_hold": self._release,
        }

    def apply(self, claim: Claim, entry: Row) -> None:
        """Do what a call did, at the instant of its entry.

        Raises:
            AssertionError: the model answers otherwise.
            Refused: the model refuses it.
        """
        self._calls[claim.operation.function](claim, entry)

    def edit(self, operation: Operation) -> None:
        """Change a limit or a setting."""
        told = operation.arguments
        if operation.function == "configure":
            if told["column"] == "overdraft_limit":
                self.ledger.overdraft = Decimal(told["value"])
            else:
                setattr(self.ledger, told["column"], told["value"])
            return
        limit = self.ledger.set_limit(
            Limit(
                told["subject_type"],
                told["subject_id"],
                told["window"],
                Decimal(told["amount"]),
                told["timezone"],
                told["mode"],
            )
        )
        limit.id = limit.id or operation.answer["id"]
        assert limit.id == operation.answer["id"]

    def find_hold(self, ledger: Ledger, hold_id: object) -> Hold | None:
        """Find a hold by its id, in the model or a copy of it."""
        return next((hold for hold in ledger.holds if hold.id == hold_id), None)

    def may_resolve(self, operation: Operation, hold: Hold) -> bool:
        """Whether the caller may resolve a hold (section 4)."""
        return operation.caller.owns(TakenHold(hold.id, hold.spender.member, hold.spender.agent_key))

    # Each call

    def _same(self, expected: Receipt, claim: Claim, entry: Row) -> None:
        """Compare the model's receipt with the entry, and with what the caller was told."""
        assert not expected.replayed, "the model knows the key already"
        booked = receipt_in(entry)
        told = booked if claim.answer is None else {**claim.answer, "replayed": False}
        same_receipt(expected, booked)
        same_receipt(expected, told)
        if expected.consumption is not None and expected.amount:
            expected.consumption.id = str(entry["id"])
            self.consumptions[str(entry["id"])] = expected.consumption
        self._same_wallet(entry)

    def _same_wallet(self, entry: Row) -> None:
        debt = self.ledger.balance.debt
        assert (entry["held_after"], entry["debt_after"]) == (self.ledger.balance.held, debt), entry

    def _same_balance(self, claim: Claim, entry: Row) -> None:
        now = self.ledger.balance
        assert entry["balance_after"] == now.balance, (entry, now)
        self._same_wallet(entry)
        if claim.answer is not None and claim.is_first:
            told = (claim.answer["balance"], claim.answer["available"])
            assert told == (now.balance, now.available), (claim.answer, now)

    def _consume(self, claim: Claim, entry: Row) -> None:
        self._same(self.ledger.consume(spend_of(claim.operation, claim.arguments)), claim, entry)

    def _refund(self, claim: Claim, entry: Row) -> None:
        told = claim.arguments
        spent = self.consumptions[told["transaction_id"]]
        receipt = self.ledger.refund(spent, decimal(told["amount"]), told["reason"], told["idempotency_key"])
        self._same(receipt, claim, entry)

    def _adjust(self, claim: Claim, entry: Row) -> None:
        told = claim.arguments
        self._same(self.ledger.adjust(Decimal(told["delta"]), told["idempotency_key"]), claim, entry)

    def _transfer(self, claim: Claim, entry: Row) -> None:
        told = claim.arguments
        receipt = self.ledger.transfer(
            told["from_department_id"],
            told["to_department_id"],
            Decimal(told["amount"]),
            told["idempotency_key"],
        )
        self._same(receipt, claim, entry)

    def _grant(self, claim: Claim, entry: Row) -> None:
        told = claim.arguments
        grant = Grant(
            Decimal(told["amount"]),
            instant(told["effective_at"]) or entry["created_at"],
            instant(told["expires_at"]) or NEVER,
            told["priority"],
            told["department_id"],
            tuple(told["agent_types"]) if told["agent_types"] else None,
            Decimal(told["unit_cost"]),
        )
        learn(grant, entry["grant_ids"][0])
        assert told["source_reference"] not in self.references
        self.references[told["source_reference"]] = grant
        self.ledger.grant(grant)
        if not grant.is_over:  # else its end is the next entry
            self._same_balance(claim, entry)

    def _void(self, claim: Claim, entry: Row) -> None:
        grant = next(g for g in self.ledger.grants if g.id == claim.arguments["grant_id"])
        assert not grant.is_over
        assert grant.remaining
        self.ledger.void(grant)
        self._same_balance(claim, entry)

    def _hold(self, claim: Claim, entry: Row) -> None:
        told = claim.arguments
        requested = decimal(told["amount"])
        hold = self.ledger.hold(
            claim.operation.spender(),
            claim.operation.cost(),
            duration(told["expires_in"]) or timedelta(0),
            told["idempotency_key"],
            requested,
        )
        assert not hold.id, "the model knows the key already"
        hold.id = str(entry["hold_id"])
        self._same_hold(hold, claim, entry)

    def _same_hold(self, hold: Hold, claim: Claim, entry: Row) -> None:
        assert self.may_resolve(claim.operation, hold)
        if claim.answer is not None and claim.is_first:
            same_hold(hold, claim.answer)
            assert instant(claim.answer["expires_at"]) == hold.expires_at
        self._same_balance(claim, entry)

    def _extend(self, claim: Claim, entry: Row) -> None:
        told = claim.arguments
        hold = self.find_hold(self.ledger, told["hold_id"])
        assert hold
        self.ledger.extend(
            hold, Decimal(told["additional"]), decimal(told["metered"]), duration(told["expires_in"])
        )
        self._same_hold(hold, claim, entry)

    def _capture(self, claim: Claim, entry: Row) -> None:
        told = claim.arguments
        hold = self.find_hold(self.ledger, told["hold_id"])
        assert hold
        assert self.may_resolve(claim.operation, hold)
        receipt = self.ledger.capture(hold, decimal(told["amount"]), told["idempotency_key"])
        self._same(receipt, claim, entry)

    def _release(self, claim: Claim, entry: Row) -> None:
        hold = self.find_hold(self.ledger, claim.arguments["hold_id"])
        assert hold
        self.ledger.release(hold)
        if claim.answer is not None and claim.is_first:
            same_hold(hold, claim.answer)
        # What is let go of a grant that is over is lost in the next entries; the answer knows of it already.
        self._same_wallet(entry)


def same_hold(hold: Hold, answer: Mapping[str, Any]) -> None:
    """Assert that an answer describes a hold as the model has it."""
    told = (answer["hold_id"], answer["status"], answer["amount"], answer["metered"])
    assert told == (hold.id, hold.status, hold.amount, hold.metered), (hold, answer)
    assert (answer["captured_amount"] or ZERO) == (hold.captured or ZERO), (hold, answer)


def rounded(amount: object) -> Decimal:
    """Return an amount as it is charged."""
    return round_up(Decimal(str(amount)))
