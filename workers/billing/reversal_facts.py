"""Refunds, disputes and fraud warnings as we read them at Stripe: all of one charge, for totals decide."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import stripe

from billing.stripe_facts import Facts, id_of, now

PAGE = 100


class RefundFacts(Facts):
    """A refund; `status` is Stripe's, and one that failed or was canceled gives nothing back."""

    id: str
    amount: int
    status: str | None
    reason: str | None
    failure_reason: str | None
    created_at: datetime

    @classmethod
    def of(cls, refund: dict[str, Any]) -> RefundFacts:
        """Read a refund.

        Args:
            refund: the object.
        """
        return cls(
            id=refund["id"],
            amount=refund["amount"],
            status=refund["status"],
            reason=refund.get("reason"),
            failure_reason=refund.get("failure_reason"),
            created_at=_time(refund["created"]),
        )


class DisputeFacts(Facts):
    """A dispute; `withdrawn` is what the bank has taken and not given back, in the charge's currency."""

    id: str
    amount: int
    withdrawn: int
    status: str
    reason: str | None
    evidence_due_by: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, dispute: dict[str, Any]) -> DisputeFacts:
        """Read a dispute.

        Args:
            dispute: the object, with its balance transactions.
        """
        due_by = (dispute.get("evidence_details") or {}).get("due_by")
        return cls(
            id=dispute["id"],
            amount=dispute["amount"],
            withdrawn=withdrawn_of(dispute),
            status=dispute["status"],
            reason=dispute.get("reason"),
            evidence_due_by=None if due_by is None else _time(due_by),
            created_at=_time(dispute["created"]),
        )


class ReversalFacts(Facts):
    """What of a charge went back (`billing_private.reversal_facts`): all its refunds and all its disputes."""

    stripe_payment_intent_id: str | None
    stripe_charge_id: str
    stripe_invoice_id: str | None
    stripe_customer_id: str | None
    amount: int
    currency: str
    livemode: bool
    refunds: list[RefundFacts]
    disputes: list[DisputeFacts]
    fetched_at: datetime


class FraudWarningFacts(Facts):
    """An early fraud warning and its charge (`billing_private.fraud_warning_facts`)."""

    stripe_warning_id: str
    stripe_charge_id: str
    stripe_payment_intent_id: str | None
    stripe_customer_id: str | None
    fraud_type: str
    is_actionable: bool
    amount: int
    currency: str
    livemode: bool
    created_at: datetime
    fetched_at: datetime


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def withdrawn_of(dispute: dict[str, Any]) -> int:
    """Return what a dispute has taken and not given back, in the charge's currency.

    The balance transactions say what moved, in the currency of the balance: the share of one withdrawal that
    still stands is applied to the disputed amount. An inquiry has none and has taken nothing.

    Args:
        dispute: the object.
    """
    moved: list[int] = [transaction["amount"] for transaction in dispute.get("balance_transactions") or []]
    taken = [-amount for amount in moved if amount < 0]
    if not taken:
        return 0
    once = max(taken)
    standing = min(once, max(0, -sum(moved)))
    amount: int = dispute["amount"]
    return amount * standing // once


def read_reversals(client: stripe.StripeClient, charge_id: str) -> ReversalFacts:
    """Read a charge with all its refunds, all its disputes and the invoice that it paid.

    Args:
        client: Stripe.
        charge_id: the charge.

    Raises:
        stripe.StripeError: Stripe did not answer, or does not know the charge.
    """
    started = now()
    charge = client.v1.charges.retrieve(charge_id).to_dict()
    refunds = client.v1.refunds.list({"charge": charge_id, "limit": PAGE}).auto_paging_iter()
    disputes = client.v1.disputes.list({"charge": charge_id, "limit": PAGE}).auto_paging_iter()
    intent_id = id_of(charge.get("payment_intent"))
    return ReversalFacts(
        stripe_payment_intent_id=intent_id,
        stripe_charge_id=charge["id"],
        stripe_invoice_id=None if intent_id is None else _invoice_of(client, intent_id),
        stripe_customer_id=id_of(charge.get("customer")),
        amount=charge["amount"],
        currency=charge["currency"],
        livemode=charge["livemode"],
        refunds=[RefundFacts.of(refund.to_dict()) for refund in refunds],
        disputes=[DisputeFacts.of(dispute.to_dict()) for dispute in disputes],
        fetched_at=started,
    )


def _invoice_of(client: stripe.StripeClient, intent_id: str) -> str | None:
    """A charge no longer names its invoice; the invoice's payments name the PaymentIntent."""
    payment: stripe.params.InvoicePaymentListParamsPayment = {
        "type": "payment_intent",
        "payment_intent": intent_id,
    }
    found = client.v1.invoice_payments.list({"payment": payment, "limit": 1}).data
    return None if not found else id_of(found[0].to_dict()["invoice"])


def read_fraud_warning(client: stripe.StripeClient, warning_id: str) -> FraudWarningFacts:
    """Read an early fraud warning with its charge; raises as `read_reversals`."""
    started = now()
    warning = client.v1.radar.early_fraud_warnings.retrieve(warning_id, {"expand": ["charge"]}).to_dict()
    charge = warning["charge"]
    return FraudWarningFacts(
        stripe_warning_id=warning["id"],
        stripe_charge_id=charge["id"],
        stripe_payment_intent_id=id_of(charge.get("payment_intent")),
        stripe_customer_id=id_of(charge.get("customer")),
        fraud_type=warning["fraud_type"],
        is_actionable=warning["actionable"],
        amount=charge["amount"],
        currency=charge["currency"],
        livemode=warning["livemode"],
        created_at=_time(warning["created"]),
        fetched_at=started,
    )
