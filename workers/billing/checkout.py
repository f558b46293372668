"""create_checkout_session: from "buy" to one open session at Stripe, however often one clicks."""

from __future__ import annotations

import uuid
from typing import Literal

import stripe
from flask import Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from billing import auth, customers, database, fulfilment, http, plan_prices
from billing.errors import StripeUnavailableError, WorkerError
from billing.logs import get_logger
from billing.redirects import own_url, with_session
from billing.rows import CheckoutPreparation
from billing.settings import get_settings
from billing.stripe_client import explain, get_client, is_in_use, is_missing
from billing.stripe_facts import CHECKOUT_MARK, ORGANIZATION_MARK, CheckoutFacts, now, read_checkout_session
from billing.subscription_facts import read_checkout

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


class CheckoutSupersededError(WorkerError):
    """Meanwhile somebody of the organization began another plan's checkout; only the last one stays open."""

    status = 409
    slug = "checkout_superseded"


class CheckoutAnswer(BaseModel):
    """What create_checkout_session answers.

    Attributes:
        checkout_session_id: our row, readable in `billing.checkout_sessions`.
        session_id: Stripe's session.
        url: the hosted page; None for the other modes.
        client_secret: for Stripe.js; None for the hosted page.
        allow_promotion_codes: whether a form of our own may ask for one; Stripe's page asks by itself.
        is_reused: this very purchase was open already (a double click).
    """

    checkout_session_id: uuid.UUID
    session_id: str
    url: str | None
    client_secret: str | None
    allow_promotion_codes: bool
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
                allow_promotion_codes=session.allow_promotion_codes or False,
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
        if not _close_superseded(client, preparation):
            return None
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
    _fulfil(session_id)
    return None


def _fulfil(session_id: str) -> None:
    """Book a session that turned out to be paid, or close the row of one that is over."""
    try:
        session, subscription = read_checkout(get_client(), session_id)
    except stripe.StripeError as error:
        raise explain(error) from error
    fulfilment.apply(session, subscription)


def _close_superseded(client: stripe.StripeClient, preparation: CheckoutPreparation) -> bool:
    """Expire the organization's other plan sessions: of two open ones, both could be paid.

    Returns:
        False when one of them was paid meanwhile: prepare anew, and be told so.
    """
    are_closed = True
    for session_id in preparation.superseded_session_ids or []:
        try:
            client.v1.checkout.sessions.expire(session_id)
        except stripe.InvalidRequestError:
            are_closed = False  # it is complete, or has expired by itself
        _fulfil(session_id)
    return are_closed


def _create(client: stripe.StripeClient, preparation: CheckoutPreparation, customer_id: str) -> CheckoutFacts:
    """Make the session. Only the row's and the installation's terms go in: one key carries one request."""
    price_id = preparation.stripe_price_id or _new_price(client, preparation)
    key = f"checkout:{preparation.checkout_session_id}:{preparation.attempts}"
    started = now()
    try:
        session = client.v1.checkout.sessions.create(
            _parameters(preparation, customer_id, price_id), {"idempotency_key": key}
        )
    except stripe.InvalidRequestError as error:
        if preparation.stripe_price_id is None or error.param != "line_items[0][price]":
            raise
        # The recorded price is archived, or unknown here: of another account, or of an earlier twin.
        price_id = _new_price(client, preparation)
        session = client.v1.checkout.sessions.create(
            _parameters(preparation, customer_id, price_id), {"idempotency_key": f"{key}:price"}
        )
    return CheckoutFacts.of(session, started)


def _parameters(
    preparation: CheckoutPreparation, customer_id: str, price_id: str | None
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
        "line_items": [_line_item(preparation, price_id)],
    }
    if preparation.ui_mode == "hosted_page":
        parameters["success_url"] = preparation.success_url
        parameters["cancel_url"] = preparation.cancel_url
    else:
        parameters["ui_mode"] = preparation.ui_mode
        parameters["return_url"] = preparation.success_url
    settings = get_settings()
    if settings.stripe_promotion_codes:
        parameters["allow_promotion_codes"] = True
    if settings.stripe_automatic_tax:
        parameters["automatic_tax"] = {"enabled": True}
        parameters["customer_update"] = {"address": "auto", "name": "auto"}
        parameters["tax_id_collection"] = {"enabled": True}
    if preparation.mode == "payment":
        parameters["payment_intent_data"] = {"metadata": marks, "description": preparation.name}
        if preparation.ui_mode != "hosted_page":
            parameters["saved_payment_method_options"] = {
                "allow_redisplay_filters": ["always", "limited", "unspecified"],
                "payment_method_save": "enabled",
            }
    else:
        parameters["subscription_data"] = {"metadata": marks}
        # A trial asks for the card, too: by it a second trial is recognised.
        parameters["payment_method_collection"] = "always"
        if preparation.trial_days > 0:
            parameters["subscription_data"]["trial_period_days"] = preparation.trial_days
    return parameters


def _new_price(client: stripe.StripeClient, preparation: CheckoutPreparation) -> str | None:
    """The price for a plan, for its invoices name the price and not the plan; a pack can do without."""
    if preparation.plan_id is None or preparation.billing_interval is None:
        return None
    return plan_prices.ensure(
        client,
        preparation.plan_id,
        preparation.name,
        preparation.unit_amount,
        preparation.currency,
        preparation.billing_interval,
    )


def _line_item(
    preparation: CheckoutPreparation, price_id: str | None
) -> stripe.params.checkout.SessionCreateParamsLineItem:
    if price_id is not None:
        return {"price": price_id, "quantity": 1}
    return {
        "quantity": 1,
        "price_data": {
            "currency": preparation.currency,
            "unit_amount": preparation.unit_amount,
            "product_data": {"name": preparation.name, "description": preparation.description},
        },
    }


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
    if attached is None:
        try:
            client.v1.checkout.sessions.expire(session.stripe_session_id)
        except stripe.StripeError as error:
            raise explain(error) from error
        raise CheckoutSupersededError("Another plan was chosen meanwhile. Open that checkout, or choose.")
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
