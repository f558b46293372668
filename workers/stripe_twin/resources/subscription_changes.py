"""Changes of a running subscription: plan, quantity, trial, cancellation, pause; with prorations and payment.

Source: https://docs.stripe.com/billing/subscriptions/change
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stripe_twin.errors import invalid, no_such
from stripe_twin.parameters import Parameters
from stripe_twin.periods import period_at
from stripe_twin.resources import invoicing
from stripe_twin.resources.collection import collect, finalize_and_collect
from stripe_twin.resources.common import simple_changes, value_of
from stripe_twin.resources.discounts import find_coupon, redeem
from stripe_twin.resources.prorations import ItemChange, apply_changes
from stripe_twin.resources.subscription_cycle import ended_for_want_of_method
from stripe_twin.resources.subscription_invoices import invoice_subscription
from stripe_twin.resources.subscription_shapes import (
    automatic_tax,
    cancellation,
    choose_one,
    invoice_settings,
    item_shape,
    payment_settings,
    plan_of,
    trial_settings,
)
from stripe_twin.resources.subscription_start import refusal
from stripe_twin.resources.subscription_states import change, items_of, set_timers
from stripe_twin.resources.subscription_updates import (
    apply_pending_update,
    hold_update,
    show_pending_update,
)
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork, changed, snapshot

_PLAIN = ("collection_method", "days_until_due", "default_payment_method", "description")


def update_subscription(unit: UnitOfWork, subscription: Record, params: Parameters) -> Json:
    """Change a locked subscription as the API's update call says.

    Raises:
        StripeError: 400 for what cannot be; 402 with `error_if_incomplete`, when the change is not paid.
    """
    before = snapshot(subscription.data)
    _set_plain(unit, subscription, params)
    _set_ending(unit, subscription, params)
    if params.get("trial_end") == "now" and ended_for_want_of_method(unit, subscription):
        return subscription.data
    ends_trial = _set_trial(unit, subscription, params)
    changes = item_changes(unit, subscription, params.get("items") or [])
    anchor = (params.get("billing_cycle_anchor") or {}).get("type")
    resets = ends_trial or anchor == "now" or any(one.resets_period for one in changes)
    if changes or resets:
        change_items(unit, subscription, changes, params, resets=resets, before=before)
    else:
        finish_change(unit, subscription, before)
    return subscription.data


def finish_change(unit: UnitOfWork, subscription: Record, before: Json) -> None:
    """Save a changed subscription, say so, and set its clocks anew."""
    unit.save(subscription)
    differing = changed(before, subscription.data)
    if differing:
        unit.emit("customer.subscription.updated", subscription.data, differing)
    set_timers(unit, subscription)


# ---- fields ------------------------------------------------------------------------------------------------


def _set_plain(unit: UnitOfWork, subscription: Record, params: Parameters) -> None:
    data = subscription.data
    data |= simple_changes(params, data, _PLAIN)
    method = value_of(params, "default_payment_method")
    if method:
        unit.get("payment_method", method, param="default_payment_method")
    builders = {
        "automatic_tax": automatic_tax,
        "invoice_settings": invoice_settings,
        "payment_settings": payment_settings,
        "trial_settings": trial_settings,
    }
    data |= {name: build(params) for name, build in builders.items() if name in params}
    if "pause_collection" in params:
        given = params["pause_collection"]
        data["pause_collection"] = (
            {"behavior": given["behavior"], "resumes_at": given.get("resumes_at")} if given else None
        )
    if "discounts" in params:
        _set_discounts(unit, subscription, params["discounts"])


def _set_discounts(unit: UnitOfWork, subscription: Record, given: Any) -> None:
    kept = []
    for index, one in enumerate(given or []):
        if one.get("discount"):
            kept.append(unit.get("discount", one["discount"], param=f"discounts[{index}][discount]").id)
            continue
        customer_id = subscription.data["customer"]
        coupon, code = find_coupon(unit, one, customer_id, f"discounts[{index}]")
        kept.append(redeem(unit, coupon, code, customer_id=customer_id, subscription=subscription.id).id)
    for gone in set(subscription.data["discounts"]) - set(kept):
        unit.emit("customer.discount.deleted", unit.get("discount", gone).data)
    subscription.data["discounts"] = kept


def _set_ending(unit: UnitOfWork, subscription: Record, params: Parameters) -> None:
    data = subscription.data
    if "cancel_at_period_end" in params and "cancel_at" in params:
        raise invalid("You may only specify one of these parameters: cancel_at, cancel_at_period_end.")
    details = params.get("cancellation_details")
    if "cancel_at_period_end" in params:
        at_end = bool(params["cancel_at_period_end"])
        latest = max(item["current_period_end"] for item in items_of(subscription))
        _end_at(unit, data, latest if at_end else None, details)
        data["cancel_at_period_end"] = at_end
    elif "cancel_at" in params:
        _end_at(unit, data, _moment(unit, subscription, params["cancel_at"]), details)
        data["cancel_at_period_end"] = False
    elif details:
        data["cancellation_details"] = cancellation(data["cancellation_details"]["reason"], details)


def _end_at(unit: UnitOfWork, data: Json, moment: int | None, details: Any) -> None:
    reason = None if moment is None else "cancellation_requested"
    data |= {
        "cancel_at": moment,
        "canceled_at": None if moment is None else unit.now,
        "cancellation_details": cancellation(reason, details),
    }


def _moment(unit: UnitOfWork, subscription: Record, given: Any) -> int | None:
    if given == "":
        return None
    ends = [item["current_period_end"] for item in items_of(subscription)]
    if given in ("max_period_end", "max_billed_until"):
        return int(max(ends))
    if given == "min_period_end":
        return int(min(ends))
    if int(given) <= unit.now:
        raise invalid("The cancel_at date must be in the future.", param="cancel_at")
    return int(given)


def _set_trial(unit: UnitOfWork, subscription: Record, params: Parameters) -> bool:
    """Move the end of a trial; return whether the trial ends now, so that a paid period begins."""
    data, given = subscription.data, params.get("trial_end")
    if given is None:
        return False
    if given == "now":
        if data["status"] != "trialing":
            return False
        data |= {"status": "active", "trial_end": unit.now}
        return True
    end = int(given)
    if end <= unit.now:
        raise invalid(
            "Invalid timestamp: must be an integer Unix timestamp in the future.", param="trial_end"
        )
    start = data["trial_start"] if data["status"] == "trialing" else unit.now
    data |= {"billing_cycle_anchor": end, "status": "trialing", "trial_end": end, "trial_start": start}
    for item in items_of(subscription):
        item |= {"billed_until": end, "current_period_end": end}
    return False


# ---- items -------------------------------------------------------------------------------------------------


def item_changes(
    unit: UnitOfWork, subscription: Record, given: Sequence[Parameters], *, param: str = "items"
) -> list[ItemChange]:
    """Return what a request's items change; an item that stays as it is makes no entry.

    Raises:
        StripeError: 400 for an item that is not the subscription's, or a price that does not fit.
    """
    known = {item["id"]: item for item in items_of(subscription)}
    changes = []
    for index, one in enumerate(given):
        here = f"{param}[{index}]"
        if not one.get("id"):
            changes.append(ItemChange(None, _new_item(unit, subscription, one, here)))
            continue
        before = known.get(one["id"])
        if before is None:
            raise no_such("subscription_item", one["id"], param=f"{here}[id]")
        after = None if one.get("deleted") else _changed_item(unit, before, one, here)
        if after is None or _differs(before, after):
            changes.append(ItemChange(snapshot(before), after))
        else:
            before["metadata"] = after["metadata"]
    left = len(known) - sum(one.after is None for one in changes) + sum(one.before is None for one in changes)
    if left < 1:
        raise invalid("A subscription must have at least one active item.", param=param)
    return changes


def _new_item(unit: UnitOfWork, subscription: Record, given: Parameters, param: str) -> Json:
    chosen = choose_one(unit, given, param)
    if chosen.price["currency"] != subscription.data["currency"]:
        raise invalid("The price's currency must be that of the subscription.", param=f"{param}[price]")
    if subscription.data["status"] == "trialing":
        return item_shape(unit, subscription.id, chosen, (unit.now, subscription.data["trial_end"]))
    period = period_at(subscription.data["billing_cycle_anchor"], chosen.price["recurring"], unit.now)
    return item_shape(unit, subscription.id, chosen, period)


def _changed_item(unit: UnitOfWork, before: Json, given: Parameters, param: str) -> Json:
    after = snapshot(before)
    if given.get("price") or given.get("price_data"):
        chosen = choose_one(unit, given, param)
        if chosen.price["currency"] != before["price"]["currency"]:
            raise invalid("The price's currency must be that of the subscription.", param=f"{param}[price]")
        after |= {"plan": plan_of(chosen.price), "price": chosen.price}
    if "quantity" in given:
        after["quantity"] = given["quantity"]
    if "metadata" in given:
        after |= simple_changes(given, before, ())
    return after


def _differs(before: Json, after: Json) -> bool:
    same_price = bool(before["price"]["id"] == after["price"]["id"])
    return not same_price or bool(before["quantity"] != after["quantity"])


def change_items(
    unit: UnitOfWork,
    subscription: Record,
    changes: Sequence[ItemChange],
    params: Parameters,
    *,
    resets: bool,
    before: Json,
) -> None:
    """Put changed items into a locked subscription, invoice what is due at once, and collect it.

    Args:
        unit: The unit of work.
        subscription: The locked subscription.
        changes: What becomes of its items.
        params: The call's `payment_behavior`, `proration_behavior`, `proration_date` and `off_session`.
        resets: Whether a new period begins now.
        before: The subscription before the call, for `previous_attributes`.
    """
    proration = params.get("proration_behavior", "create_prorations")
    was_free = before["status"] == "trialing"
    ended = (items_of(subscription)[0]["current_period_start"], unit.now)
    lines = apply_changes(
        unit,
        subscription,
        changes,
        prorates=proration != "none" and not was_free,
        moment=params.get("proration_date", unit.now),
        resets=resets,
    )
    if not lines and proration != "always_invoice":
        finish_change(unit, subscription, before)
        return
    invoice = invoice_subscription(unit, subscription, lines, reason="subscription_update", period=ended)
    behavior = params.get("payment_behavior", "allow_incomplete")
    if behavior == "pending_if_incomplete":
        _wait_for_payment(unit, subscription, invoice, before, params)
        return
    finish_change(unit, subscription, before)
    _pay_change(unit, subscription, invoice, behavior, params)


def _pay_change(
    unit: UnitOfWork, subscription: Record, invoice: Record, behavior: str, params: Parameters
) -> None:
    if behavior == "default_incomplete":
        if invoicing.finalize(unit, invoice) and invoice.data["status"] == "open":
            change(unit, subscription, {"status": "past_due"})
        return
    off_session = params.get("off_session", False) is not False
    outcome = finalize_and_collect(unit, subscription, invoice, off_session=off_session)
    if outcome is not None and outcome.kind != "succeeded" and behavior == "error_if_incomplete":
        raise refusal(unit, invoice, outcome)


def _wait_for_payment(
    unit: UnitOfWork, subscription: Record, invoice: Record, before: Json, params: Parameters
) -> None:
    """Let a change of items count only once its invoice is paid."""
    held = {name: subscription.data[name] for name in ("billing_cycle_anchor", "items")}
    subscription.data |= {name: before[name] for name in held}
    finish_change(unit, subscription, before)
    hold_update(unit, subscription, invoice.id, held)
    if not invoicing.finalize(unit, invoice):
        return
    if invoice.data["status"] == "paid":
        apply_pending_update(unit, subscription)
        return
    off_session = params.get("off_session", False) is not False
    if collect(unit, subscription, invoice, off_session=off_session).kind != "succeeded":
        show_pending_update(unit, subscription)
