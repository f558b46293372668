"""Payment methods and SetupIntents as we read them at Stripe: masked, and whose they are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import stripe

from billing.stripe_facts import Facts, id_of, now


class PaymentMethodFacts(Facts):
    """A payment method (`billing_private.payment_method_facts`); without a customer it was detached."""

    stripe_payment_method_id: str
    stripe_customer_id: str | None
    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    livemode: bool
    fetched_at: datetime

    @classmethod
    def of(cls, method: dict[str, Any], fetched_at: datetime) -> PaymentMethodFacts:
        """Read a payment method.

        Args:
            method: the object.
            fetched_at: when the reading began.
        """
        details = method.get("card") or method.get(method["type"]) or {}
        return cls(
            stripe_payment_method_id=method["id"],
            stripe_customer_id=id_of(method.get("customer")),
            type=method["type"],
            brand=details.get("brand"),
            last4=details.get("last4"),
            exp_month=details.get("exp_month"),
            exp_year=details.get("exp_year"),
            livemode=method["livemode"],
            fetched_at=fetched_at,
        )


class SetupIntentFacts(Facts):
    """A SetupIntent and the payment method that it saved (`billing_private.setup_intent_facts`)."""

    stripe_setup_intent_id: str
    status: str
    stripe_customer_id: str | None
    failure_code: str | None
    failure_message: str | None
    payment_method: PaymentMethodFacts | None
    livemode: bool
    fetched_at: datetime

    @classmethod
    def of(cls, intent: dict[str, Any], fetched_at: datetime) -> SetupIntentFacts:
        """Read a SetupIntent.

        Args:
            intent: the object, `payment_method` expanded.
            fetched_at: when the reading began.
        """
        error = intent.get("last_setup_error") or {}
        method = intent.get("payment_method")
        return cls(
            stripe_setup_intent_id=intent["id"],
            status=intent["status"],
            stripe_customer_id=id_of(intent.get("customer")),
            failure_code=error.get("decline_code") or error.get("code"),
            failure_message=error.get("message"),
            payment_method=PaymentMethodFacts.of(method, fetched_at) if isinstance(method, dict) else None,
            livemode=intent["livemode"],
            fetched_at=fetched_at,
        )


def read_payment_method(client: stripe.StripeClient, method_id: str) -> PaymentMethodFacts:
    """Read a payment method.

    Raises:
        stripe.StripeError: Stripe did not answer, or does not know it.
    """
    started = now()
    return PaymentMethodFacts.of(client.v1.payment_methods.retrieve(method_id).to_dict(), started)


def read_setup_intent(client: stripe.StripeClient, intent_id: str) -> SetupIntentFacts:
    """Read a SetupIntent with its payment method; raises as `read_payment_method`."""
    started = now()
    intent = client.v1.setup_intents.retrieve(intent_id, {"expand": ["payment_method"]})
    return SetupIntentFacts.of(intent.to_dict(), started)
