"""fulfil_checkout: the one way from a paid session to credits, for webhook, return page and reconciler."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

import stripe
from flask import Request
from pydantic import BaseModel, ConfigDict, Field

from billing import auth, database, http
from billing.rows import CheckoutOutcome
from billing.stripe_client import explain, get_client
from billing.stripe_facts import CheckoutFacts
from billing.subscription_facts import SubscriptionFacts, checkout_json, read_checkout

SESSION_ID = re.compile(r"cs_[A-Za-z0-9_]{1,250}")


class FulfilmentRequest(BaseModel):
    """Body of fulfil_checkout.

    Attributes:
        session_id: Stripe's session, from the query of the return page.
    """

    model_config = ConfigDict(extra="forbid")

    session_id: str = Field(pattern=SESSION_ID)


class FulfilmentAnswer(BaseModel):
    """What fulfil_checkout answers: the state of the purchase by our own rows.

    Attributes:
        status: open (nothing paid yet), processing (agreed to, the money is under way), complete (paid, and
            the credits are booked), failed, expired.
        credits: what was bought.
        amount: what was or is to be paid, in the smallest unit of the currency.
        payment_status: of `billing.payments`; None while nobody has tried to pay.
        failure_code: why the last attempt failed, as the card network says it.
        failure_message: the same for a person.
        grant_id: the grant in `billing.credit_grants`, once complete.
    """

    status: Literal["creating", "open", "processing", "complete", "expired", "failed"]
    session_id: str | None
    checkout_session_id: str
    organization_id: str
    name: str
    credits: Decimal | None
    amount: int | None
    currency: str | None
    payment_id: str | None
    payment_status: str | None
    failure_code: str | None
    failure_message: str | None
    receipt_url: str | None
    grant_id: str | None


def apply(session: CheckoutFacts, subscription: SubscriptionFacts | None) -> CheckoutOutcome:
    """Tell the database what Stripe says about a session; it grants what was bought, once.

    Args:
        session: what was just read at Stripe.
        subscription: the subscription of a plan's session, read along with it.

    Raises:
        DatabaseRefusalError: 404 for a session that is not ours, 409 `checkout_mismatch`, 503 `busy`.
    """
    return database.call_for(
        CheckoutOutcome, "fulfil_checkout", {"facts": checkout_json(session, subscription)}
    )


def fulfil(request: Request) -> http.Answer:
    """Handle POST fulfil_checkout: the return page asks for the truth, before or after the webhook.

    Raises:
        WorkerError: 401, 403 (the same for a foreign and an unknown session), 422, 502, 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, FulfilmentRequest)
    outcome = database.call_for(
        CheckoutOutcome, "find_checkout", {"stripe_session_id": body.session_id, "user_id": str(user.sub)}
    )
    if outcome.status != "complete":
        try:
            session, subscription = read_checkout(get_client(), body.session_id)
        except stripe.StripeError as error:
            raise explain(error) from error
        outcome = apply(session, subscription)
    return http.Answer(_answer(outcome).model_dump(mode="python"))


def _answer(outcome: CheckoutOutcome) -> FulfilmentAnswer:
    def text(value: object) -> str | None:
        return None if value is None else str(value)

    return FulfilmentAnswer(
        status=outcome.status,
        session_id=outcome.stripe_session_id,
        checkout_session_id=str(outcome.checkout_session_id),
        organization_id=str(outcome.organization_id),
        name=outcome.name,
        credits=outcome.credits,
        amount=outcome.amount,
        currency=outcome.currency,
        payment_id=text(outcome.payment_id),
        payment_status=outcome.payment_status,
        failure_code=outcome.failure_code,
        failure_message=outcome.failure_message,
        receipt_url=outcome.receipt_url,
        grant_id=text(outcome.grant_id),
    )
