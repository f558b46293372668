"""create_portal_session: Stripe's page for cards, invoices and plans."""

from __future__ import annotations

import uuid
from typing import Literal

import stripe
from flask import Request
from pydantic import BaseModel, ConfigDict

from billing import auth, customers, database, http
from billing.errors import StripeUnavailableError
from billing.redirects import own_url
from billing.rows import CustomerClaim, SubscriptionHandle
from billing.settings import get_settings
from billing.stripe_client import explain, get_client

_ROUNDS = 3


class PortalRequest(BaseModel):
    """Body of create_portal_session.

    Attributes:
        organization_id: whose billing.
        return_url: where the page leads back to, on the front end's origin.
        flow: opens the page at one task instead of at its front, and leads back when it is done: another
            card, the plan's end, or another plan. The last two need a live subscription.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID
    return_url: str | None = None
    flow: Literal["payment_method_update", "subscription_cancel", "subscription_update"] | None = None


class PortalAnswer(BaseModel):
    """What create_portal_session answers.

    Attributes:
        url: the page; short-lived, for this person only.
    """

    url: str


def create(request: Request) -> http.Answer:
    """Handle POST create_portal_session.

    Raises:
        WorkerError: 401, 403 (also for a foreign or unknown organization), 404 (a task of the plan, and there
            is no live subscription), 422, 502 (also for what the portal's configuration does not allow), 503.
    """
    user = auth.require_user(request)
    body = http.parse(request, PortalRequest)
    arguments = {
        "organization_id": str(body.organization_id),
        "user_id": str(user.sub),
        "email": user.email,
        "livemode": get_settings().livemode,
    }
    return_url = own_url("return_url", body.return_url, "/")
    subscription_id = _subscription_of(user, body)
    for _ in range(_ROUNDS):
        customer_id = customers.ensure(database.call_for(CustomerClaim, "open_customer", arguments))
        try:
            session = get_client().v1.billing_portal.sessions.create(
                _parameters(body, customer_id, return_url, subscription_id)
            )
        except stripe.StripeError as error:
            if customers.forget_missing(error, customer_id):
                continue
            raise explain(error) from error
        return http.Answer(PortalAnswer(url=session.url).model_dump())
    raise StripeUnavailableError("The billing page could not be opened; please try again in a moment.")


def _subscription_of(user: auth.User, body: PortalRequest) -> str | None:
    """The subscription that the task is about; None where it is about none."""
    if body.flow not in ("subscription_cancel", "subscription_update"):
        return None
    arguments = {
        "organization_id": str(body.organization_id),
        "user_id": str(user.sub),
        "action": f"open_portal_{body.flow}",
    }
    return database.call_for(SubscriptionHandle, "open_subscription", arguments).stripe_subscription_id


def _parameters(
    body: PortalRequest, customer_id: str, return_url: str, subscription_id: str | None
) -> stripe.params.billing_portal.SessionCreateParams:
    parameters: stripe.params.billing_portal.SessionCreateParams = {
        "customer": customer_id,
        "return_url": return_url,
    }
    if body.flow is not None:
        flow: stripe.params.billing_portal.SessionCreateParamsFlowData = {
            "type": body.flow,
            "after_completion": {"type": "redirect", "redirect": {"return_url": return_url}},
        }
        if subscription_id is not None and body.flow == "subscription_cancel":
            flow["subscription_cancel"] = {"subscription": subscription_id}
        if subscription_id is not None and body.flow == "subscription_update":
            flow["subscription_update"] = {"subscription": subscription_id}
        parameters["flow_data"] = flow
    return parameters
