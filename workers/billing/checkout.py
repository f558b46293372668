"""create_checkout_session: from "buy" to one open session at Stripe, however often one clicks."""

from __future__ import annotations

import uuid
from typing import Literal

import stripe
from flask import Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from billing import auth, customers, database, fulfilment, http
from billing.errors import StripeUnavailableError
from billing.logs import get_logger
from billing.redirects import own_url, with_session
from billing.rows import CheckoutPreparation
from billing.settings import get_settings
from billing.stripe_client import explain, get_client, is_in_use, is_missing
from billing.stripe_facts import CHECKOUT_MARK, ORGANIZATION_MARK, CheckoutFacts, now, read_checkout_session

#: Each round removes one obstacle: a session paid meanwhile, one that Stripe has lost, a deleted customer.
_ROUNDS = 4

_log = get_logger("checkout")


class CheckoutRequest(BaseModel):
    """Body of create_checkout_session.

    Attributes:
        organization_id: who buys.
        package_id: the pack to buy; or
        package_key: its key; or
        plan_id: the plan to subscribe to.
        ui_mode: Stripe's hosted page, or a session for a page of ours.
        success_url: where to go after payment, on the front end's origin.
        cancel_url: where to go back to, on the front end's origin.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID
    package_id: uuid.UUID | None = None
    package_key: str | None = Field(default=None, min_length=1, max_length=63)
    plan_id: uuid.UUID | None = None
    ui_mode: Literal["hosted_page", "embedded_page", "elements"] = "hosted_page"
    success_url: str | None = None
    cancel_url: str | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> CheckoutRequest:
        if sum(subject is not None for subject in (self.package_id, self.package_key, self.plan_id)) != 1:
            raise ValueError("name exactly one of package_id, package_key and plan_id")
        return self


class CheckoutAnswer(BaseModel):
    """What create_checkout_session answers.

    Attributes:
        checkout_session_id: our row, readable in `billing.checkout_sessions`.
        session_id: Stripe's session.
        url: the hosted page; None for the other modes.
        client_secret: for Stripe.js; None for the hosted page.
        is_reused: this very purchase was open already (a double click).
    """

    checkout_session_id: uuid.UUID
    session_id: str
    url: str | None
    client_secret: str | None
    is_reused: bool


def create(request: Request) -> http.Answer:
    """Handle POST create_checkout_session.

    Raises:
        WorkerError: 401, 403 (also for a foreign or unknown organization), 404, 409, 422, 502, 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, CheckoutRequest)
    arguments = {
        "organization_id": str(body.organization_id),
        "user_id": str(user.sub),
        "email": user.email,
        "livemode": get_settings().livemode,
        "package_id": None if body.package_id is None else str(body.package_id),
        "package_key": body.package_key,
        "plan_id": None if body.plan_id is None else str(body.plan_id),
        "ui_mode": body.ui_mode,
        "success_url": with_session(own_url("success_url", body.success_url, "/billing/return")),
        "cancel_url": own_url("cancel_url", body.cancel_url, "/billing/return?canceled=1"),
    }
    for _ in range(_ROUNDS):
        preparation = database.call_for(CheckoutPreparation, "prepare_checkout", arguments)
        session = _open(preparation)
        if session is not None:
            answer = CheckoutAnswer(
                checkout_session_id=preparation.checkout_session_id,
                session_id=session.stripe_session_id,
                url=session.url,
                client_secret=session.client_secret,
                is_reused=preparation.is_reused,
            )
            return http.Answer(answer.model_dump(mode="json"))
    raise StripeUnavailableError(
        "The checkout could not be opened. Nothing was charged; please try again in a moment."
    )


def _open(preparation: CheckoutPreparation) -> CheckoutFacts | None:
    """Return the open session of a row, or None when the row turned out to be over: prepare anew."""
    if preparation.stripe_session_id is not None:
        return _still_open(preparation, preparation.stripe_session_id)
    customer_id = customers.ensure(preparation.customer)
    client = get_client()
    try:
        found = _find(client, preparation, customer_id) if preparation.attempts else None
        session = found or _create(client, preparation, customer_id)
    except stripe.StripeError as error:
        if customers.forget_missing(error, customer_id):
            _record_error(preparation, "customer missing at Stripe", is_definite=False)
            return None
        refusal = explain(error)
        if not is_in_use(error):
            _record_error(
                preparation,
                f"{type(error).__name__} {error.code or error.http_status or ''}",
                is_definite=refusal.is_definite,
            )
        raise refusal from error
    return _attach(client, preparation, session)


def _still_open(preparation: CheckoutPreparation, session_id: str) -> CheckoutFacts | None:
    """The double click: the same session again, unless it was paid or closed since."""
    try:
        session = read_checkout_session(get_client(), session_id)
    except stripe.StripeError as error:
        if is_missing(error, "session") or error.http_status == 404:
            _record_error(preparation, "session missing at Stripe", is_definite=True)
            return None
        raise explain(error) from error
    if session.status == "open":
        return session
    fulfilment.apply(session)
    return None


def _create(client: stripe.StripeClient, preparation: CheckoutPreparation, customer_id: str) -> CheckoutFacts:
    """Make the session. Only the row's own terms go in: one idempotency key always carries one request."""
    started = now()
    key = f"checkout:{preparation.checkout_session_id}:{preparation.attempts}"
    session = client.v1.checkout.sessions.create(
        _parameters(preparation, customer_id), {"idempotency_key": key}
    )
    return CheckoutFacts.of(session, started)


def _parameters(
    preparation: CheckoutPreparation, customer_id: str
) -> stripe.params.checkout.SessionCreateParams:
    marks = {
        ORGANIZATION_MARK: str(preparation.organization_id),
        CHECKOUT_MARK: str(preparation.checkout_session_id),
    }
    parameters: stripe.params.checkout.SessionCreateParams = {
        "mode": preparation.mode,
        "customer": customer_id,
        "client_reference_id": str(preparation.checkout_session_id),
        "metadata": marks,
        "line_items": [_line_item(preparation)],
    }
    if preparation.ui_mode == "hosted_page":
        parameters["success_url"] = preparation.success_url
        parameters["cancel_url"] = preparation.cancel_url
    else:
        parameters["ui_mode"] = preparation.ui_mode
        parameters["return_url"] = preparation.success_url
    if preparation.mode == "payment":
        parameters["payment_intent_data"] = {"metadata": marks, "description": preparation.name}
    else:
        parameters["subscription_data"] = {"metadata": marks}
    return parameters


def _line_item(preparation: CheckoutPreparation) -> stripe.params.checkout.SessionCreateParamsLineItem:
    if preparation.stripe_price_id is not None:
        return {"price": preparation.stripe_price_id, "quantity": 1}
    price: stripe.params.checkout.SessionCreateParamsLineItemPriceData = {
        "currency": preparation.currency,
        "unit_amount": preparation.unit_amount,
        "product_data": {"name": preparation.name, "description": preparation.description},
    }
    if preparation.billing_interval is not None:
        price["recurring"] = {"interval": preparation.billing_interval}
    return {"price_data": price, "quantity": 1}


def _find(
    client: stripe.StripeClient, preparation: CheckoutPreparation, customer_id: str
) -> CheckoutFacts | None:
    """Look for the session that an earlier call may have made without our hearing of it."""
    started = now()
    sessions = client.v1.checkout.sessions.list({"customer": customer_id, "limit": 100})
    for session in sessions.data:
        if session.client_reference_id == str(preparation.checkout_session_id) and session.status == "open":
            _log.info("checkout_session_found_again", stripe_session_id=session.id)
            return CheckoutFacts.of(session, started)
    return None


def _attach(
    client: stripe.StripeClient, preparation: CheckoutPreparation, session: CheckoutFacts
) -> CheckoutFacts:
    attached = database.call(
        "attach_checkout_session",
        {
            "organization_id": str(preparation.organization_id),
            "checkout_session_id": str(preparation.checkout_session_id),
            "stripe_session_id": session.stripe_session_id,
            "url": session.url,
            "expires_at": None if session.expires_at is None else session.expires_at.isoformat(),
        },
    )
    if attached == session.stripe_session_id:
        return session
    # Another worker opened one for the same row; two open sessions could both be paid.
    try:
        client.v1.checkout.sessions.expire(session.stripe_session_id)
        return read_checkout_session(client, str(attached))
    except stripe.StripeError as error:
        raise explain(error) from error


def _record_error(preparation: CheckoutPreparation, error: str, *, is_definite: bool) -> None:
    database.call(
        "record_checkout_error",
        {
            "organization_id": str(preparation.organization_id),
            "checkout_session_id": str(preparation.checkout_session_id),
            "error": error.strip(),
            "is_definite": is_definite,
        },
    )
