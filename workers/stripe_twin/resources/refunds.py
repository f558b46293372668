"""Refunds of charges, in full or in part: the calls. What they do is in `refunding`.

Source: https://docs.stripe.com/api/refunds
"""

from __future__ import annotations

from stripe_twin.errors import invalid
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, only, simple_changes, update
from stripe_twin.resources.refunding import cancel, create_refund, lock_refund
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/refunds"


@operation("POST", _PATH, "_refund_create_params.RefundCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Give money back: `refund.created`, `charge.refunded` and, with the reference, `refund.updated`."""
    only(params, ("amount", "charge", "metadata", "payment_intent", "reason"), "refund creation")
    return create_refund(unit, _charge_of(unit, params), params).data


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


@operation("POST", _PATH + "/<refund_id>/cancel", "_refund_cancel_params.RefundCancelParams")
def cancel_refund(unit: UnitOfWork, _params: Parameters, refund_id: str) -> Json:
    """Cancel a refund that is still pending."""
    record, charge = lock_refund(unit, refund_id)
    return cancel(unit, record, charge)
