"""A hold of the fake ledger, with the rules of the real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Literal
from uuid import UUID

from tallybase._calls import Number
from tallybase.testing.prices import Refused

_SMALLEST = Decimal("0.000001")
_TOO_LARGE = Decimal("1e14")


def require_hold_amount(argument: str, value: object) -> Decimal:
    """Return an amount of at least 0, rounded up at the sixth decimal, or refuse it."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int) or not 0 <= value < _TOO_LARGE:
        raise Refused(422, "invalid_amount", argument=argument)
    return Decimal(value).quantize(_SMALLEST, ROUND_CEILING)


@dataclass(slots=True)
class FakeHold:
    """What was held. Amounts are in credits.

    Attributes:
        request: agent type, action, quantities and amount, as they were asked for.
    """

    hold_id: UUID
    amount: Decimal
    request: tuple[str, str, Mapping[str, Number], Number | None]
    idempotency_key: str | None
    status: Literal["open", "captured", "released", "expired"] = "open"
    metered: Decimal = Decimal(0)
    captured_amount: Decimal | None = None
    transaction_id: UUID | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def require_open(self) -> None:
        """Refuse with the name of how it ended."""
        if self.status != "open":
            named = {"hold_id": str(self.hold_id)}
            if self.transaction_id is not None:
                named["transaction_id"] = str(self.transaction_id)
            raise Refused(409, f"hold_{self.status}", **named)

    def require_metered(self, metered: Decimal, additional: Decimal) -> None:
        """Refuse a report that falls, or that the hold would not cover."""
        if not self.metered <= metered <= self.amount + additional:
            raise Refused(
                422, "invalid_amount", argument="metered", min=self.metered, max=self.amount + additional
            )

    def priced(self, amount: Decimal) -> Mapping[str, object]:
        """How a charge that names its amount is explained."""
        return {"rows": [], "quantities": {"call": 1}, "exact_amount": amount}

    def answer(
        self, organization_id: UUID, balance: Decimal, held: Decimal, *, replayed: bool
    ) -> dict[str, object]:
        """The hold as the API answers it."""
        return {
            "hold_id": str(self.hold_id),
            "organization_id": str(organization_id),
            "status": self.status,
            "amount": self.amount,
            "metered": self.metered,
            "captured_amount": self.captured_amount,
            "uncollected_amount": Decimal(0),
            "transaction_id": None if self.transaction_id is None else str(self.transaction_id),
            "balance": balance,
            "available": balance - held,
            "replayed": replayed,
            "expires_at": self.created_at + timedelta(minutes=15),
            "created_at": self.created_at,
        }
