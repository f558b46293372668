"""Refunds of charges, in full or in part.

Source: https://docs.stripe.com/api/refunds
"""

from __future__ import annotations

from stripe_twin.errors import invalid
from stripe_twin.identifiers import new_id
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, only, simple_changes, update, value_of
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork, changed, snapshot

_PATH = "/v1/refunds"


@operation("POST", _PATH, "_refund_create_params.RefundCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Give money back: `refund.created`, `charge.refunded` and, with the reference, `refund.updated`."""
    only(params, ("amount", "charge", "metadata", "payment_intent", "reason"), "refund creation")
    charge = _charge_of(unit, params)
    left = charge.data["amount"] - charge.data["amount_refunded"]
    amount = params.get("amount", left)
    _check(charge, amount, left)
    record = unit.insert(_shape(unit, charge, amount, params))
    unit.emit("refund.created", record.data)
    before = snapshot(charge.data)
    charge.data["amount_refunded"] += amount
    charge.data["refunded"] = charge.data["amount_refunded"] == charge.data["amount"]
    unit.save(charge)
    unit.emit("charge.refunded", charge.data, changed(before, charge.data))
    details = {
        **record.data["destination_details"]["card"],
        "reference": new_id("")[1:17],
        "reference_status": "available",
    }
    return update(unit, record, {"destination_details": {"type": "card", "card": details}}, "refund.updated")


def _charge_of(unit: UnitOfWork, params: Parameters) -> Record:
    if bool(params.get("charge")) == bool(params.get("payment_intent")):
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or charge."
        )
    if params.get("charge"):
        return unit.get("charge", params["charge"], lock=True, param="charge")
    intent = unit.get("payment_intent", params["payment_intent"], lock=True, param="payment_intent")
    if intent.data["status"] != "succeeded":
        raise invalid(
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.",
            param="payment_intent",
        )
    return unit.get("charge", intent.data["latest_charge"], lock=True, param="payment_intent")


def _check(charge: Record, amount: int, left: int) -> None:
    if charge.data["status"] != "succeeded":
        raise invalid("This charge cannot be refunded: it did not succeed.", param="charge")
    if left == 0:
        raise invalid(f"Charge {charge.id} has already been refunded.", code="charge_already_refunded")
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount > left:
        raise invalid(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount"
        )


def _shape(unit: UnitOfWork, charge: Record, amount: int, params: Parameters) -> Json:
    return complete(
        "refund",
        {
            "id": new_id("re"),
            "amount": amount,
            "charge": charge.id,
            "created": unit.now,
            "currency": charge.data["currency"],
            "customer": charge.data["customer"],
            "destination_details": {
                "type": "card",
                "card": {"reference_status": "pending", "type": "refund"},
            },
            "metadata": value_of(params, "metadata") or {},
            "payment_intent": charge.data["payment_intent"],
            "payment_method": charge.data["payment_method"],
            "reason": params.get("reason"),
            "status": "succeeded",
        },
    )


@operation("GET", _PATH, "_refund_list_params.RefundListParams")
def list_refunds(unit: UnitOfWork, params: Parameters) -> Json:
    """List refunds, by charge or payment intent."""
    return list_objects(unit, "refund", params, _PATH)


@operation("GET", _PATH + "/<refund_id>", "_refund_retrieve_params.RefundRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, refund_id: str) -> Json:
    """Return a refund."""
    return unit.get("refund", refund_id).data


@operation("POST", _PATH + "/<refund_id>", "_refund_update_params.RefundUpdateParams")
def update_refund(unit: UnitOfWork, params: Parameters, refund_id: str) -> Json:
    """Change a refund's metadata and emit `refund.updated`."""
    record = unit.get("refund", refund_id, lock=True)
    return update(unit, record, simple_changes(params, record.data, ()), "refund.updated")
