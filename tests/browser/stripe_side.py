"""What happens at Stripe while somebody looks at the page: time passes, charges fail, money goes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from tests.conftest import Organization, StackUnderTest

SECONDS = 60.0


@dataclass(frozen=True)
class StripeSide:
    """One organization's customer at the local Stripe.

    Attributes:
        stack: whose Stripe.
        organization: whose customer.
    """

    stack: StackUnderTest
    organization: Organization

    def _ours(self, table: str, column: str) -> str:
        rows: Any = (
            self.organization.service.table(table)
            .select(column)
            .eq("organization_id", str(self.organization.organization_id))
            .not_.is_(column, "null")
            .order("created_at", desc=True)
            .limit(1)
            .execute()
            .data
        )
        return str(rows[0][column])

    def _control(self, path: str, **body: object) -> None:
        url = f"{self.stack.stripe_twin_url}/_twin/{path}"
        httpx.post(url, json=body, timeout=SECONDS).raise_for_status()

    def renew(self) -> None:
        """Let the subscription's period end and its invoice be collected."""
        self._control(f"subscriptions/{self._ours('subscriptions', 'stripe_subscription_id')}/renew")

    def decline_next_charges(self, times: int) -> None:
        """Let the bank decline the next charges of this customer."""
        customer = self._ours("subscriptions", "stripe_customer_id")
        self._control(
            f"customers/{customer}/next_charge", do="decline", decline_code="insufficient_funds", times=times
        )

    def refund(self, amount: int) -> None:
        """Give back a part of the latest payment, in its currency's smallest unit."""
        self._control(f"charges/{self._ours('payments', 'stripe_charge_id')}/refund", amount=amount)

    def dispute(self) -> None:
        """Let the bank dispute the latest payment."""
        self._control(f"charges/{self._ours('payments', 'stripe_charge_id')}/dispute", reason="fraudulent")
