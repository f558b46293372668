"""Cards that are charged when nobody is there: saved at Stripe, mirrored by webhook, topped up from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import stripe

from tests.conftest import StackUnderTest
from tests.money.conftest import Buyer
from tests.money.money_back import spend
from tests.money.world import SECONDS, Deliveries

CONSENT = "Charge my saved card without asking when credits run low."
#: 100 credits for this, in cents; see supabase/seed.sql.
PACK_100 = "pack_100"


@dataclass(frozen=True)
class CardHolder:
    """An owner with a Stripe customer, on whose cards the tests act.

    Attributes:
        buyer: the owner, their workers and books.
        deliveries: Stripe's side of the webhook.
        customer_id: of the organization's Stripe customer.
    """

    buyer: Buyer
    deliveries: Deliveries
    customer_id: str

    @property
    def stripe(self) -> stripe.StripeClient:
        """Stripe, with the merchant's key."""
        return self.deliveries.client

    @property
    def stack(self) -> StackUnderTest:
        """Where everything is."""
        return self.deliveries.stack

    @property
    def cards(self) -> list[dict[str, Any]]:
        """Our copies of the cards, oldest first."""
        return self.buyer.books.rows(
            "select * from billing.payment_methods where organization_id = %s order by created_at, id"
        )

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """Every automatic top-up, oldest first."""
        return self.buyer.books.rows(
            "select * from billing.auto_topup_attempts where organization_id = %s order by recorded_at"
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The organization's automatic top-up."""
        (row,) = self.buyer.books.rows("select * from billing.auto_topups where organization_id = %s")
        return row

    @property
    def charges(self) -> list[int]:
        """What Stripe has charged, in cents."""
        intents = self.stripe.v1.payment_intents.list({"customer": self.customer_id, "limit": 100}).data
        return [intent.amount for intent in intents if intent.status == "succeeded"]

    def save(self, token: str = "pm_card_visa") -> str:
        """Attach a card at Stripe and wait until we know it; returns Stripe's id."""
        method = self.stripe.v1.payment_methods.attach(token, {"customer": self.customer_id})
        self.settle()
        return method.id

    def settle(self) -> None:
        """Wait until Stripe has delivered all that it has to say about the customer."""
        self.deliveries.await_quiet(self.customer_id)

    def agree(self, **terms: object) -> dict[str, Any]:
        """Agree to automatic top-up at the price of the pack of 100."""
        packs: Any = (
            self.buyer.user.client.table("credit_packages").select("id").eq("key", PACK_100).execute().data
        )
        named = {
            "organization_id": str(self.buyer.organization_id),
            "enabled": True,
            "package_id": packs[0]["id"],
            "consent": CONSENT,
            **terms,
        }
        answer: Any = self.buyer.user.client.rpc("set_auto_topup", named).execute().data
        return dict(answer)

    def start(self) -> httpx.Response:
        """Ask for the organization's automatic top-up as its owner's page does."""
        return self.buyer.workers.call(
            "start_auto_topups", {"organization_id": str(self.buyer.organization_id)}
        )

    def run_down(self, amount: int) -> None:
        """Spend, so that there is a need."""
        spend(self.buyer, amount)

    def let_time_pass(self) -> None:
        """The cool-down and the pause after a call are over."""
        self.buyer.books.database.execute(
            "update billing.auto_topup_attempts set created_at = created_at - interval '6 minutes', "
            "called_at = called_at - interval '15 minutes' where organization_id = %s",
            (self.buyer.organization_id,),
        )


def as_operator(stack: StackUnderTest, name: str, body: object) -> httpx.Response:
    """Call an entry point with the installation's secret key: for everything that is there."""
    url = f"{stack.workers_url}/workers/v1/{name}"
    return httpx.post(url, json=body, headers={"apikey": stack.secret_key}, timeout=4 * SECONDS)


def card_holder(buyer: Buyer, deliveries: Deliveries) -> CardHolder:
    """Give the buyer's organization a Stripe customer."""
    answer = buyer.workers.call("create_setup_session", {"organization_id": str(buyer.organization_id)})
    assert answer.status_code == 200, answer.text
    session = deliveries.client.v1.checkout.sessions.retrieve(answer.json()["session_id"])
    return CardHolder(buyer, deliveries, str(session.customer))
