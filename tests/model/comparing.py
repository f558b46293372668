"""How an answer of the database is held against the model's; here the model learns the ids that it gave."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from .database import Row
from .entities import NEVER, Grant, Part, Receipt, Refused

T = TypeVar("T")


def outcome(call: Callable[[], T]) -> T | Refused:
    """Return what a call answers, its refusal included."""
    try:
        return call()
    except Refused as refusal:
        return refusal


def same_refusal(expected: object, actual: object) -> bool:
    """Assert that both refuse alike, or neither does; return whether they refuse.

    Details are compared where the model states them.
    """
    if not isinstance(expected, Refused) and not isinstance(actual, Refused):
        return False
    assert isinstance(expected, Refused), f"the database refuses, the model does not: {actual!r}; {expected}"
    assert isinstance(actual, Refused), f"the model refuses, the database does not: {expected!r}; {actual}"
    assert (actual.status, actual.slug) == (expected.status, expected.slug), (expected, actual)
    stated = {name: actual.details.get(name) for name in expected.details}
    assert stated == expected.details, (expected, actual)
    return True


def same_receipt(expected: Receipt, actual: Row) -> None:
    """Assert that a movement's receipt is the model's: amounts, balances, grants in order, limits."""
    told = (actual["amount"], actual["balance"], actual["available"], actual["replayed"])
    assert told == (expected.amount, expected.balance, expected.available, expected.replayed), (
        expected,
        actual,
    )
    same_parts([p for p in expected.parts if p.grant], actual["grants"] or [])
    if expected.limits is not None:
        left = [(x["limit_id"], x["remaining"], _instant(x["resets_at"])) for x in actual["limits"]]
        assert left == [(limit.id, room, end) for limit, room, end in expected.limits]


def same_parts(expected: list[Part], actual: list[dict[str, Any]]) -> None:
    """Assert that the same grants moved by the same amounts, in order; new grants get their ids here."""
    amounts = [abs(Decimal(piece["amount"])) for piece in actual]
    assert amounts == [part.amount for part in expected], (expected, actual)
    for part, piece in zip(expected, actual, strict=True):
        assert part.grant
        learn(part.grant, piece["grant_id"])
        assert part.grant.id == piece["grant_id"], (expected, actual)


def learn(grant: Grant, grant_id: object) -> None:
    """Give a grant the id that the database gave it, if it has none yet."""
    grant.id = grant.id or str(grant_id)


def _instant(text: str | None) -> datetime:
    return NEVER if text is None else datetime.fromisoformat(text)


def expiring(rows: list[dict[str, Any]]) -> dict[datetime, Decimal]:
    """Read the `expiring` of get_credit_balance."""
    return {_instant(row["expires_at"]): row["amount"] for row in rows}
