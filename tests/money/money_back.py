"""Money that goes back: a paid pack, and what happens to its charge at Stripe."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import stripe

from tests.money.conftest import Buyer
from tests.money.world import CARD_PAYS, PACK_500, Deliveries, HostedPage

CARD_REFUND_FAILS = "4000000000005126"
CARD_DISPUTED = "4000000000000259"
CARD_ASKED_ABOUT = "4000000000001976"
CARD_WARNED_OF = "4000000000005423"


@dataclass(frozen=True)
class PaidPack:
    """A pack of 500 credits that was paid.

    Attributes:
        buyer: who bought it.
        deliveries: Stripe's side of the webhook.
        intent_id: of its PaymentIntent.
        charge_id: of its charge.
    """

    buyer: Buyer
    deliveries: Deliveries
    intent_id: str
    charge_id: str

    @property
    def client(self) -> stripe.StripeClient:
        """Stripe's API, as somebody at Stripe's dashboard uses it."""
        return self.deliveries.client

    @property
    def customer_id(self) -> str:
        """Stripe's id of who paid."""
        return str(self.client.v1.charges.retrieve(self.charge_id).customer)

    @property
    def payment(self) -> dict[str, Any]:
        """Our row of its payment."""
        rows = self.buyer.books.rows(
            "select * from billing.payments where organization_id = %s and stripe_payment_intent_id = %s",
            self.intent_id,
        )
        return rows[0]

    def refund(self, amount: int | None = None) -> stripe.Refund:
        """Refund it, wholly or in part, and wait for the news to arrive."""
        parameters: stripe.params.RefundCreateParams = {"charge": self.charge_id}
        if amount is not None:
            parameters["amount"] = amount
        refund = self.client.v1.refunds.create(parameters)
        self.settle()
        return refund

    def dispute(self) -> stripe.Dispute:
        """The dispute that its card has brought."""
        (dispute,) = self.client.v1.disputes.list({"charge": self.charge_id}).data
        return dispute

    def answer(self, evidence: str) -> None:
        """Answer the dispute with one of Stripe's magic evidence texts, and wait for the news."""
        self.client.v1.disputes.update(
            self.dispute().id, {"evidence": {"uncategorized_text": evidence}, "submit": True}
        )
        self.settle()

    def settle(self) -> None:
        """Wait until all that Stripe has to say about it has been delivered."""
        self.deliveries.await_delivery(self.intent_id)

    def entries(self, kind: str) -> list[Decimal]:
        """The amounts of the organization's ledger entries of one kind, in order."""
        rows = self.buyer.books.rows(
            "select amount from billing.credit_transactions where organization_id = %s and kind = %s "
            "order by sequence",
            kind,
        )
        return [row["amount"] for row in rows]


def buy_and_pay(
    buyer: Buyer, deliveries: Deliveries, card: str = CARD_PAYS, pack_key: str = PACK_500
) -> PaidPack:
    """Buy a pack on Stripe's page and wait for its credits.

    Args:
        buyer: who buys.
        deliveries: Stripe's side of the webhook.
        card: a test card's number.
        pack_key: of the pack; 500 credits when left out.
    """
    session = buyer.buy(pack_key)
    assert HostedPage(session["url"]).pay(card).status_code in (302, 303)
    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "complete"
    intent_id = str(buyer.books.payments[-1]["stripe_payment_intent_id"])
    intent = deliveries.client.v1.payment_intents.retrieve(intent_id)
    pack = PaidPack(buyer, deliveries, intent_id, str(intent.latest_charge))
    pack.settle()
    return pack


def spend(buyer: Buyer, amount: int) -> None:
    """Spend credits as the owner."""
    arguments = {
        "agent_type": "TestAgent",
        "action": "test",
        "amount": amount,
        "organization_id": str(buyer.organization_id),
    }
    buyer.user.client.rpc("consume_credits", arguments).execute()
