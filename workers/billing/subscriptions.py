"""change_plan, cancel_subscription, resume_subscription: what people do to their plan from our page."""

from __future__ import annotations

import uuid
from typing import Literal

import stripe
from flask import Request
from pydantic import BaseModel, ConfigDict

from billing import auth, database, http, plan_prices
from billing.errors import StripeUnavailableError, WorkerError
from billing.rows import PlanChange, SubscriptionHandle
from billing.settings import get_settings
from billing.stripe_client import explain, get_client
from billing.subscription_facts import read_subscription

#: A change may have been made, and charged, although we were not told so.
_UNKNOWN = (
    "The payment provider did not answer in time. Your plan may have changed: look at it in a moment. "
    "Asking again is safe and charges nothing twice."
)

Mode = Literal["prorate_delta", "full_restart", "next_period"]


class PaymentRequiredError(WorkerError):
    """Stripe could not collect what the change costs; the plan stays as it was."""

    status = 402
    slug = "payment_failed"


class ChangePlanRequest(BaseModel):
    """Body of change_plan.

    Attributes:
        organization_id: whose subscription.
        plan_id: the plan to change to.
        mode: prorate_delta, full_restart or next_period; the installation's when left out. A downgrade waits
            for the next period unless full_restart is named.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID
    plan_id: uuid.UUID
    mode: Mode | None = None


class CancelRequest(BaseModel):
    """Body of cancel_subscription.

    Attributes:
        organization_id: whose subscription.
        at_period_end: at the end of what is paid (the default), or now: then what is left of the plan's
            credits ends.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID
    at_period_end: bool = True


class ResumeRequest(BaseModel):
    """Body of resume_subscription.

    Attributes:
        organization_id: whose subscription.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID


def change_plan(request: Request) -> http.Answer:
    """Handle POST change_plan.

    Raises:
        WorkerError: 401, 402 `payment_failed`, 403 (also for a foreign or unknown organization), 404, 409
            `plan_unchanged`, `subscription_not_active` and `currency_unchangeable`, 422, 502, 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, ChangePlanRequest)
    change = database.call_for(
        PlanChange,
        "prepare_plan_change",
        {
            "organization_id": str(body.organization_id),
            "user_id": str(user.sub),
            "plan_id": str(body.plan_id),
            "mode": body.mode,
            "livemode": get_settings().livemode,
        },
    )
    client = get_client()
    try:
        _change(client, change)
    except stripe.CardError as error:
        raise PaymentRequiredError(
            error.user_message or "The payment failed. The plan stays as it was.",
            details={"code": error.code},
        ) from error
    except stripe.StripeError as error:
        refusal = explain(error)
        raise refusal if refusal.is_definite else StripeUnavailableError(_UNKNOWN) from error
    return _answer(client, change.stripe_subscription_id, mode=change.mode)


def _change(client: stripe.StripeClient, change: PlanChange) -> None:
    price_id = plan_prices.ensure(
        client, change.plan_id, change.name, change.unit_amount, change.currency, change.billing_interval
    )
    subscription = client.v1.subscriptions.retrieve(change.stripe_subscription_id)
    item = subscription["items"].data[0]
    if item.price.id == price_id:
        return
    parameters: stripe.params.SubscriptionUpdateParams = {
        "items": [{"id": item.id, "price": price_id}],
        "proration_behavior": "none" if change.mode == "next_period" else "always_invoice",
    }
    if change.mode != "next_period":
        # Not paid: nothing changes, and the answer is the card's error.
        parameters["payment_behavior"] = "error_if_incomplete"
    if change.mode == "full_restart":
        parameters["billing_cycle_anchor"] = {"type": "now"}
        # Who pays for a whole new period goes on to its end.
        parameters.update(_without_planned_end(subscription))
    # The same change asked for twice is made once; after another charge, declined or not, it is another one.
    charges = client.v1.charges.list({"customer": str(subscription.customer), "limit": 1}).data
    since = charges[0].id if charges else None
    key = f"change:{item.id}:{item.price.id}:{price_id}:{change.mode}:{subscription.latest_invoice}:{since}"
    client.v1.subscriptions.update(change.stripe_subscription_id, parameters, {"idempotency_key": key})


def cancel(request: Request) -> http.Answer:
    """Handle POST cancel_subscription.

    Raises:
        WorkerError: 401, 403 (also for a foreign or unknown organization), 404, 422, 502, 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, CancelRequest)
    handle = _open(body.organization_id, user, "cancel_subscription")
    client = get_client()
    try:
        if body.at_period_end:
            client.v1.subscriptions.update(handle.stripe_subscription_id, {"cancel_at_period_end": True})
        else:
            client.v1.subscriptions.cancel(handle.stripe_subscription_id)
    except stripe.StripeError as error:
        raise explain(error) from error
    return _answer(client, handle.stripe_subscription_id)


def resume(request: Request) -> http.Answer:
    """Handle POST resume_subscription: undoes a planned end, a paused collection or a pause.

    Raises:
        WorkerError: 401, 403 (also for a foreign or unknown organization), 404, 422, 502, 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, ResumeRequest)
    handle = _open(body.organization_id, user, "resume_subscription")
    client = get_client()
    try:
        if handle.status == "paused":
            client.v1.subscriptions.resume(
                handle.stripe_subscription_id, {"billing_cycle_anchor": {"type": "now"}}
            )
        elif handle.pause_behavior is not None:
            client.v1.subscriptions.update(handle.stripe_subscription_id, {"pause_collection": ""})
        elif handle.ends_at is not None:
            subscription = client.v1.subscriptions.retrieve(handle.stripe_subscription_id)
            client.v1.subscriptions.update(handle.stripe_subscription_id, _without_planned_end(subscription))
    except stripe.StripeError as error:
        raise explain(error) from error
    return _answer(client, handle.stripe_subscription_id)


def _without_planned_end(subscription: stripe.Subscription) -> stripe.params.SubscriptionUpdateParams:
    """What undoes a planned end: the portal sets cancel_at alone, the API both; one undoes either."""
    if subscription.cancel_at_period_end:
        return {"cancel_at_period_end": False}
    return {} if subscription.cancel_at is None else {"cancel_at": ""}


def _open(organization_id: uuid.UUID, user: auth.User, action: str) -> SubscriptionHandle:
    arguments = {"organization_id": str(organization_id), "user_id": str(user.sub), "action": action}
    return database.call_for(SubscriptionHandle, "open_subscription", arguments)


def _answer(
    client: stripe.StripeClient, stripe_subscription_id: str, *, mode: str | None = None
) -> http.Answer:
    """Read the subscription back, book what follows from it, and answer our row."""
    try:
        facts = read_subscription(client, stripe_subscription_id)
    except stripe.StripeError as error:
        explain(error)
        raise StripeUnavailableError(_UNKNOWN) from error
    rows = database.call("sync_subscription", {"facts": facts.as_json()})
    row = rows[0] if isinstance(rows, list) and rows else None
    return http.Answer({"subscription": row, "mode": mode})
