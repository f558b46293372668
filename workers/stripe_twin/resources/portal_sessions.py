"""Billing portal sessions: a short-lived address of the customer's own page.

Source: https://docs.stripe.com/api/customer_portal
"""

from __future__ import annotations

from stripe_twin.errors import missing_parameter
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import only
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import UnitOfWork

_PATH = "/v1/billing_portal/sessions"
_CONFIGURATION = "bpc_twindefault"


@operation("POST", _PATH, "billing_portal._session_create_params.SessionCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a portal session for a customer."""
    only(params, ("customer", "locale", "return_url"), "portal session creation")
    customer_id = params.get("customer")
    if not customer_id:
        raise missing_parameter("customer")
    unit.get("customer", customer_id, param="customer")
    token = random_text(40)
    session = complete(
        "billing_portal.session",
        {
            "id": new_id("bps"),
            "configuration": _CONFIGURATION,
            "created": unit.now,
            "customer": customer_id,
            "locale": params.get("locale"),
            "return_url": params.get("return_url"),
            "url": f"{unit.settings.public_url}/p/session/{token}",
        },
    )
    return unit.insert(session, {"token": token}).data
