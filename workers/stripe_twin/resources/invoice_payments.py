"""Invoice payments: which payment intent pays which invoice.

Source: https://docs.stripe.com/api/invoice-payment
"""

from __future__ import annotations

from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import check_limit
from stripe_twin.shapes import Json, listing
from stripe_twin.unit import UnitOfWork

_PATH = "/v1/invoice_payments"


@operation("GET", _PATH, "_invoice_payment_list_params.InvoicePaymentListParams")
def list_payments(unit: UnitOfWork, params: Parameters) -> Json:
    """List invoice payments, by invoice, status or payment intent."""
    check_limit(params)
    matching: Json = {name: params[name] for name in ("invoice", "payment", "status") if name in params}
    page = unit.page("invoice_payment", params, matching)
    return listing([record.data for record in page.records], _PATH, has_more=page.has_more)


@operation("GET", _PATH + "/<payment_id>", "_invoice_payment_retrieve_params.InvoicePaymentRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, payment_id: str) -> Json:
    """Return an invoice payment."""
    return unit.get("invoice_payment", payment_id).data
