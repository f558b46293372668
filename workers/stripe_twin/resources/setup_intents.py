"""Setup intents: the calls. What saving a card does is in `setups`.

Source: https://docs.stripe.com/api/setup_intents
"""

from __future__ import annotations

from stripe_twin.errors import StripeError, invalid, unexpected_state
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, not_supported, only, simple_changes, update
from stripe_twin.resources.payment_methods import resolve
from stripe_twin.resources.setups import attempt_setup, cancel_setup, create_setup, setup_error
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/setup_intents"
_ONE = _PATH + "/<intent_id>"
_CONFIRM = ("payment_method", "return_url", "use_stripe_sdk")
_CREATE = (
    *_CONFIRM,
    "allowed_payment_method_types",
    "automatic_payment_methods",
    "confirm",
    "customer",
    "description",
    "metadata",
    "usage",
)
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


@operation("POST", _PATH, "_setup_intent_create_params.SetupIntentCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a setup intent, and confirm it at once when asked."""
    only(params, _CREATE, "setup intent creation")
    if params.get("customer"):
        unit.get("customer", params["customer"], param="customer")
    allowed = params.get("allowed_payment_method_types")
    if allowed is not None and "card" not in allowed:
        raise not_supported(
            f"payment methods of the types {', '.join(allowed)}", "allowed_payment_method_types"
        )
    record = create_setup(unit, params)
    if params.get("payment_method"):
        method = resolve(unit, params["payment_method"])
        record.data |= {"payment_method": method.id, "status": "requires_confirmation"}
        unit.save(record)
        params["payment_method"] = method.id
    return _confirm(unit, record, params) if params.get("confirm") else record.data


@operation("GET", _PATH, "_setup_intent_list_params.SetupIntentListParams")
def list_intents(unit: UnitOfWork, params: Parameters) -> Json:
    """List setup intents, by customer or payment method."""
    return list_objects(unit, "setup_intent", params, _PATH)


@operation("GET", _ONE, "_setup_intent_retrieve_params.SetupIntentRetrieveParams", for_browsers=True)
def retrieve(unit: UnitOfWork, _params: Parameters, intent_id: str) -> Json:
    """Return a setup intent."""
    return unit.get("setup_intent", intent_id).data


@operation("POST", _ONE, "_setup_intent_update_params.SetupIntentUpdateParams")
def update_intent(unit: UnitOfWork, params: Parameters, intent_id: str) -> Json:
    """Change a setup intent that has not succeeded."""
    only(params, ("customer", "description", "metadata", "payment_method"), "setup intent update")
    record = unit.get("setup_intent", intent_id, lock=True)
    changes = simple_changes(params, record.data, ("customer", "description"))
    if params.get("payment_method"):
        changes |= {
            "payment_method": resolve(unit, params["payment_method"]).id,
            "status": "requires_confirmation",
        }
    return update(unit, record, changes, None)


@operation(
    "POST", _ONE + "/confirm", "_setup_intent_confirm_params.SetupIntentConfirmParams", for_browsers=True
)
def confirm(unit: UnitOfWork, params: Parameters, intent_id: str) -> Json:
    """Try to save a payment method."""
    only(params, _CONFIRM, "setup intent confirmation")
    return _confirm(unit, unit.get("setup_intent", intent_id, lock=True), params)


def _confirm(unit: UnitOfWork, record: Record, params: Parameters) -> Json:
    if record.data["status"] not in _OPEN:
        raise _wrong_state(record, "confirmed")
    if record.hidden.get("session"):
        raise invalid("This SetupIntent belongs to a Checkout Session and is confirmed by its page.")
    method_id = params.get("payment_method") or record.data["payment_method"]
    if not method_id:
        raise invalid(
            "You cannot confirm this SetupIntent because it's missing a payment method. Update the "
            "SetupIntent with a payment method and then confirm it again.",
            code="setup_intent_unexpected_state",
        )
    method = resolve(unit, method_id, lock=True)
    return_url = None if params.get("use_stripe_sdk") else params.get("return_url")
    outcome = attempt_setup(unit, record, method, return_url=return_url)
    if outcome.kind == "declined":
        raise setup_error(record, outcome)
    return record.data


@operation("POST", _ONE + "/cancel", "_setup_intent_cancel_params.SetupIntentCancelParams")
def cancel(unit: UnitOfWork, params: Parameters, intent_id: str) -> Json:
    """Cancel a setup intent and emit `setup_intent.canceled`."""
    record = unit.get("setup_intent", intent_id, lock=True)
    if record.data["status"] not in _OPEN:
        raise _wrong_state(record, "canceled")
    return cancel_setup(unit, record, params.get("cancellation_reason"))


def _wrong_state(record: Record, verb: str) -> StripeError:
    return unexpected_state(
        f"This SetupIntent's status is {record.data['status']}, so it could not be {verb}.",
        "setup_intent_unexpected_state",
        setup_intent=record.data,
    )
