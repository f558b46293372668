"""The rules of the fake ledger for arguments and prices, as the real one has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from tallybase import _json
from tallybase._calls import Number
from tallybase._keys import MAX_KEY_LENGTH

#: Amounts are rounded up, once, at the sixth decimal.
_SMALLEST = Decimal("0.000001")
_TOO_LARGE = Decimal("1e14")
_MAX_METADATA_BYTES = 8192
_MAX_METRICS = 50

#: Credits by (agent type, action): for each call, by metric, or None when the caller names the amount.
Prices = Mapping[tuple[str, str], Number | Mapping[str, Number] | None]


class Refused(Exception):
    """A refusal with HTTP status, slug and details."""

    def __init__(self, status: int, slug: str, **details: object) -> None:
        super().__init__(slug)
        self.status = status
        self.slug = slug
        self.details = details

    def body(self) -> dict[str, object]:
        """The body of a single call's answer: details are JSON as text."""
        details = _json.encode(self.details).decode() if self.details else ""
        return {"code": f"PT{self.status}", "message": self.slug, "details": details, "hint": ""}

    def batch_error(self) -> dict[str, object]:
        """The same inside a batch: details are an object."""
        return {"status": self.status, "message": self.slug, "details": self.details or None, "hint": None}


@dataclass(frozen=True, slots=True)
class Quoted:
    """An amount and how it came about, as a receipt explains it."""

    amount: Decimal
    explanation: Mapping[str, object]


class PriceList:
    """Prices by (agent type, action); see `FakeLedger`."""

    def __init__(self, prices: Prices | None) -> None:
        self._prices = prices

    def quote(
        self, agent_type: str, action: str, quantities: Mapping[str, Number], requested: Number | None
    ) -> Quoted:
        """Price an action, or refuse what has no price and an amount where none belongs."""
        metrics = self._metrics(agent_type, action, requested)
        if any(metric not in (metrics or {}) and metric != "call" for metric in quantities):
            raise Refused(422, "invalid_argument", argument="quantities")
        if metrics is None:
            return _quoted([("call", Decimal(0), Decimal(1), _require_amount(requested), True)], quantities)
        if requested is not None:
            _require_amount(requested)
            raise Refused(422, "invalid_argument", argument="amount")
        lines = []
        for metric, cost in sorted(metrics.items()):
            quantity = quantities.get(metric, 1 if metric == "call" else None)
            if quantity is not None:
                lines.append((metric, Decimal(cost), Decimal(quantity), Decimal(cost) * quantity, False))
        return _quoted(lines, quantities)

    def require_known(self, agent_type: str, action: str) -> None:
        """Refuse an action without a price."""
        if self._prices is not None and (agent_type, action) not in self._prices:
            raise Refused(422, "unknown_action", argument="action", agent_type=agent_type, action=action)

    def _metrics(self, agent_type: str, action: str, requested: Number | None) -> Mapping[str, Number] | None:
        """Credits by metric, or None when the caller names the amount."""
        if self._prices is None:
            return {"call": 1} if requested is None else None
        self.require_known(agent_type, action)
        price = self._prices[agent_type, action]
        return {"call": price} if isinstance(price, Decimal | int) else price

    @staticmethod
    def validated_quantities(value: object) -> Mapping[str, Number]:
        """Return the quantities, or refuse what is not a small object of finite numbers of at least 0."""
        if not value:
            return {}
        if not isinstance(value, dict) or len(value) > _MAX_METRICS:
            raise Refused(422, "invalid_argument", argument="quantities")
        for metric, quantity in value.items():
            if not isinstance(quantity, Decimal | int) or not 0 <= quantity < _TOO_LARGE or len(metric) > 100:
                raise Refused(422, "invalid_argument", argument="quantities", metric=metric)
        if len(value) > 1 and value.get("call") == 1:  # implied: said or not, it is the same request
            return {metric: quantity for metric, quantity in value.items() if metric != "call"}
        return value

    @classmethod
    def requested_quantities(cls, value: object) -> Mapping[str, Number]:
        """As `validated_quantities`, for a spend or a hold: one call alone is the same as nothing said."""
        quantities = cls.validated_quantities(value)
        return {} if quantities == {"call": 1} else quantities

    @staticmethod
    def validated_request(value: object) -> Number | None:
        """Return the amount that the caller names, whatever its size; the price decides whether it fits."""
        if value is None or isinstance(value, Decimal | int):
            return value
        raise Refused(422, "invalid_amount", argument="amount")


def _quoted(
    lines: list[tuple[str, Decimal, Decimal, Decimal, bool]], quantities: Mapping[str, Number]
) -> Quoted:
    exact = sum((line[3] for line in lines), Decimal(0))
    rows = [
        {
            "price_id": number,
            "metric": metric,
            "credit_cost": cost,
            "quantity": quantity,
            "amount": amount,
            "caller_priced": caller_priced,
        }
        for number, (metric, cost, quantity, amount, caller_priced) in enumerate(lines, start=1)
    ]
    explanation = {"rows": rows, "quantities": {"call": 1, **quantities}, "exact_amount": exact}
    return Quoted(exact.quantize(_SMALLEST, ROUND_CEILING), explanation)


def _require_amount(value: Number | None) -> Decimal:
    if value is None or not 0 < value < _TOO_LARGE:
        raise Refused(422, "invalid_amount", argument="amount")
    return Decimal(value)


def text(argument: str, arguments: Mapping[str, object], *, required: bool = True) -> str:
    """Return an argument of 1 to 255 printable characters; "" for an optional one that is left out."""
    value = arguments.get(argument)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_KEY_LENGTH or not value.strip(" "):
        raise Refused(422, "invalid_argument", argument=argument)
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in value):
        raise Refused(422, "invalid_argument", argument=argument)
    return value


def validated_metadata(value: object) -> Mapping[str, object]:
    """Return the metadata, or refuse what is not an object of at most 8 kB as the database writes it."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(422, "invalid_argument", argument="metadata")
    written = json.dumps(value, ensure_ascii=False, default=str)
    if len(written.encode()) > _MAX_METADATA_BYTES:
        raise Refused(413, "metadata_too_large", max_bytes=_MAX_METADATA_BYTES)
    return value
