"""Automatic top-up: charges the saved card of organizations that run low and have agreed to it.

The database decides whether, for whom and how much (`begin_auto_topup`); an attempt is a row there
before it is a call here, and the row's id is the idempotency key of that call, however often it is made.
A call without an answer leaves the row open: the next round looks for the payment at Stripe before it
repeats the call under the same key.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import stripe
from flask import Request
from pydantic import BaseModel, ConfigDict, Field

from billing import auth, database, exact_json, http, rest
from billing.errors import WorkerError
from billing.logs import get_logger
from billing.operators import is_operator
from billing.rows import Row
from billing.settings import get_settings
from billing.stripe_client import explain, get_client
from billing.stripe_facts import ORGANIZATION_MARK, TOPUP_MARK, PaymentFacts, now, read_payment_intent

#: After this long without an answer, a call can no longer be under way: what is not at Stripe was never made.
GIVE_UP_AFTER = timedelta(hours=1)

_log = get_logger("topup")


class StartRequest(BaseModel):
    """Body of start_auto_topups.

    Attributes:
        organization_id: look at this organization alone. Members and agents may name only their own.
        limit: at most so many organizations in one call, those waiting longest first.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID | None = None
    limit: int = Field(default=100, ge=1, le=1000)


class ConfirmRequest(BaseModel):
    """Body of confirm_auto_topup.

    Attributes:
        organization_id: whose top-up waits for a confirmation.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID


class Call(Row):
    """`billing.auto_topup_call`: what is to be done at Stripe; `step` None: nothing."""

    step: Literal["charge", "read", "cancel"] | None = None
    organization_id: uuid.UUID | None = None
    attempt_id: uuid.UUID | None = None
    amount: int | None = None
    currency: str | None = None
    credits: str | None = None
    stripe_customer_id: str | None = None
    stripe_payment_method_id: str | None = None
    stripe_payment_intent_id: str | None = None
    must_look_up: bool | None = None
    recorded_at: datetime | None = None


class Step(Row):
    """A call with all that it needs."""

    step: Literal["charge", "read", "cancel"]
    organization_id: uuid.UUID
    attempt_id: uuid.UUID
    amount: int
    currency: str
    credits: str
    stripe_customer_id: str
    stripe_payment_method_id: str
    stripe_payment_intent_id: str | None
    must_look_up: bool
    recorded_at: datetime


class Attempt(Row):
    """`billing.auto_topup_attempts`: how an attempt stands."""

    organization_id: uuid.UUID
    id: uuid.UUID
    status: Literal["pending", "processing", "needs_action", "succeeded", "failed", "canceled"]
    credits: Any
    amount: int
    currency: str
    stripe_payment_intent_id: str | None
    stripe_payment_method_id: str
    failure_code: str | None
    failure_message: str | None


class ConfirmAnswer(BaseModel):
    """What confirm_auto_topup answers.

    Attributes:
        status: needs_action: confirm this very payment in the browser, then ask again.
        client_secret: for Stripe.js; None when there is nothing to confirm.
        payment_method_id: Stripe's id of the card, for the confirmation.
    """

    attempt_id: uuid.UUID
    status: str
    amount: int
    currency: str
    credits: Any
    payment_intent_id: str
    payment_method_id: str
    client_secret: str | None = Field(repr=False)


def start(request: Request) -> http.Answer:
    """Handle POST start_auto_topups: by a scheduler for all, by a page or an agent for its own organization.

    Raises:
        WorkerError: 401, 403, 422, 503. What goes wrong for one organization does not stop the others.
    """
    body = http.parse(request, StartRequest)
    if not is_operator(request):
        organizations = [_own_organization(request, body.organization_id)]
    elif body.organization_id is not None:
        organizations = [body.organization_id]
    else:
        organizations = due(body.limit)
    results = [_result_of(organization) for organization in organizations]
    return http.Answer({"attempts": [result for result in results if result is not None]})


def due(limit: int) -> list[uuid.UUID]:
    """Return the organizations for which something is to be done.

    Args:
        limit: at most so many.
    """
    found = database.call("due_auto_topups", {"limit": limit})
    return [uuid.UUID(str(each)) for each in found] if isinstance(found, list) else []


def top_up(organization_id: uuid.UUID) -> Attempt | None:
    """Take one organization's automatic top-up one step further.

    Returns:
        The attempt; None when nothing is to be done, or Stripe gave no answer (the attempt stays open).

    Raises:
        WorkerError: the database refused or did not answer.
    """
    call = database.call(
        "begin_auto_topup",
        {"organization_id": str(organization_id), "livemode": get_settings().livemode},
    )
    if call is None or Call.model_validate(call).step is None:
        return None
    step = Step.model_validate(call)
    try:
        if step.step == "charge":
            return _charge(step)
        return _record(_read(step) if step.step == "read" else _cancel(step))
    except stripe.StripeError as error:
        refusal = explain(error)
        _log.warning("auto_topup_without_answer", attempt_id=str(step.attempt_id), slug=refusal.slug)
        return None


def confirm(request: Request) -> http.Answer:
    """Handle POST confirm_auto_topup: what a person has to confirm, and, asked again, how it went.

    Raises:
        WorkerError: 401, 403 (also for a foreign or unknown organization), 404, 422, 502, 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, ConfirmRequest)
    attempt = database.call_for(
        Attempt,
        "find_auto_topup_action",
        {"organization_id": str(body.organization_id), "user_id": str(user.sub)},
    )
    intent_id = str(attempt.stripe_payment_intent_id)
    client = get_client()
    try:
        started = now()
        intent = client.v1.payment_intents.retrieve(intent_id, {"expand": ["latest_charge"]})
    except stripe.StripeError as error:
        raise explain(error) from error
    attempt = _record(PaymentFacts.of_intent(intent.to_dict(), started))
    answer = ConfirmAnswer(
        attempt_id=attempt.id,
        status=attempt.status,
        amount=attempt.amount,
        currency=attempt.currency,
        credits=attempt.credits,
        payment_intent_id=intent_id,
        payment_method_id=attempt.stripe_payment_method_id,
        client_secret=intent.client_secret if attempt.status == "needs_action" else None,
    )
    return http.Answer(answer.model_dump(mode="python"))


def _own_organization(request: Request, organization_id: uuid.UUID | None) -> uuid.UUID:
    """Whoever may read an organization's balance may have it looked at; the database decides who that is."""
    arguments = {} if organization_id is None else {"organization_id": str(organization_id)}
    balance = rest.call_function("get_credit_balance", arguments, rest.credential_headers(request))
    read = exact_json.decode(balance)
    if not isinstance(read, dict):
        raise WorkerError("The database answered no balance.")
    return uuid.UUID(str(read["organization_id"]))


def _result_of(organization_id: uuid.UUID) -> dict[str, object] | None:
    try:
        attempt = top_up(organization_id)
    except WorkerError as error:
        _log.error("auto_topup_failed", organization_id=str(organization_id), slug=error.slug)
        return {"organization_id": str(organization_id), "error": error.slug}
    if attempt is None:
        return None
    return {
        "organization_id": str(organization_id),
        "attempt_id": str(attempt.id),
        "status": attempt.status,
        "amount": attempt.amount,
        "currency": attempt.currency,
        "failure_code": attempt.failure_code,
    }


def _charge(step: Step) -> Attempt | None:
    if step.must_look_up:
        found = _find(step)
        if found is not None:
            return _record(found)
        if datetime.now(UTC) - step.recorded_at > GIVE_UP_AFTER:
            return _fail(step, "no_answer", "The payment provider never answered; nothing was charged.")
    started = now()
    try:
        intent = get_client().v1.payment_intents.create(
            _parameters(step), {"idempotency_key": f"topup:{step.attempt_id}"}
        )
    except stripe.CardError as error:
        answer: Any = error.json_body or {}
        declined = answer.get("error", {}).get("payment_intent")
        if isinstance(declined, dict):
            return _record(PaymentFacts.of_intent(declined, started))
        return _fail(step, error.code or "card_declined", error.user_message or "The card was declined.")
    except stripe.StripeError as error:
        refusal = explain(error)
        if not refusal.is_definite:
            return None  # it may have been carried out: the row stays open, and its key with it
        return _fail(step, error.code or "refused", "The payment provider refused the request.")
    return _record(PaymentFacts.of_intent(intent.to_dict(), started))


def _parameters(step: Step) -> stripe.params.PaymentIntentCreateParams:
    return {
        "amount": step.amount,
        "currency": step.currency,
        "customer": step.stripe_customer_id,
        "payment_method": step.stripe_payment_method_id,
        "off_session": True,
        "confirm": True,
        "description": f"{step.credits} credits, topped up automatically",
        "metadata": {
            "kind": "topup",
            ORGANIZATION_MARK: str(step.organization_id),
            TOPUP_MARK: str(step.attempt_id),
        },
        "expand": ["latest_charge"],
    }


def _find(step: Step) -> PaymentFacts | None:
    """Look for the payment that an earlier call may have made without our hearing of it."""
    started = now()
    since = int((step.recorded_at - timedelta(minutes=10)).timestamp())
    intents = get_client().v1.payment_intents.list(
        {
            "customer": step.stripe_customer_id,
            "created": {"gte": since},
            "limit": 100,
            "expand": ["data.latest_charge"],
        }
    )
    for intent in intents.auto_paging_iter():
        read = intent.to_dict()
        if (read.get("metadata") or {}).get(TOPUP_MARK) == str(step.attempt_id):
            _log.info("auto_topup_found_again", attempt_id=str(step.attempt_id), payment_intent=read["id"])
            return PaymentFacts.of_intent(read, started)
    return None


def _read(step: Step) -> PaymentFacts:
    return read_payment_intent(get_client(), str(step.stripe_payment_intent_id))


def _cancel(step: Step) -> PaymentFacts:
    """Nobody confirmed it in time: end it at Stripe, unless it was paid in this very moment."""
    client = get_client()
    intent_id = str(step.stripe_payment_intent_id)
    try:
        client.v1.payment_intents.cancel(intent_id, {"cancellation_reason": "abandoned"})
    except stripe.InvalidRequestError as error:
        _log.info("auto_topup_not_canceled", attempt_id=str(step.attempt_id), code=error.code)
    return read_payment_intent(client, intent_id)


def _record(facts: PaymentFacts) -> Attempt:
    return database.call_for(Attempt, "record_auto_topup", {"facts": facts.as_json()})


def _fail(step: Step, code: str, message: str) -> Attempt:
    return database.call_for(
        Attempt,
        "fail_auto_topup",
        {
            "organization_id": str(step.organization_id),
            "attempt_id": str(step.attempt_id),
            "code": code,
            "message": message,
        },
    )
