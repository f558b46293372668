"""A customer of ours at a Stripe of the test's own, which delivers nothing: the story is only recorded."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from stripe import Subscription

from billing import checkout, database, plan_prices, topup
from billing.rows import CheckoutPreparation
from tests.money.twin.shop import Shop

Json = dict[str, Any]
OWNER = "a1111111-0000-4000-8000-000000000001"
#: Plans by name; a recording has its own.
STARTER = "starter"
PRO = "pro"
_AMOUNTS = {STARTER: 1900, PRO: 4900}
PACK_100 = "44444444-0000-4000-8000-000000000001"

#: Every story begins here, so that two recordings of it differ in nothing but ids.
BEGINNING = datetime(2027, 3, 10, 12, tzinfo=UTC)


@dataclass
class Customer:
    """An organization and its customer at Stripe.

    Attributes:
        shop: Stripe, in this process.
        organization_id: the organization; fresh.
        now: where its time at Stripe stands.
        plans: name → id of the plans that are sold here.
        on_step: called after each thing that happened, so that what Stripe then says can be read.
    """

    shop: Shop
    on_step: Callable[[], None]
    plans: dict[str, str]
    organization_id: str = ""
    stripe_customer_id: str = ""
    now: datetime = BEGINNING
    has_saved_card: Callable[[Json], None] = lambda card: None
    on_spend: Callable[[int], None] = lambda amount: None

    def arrive(self) -> None:
        """Make the organization, and its customer on a clock."""
        name = {"name": f"Confluence {secrets.token_hex(6)}", "owner_user_id": OWNER}
        made: Any = database.call("create_organization", name)
        self.organization_id = made["organization_id"]
        clock = self.shop.clock(self.now.isoformat())
        self.stripe_customer_id = self.shop.stripe.v1.customers.create(
            {"email": "owner@acme.test", "test_clock": clock.id}
        ).id
        self.clock = clock

    def subscribe(self, plan: str) -> None:
        """Buy a plan."""
        self.buy(plan_id=self.plans[plan])

    def buy(self, *, card: str = "4242424242424242", **what: object) -> None:
        """Open a checkout through our own code, and pay it on Stripe's page."""
        arguments: Json = dict.fromkeys(["package_id", "package_key", "plan_id", "email"])
        arguments |= {"organization_id": self.organization_id, "user_id": OWNER, "livemode": False}
        arguments |= {
            "ui_mode": "hosted_page",
            "success_url": "https://a.test/",
            "cancel_url": "https://a.test/",
        }
        preparation = database.call_for(CheckoutPreparation, "prepare_checkout", arguments | what)
        if preparation.customer.stripe_customer_id is None:
            self.become_known()
        session = checkout._create(self.shop.stripe, preparation, self.stripe_customer_id)
        attached = {
            "organization_id": self.organization_id,
            "checkout_session_id": str(preparation.checkout_session_id),
            "stripe_session_id": session.stripe_session_id,
            "url": session.url,
            "expires_at": None,
        }
        database.call("attach_checkout_session", attached)
        self.control(f"/checkout/sessions/{session.stripe_session_id}/pay", {"card": card})

    def become_known(self) -> None:
        """Record the customer, as the first checkout does."""
        claim: Json = {
            "organization_id": self.organization_id,
            "user_id": OWNER,
            "email": None,
            "livemode": False,
        }
        database.call("open_customer", claim)
        recorded = {
            "stripe_customer_id": self.stripe_customer_id,
            "email": "owner@acme.test",
            "name": "Confluence",
        }
        database.call(
            "record_customer", {"organization_id": self.organization_id, "livemode": False, **recorded}
        )

    def price_of(self, plan: str) -> str:
        """The price of a plan at Stripe."""
        plan_id = uuid.UUID(self.plans[plan])
        return plan_prices.ensure(self.shop.stripe, plan_id, plan, _AMOUNTS[plan], "usd", "month")

    def spend(self, amount: int) -> None:
        """Spend credits; all that happened before has arrived by then."""
        self.on_spend(amount)

    def control(self, path: str, body: Json) -> Json:
        """Do what a person or a bank does, and let it be noticed."""
        answer = self.shop.control("POST", path, body)
        self.on_step()
        return answer

    def wait(self, duration: timedelta) -> None:
        """Let time pass."""
        self.now += duration
        self.shop.advance(self.clock, int(self.now.timestamp()))
        self.on_step()

    def renew(self, after: timedelta = timedelta(hours=2)) -> None:
        """Let the period end, and so much time pass; its renewal is collected an hour after."""
        end = self.subscription["items"].data[0].current_period_end
        self.wait(datetime.fromtimestamp(end, UTC) + after - self.now)

    @property
    def subscription(self) -> Subscription:
        """The subscription at Stripe."""
        (found,) = self.shop.stripe.v1.subscriptions.list(
            {"customer": self.stripe_customer_id, "status": "all"}
        ).data
        return found

    def change(self, **parameters: Any) -> None:
        """Change the subscription, as the portal or the dashboard would."""
        change: Any = parameters
        self.shop.stripe.v1.subscriptions.update(self.subscription.id, change)
        self.on_step()

    def change_plan(self, plan: str, **parameters: Any) -> None:
        """Change the plan, prorated and paid at once."""
        item = self.subscription["items"].data[0]
        items = [{"id": item.id, "price": self.price_of(plan)}]
        self.change(items=items, proration_behavior="always_invoice", **parameters)

    def cancel(self) -> None:
        """Cancel the subscription at once."""
        self.shop.stripe.v1.subscriptions.cancel(self.subscription.id)
        self.on_step()

    def charge_id(self) -> str:
        """The newest charge of the customer."""
        return self.shop.stripe.v1.charges.list({"customer": self.stripe_customer_id, "limit": 1}).data[0].id

    def pay_open_invoice(self) -> None:
        """Pay what is owed, with a card that works."""
        invoices = self.shop.stripe.v1.invoices
        (invoice,) = invoices.list({"customer": self.stripe_customer_id, "status": "open"}).data
        invoices.pay(str(invoice.id), {"payment_method": "pm_card_visa"})
        self.on_step()

    def decline_next(self, times: int = 1) -> None:
        """Let the bank decline the next charges."""
        self.shop.control(
            "POST", f"/customers/{self.stripe_customer_id}/next_charge", {"do": "decline", "times": times}
        )

    def dispute_id(self) -> str:
        """The dispute of the newest charge."""
        return self.shop.stripe.v1.disputes.list({"charge": self.charge_id()}).data[0].id

    def top_up_with_3ds(self) -> None:
        """Run low with automatic top-up on; the bank asks back, the customer confirms that very payment."""
        self.become_known()
        v1 = self.shop.stripe.v1
        method = v1.payment_methods.attach("pm_card_visa", {"customer": self.stripe_customer_id})
        card = {"organization_id": self.organization_id, "stripe_payment_method_id": method.id}
        self.has_saved_card(card)
        grant = {"organization_id": self.organization_id, "amount": 10, "source": "adjustment"}
        database.call("grant_credits", grant | {"source_reference": "before"})
        terms = {"enabled": True, "threshold": 50, "amount": 100, "package_id": PACK_100, "consent": "Do it."}
        database.call("set_auto_topup", {"organization_id": self.organization_id, **terms})
        self.shop.control(
            "POST", f"/customers/{self.stripe_customer_id}/next_charge", {"do": "authenticate", "times": 1}
        )
        attempt = topup.top_up(uuid.UUID(self.organization_id))
        assert attempt is not None
        assert attempt.status == "needs_action"
        self.on_step()
        intent = v1.payment_intents.confirm(
            str(attempt.stripe_payment_intent_id),
            {"payment_method": method.id, "return_url": "https://a.test/"},
        )
        action = intent.next_action
        if action is not None and action.redirect_to_url is not None:
            page = self.shop.browser().open(str(action.redirect_to_url.url))
            assert re.search("complete", page.text)
            self.shop.browser().send(page, answer="complete")
        self.on_step()
