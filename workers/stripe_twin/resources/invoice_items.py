"""Invoice items: charges and credits that wait for the customer's next invoice.

Source: https://docs.stripe.com/api/invoiceitems
"""

from __future__ import annotations

from decimal import Decimal

from stripe_twin.errors import StripeError, invalid, missing_parameter
from stripe_twin.identifiers import new_id
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, not_supported, only, simple_changes, value_of
from stripe_twin.resources.invoice_drafts import recalculate
from stripe_twin.resources.invoice_lines import amount_of, pricing
from stripe_twin.resources.prices import create_price, currency_code
from stripe_twin.resources.prorations import line_of
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/invoiceitems"
_ONE = _PATH + "/<item_id>"
_CREATE = (
    "amount",
    "currency",
    "customer",
    "description",
    "discountable",
    "invoice",
    "metadata",
    "period",
    "price_data",
    "pricing",
    "quantity",
    "subscription",
    "unit_amount_decimal",
)
_UPDATE = ("amount", "description", "discountable", "metadata", "period", "quantity")


@operation("POST", _PATH, "_invoice_item_create_params.InvoiceItemCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Add a charge or credit to a draft, or let it wait for the next invoice; emit `invoiceitem.created`."""
    only(params, _CREATE, "invoice item creation")
    if not params.get("customer"):
        raise missing_parameter("customer")
    customer = unit.get("customer", params["customer"], param="customer")
    invoice = _draft(unit, params["invoice"]) if params.get("invoice") else None
    price, amount, currency = _amounts(unit, params)
    period = params.get("period") or {"end": unit.now, "start": unit.now}
    quantity = params.get("quantity", 1)
    owner = params.get("subscription")
    parent = {"subscription_details": {"subscription": owner, "subscription_item": None}}
    data = complete(
        "invoiceitem",
        {
            "id": new_id("ii"),
            "amount": amount,
            "currency": currency,
            "customer": customer.id,
            "date": unit.now,
            "description": value_of(params, "description"),
            "discountable": params.get("discountable", amount > 0),
            "discounts": [],
            "invoice": invoice.id if invoice else None,
            "metadata": value_of(params, "metadata") or {},
            "net_amount": amount,
            "parent": {**parent, "type": "subscription_details"} if owner else None,
            "period": {"end": period["end"], "start": period["start"]},
            "pricing": pricing(price) if price else None,
            "proration": False,
            "quantity": quantity,
            "quantity_decimal": str(quantity),
            "test_clock": customer.data["test_clock"],
        },
    )
    record = unit.insert(data)
    unit.emit("invoiceitem.created", data)
    if invoice is not None:
        _put_on(unit, record, invoice)
    return record.data


def _amounts(unit: UnitOfWork, params: Parameters) -> tuple[Json | None, int, str]:
    if "amount" in params:
        if not params.get("currency"):
            raise missing_parameter("currency")
        return None, int(params["amount"]), currency_code(params["currency"])
    quantity = int(params.get("quantity", 1))
    if params.get("unit_amount_decimal"):
        if not params.get("currency"):
            raise missing_parameter("currency")
        return None, int(Decimal(params["unit_amount_decimal"]) * quantity), currency_code(params["currency"])
    if params.get("pricing"):
        price = unit.get("price", params["pricing"]["price"], param="pricing[price]").data
    elif params.get("price_data"):
        price = create_price(unit, {**params["price_data"], "active": False}, param="price_data").data
    else:
        raise missing_parameter("amount")
    if price["recurring"]:
        raise invalid("Invoice items take one-time prices only.", param="pricing[price]")
    return price, amount_of(price, quantity), price["currency"]


def _draft(unit: UnitOfWork, invoice_id: str) -> Record:
    invoice = unit.get("invoice", invoice_id, lock=True, param="invoice")
    if invoice.data["status"] != "draft":
        raise invalid("Finalized invoices can't be updated in this way.", code="invoice_not_editable")
    return invoice


def _put_on(unit: UnitOfWork, item: Record, invoice: Record) -> None:
    line = line_of(unit, item)
    line["invoice"] = invoice.id
    invoice.data["lines"]["data"].append(line)
    recalculate(unit, invoice)
    unit.save(invoice)
    unit.emit("invoice.updated", invoice.data, {"lines": None})


@operation("GET", _PATH, "_invoice_item_list_params.InvoiceItemListParams")
def list_items(unit: UnitOfWork, params: Parameters) -> Json:
    """List invoice items, by customer, invoice, or whether they wait."""
    pending = params.pop("pending", None)
    if pending is False:
        raise not_supported("the list of invoice items that are not pending", "pending")
    fixed = {"invoice": None} if pending else {}
    return list_objects(unit, "invoiceitem", params, _PATH, **fixed)


@operation("GET", _ONE, "_invoice_item_retrieve_params.InvoiceItemRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, item_id: str) -> Json:
    """Return an invoice item."""
    return unit.get("invoiceitem", item_id).data


@operation("POST", _ONE, "_invoice_item_update_params.InvoiceItemUpdateParams")
def update_item(unit: UnitOfWork, params: Parameters, item_id: str) -> Json:
    """Change an invoice item that waits."""
    only(params, _UPDATE, "invoice item update")
    record = _waiting(unit, item_id)
    record.data |= simple_changes(params, record.data, ("amount", "description", "discountable", "period"))
    if "quantity" in params:
        each = Decimal(record.data["amount"]) / record.data["quantity"]
        record.data |= {"quantity": params["quantity"], "quantity_decimal": str(params["quantity"])}
        record.data["amount"] = int(each * params["quantity"])
    record.data["net_amount"] = record.data["amount"]
    unit.save(record)
    return record.data


@operation("DELETE", _ONE, "_invoice_item_delete_params.InvoiceItemDeleteParams")
def delete(unit: UnitOfWork, _params: Parameters, item_id: str) -> Json:
    """Delete an invoice item that waits, and emit `invoiceitem.deleted`."""
    record = _waiting(unit, item_id)
    record.deleted = True
    unit.save(record)
    unit.emit("invoiceitem.deleted", record.data)
    return {"id": item_id, "object": "invoiceitem", "deleted": True}


def _waiting(unit: UnitOfWork, item_id: str) -> Record:
    record = unit.get("invoiceitem", item_id, lock=True)
    if record.data["invoice"]:
        raise _on_invoice()
    return record


def _on_invoice() -> StripeError:
    return invalid("This invoice item is on an invoice already.", code="invoice_not_editable")
