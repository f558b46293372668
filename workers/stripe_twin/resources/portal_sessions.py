"""Billing portal sessions: a short-lived address of the customer's own page, or of one task on it.

Source: https://docs.stripe.com/api/customer_portal and https://docs.stripe.com/customer-management/portal-deep-links
"""

from __future__ import annotations

from typing import Any

from stripe_twin.errors import invalid, missing_parameter
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import not_supported, only
from stripe_twin.resources.portal_configurations import configuration_of
from stripe_twin.resources.subscription_states import FINAL
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import UnitOfWork

_PATH = "/v1/billing_portal/sessions"
_OF_SUBSCRIPTION = (
    "subscription_cancel",
    "subscription_pause",
    "subscription_update",
    "subscription_update_confirm",
)
_FEATURE = {"subscription_update_confirm": "subscription_update"}


@operation("POST", _PATH, "billing_portal._session_create_params.SessionCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a portal session for a customer, with a deep link to one task if `flow_data` asks for it."""
    supported = ("configuration", "customer", "flow_data", "locale", "return_url")
    only(params, supported, "portal session creation")
    customer_id = params.get("customer")
    if not customer_id:
        raise missing_parameter("customer")
    unit.get("customer", customer_id, param="customer")
    configuration = configuration_of(unit, params.get("configuration"))
    given = params.get("flow_data")
    flow = _flow(unit, customer_id, configuration.data["features"], given) if given else None
    token = random_text(40)
    path = f"/p/session/{token}"
    session = complete(
        "billing_portal.session",
        {
            "id": new_id("bps"),
            "configuration": configuration.id,
            "created": unit.now,
            "customer": customer_id,
            "flow": flow,
            "locale": params.get("locale"),
            "return_url": params.get("return_url") or configuration.data["default_return_url"],
            "url": f"{unit.settings.public_url}{path}",
        },
    )
    unit.emit("billing_portal.session.created", session)
    return unit.insert(session, {"token": token}).data


def _flow(unit: UnitOfWork, customer_id: str, features: Json, given: Any) -> Json:
    kind = given["type"]
    if kind == "subscription_pause":
        raise not_supported("the portal flow subscription_pause", "flow_data[type]")
    flow: Json = {
        **dict.fromkeys(("customer_update", *_OF_SUBSCRIPTION)),
        "after_completion": _after(given.get("after_completion") or {}),
        "type": kind,
    }
    if kind == "customer_update":
        flow["customer_update"] = {}
    if kind not in _OF_SUBSCRIPTION:
        return flow
    task = given.get(kind)
    if not task:
        raise missing_parameter(f"flow_data[{kind}]")
    param = f"flow_data[{kind}][subscription]"
    subscription = unit.get("subscription", task["subscription"], param=param)
    if subscription.data["customer"] != customer_id:
        raise invalid("The subscription does not belong to the customer.", param=param)
    if subscription.data["status"] in FINAL:
        raise invalid("The subscription has ended already.", param=param)
    feature = _FEATURE.get(kind, kind)
    if not features[feature]["enabled"]:
        raise invalid(
            f"This feature, {feature}, is disabled in the portal configuration, so the flow cannot be used.",
            param="flow_data[type]",
        )
    if kind == "subscription_cancel" and subscription.data["cancel_at"] is not None:
        raise invalid("The subscription is set to be canceled already.", param=param)
    flow[kind] = _task(kind, task)
    return flow


def _task(kind: str, task: Any) -> Json:
    shown: Json = {"subscription": task["subscription"]}
    if kind == "subscription_cancel":
        if task.get("retention"):
            raise not_supported("retention offers", "flow_data[subscription_cancel][retention]")
        shown["retention"] = None
    if kind == "subscription_update_confirm":
        shown["discounts"] = task.get("discounts")
        shown["items"] = [
            {"id": one["id"], "price": one.get("price"), "quantity": one.get("quantity")}
            for one in task["items"]
        ]
    return shown


def _after(given: Any) -> Json:
    return {
        "hosted_confirmation": given.get("hosted_confirmation"),
        "redirect": given.get("redirect"),
        "type": given.get("type", "portal_homepage"),
    }
