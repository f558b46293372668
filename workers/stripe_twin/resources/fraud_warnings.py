"""Early fraud warnings: a bank says that a payment may be fraudulent, before there is a dispute.

Source: https://docs.stripe.com/api/radar/early_fraud_warnings
"""

from __future__ import annotations

from stripe_twin.identifiers import new_id
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork

_KIND = "radar.early_fraud_warning"
_PATH = "/v1/radar/early_fraud_warnings"


def warn(unit: UnitOfWork, charge: Record, fraud_type: str = "made_with_stolen_card") -> Record:
    """Store a warning about a charge and emit `radar.early_fraud_warning.created`."""
    warning = complete(
        _KIND,
        {
            "id": new_id("issfr"),
            "actionable": not charge.data["refunded"] and not charge.data["disputed"],
            "charge": charge.id,
            "created": unit.now,
            "fraud_type": fraud_type,
            "payment_intent": charge.data["payment_intent"],
        },
    )
    record = unit.insert(warning)
    unit.emit("radar.early_fraud_warning.created", warning)
    return record


@operation("GET", _PATH, "radar._early_fraud_warning_list_params.EarlyFraudWarningListParams")
def list_warnings(unit: UnitOfWork, params: Parameters) -> Json:
    """List warnings, by charge or payment intent."""
    return list_objects(unit, _KIND, params, _PATH)


@operation(
    "GET",
    _PATH + "/<warning_id>",
    "radar._early_fraud_warning_retrieve_params.EarlyFraudWarningRetrieveParams",
)
def retrieve(unit: UnitOfWork, _params: Parameters, warning_id: str) -> Json:
    """Return a warning."""
    return unit.get(_KIND, warning_id).data
