"""Payment intents: the calls. What paying does is in `payments`.

Source: https://docs.stripe.com/api/payment_intents
"""

from __future__ import annotations

from collections.abc import Callable

from stripe_twin.bank_accounts import allowed_types
from stripe_twin.errors import StripeError, invalid, unexpected_state
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, not_supported, only, simple_changes, update
from stripe_twin.resources.payment_methods import resolve
from stripe_twin.resources.payments import (
    Outcome,
    attempt,
    card_error,
    check_amount,
    create_intent,
    shipping_shape,
)
from stripe_twin.resources.prices import currency_code
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/payment_intents"
_ONE = _PATH + "/<intent_id>"
_TEXTS = (
    "description",
    "receipt_email",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
_CONFIRM = (
    "mandate_data",
    "off_session",
    "payment_method",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "shipping",
    "error_on_requires_action",
    "use_stripe_sdk",
)
_CREATE = (
    *_TEXTS,
    *_CONFIRM,
    "allowed_payment_method_types",
    "amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "confirmation_method",
    "currency",
    "customer",
    "metadata",
)
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


@operation("POST", _PATH, "_payment_intent_create_params.PaymentIntentCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a payment intent, and confirm it at once when asked."""
    only(params, _CREATE, "payment intent creation")
    _check_creation(unit, params)
    record = create_intent(unit, params)
    if params.get("payment_method"):
        method = resolve(unit, params["payment_method"])
        record.data |= {"payment_method": method.id, "status": "requires_confirmation"}
        unit.save(record)
        params["payment_method"] = method.id
    if params.get("confirm"):
        return _confirm(unit, record, params)
    return record.data


def _check_creation(unit: UnitOfWork, params: Parameters) -> None:
    params["currency"] = currency_code(params["currency"])
    check_amount(params["amount"], params["currency"])
    if params.get("capture_method") == "manual":
        raise not_supported("manual capture", "capture_method")
    _check_types(params)
    if params.get("customer"):
        unit.get("customer", params["customer"], param="customer")
    if params.get("off_session") and not params.get("confirm"):
        raise invalid("You can only provide off_session when confirm is true.", param="off_session")


def _check_types(params: Parameters) -> None:
    allowed = params.get("allowed_payment_method_types")
    if allowed is not None and not allowed_types(params["currency"], allowed):
        raise not_supported(
            f"payment methods of the types {', '.join(allowed)}", "allowed_payment_method_types"
        )


@operation("GET", _PATH, "_payment_intent_list_params.PaymentIntentListParams")
def list_intents(unit: UnitOfWork, params: Parameters) -> Json:
    """List payment intents, by customer."""
    return list_objects(unit, "payment_intent", params, _PATH)


@operation("GET", _ONE, "_payment_intent_retrieve_params.PaymentIntentRetrieveParams", for_browsers=True)
def retrieve(unit: UnitOfWork, _params: Parameters, intent_id: str) -> Json:
    """Return a payment intent."""
    return unit.get("payment_intent", intent_id).data


@operation("POST", _ONE, "_payment_intent_update_params.PaymentIntentUpdateParams")
def update_intent(unit: UnitOfWork, params: Parameters, intent_id: str) -> Json:
    """Change an intent that is not paid; Stripe makes no event of it."""
    fields = (*_TEXTS, "amount", "currency", "customer", "setup_future_usage")
    only(params, (*fields, "metadata", "payment_method", "shipping"), "payment intent update")
    record = unit.get("payment_intent", intent_id, lock=True)
    money = {"amount", "currency", "customer", "payment_method"} & params.keys()
    if money and record.data["status"] not in _OPEN:
        raise _wrong_state(record, "updated")
    changes = simple_changes(params, record.data, fields)
    if "shipping" in params:
        changes["shipping"] = shipping_shape(params["shipping"])
    if "currency" in changes:
        changes["currency"] = currency_code(changes["currency"])
    merged: Json = {**record.data, **changes}
    check_amount(merged["amount"], merged["currency"])
    if changes.get("customer"):
        unit.get("customer", changes["customer"], param="customer")
    if params.get("payment_method"):
        changes |= {
            "payment_method": resolve(unit, params["payment_method"]).id,
            "status": "requires_confirmation",
        }
    return update(unit, record, changes, None)


@operation(
    "POST",
    _ONE + "/confirm",
    "_payment_intent_confirm_params.PaymentIntentConfirmParams",
    for_browsers=True,
)
def confirm(unit: UnitOfWork, params: Parameters, intent_id: str) -> Json:
    """Try to pay an intent."""
    only(params, _CONFIRM, "payment intent confirmation")
    from stripe_twin.resources.owners import lock_owned, tell_owner  # invoices are paid by intents

    owned = lock_owned(unit, intent_id)
    return _confirm(unit, owned.intent, params, lambda outcome: tell_owner(unit, owned, outcome))


def _confirm(
    unit: UnitOfWork, record: Record, params: Parameters, tell: Callable[[Outcome], None] | None = None
) -> Json:
    if record.data["status"] not in _OPEN:
        raise _wrong_state(record, "confirmed")
    if record.hidden.get("session"):
        raise invalid("This PaymentIntent belongs to a Checkout Session and is confirmed by its page.")
    record.data |= simple_changes(params, record.data, ("setup_future_usage", "receipt_email"))
    if params.get("shipping"):
        record.data["shipping"] = shipping_shape(params["shipping"])
    method_id = params.get("payment_method") or record.data["payment_method"]
    if not method_id:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either "
            "update the PaymentIntent with a payment method and then confirm it again, or confirm it "
            "again directly with a payment method or ConfirmationToken.",
            code="payment_intent_unexpected_state",
        )
    method = resolve(unit, method_id, lock=True)
    _check_owner(record, method)
    if method.data["type"] not in record.data["payment_method_types"]:
        raise invalid(
            f"The PaymentMethod provided ({method.data['type']}) is not allowed for this PaymentIntent. "
            f"Allowed are: {', '.join(record.data['payment_method_types'])}.",
            param="payment_method",
        )
    off_session = params.get("off_session", False) is not False
    return_url = None if params.get("use_stripe_sdk") else params.get("return_url")
    outcome = attempt(unit, record, method, off_session=off_session, return_url=return_url)
    if tell is not None:
        tell(outcome)
    return _answer(record, outcome)


def _check_owner(record: Record, method: Record) -> None:
    owner, payer = method.data["customer"], record.data["customer"]
    if owner is not None and owner != payer:
        raise invalid(
            f"The provided PaymentMethod ({method.id}) belongs to a Customer. Include that Customer in "
            "the customer parameter on the PaymentIntent.",
            param="payment_method",
        )
    if owner is None and method.hidden.get("detached"):
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
            "attachment, or was detached from a Customer. It may not be used again.",
            param="payment_method",
        )


def _answer(record: Record, outcome: Outcome) -> Json:
    if outcome.kind == "declined":
        raise card_error(record, outcome)
    return record.data


def _wrong_state(record: Record, verb: str) -> StripeError:
    return unexpected_state(
        f"This PaymentIntent's status is {record.data['status']}, so it could not be {verb}.",
        "payment_intent_unexpected_state",
        payment_intent=record.data,
    )


@operation("POST", _ONE + "/cancel", "_payment_intent_cancel_params.PaymentIntentCancelParams")
def cancel(unit: UnitOfWork, params: Parameters, intent_id: str) -> Json:
    """Cancel an intent that is not paid and emit `payment_intent.canceled`."""
    record = unit.get("payment_intent", intent_id, lock=True)
    if record.data["status"] not in _OPEN:
        raise _wrong_state(record, "canceled")
    if record.hidden.get("session"):
        raise invalid("You cannot cancel this PaymentIntent: expire its Checkout Session instead.")
    return cancel_intent(unit, record, params.get("cancellation_reason"))


def cancel_intent(unit: UnitOfWork, record: Record, reason: str | None) -> Json:
    """Cancel a locked intent and emit `payment_intent.canceled`."""
    record.data |= {
        "canceled_at": unit.now,
        "cancellation_reason": reason,
        "next_action": None,
        "status": "canceled",
    }
    unit.save(record)
    unit.emit("payment_intent.canceled", record.data)
    return record.data
