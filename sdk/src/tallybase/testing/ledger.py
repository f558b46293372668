"""`FakeLedger`: a ledger of one organization in memory that answers as the real one does."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from tallybase._calls import (
    BALANCE,
    CAPTURE_HOLD,
    CHECK,
    CONSUME,
    CONSUME_BATCH,
    EXTEND_HOLD,
    HOLD,
    MAX_BATCH,
    RELEASE_HOLD,
    Number,
)
from tallybase._keys import uuid7
from tallybase._wire import TransportFailure
from tallybase.testing.holds import FakeHold, require_hold_amount
from tallybase.testing.prices import PriceList, Prices, Refused, text, validated_metadata

TOPUP_URL = "https://billing.example/topup"

_FIELDS = frozenset(
    {
        "agent_type",
        "action",
        "quantities",
        "amount",
        "organization_id",
        "department_id",
        "run_id",
        "idempotency_key",
        "metadata",
    }
)


@dataclass(frozen=True, slots=True)
class Spend:
    """A booked spend. Amounts are in credits."""

    transaction_id: UUID
    agent_type: str
    action: str
    amount: Decimal
    balance: Decimal
    held: Decimal
    quantities: Mapping[str, Number]
    price: Mapping[str, object]
    requested_amount: Number | None
    run_id: str | None
    idempotency_key: str | None
    metadata: Mapping[str, object]
    hold_id: UUID | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class FakeLedger:
    """A ledger in memory, safe for threads.

    Args:
        balance: credits at the start.
        prices: credits by (agent type, action): a number for each call, a mapping from metric to number, or
            None when the caller names the amount. Without a price list every action costs 1, or what the
            caller names.
        organization_id: default: a new one.

    Attributes:
        spends: what was booked, in order.
        holds: what was held, in order.
        requests: names of the functions that were called, in order, repetitions included.
        available: set to False, every request fails as it does when the server cannot be reached.
    """

    def __init__(
        self,
        balance: Number = 100,
        prices: Prices | None = None,
        *,
        organization_id: UUID | None = None,
    ) -> None:
        self.organization_id = organization_id or uuid7()
        self.spends: list[Spend] = []
        self.holds: list[FakeHold] = []
        self.requests: list[str] = []
        self.available = True
        self._balance = Decimal(balance)
        self._prices = PriceList(prices)
        self._grant_id = uuid7()
        self._losses = 0
        self._lock = threading.Lock()

    @property
    def balance(self) -> Decimal:
        """What is left."""
        return self._balance

    @property
    def held(self) -> Decimal:
        """What open holds reserve."""
        return sum((hold.amount for hold in self.holds if hold.status == "open"), Decimal(0))

    @property
    def spent(self) -> Decimal:
        """What was charged in total."""
        return sum((spend.amount for spend in self.spends), Decimal(0))

    def grant(self, amount: Number) -> None:
        """Add credits."""
        with self._lock:
            self._balance += Decimal(amount)

    def expire_holds(self) -> None:
        """Let the time of all open holds run out: what was metered is charged, the rest released."""
        with self._lock:
            for hold in [hold for hold in self.holds if hold.status == "open"]:
                if hold.metered > 0:
                    self._settle_hold(hold, hold.metered, hold.priced(hold.metered), None, None, None)
                hold.status = "expired"

    def lose_answers(self, count: int = 1) -> None:
        """Let the next requests be carried out but their answers be lost on the way."""
        self._losses += count

    def answer(self, function: str, arguments: Mapping[str, object]) -> tuple[int, object]:
        """Answer a call: HTTP status and decoded body.

        Raises:
            TransportFailure: while the ledger is not available, or when the answer is to be lost.
        """
        with self._lock:
            self.requests.append(function)
            if not self.available:
                raise TransportFailure("the fake ledger is not available")
            answered = self._dispatch(function, arguments)
            if self._losses:
                self._losses -= 1
                raise TransportFailure("the answer was lost")
            return answered

    def _dispatch(self, function: str, arguments: Mapping[str, object]) -> tuple[int, object]:
        try:
            if function == CONSUME:
                return 200, self._consume(arguments)
            if function == CONSUME_BATCH:
                return 200, self._consume_batch(arguments)
            if function == CHECK:
                return 200, self._check(arguments)
            if function == HOLD:
                return 200, self._hold(arguments)
            if function == EXTEND_HOLD:
                return 200, self._extend_hold(arguments)
            if function == CAPTURE_HOLD:
                return 200, self._capture_hold(arguments)
            if function == RELEASE_HOLD:
                return 200, self._release_hold(arguments)
            if function == BALANCE:
                self._require_organization(arguments)
                return 200, self._wallet()
        except Refused as refused:
            return refused.status, refused.body()
        message = f"Could not find the function billing.{function}"
        return 404, {"code": "PGRST202", "message": message, "details": None, "hint": None}

    def _consume(self, arguments: Mapping[str, object]) -> dict[str, object]:
        self._require_organization(arguments)
        agent_type, action = text("agent_type", arguments), text("action", arguments)
        key = text("idempotency_key", arguments, required=False) or None
        run_id = text("run_id", arguments, required=False) or None
        metadata = validated_metadata(arguments.get("metadata"))
        quantities = self._prices.requested_quantities(arguments.get("quantities"))
        requested = self._prices.validated_request(arguments.get("amount"))
        known = next(
            (spend for spend in self.spends if key is not None and spend.idempotency_key == key), None
        )
        if known is not None:
            same = (known.agent_type, known.action, known.quantities, known.requested_amount)
            if known.hold_id is not None or same != (agent_type, action, quantities, requested):
                raise Refused(409, "idempotency_conflict", transaction_id=str(known.transaction_id))
            return self._receipt(known, replayed=True)
        price = self._prices.quote(agent_type, action, quantities, requested)
        self._require_available(price.amount)
        self._balance -= price.amount
        spend = Spend(
            transaction_id=uuid7(),
            agent_type=agent_type,
            action=action,
            amount=price.amount,
            balance=self._balance,
            held=self.held,
            quantities=quantities,
            price=price.explanation,
            requested_amount=requested,
            run_id=run_id,
            idempotency_key=key,
            metadata=metadata,
        )
        self.spends.append(spend)
        return self._receipt(spend, replayed=False)

    def _require_available(self, amount: Decimal) -> None:
        available = self._balance - self.held
        if amount > available:
            raise Refused(
                402,
                "insufficient_credits",
                required=amount,
                available=available,
                shortfall=amount - available,
                balance=self._balance,
                held=self.held,
                topup_url=TOPUP_URL,
            )

    def _hold(self, arguments: Mapping[str, object]) -> dict[str, object]:
        self._require_organization(arguments)
        agent_type, action = text("agent_type", arguments), text("action", arguments)
        key = text("idempotency_key", arguments, required=False) or None
        text("run_id", arguments, required=False)
        validated_metadata(arguments.get("metadata"))
        quantities = self._prices.requested_quantities(arguments.get("quantities"))
        requested = self._prices.validated_request(arguments.get("amount"))
        known = next((hold for hold in self.holds if key is not None and hold.idempotency_key == key), None)
        if known is not None:
            if known.request != (agent_type, action, quantities, requested):
                raise Refused(409, "idempotency_conflict", hold_id=str(known.hold_id))
            return known.answer(self.organization_id, self._balance, self.held, replayed=True)
        self._prices.require_known(agent_type, action)
        if requested is not None:
            amount = require_hold_amount("amount", requested)
        else:
            amount = self._prices.quote(agent_type, action, quantities, None).amount
        self._require_available(amount)
        hold = FakeHold(uuid7(), amount, (agent_type, action, quantities, requested), key)
        self.holds.append(hold)
        return hold.answer(self.organization_id, self._balance, self.held, replayed=False)

    def _find_hold(self, arguments: Mapping[str, object]) -> FakeHold:
        for hold in self.holds:
            if str(hold.hold_id) == arguments.get("hold_id"):
                return hold
        raise Refused(404, "not_found", what="hold")

    def _extend_hold(self, arguments: Mapping[str, object]) -> dict[str, object]:
        additional = require_hold_amount("additional", arguments.get("additional", 0))
        hold = self._find_hold(arguments)
        hold.require_open()
        metered = require_hold_amount("metered", arguments.get("metered", hold.metered))
        hold.require_metered(metered, additional)
        self._require_available(additional)
        hold.metered = metered
        hold.amount += additional
        return hold.answer(self.organization_id, self._balance, self.held, replayed=False)

    def _capture_hold(self, arguments: Mapping[str, object]) -> dict[str, object]:
        key = text("idempotency_key", arguments, required=False) or None
        quantities = self._prices.validated_quantities(arguments.get("quantities"))
        requested = arguments.get("amount")
        amount = None if requested is None else require_hold_amount("amount", requested)
        if amount is not None and quantities:
            raise Refused(422, "invalid_argument", argument="amount")
        hold = self._find_hold(arguments)
        known = next(
            (spend for spend in self.spends if key is not None and spend.idempotency_key == key), None
        )
        if known is not None:
            if (known.hold_id, known.quantities, known.requested_amount) != (
                hold.hold_id,
                quantities,
                amount,
            ):
                raise Refused(409, "idempotency_conflict", transaction_id=str(known.transaction_id))
            return self._receipt(known, replayed=True)
        hold.require_open()
        price: Mapping[str, object]
        if quantities:
            quoted = self._prices.quote(hold.request[0], hold.request[1], quantities, None)
            cost, price = quoted.amount, quoted.explanation
        else:
            cost = hold.amount if amount is None else amount
            price = hold.priced(cost)
        if cost > hold.amount:
            raise Refused(422, "invalid_amount", argument="amount", max=hold.amount)
        spend = self._settle_hold(hold, cost, price, quantities, amount, key)
        return self._receipt(spend, replayed=False)

    def _settle_hold(
        self,
        hold: FakeHold,
        cost: Decimal,
        price: Mapping[str, object],
        quantities: Mapping[str, Number] | None,
        requested: Number | None,
        key: str | None,
    ) -> Spend:
        hold.status, hold.captured_amount = "captured", cost
        self._balance -= cost
        spend = Spend(
            transaction_id=uuid7(),
            agent_type=hold.request[0],
            action=hold.request[1],
            amount=cost,
            balance=self._balance,
            held=self.held,
            quantities=quantities or {},
            price=price,
            requested_amount=requested,
            run_id=None,
            idempotency_key=key,
            metadata={},
            hold_id=hold.hold_id,
        )
        self.spends.append(spend)
        hold.transaction_id = spend.transaction_id
        return spend

    def _release_hold(self, arguments: Mapping[str, object]) -> dict[str, object]:
        hold = self._find_hold(arguments)
        hold.require_open()
        hold.status, hold.captured_amount = "released", Decimal(0)
        return hold.answer(self.organization_id, self._balance, self.held, replayed=False)

    def _consume_batch(self, arguments: Mapping[str, object]) -> list[dict[str, object]]:
        events = arguments.get("events")
        if not isinstance(events, list) or not 1 <= len(events) <= MAX_BATCH:
            raise Refused(422, "invalid_argument", argument="events", max=MAX_BATCH)
        self._require_organization(arguments)
        before = (self._balance, len(self.spends))
        rows: list[dict[str, object]] = []
        for index, event in enumerate(events):
            try:
                if not isinstance(event, dict) or event.keys() - _FIELDS:
                    raise Refused(422, "invalid_argument", argument="events")
                rows.append({"index": index, "ok": True, "receipt": self._consume(event), "error": None})
            except Refused as refused:
                if arguments.get("atomic", True):
                    self._balance = before[0]
                    del self.spends[before[1] :]
                    raise Refused(refused.status, refused.slug, **refused.details, index=index) from None
                rows.append({"index": index, "ok": False, "receipt": None, "error": refused.batch_error()})
        return rows

    def _check(self, arguments: Mapping[str, object]) -> dict[str, object]:
        self._require_organization(arguments)
        quantities = self._prices.validated_quantities(arguments.get("quantities"))
        requested = self._prices.validated_request(arguments.get("amount"))
        agent_type, action = text("agent_type", arguments), text("action", arguments)
        amount = self._prices.quote(agent_type, action, quantities, requested).amount
        available = self._balance - self.held
        allowed = amount <= available
        return {
            "allowed": allowed,
            "amount": amount,
            "available": available,
            "reason": None if allowed else "insufficient_credits",
            "limit": None,
        }

    def _wallet(self) -> dict[str, object]:
        return {
            "organization_id": str(self.organization_id),
            "balance": self._balance,
            "held": self.held,
            "available": self._balance - self.held,
            "debt": Decimal(0),
            "pending": Decimal(0),
            "pending_grants": [],
            "expiring": [],
            "restricted_reason": None,
            "is_blocked": self._balance - self.held <= 0,
            "as_of": datetime.now(UTC),
        }

    def _require_organization(self, arguments: Mapping[str, object]) -> None:
        named = arguments.get("organization_id")
        if named is not None and str(named) != str(self.organization_id):
            raise Refused(403, "not_authorized")

    def _receipt(self, spend: Spend, *, replayed: bool) -> dict[str, object]:
        paid = spend.amount > 0
        return {
            "transaction_id": str(spend.transaction_id),
            "organization_id": str(self.organization_id),
            "amount": spend.amount,
            "balance": spend.balance,
            "available": spend.balance - spend.held,
            "replayed": replayed,
            "price": spend.price,
            "grants": [{"grant_id": str(self._grant_id), "amount": spend.amount}] if paid else [],
            "limits": [],
            "created_at": spend.created_at,
        }
