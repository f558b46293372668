"""The model's prices: what a spend costs when the caller does not say."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from .entities import Refused, Spender, round_up
from .limits import fingerprint
from .wallet import Wallet

#: QAAgent.answer_question, by the seed: a call, and each input token beside it.
QA_PRICE = Decimal(5)
TOKEN_PRICE = Decimal("0.0005")


@dataclass
class Spend:
    """One event of consume_credits or of a batch. `amount` None: the price list says it, by the tokens."""

    spender: Spender
    amount: Decimal | None
    key: str | None = None
    tokens: int | None = None

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """By what an approval knows it again (section 5)."""
        return fingerprint(self.spender, self.amount, self.key, self.tokens)

    @property
    def request(self) -> tuple[object, ...]:
        """What the same key must repeat (section 3.2)."""
        return "consume", self.spender.department, self.spender.agent_type, self.amount, self.tokens


@dataclass
class PricedWallet(Wallet):
    """A wallet that knows what actions cost (section 3.5).

    Attributes:
        list_price: what a call costs where the caller does not say.
        prices: the organization's own prices for it, by when each comes into force; they win.
    """

    list_price: Decimal = QA_PRICE
    prices: dict[datetime, Decimal] = field(default_factory=dict)

    def price_at(self, at: datetime) -> Decimal:
        """Return what a call costs at an instant."""
        begun = [since for since in self.prices if since <= at]
        return self.prices[max(begun)] if begun else self.list_price

    def set_price(self, since: datetime, price: Decimal) -> None:
        """set_agent_action_cost: versions cannot overlap, so a new one begins after all others."""
        if any(known >= since for known in self.prices):
            raise Refused(422, "invalid_argument", argument="effective_from")
        self.prices[since] = price

    def cost(self, spend: Spend) -> Decimal:
        """Return what a spend costs now, rounded up once at the end."""
        if spend.amount is not None:
            return round_up(spend.amount)
        return round_up(self.price_at(self.now) + (spend.tokens or 0) * TOKEN_PRICE)
