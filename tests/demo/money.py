"""The demo's money story: plan, renewal by test clock, refund, dispute; the ledger after each step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.demo.company import Company, plain
from tests.demo.narrator import Narrator
from tests.money.world import CARD_PAYS, SECONDS, Deliveries, HostedPage

#: 15,000 credits a month for $199.00, of which as many may roll over; no trial.
BUSINESS = "33333333-0000-4000-8000-000000000004"


class MoneyStory:
    """A second organization with a plan, whose time at Stripe is a test clock."""

    def __init__(self, company: Company, tell: Narrator) -> None:
        self._company, self._tell = company, tell
        self._deliveries = Deliveries(company.stack)
        self._stripe = self._deliveries.client
        self._clock_id = ""
        self._seen = 0

    def run(self) -> None:
        """Tell it."""
        self._subscribe()
        self._renew()
        self._refund()
        self._dispute()

    def _subscribe(self) -> None:
        self._tell.step("Another organization subscribes to Business: 15,000 credits a month for $199")
        self._company.sign_up()
        self._company.found()
        body = {"organization_id": self._company.organization_id, "plan_id": BUSINESS}
        session = self._company.workers.call("create_checkout_session", body).json()
        (customer,) = self._company.rows("customers")
        self._customer_id = customer["stripe_customer_id"]
        self._move(datetime.now(UTC) + timedelta(seconds=2))
        HostedPage(session["url"]).pay(CARD_PAYS, self._company.email)
        self._settle()
        (row,) = self._company.rows("subscriptions")
        self._tell.claim(f"the subscription is {row['status']}", row["status"], "active")
        self._show(15_000)

    def _renew(self) -> None:
        self._tell.step("A month passes on the test clock; Stripe renews, and what is left rolls over")
        self._company.agent_key = self._company.owner.call(
            "create_agent_key", organization_id=self._company.organization_id, name="worker"
        ).accepted()["key"]
        self._company.spend(4000, "a month of work").accepted()
        self._move(self._period_end() + timedelta(hours=2))
        self._settle()
        self._show(11_000 + 15_000)

    def _refund(self) -> None:
        self._tell.step("Half of the renewal's charge is refunded at Stripe: half of its credits go")
        charge = self._charge_id()
        self._stripe.v1.refunds.create({"charge": charge, "amount": 9950})
        self._settle()
        self._show(11_000 + 7_500)

    def _dispute(self) -> None:
        self._tell.step("The bank disputes the rest: spending stops until the dispute is won")
        url = f"{self._company.stack.stripe_twin_url}/_twin"
        opened = httpx.post(
            f"{url}/charges/{self._charge_id()}/dispute", json={"amount": 9950}, timeout=SECONDS
        )
        opened.raise_for_status()
        self._settle()
        self._show(11_000)
        refused = self._company.spend(1, "while disputed")
        self._tell.claim(
            f"a spend is refused: {refused.body['message']}",
            (refused.status, refused.body["message"]),
            (402, "billing_restricted"),
        )
        httpx.post(f"{url}/disputes/{opened.json()['id']}/win", json={}, timeout=SECONDS).raise_for_status()
        self._settle()
        self._show(11_000 + 7_500)
        self._company.spend(1, "after it").accepted()
        self._tell.claim("won: the credits are back, and spending is allowed", self._company.balance, 18_499)

    def _move(self, to: datetime) -> None:
        """Set the clocks of the organization and of its customer at Stripe."""
        service = self._company.stack.client(self._company.stack.secret_key)
        arguments = {"organization_id": self._company.organization_id, "to": to.isoformat()}
        service.rpc("advance_test_clock", arguments).execute()
        clocks = self._stripe.v1.test_helpers.test_clocks
        at = int(to.timestamp())
        if self._clock_id:
            clocks.advance(self._clock_id, {"frozen_time": at})
        else:
            begin: Any = {"frozen_time": at, "customer": self._customer_id}
            self._clock_id = clocks.create(begin).id

    def _period_end(self) -> datetime:
        (row,) = self._company.rows("subscriptions")
        return datetime.fromisoformat(row["current_period_end"])

    def _charge_id(self) -> str:
        """The newest charge."""
        return self._stripe.v1.charges.list({"customer": self._customer_id, "limit": 1}).data[0].id

    def _settle(self) -> None:
        """Wait for Stripe's events; those of refunds and disputes name the charge alone."""
        for mark in (self._customer_id, self._charge_id()):
            self._deliveries.await_quiet(mark)

    def _show(self, balance: int) -> None:
        """Print what the ledger has booked since the last step, and claim the balance."""
        entries = self._company.rows("credit_transactions", "&order=sequence")
        for entry in entries[self._seen :]:
            self._tell.say(
                f"{entry['sequence']:>3}  {entry['created_at'][:16]}  {entry['kind']:<10} "
                f"{plain(entry['amount']):>7}  balance {plain(entry['balance_after'])}"
                + (f"  ({entry['reason']})" if entry.get("reason") else "")
            )
        self._seen = len(entries)
        self._tell.claim(f"the balance is {balance:,}", self._company.balance, balance)
