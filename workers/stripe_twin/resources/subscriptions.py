"""Subscriptions: the calls. What they do is in the modules `subscription_...`.

Source: https://docs.stripe.com/api/subscriptions
"""

from __future__ import annotations

from stripe_twin.errors import StripeError, invalid, missing_parameter, unexpected_state
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources import invoicing
from stripe_twin.resources.collection import finalize_and_collect, stop_collecting
from stripe_twin.resources.common import check_limit, only, update, value_of
from stripe_twin.resources.prorations import apply_changes, credit
from stripe_twin.resources.subscription_changes import update_subscription
from stripe_twin.resources.subscription_cycle import pause as pause_now
from stripe_twin.resources.subscription_invoices import invoice_subscription
from stripe_twin.resources.subscription_shapes import choose
from stripe_twin.resources.subscription_start import start
from stripe_twin.resources.subscription_states import (
    FINAL,
    change,
    end_subscription,
    items_of,
    lock_subscription,
)
from stripe_twin.shapes import Json, listing
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/subscriptions"
_ONE = _PATH + "/<subscription_id>"
_COMMON = (
    "automatic_tax",
    "cancel_at",
    "cancel_at_period_end",
    "collection_method",
    "days_until_due",
    "default_payment_method",
    "description",
    "discounts",
    "invoice_settings",
    "items",
    "metadata",
    "off_session",
    "payment_behavior",
    "payment_settings",
    "proration_behavior",
    "trial_end",
    "trial_settings",
)
_CREATE = (*_COMMON, "billing_cycle_anchor", "billing_mode", "currency", "customer", "trial_period_days")
_UPDATE = (*_COMMON, "billing_cycle_anchor", "cancellation_details", "pause_collection", "proration_date")
_LIST = (
    "collection_method",
    "created",
    "customer",
    "ending_before",
    "limit",
    "price",
    "starting_after",
    "status",
)


@operation("POST", _PATH, "_subscription_create_params.SubscriptionCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Start a subscription and try to collect its first invoice."""
    only(params, _CREATE, "subscription creation")
    customer_id = params.get("customer")
    if not customer_id:
        raise missing_parameter("customer")
    customer = unit.get("customer", customer_id, param="customer")
    if params.get("collection_method") == "send_invoice" and params.get("days_until_due") is None:
        raise missing_parameter("days_until_due")
    method = value_of(params, "default_payment_method")
    if (
        method
        and unit.get("payment_method", method, param="default_payment_method").data["customer"] != customer_id
    ):
        raise invalid(
            f"The customer does not have a payment method with the ID {method}.",
            param="default_payment_method",
        )
    chosen = choose(unit, params.get("items") or [])
    return start(unit, customer, chosen, params).data


@operation("GET", _PATH, "_subscription_list_params.SubscriptionListParams")
def list_subscriptions(unit: UnitOfWork, params: Parameters) -> Json:
    """List subscriptions that have not ended; those with a status, or all, when asked."""
    only(params, (*_LIST, "test_clock"), "the list of subscriptions")
    check_limit(params)
    matching: Json = {
        name: params[name] for name in ("collection_method", "customer", "test_clock") if name in params
    }
    if params.get("price"):
        matching["items"] = {"data": [{"price": {"id": params["price"]}}]}
    page = unit.page("subscription", params, matching, among=_statuses(params.get("status")))
    return listing([record.data for record in page.records], _PATH, has_more=page.has_more)


def _statuses(wanted: str | None) -> tuple[str, tuple[str, ...]] | None:
    if wanted == "all":
        return None
    running = ("active", "incomplete", "past_due", "paused", "trialing", "unpaid")
    named = FINAL if wanted == "ended" else running if wanted is None else (wanted,)
    return "status", named


@operation("GET", _ONE, "_subscription_retrieve_params.SubscriptionRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, subscription_id: str) -> Json:
    """Return a subscription, an ended one too."""
    return unit.get("subscription", subscription_id).data


@operation("POST", _ONE, "_subscription_update_params.SubscriptionUpdateParams")
def update_call(unit: UnitOfWork, params: Parameters, subscription_id: str) -> Json:
    """Change a subscription and emit `customer.subscription.updated`."""
    only(params, _UPDATE, "subscription update")
    subscription = lock_subscription(unit, subscription_id)
    if subscription.data["status"] in FINAL and params.keys() - {"metadata", "cancellation_details"}:
        raise _ended(subscription)
    return update_subscription(unit, subscription, params)


def _ended(subscription: Record) -> StripeError:
    return unexpected_state(
        "A canceled subscription can only update its cancellation_details and metadata.",
        "resource_missing",
        param="id",
        subscription=subscription.id,
    )


@operation("DELETE", _ONE, "_subscription_cancel_params.SubscriptionCancelParams")
def cancel(unit: UnitOfWork, params: Parameters, subscription_id: str) -> Json:
    """Cancel a subscription now and emit `customer.subscription.deleted`."""
    subscription = lock_subscription(unit, subscription_id)
    if subscription.data["status"] in FINAL:
        raise StripeError(
            404, f"No such subscription: '{subscription_id}'", code="resource_missing", param="id"
        )
    if params.get("prorate") and subscription.data["status"] != "trialing":
        for item in items_of(subscription):
            credit(unit, subscription, item, unit.now)
    if params.get("invoice_now"):
        _last_invoice(unit, subscription)
    first = subscription.data["latest_invoice"]
    if subscription.data["status"] == "incomplete" and first:
        invoicing.void(unit, unit.get("invoice", first, lock=True))
    said = params.get("cancellation_details")
    end_subscription(unit, subscription, reason="cancellation_requested", said=said)
    stop_collecting(unit, subscription.id)
    return subscription.data


def _last_invoice(unit: UnitOfWork, subscription: Record) -> None:
    start_of_period = items_of(subscription)[0]["current_period_start"]
    invoice = invoice_subscription(
        unit, subscription, [], reason="subscription_update", period=(start_of_period, unit.now)
    )
    if invoice.data["lines"]["data"]:
        finalize_and_collect(unit, subscription, invoice)


@operation("POST", _ONE + "/pause", "_subscription_pause_params.SubscriptionPauseParams")
def pause(unit: UnitOfWork, params: Parameters, subscription_id: str) -> Json:
    """Pause a subscription: no periods and no invoices until it is resumed."""
    only(params, ("type",), "pausing a subscription")
    subscription = lock_subscription(unit, subscription_id)
    if subscription.data["status"] not in ("active", "trialing"):
        raise _wrong_state(subscription, "paused")
    return pause_now(unit, subscription, "pause_requested")


@operation("POST", _ONE + "/resume", "_subscription_resume_params.SubscriptionResumeParams")
def resume(unit: UnitOfWork, params: Parameters, subscription_id: str) -> Json:
    """Resume a paused subscription with a new period, once its invoice is paid."""
    only(
        params, ("billing_cycle_anchor", "payment_behavior", "proration_behavior"), "resuming a subscription"
    )
    subscription = lock_subscription(unit, subscription_id)
    if subscription.data["status"] != "paused":
        raise _wrong_state(subscription, "resumed")
    ended = items_of(subscription)[0]["current_period_start"]
    lines = apply_changes(unit, subscription, [], prorates=False, moment=unit.now, resets=True)
    invoice = invoice_subscription(
        unit, subscription, lines, reason="subscription_update", period=(ended, unit.now)
    )
    subscription.hidden["resumes_with"] = invoice.id
    unit.save(subscription)
    finalize_and_collect(unit, subscription, invoice)
    if (
        params.get("payment_behavior") == "resume_on_payment_attempt"
        and subscription.data["status"] == "paused"
    ):
        change(unit, subscription, {"status": "past_due", "status_details": None})
        unit.emit("customer.subscription.resumed", subscription.data)
    return subscription.data


def _wrong_state(subscription: Record, verb: str) -> StripeError:
    return unexpected_state(
        f"This subscription's status is {subscription.data['status']}, so it cannot be {verb}.",
        "subscription_unexpected_state",
    )


@operation(
    "DELETE", _ONE + "/discount", "_subscription_delete_discount_params.SubscriptionDeleteDiscountParams"
)
def delete_discount(unit: UnitOfWork, _params: Parameters, subscription_id: str) -> Json:
    """Take the discounts off a subscription."""
    subscription = lock_subscription(unit, subscription_id)
    gone = subscription.data["discounts"]
    if not gone:
        raise invalid("This subscription has no discount.", code="resource_missing")
    for name in gone:
        unit.emit("customer.discount.deleted", unit.get("discount", name).data)
    update(unit, subscription, {"discounts": []}, "customer.subscription.updated")
    return {"id": gone[0], "object": "discount", "deleted": True}
