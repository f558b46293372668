"""Subscription items: the calls. An item lives inside its subscription.

Source: https://docs.stripe.com/api/subscription_items
"""

from __future__ import annotations

from stripe_twin.errors import no_such
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import check_limit, only
from stripe_twin.resources.subscription_changes import change_items, finish_change, item_changes
from stripe_twin.resources.subscription_shapes import ITEMS_PATH
from stripe_twin.resources.subscription_states import items_of, lock_subscription
from stripe_twin.shapes import Json, listing
from stripe_twin.unit import Record, UnitOfWork, snapshot

_ONE = ITEMS_PATH + "/<item_id>"
_HOW = ("off_session", "payment_behavior", "proration_behavior", "proration_date")
_WHAT = ("metadata", "price", "price_data", "quantity")


def find_item(unit: UnitOfWork, item_id: str) -> tuple[Record, Json]:
    """Return the locked subscription of an item, and the item.

    Raises:
        StripeError: 404 when there is none.
    """
    found = unit.all("subscription", {"items": {"data": [{"id": item_id}]}})
    if not found:
        raise no_such("subscription_item", item_id)
    subscription = lock_subscription(unit, found[0].id)
    return subscription, next(item for item in items_of(subscription) if item["id"] == item_id)


@operation("POST", ITEMS_PATH, "_subscription_item_create_params.SubscriptionItemCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Add an item to a subscription."""
    only(params, (*_WHAT, *_HOW, "subscription"), "subscription item creation")
    subscription = lock_subscription(unit, params["subscription"])
    known = {item["id"] for item in items_of(subscription)}
    _change(unit, subscription, {name: params[name] for name in _WHAT if name in params}, params)
    return next(item for item in items_of(subscription) if item["id"] not in known)


@operation("GET", ITEMS_PATH, "_subscription_item_list_params.SubscriptionItemListParams")
def list_items(unit: UnitOfWork, params: Parameters) -> Json:
    """List a subscription's items."""
    only(params, ("limit", "subscription"), "the list of subscription items")
    check_limit(params)
    items = items_of(unit.get("subscription", params["subscription"], param="subscription"))
    limit = int(params.get("limit", 10))
    return listing(items[:limit], ITEMS_PATH, has_more=len(items) > limit)


@operation("GET", _ONE, "_subscription_item_retrieve_params.SubscriptionItemRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, item_id: str) -> Json:
    """Return an item."""
    return find_item(unit, item_id)[1]


@operation("POST", _ONE, "_subscription_item_update_params.SubscriptionItemUpdateParams")
def update_item(unit: UnitOfWork, params: Parameters, item_id: str) -> Json:
    """Change an item's price or quantity, with prorations as asked."""
    only(params, (*_WHAT, *_HOW), "subscription item update")
    subscription, _ = find_item(unit, item_id)
    given = {name: params[name] for name in _WHAT if name in params}
    _change(unit, subscription, {"id": item_id, **given}, params)
    return next(item for item in items_of(subscription) if item["id"] == item_id)


@operation("DELETE", _ONE, "_subscription_item_delete_params.SubscriptionItemDeleteParams")
def delete(unit: UnitOfWork, params: Parameters, item_id: str) -> Json:
    """Take an item off its subscription."""
    only(params, _HOW, "subscription item deletion")
    subscription, _ = find_item(unit, item_id)
    _change(unit, subscription, {"deleted": True, "id": item_id}, params)
    return {"id": item_id, "object": "subscription_item", "deleted": True}


def _change(unit: UnitOfWork, subscription: Record, given: Parameters, params: Parameters) -> None:
    before = snapshot(subscription.data)
    changes = item_changes(unit, subscription, [given])
    if not changes:
        finish_change(unit, subscription, before)
        return
    resets = any(one.resets_period for one in changes)
    change_items(unit, subscription, changes, params, resets=resets, before=before)
