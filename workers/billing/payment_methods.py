"""Saved cards: a page on which to save one, which one is charged when nobody is there, and removing one."""

from __future__ import annotations

import re
import uuid

import stripe
from flask import Request
from pydantic import BaseModel, ConfigDict, Field

from billing import auth, customers, database, http
from billing.errors import NotFoundError, StripeUnavailableError
from billing.payment_method_facts import PaymentMethodFacts, SetupIntentFacts
from billing.redirects import own_url, with_session
from billing.rows import CustomerClaim, Row
from billing.settings import get_settings
from billing.stripe_client import explain, get_client, is_missing
from billing.stripe_facts import ORGANIZATION_MARK, id_of, now

SESSION_ID = re.compile(r"cs_[A-Za-z0-9_]{1,250}")
_ROUNDS = 3


class SetupRequest(BaseModel):
    """Body of create_setup_session.

    Attributes:
        organization_id: whose card.
        currency: ISO 4217 code of what the card will pay; Stripe offers what fits it.
        success_url: where to go when the card is saved, on the front end's origin.
        cancel_url: where to go back to, on the front end's origin.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID
    currency: str = Field(default="usd", pattern=r"^[a-z]{3}$")
    success_url: str | None = None
    cancel_url: str | None = None


class SetupAnswer(BaseModel):
    """What create_setup_session answers: Stripe's session, and the page to go to."""

    session_id: str
    url: str


class FinishRequest(BaseModel):
    """Body of finish_setup_session.

    Attributes:
        organization_id: whose card.
        session_id: Stripe's session, from the query of the return page.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID
    session_id: str = Field(pattern=SESSION_ID)


class MethodRequest(BaseModel):
    """Body of set_default_payment_method and detach_payment_method.

    Attributes:
        organization_id: whose card.
        payment_method_id: `billing.payment_methods.id`.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID
    payment_method_id: uuid.UUID


class PaymentMethod(Row):
    """`billing.payment_methods`, as these calls answer it."""

    organization_id: uuid.UUID
    id: uuid.UUID
    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    is_default: bool


def create_setup(request: Request) -> http.Answer:
    """Handle POST create_setup_session: a page of Stripe's on which a card is saved and nothing is charged.

    Raises:
        WorkerError: 401, 403 (also for a foreign or unknown organization), 422, 502, 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, SetupRequest)
    marks = {ORGANIZATION_MARK: str(body.organization_id)}
    for _ in range(_ROUNDS):
        customer_id = _customer_of(user, body.organization_id)
        try:
            session = get_client().v1.checkout.sessions.create(
                {
                    "mode": "setup",
                    "customer": customer_id,
                    "currency": body.currency,
                    "metadata": marks,
                    "setup_intent_data": {"metadata": marks},
                    "success_url": with_session(
                        own_url("success_url", body.success_url, "/billing/return?setup=1")
                    ),
                    "cancel_url": own_url("cancel_url", body.cancel_url, "/billing/return?canceled=1"),
                }
            )
        except stripe.StripeError as error:
            if customers.forget_missing(error, customer_id):
                continue
            raise explain(error) from error
        return http.Answer(SetupAnswer(session_id=session.id, url=str(session.url)).model_dump())
    raise StripeUnavailableError("The page for saving a card could not be opened; please try again.")


def finish_setup(request: Request) -> http.Answer:
    """Handle POST finish_setup_session: the return page; the card that was saved becomes the default.

    Without this call the webhook saves the card all the same, and makes it the default when it is the first.

    Raises:
        WorkerError: 401, 403, 404 (no such session of this organization, or nothing saved), 422, 502, 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, FinishRequest)
    customer_id = _customer_of(user, body.organization_id)
    client = get_client()
    try:
        started = now()
        session = client.v1.checkout.sessions.retrieve(
            body.session_id, {"expand": ["setup_intent.payment_method"]}
        ).to_dict()
    except stripe.StripeError as error:
        if is_missing(error, "session") or error.http_status == 404:
            raise NotFoundError(details={"what": "checkout_session"}) from None
        raise explain(error) from error
    intent = session.get("setup_intent")
    if id_of(session.get("customer")) != customer_id or not isinstance(intent, dict):
        raise NotFoundError(details={"what": "checkout_session"})
    saved = SetupIntentFacts.of(intent, started).payment_method
    if intent["status"] != "succeeded" or saved is None:
        raise NotFoundError("No card was saved.", details={"what": "payment_method"})
    return http.Answer(_prefer(client, customer_id, saved).model_dump(mode="json"))


def set_default(request: Request) -> http.Answer:
    """Handle POST set_default_payment_method: this card is charged when nobody is there.

    Raises:
        WorkerError: 401, 403 (also for a foreign or unknown organization), 404, 422, 502, 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, MethodRequest)
    method_id = _find(user, body)
    client = get_client()
    try:
        started = now()
        facts = PaymentMethodFacts.of(client.v1.payment_methods.retrieve(method_id).to_dict(), started)
    except stripe.StripeError as error:
        raise explain(error) from error
    if facts.stripe_customer_id is None:
        _record(facts)
        raise NotFoundError(details={"what": "payment_method"})
    return http.Answer(_prefer(client, facts.stripe_customer_id, facts).model_dump(mode="json"))


def detach(request: Request) -> http.Answer:
    """Handle POST detach_payment_method: the card can no longer be charged; without a default, top-ups rest.

    Raises:
        WorkerError: 401, 403 (also for a foreign or unknown organization), 404, 422, 502, 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, MethodRequest)
    method_id = _find(user, body)
    client = get_client()
    try:
        client.v1.payment_methods.detach(method_id)
    except stripe.InvalidRequestError:
        pass  # it was detached already; what Stripe says now decides
    except stripe.StripeError as error:
        raise explain(error) from error
    try:
        started = now()
        facts = PaymentMethodFacts.of(client.v1.payment_methods.retrieve(method_id).to_dict(), started)
    except stripe.StripeError as error:
        raise explain(error) from error
    return http.Answer(_record(facts).model_dump(mode="json"))


def _customer_of(user: auth.User, organization_id: uuid.UUID) -> str:
    claim = database.call_for(
        CustomerClaim,
        "open_customer",
        {
            "organization_id": str(organization_id),
            "user_id": str(user.sub),
            "email": user.email,
            "livemode": get_settings().livemode,
        },
    )
    return customers.ensure(claim)


def _find(user: auth.User, body: MethodRequest) -> str:
    found = database.call(
        "find_payment_method",
        {
            "organization_id": str(body.organization_id),
            "user_id": str(user.sub),
            "payment_method_id": str(body.payment_method_id),
        },
    )
    return str(found)


def _prefer(client: stripe.StripeClient, customer_id: str, facts: PaymentMethodFacts) -> PaymentMethod:
    """Make a card the default at Stripe, for its invoices, and with us, for automatic top-ups."""
    try:
        client.v1.customers.update(
            customer_id, {"invoice_settings": {"default_payment_method": facts.stripe_payment_method_id}}
        )
    except stripe.StripeError as error:
        raise explain(error) from error
    return _record(facts, make_default=True)


def _record(facts: PaymentMethodFacts, *, make_default: bool = False) -> PaymentMethod:
    return database.call_for(
        PaymentMethod, "record_payment_method", {"facts": facts.as_json(), "make_default": make_default}
    )
