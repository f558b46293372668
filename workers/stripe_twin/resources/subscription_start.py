"""The beginning of a subscription, from the API and from a paid checkout.

Source: https://docs.stripe.com/billing/subscriptions/overview#subscription-payment-behavior
"""

from __future__ import annotations

from collections.abc import Sequence

from stripe_twin.errors import StripeError, invalid
from stripe_twin.parameters import Parameters
from stripe_twin.periods import DAY
from stripe_twin.resources import invoicing
from stripe_twin.resources.collection import collect, default_method, finalize_and_collect
from stripe_twin.resources.common import value_of
from stripe_twin.resources.discounts import find_coupon, redeem
from stripe_twin.resources.payments import Outcome, card_error
from stripe_twin.resources.prorations import full_line
from stripe_twin.resources.subscription_invoices import invoice_subscription
from stripe_twin.resources.subscription_shapes import Chosen, subscription_shape
from stripe_twin.resources.subscription_states import items_of, set_timers
from stripe_twin.unit import Record, UnitOfWork

_LONGEST_TRIAL_DAYS = 730


def start(
    unit: UnitOfWork,
    customer: Record,
    chosen: Sequence[Chosen],
    params: Parameters,
    *,
    paid_with: Record | None = None,
    discounts: Sequence[tuple[str, str | None]] | None = None,
) -> Record:
    """Store a subscription with its first invoice, and collect that as the caller wishes.

    Args:
        unit: The unit of work.
        customer: Who subscribes.
        chosen: What they subscribe to.
        params: Parameters of the API's creation call; `discounts` as there.
        paid_with: The payment intent that has paid the first invoice already, as after a checkout.
        discounts: Coupons, with the codes used, that a checkout has granted already.

    Raises:
        CardError: 402 with `payment_behavior` `error_if_incomplete`, when the card refuses.
        StripeError: 400 when there is nothing to charge.
    """
    trial_end = _trial_end(unit, params)
    is_sent = params.get("collection_method") == "send_invoice"
    status = "trialing" if trial_end else "active" if is_sent or paid_with else "incomplete"
    shape = subscription_shape(unit, customer, chosen, params, status=status, trial_end=trial_end)
    subscription = unit.insert(shape)
    _redeem(unit, subscription, _granted(unit, customer, params) if discounts is None else discounts)
    lines = [full_line(unit, subscription, item) for item in items_of(subscription)]
    invoice = invoice_subscription(
        unit, subscription, lines, reason="subscription_create", period=(unit.now, unit.now)
    )
    if status == "incomplete" and invoice.data["total"] <= 0:
        subscription.data["status"] = "active"
    _set_cancellation(unit, subscription, params)
    unit.save(subscription)
    unit.emit("customer.subscription.created", subscription.data)
    set_timers(unit, subscription)
    _collect(unit, subscription, invoice, params, paid_with)
    return subscription


def _trial_end(unit: UnitOfWork, params: Parameters) -> int | None:
    days, end = params.get("trial_period_days"), params.get("trial_end")
    if days is not None and end is not None:
        raise invalid("You may only specify one of these parameters: trial_end, trial_period_days.")
    if days is not None:
        if not 1 <= days <= _LONGEST_TRIAL_DAYS:
            raise invalid(
                f"The trial must be between 1 and {_LONGEST_TRIAL_DAYS} days.", param="trial_period_days"
            )
        return unit.now + int(days) * DAY
    if end in (None, "now"):
        return None
    if int(end) <= unit.now:
        raise invalid(
            "Invalid timestamp: must be an integer Unix timestamp in the future.", param="trial_end"
        )
    return int(end)


def _granted(unit: UnitOfWork, customer: Record, params: Parameters) -> list[tuple[str, str | None]]:
    found = []
    for index, given in enumerate(value_of(params, "discounts") or []):
        coupon, code = find_coupon(unit, given, customer.id, f"discounts[{index}]")
        found.append((coupon.id, code))
    return found


def _redeem(unit: UnitOfWork, subscription: Record, discounts: Sequence[tuple[str, str | None]]) -> None:
    customer_id = subscription.data["customer"]
    for coupon_id, code in discounts:
        coupon = unit.get("coupon", coupon_id, lock=True)
        made = redeem(unit, coupon, code, customer_id=customer_id, subscription=subscription.id)
        subscription.data["discounts"].append(made.id)


def _set_cancellation(unit: UnitOfWork, subscription: Record, params: Parameters) -> None:
    if params.get("cancel_at_period_end"):
        end = max(item["current_period_end"] for item in items_of(subscription))
        subscription.data |= {"cancel_at": end, "cancel_at_period_end": True, "canceled_at": unit.now}
    elif isinstance(params.get("cancel_at"), int):
        subscription.data |= {"cancel_at": params["cancel_at"], "canceled_at": unit.now}


def _collect(
    unit: UnitOfWork,
    subscription: Record,
    invoice: Record,
    params: Parameters,
    paid_with: Record | None,
) -> None:
    if paid_with is not None:
        is_paid = paid_with.data["status"] == "succeeded"  # a debit is on its way for some days
        if (
            invoicing.finalize(unit, invoice, intent=paid_with)
            and invoice.data["status"] == "open"
            and is_paid
        ):
            invoicing.mark_paid(unit, invoice)
        return
    behavior = params.get("payment_behavior", "allow_incomplete")
    if subscription.data["collection_method"] == "send_invoice" or invoice.data["total"] <= 0:
        finalize_and_collect(unit, subscription, invoice)
        return
    if not invoicing.finalize(unit, invoice):
        return
    if behavior == "default_incomplete":
        return
    if default_method(unit, subscription, invoice) is None:
        raise _no_method()
    off_session = params.get("off_session", False) is not False
    outcome = collect(unit, subscription, invoice, off_session=off_session)
    if outcome.kind != "succeeded" and behavior == "error_if_incomplete":
        raise refusal(unit, invoice, outcome)


def _no_method() -> StripeError:
    return invalid(
        "This customer has no attached payment source or default payment method. Please consider adding a "
        "default payment method.",
        code="resource_missing",
    )


def refusal(unit: UnitOfWork, invoice: Record, outcome: Outcome) -> StripeError:
    """Return the 402 after which nothing of the call stays, for `error_if_incomplete`."""
    intent = unit.get("payment_intent", invoice.hidden["payment_intent"])
    if outcome.kind == "declined":
        error: StripeError = card_error(intent, outcome)
    else:
        error = StripeError(
            402,
            "Payment for this subscription requires additional user action before it can be completed.",
            kind="card_error",
            code="subscription_payment_intent_requires_action",
        )
    error.keeps_changes = False
    return error
