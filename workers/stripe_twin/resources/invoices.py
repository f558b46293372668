"""Invoices: the calls. What they do is in `invoicing` and `collection`.

Source: https://docs.stripe.com/api/invoices
"""

from __future__ import annotations

from stripe_twin.errors import CardError, StripeError, invalid, missing_parameter, unexpected_state
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources import invoicing
from stripe_twin.resources.collection import (
    after_payment,
    collect,
    finalize_and_collect,
    lock_invoice,
)
from stripe_twin.resources.common import check_limit, only, simple_changes, update, value_of
from stripe_twin.resources.discounts import find_coupon, redeem
from stripe_twin.resources.invoice_drafts import PATH, create_invoice, recalculate, subscription_of
from stripe_twin.resources.payment_methods import attach, resolve
from stripe_twin.resources.payments import Outcome, card_error
from stripe_twin.resources.prices import currency_code
from stripe_twin.resources.prorations import attach_items, take_pending
from stripe_twin.resources.subscription_changes import update_subscription
from stripe_twin.resources.subscription_cycle import as_preview, preview_renewal
from stripe_twin.resources.subscription_states import change, lock_subscription
from stripe_twin.shapes import Json, listing
from stripe_twin.timers import set_timer
from stripe_twin.unit import Record, UnitOfWork

_ONE = PATH + "/<invoice_id>"
_TEXTS = ("description", "footer", "default_payment_method", "collection_method", "statement_descriptor")
_CREATE = (
    *_TEXTS,
    "auto_advance",
    "automatic_tax",
    "currency",
    "customer",
    "days_until_due",
    "discounts",
    "metadata",
    "pending_invoice_items_behavior",
)
_UPDATE = (*_TEXTS, "auto_advance", "metadata")
_LIST = ("collection_method", "created", "customer", "ending_before", "limit", "starting_after", "status")


@operation("POST", PATH, "_invoice_create_params.InvoiceCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Make a draft by hand; `invoiceitems` put lines on it."""
    only(params, _CREATE, "invoice creation")
    if not params.get("customer"):
        raise missing_parameter("customer")
    customer = unit.get("customer", params["customer"], param="customer")
    if params.get("collection_method") == "send_invoice" and params.get("days_until_due") is None:
        raise missing_parameter("days_until_due")
    currency = currency_code(params.get("currency") or customer.data["currency"] or "usd")
    takes_pending = params.get("pending_invoice_items_behavior") == "include"
    lines = take_pending(unit, customer.id, None, currency) if takes_pending else []
    discounts = []
    for index, given in enumerate(value_of(params, "discounts") or []):
        coupon, code = find_coupon(unit, given, customer.id, f"discounts[{index}]")
        discounts.append(redeem(unit, coupon, code, customer_id=customer.id).id)
    invoice = create_invoice(
        unit,
        customer,
        lines,
        currency=currency,
        reason="manual",
        period=(unit.now, unit.now),
        auto_advance=params.get("auto_advance", False),
        automatic_tax=(params.get("automatic_tax") or {}).get("enabled"),
        collection_method=params.get("collection_method", "charge_automatically"),
        days_until_due=params.get("days_until_due"),
        default_payment_method=value_of(params, "default_payment_method"),
        description=value_of(params, "description"),
        discounts=discounts,
        footer=value_of(params, "footer"),
        metadata=value_of(params, "metadata"),
    )
    attach_items(unit, invoice)
    if invoice.data["auto_advance"]:
        invoice.data["automatically_finalizes_at"] = unit.now + 3600
        unit.save(invoice)
        set_timer(unit, invoice.id, "invoice_is_finalized", unit.now + 3600, customer.id)
    return invoice.data


@operation("GET", PATH, "_invoice_list_params.InvoiceListParams")
def list_invoices(unit: UnitOfWork, params: Parameters) -> Json:
    """List invoices, by customer, subscription or status."""
    only(params, (*_LIST, "subscription"), "the list of invoices")
    check_limit(params)
    matching: Json = {
        name: params[name] for name in ("collection_method", "customer", "status") if name in params
    }
    if params.get("subscription"):
        matching["parent"] = {"subscription_details": {"subscription": params["subscription"]}}
    page = unit.page("invoice", params, matching)
    return listing([record.data for record in page.records], PATH, has_more=page.has_more)


@operation("POST", PATH + "/create_preview", "_invoice_create_preview_params.InvoiceCreatePreviewParams")
def create_preview(unit: UnitOfWork, params: Parameters) -> Json:
    """Return the invoice that a renewal, or a change of plan, would make; nothing of it stays."""
    only(params, ("customer", "subscription", "subscription_details", "preview_mode"), "an invoice preview")
    subscription_id = params.get("subscription")
    if not subscription_id:
        raise missing_parameter("subscription")
    unit.get("subscription", subscription_id, param="subscription")
    details = params.get("subscription_details") or {}
    only(
        details,
        ("billing_cycle_anchor", "items", "proration_behavior", "proration_date", "trial_end"),
        "subscription_details of an invoice preview",
    )
    with unit.connection.transaction(force_rollback=True):
        subscription = lock_subscription(unit, subscription_id)
        latest = subscription.data["latest_invoice"]
        if details:
            update_subscription(unit, subscription, {**details, "payment_behavior": "default_incomplete"})
        if subscription.data["latest_invoice"] != latest:
            return as_preview(unit.get("invoice", subscription.data["latest_invoice"]))
        return preview_renewal(unit, subscription_id)


@operation("GET", _ONE, "_invoice_retrieve_params.InvoiceRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, invoice_id: str) -> Json:
    """Return an invoice."""
    return unit.get("invoice", invoice_id).data


@operation("GET", _ONE + "/lines", "_invoice_line_item_list_params.InvoiceLineItemListParams")
def list_lines(unit: UnitOfWork, params: Parameters, invoice_id: str) -> Json:
    """List an invoice's lines."""
    check_limit(params)
    lines = unit.get("invoice", invoice_id).data["lines"]["data"]
    after = params.get("starting_after")
    if after:
        position = next((index for index, line in enumerate(lines) if line["id"] == after), None)
        if position is None:
            raise invalid(f"No such line item: '{after}'", param="starting_after", code="resource_missing")
        lines = lines[position + 1 :]
    limit = int(params.get("limit", 10))
    return listing(lines[:limit], f"{PATH}/{invoice_id}/lines", has_more=len(lines) > limit)


@operation("POST", _ONE, "_invoice_update_params.InvoiceUpdateParams")
def update_invoice(unit: UnitOfWork, params: Parameters, invoice_id: str) -> Json:
    """Change an invoice: a draft's texts, later its metadata and whether Stripe goes on with it."""
    only(params, _UPDATE, "invoice update")
    invoice = unit.get("invoice", invoice_id, lock=True)
    if invoice.data["status"] != "draft" and params.keys() - {
        "auto_advance",
        "metadata",
        "default_payment_method",
    }:
        raise invalid("Finalized invoices can't be updated in this way.", code="invoice_not_editable")
    return update(
        unit, invoice, simple_changes(params, invoice.data, (*_TEXTS, "auto_advance")), "invoice.updated"
    )


@operation("DELETE", _ONE, "_invoice_delete_params.InvoiceDeleteParams")
def delete(unit: UnitOfWork, _params: Parameters, invoice_id: str) -> Json:
    """Delete a draft that no subscription made, and emit `invoice.deleted`."""
    invoice = unit.get("invoice", invoice_id, lock=True)
    if invoice.data["status"] != "draft" or subscription_of(invoice.data):
        raise invalid("You can only delete one-off draft invoices.", code="invoice_not_editable")
    invoicing.stop_timers(unit, invoice)
    invoice.deleted = True
    unit.save(invoice)
    unit.emit("invoice.deleted", invoice.data)
    return {"id": invoice_id, "object": "invoice", "deleted": True}


@operation("POST", _ONE + "/finalize", "_invoice_finalize_invoice_params.InvoiceFinalizeInvoiceParams")
def finalize(unit: UnitOfWork, params: Parameters, invoice_id: str) -> Json:
    """Open a draft; Stripe collects it later when it advances by itself."""
    subscription, invoice = lock_invoice(unit, invoice_id)
    if invoice.data["status"] != "draft":
        raise unexpected_state(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            "invoice_not_editable",
        )
    recalculate(unit, invoice)
    if not invoicing.finalize(unit, invoice):
        raise invoicing.location_error()
    if invoice.data["status"] == "paid":
        after_payment(unit, subscription, invoice)
    elif params.get("auto_advance", invoice.data["auto_advance"]):
        if invoice.data["collection_method"] == "send_invoice":
            unit.emit("invoice.sent", invoice.data)
        else:
            invoice.data["next_payment_attempt"] = unit.now + 3600
            unit.save(invoice)
            set_timer(unit, invoice.id, "invoice_is_retried", unit.now + 3600, invoice.data["customer"])
    return invoice.data


@operation("POST", _ONE + "/pay", "_invoice_pay_params.InvoicePayParams")
def pay(unit: UnitOfWork, params: Parameters, invoice_id: str) -> Json:
    """Try to pay an invoice now, or note that it was paid elsewhere."""
    only(params, ("off_session", "paid_out_of_band", "payment_method"), "paying an invoice")
    subscription, invoice = lock_invoice(unit, invoice_id)
    if invoice.data["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice.data["status"] == "void":
        raise unexpected_state("This invoice can no longer be paid", "invoice_not_editable")
    if invoice.data["status"] == "draft" and not invoicing.finalize(unit, invoice):
        raise invoicing.location_error()
    if invoice.data["status"] != "paid":
        if params.get("paid_out_of_band"):
            invoicing.mark_paid(unit, invoice, off_stripe=True)
        else:
            _collect(unit, subscription, invoice, params)
    if invoice.data["status"] == "paid":
        after_payment(unit, subscription, invoice)
    return invoice.data


def _collect(unit: UnitOfWork, subscription: Record | None, invoice: Record, params: Parameters) -> None:
    method_id = params.get("payment_method")
    if method_id:
        method = resolve(unit, method_id, lock=True)
        method_id = method.id
        if method.data["customer"] is None:
            attach(unit, method.id, invoice.data["customer"])
    off_session = params.get("off_session", True) is not False
    outcome = collect(unit, subscription, invoice, off_session=off_session, method_id=method_id)
    if outcome.kind != "succeeded":
        raise _refusal(unit, invoice, outcome)


def _refusal(unit: UnitOfWork, invoice: Record, outcome: Outcome) -> StripeError:
    intent = unit.get("payment_intent", invoice.hidden["payment_intent"])
    if outcome.kind == "requires_action":
        return CardError(
            "This invoice requires additional user action before it can be paid.",
            code="invoice_payment_intent_requires_action",
            payment_intent=intent.data,
        )
    if (outcome.error or {}).get("payment_method") is None:
        error = invalid((outcome.error or {})["message"], code="resource_missing")
        error.keeps_changes = True
        return error
    return card_error(intent, outcome)


@operation("POST", _ONE + "/void", "_invoice_void_invoice_params.InvoiceVoidInvoiceParams")
def void(unit: UnitOfWork, _params: Parameters, invoice_id: str) -> Json:
    """Void an open invoice; the subscription that it began with ends with it."""
    subscription, invoice = lock_invoice(unit, invoice_id)
    invoicing.void(unit, invoice)
    if subscription is not None and subscription.data["status"] == "incomplete":
        change(unit, subscription, {"ended_at": unit.now, "status": "incomplete_expired"})
    return invoice.data


@operation(
    "POST", _ONE + "/mark_uncollectible", "_invoice_mark_uncollectible_params.InvoiceMarkUncollectibleParams"
)
def mark_uncollectible(unit: UnitOfWork, _params: Parameters, invoice_id: str) -> Json:
    """Give an open invoice up."""
    _, invoice = lock_invoice(unit, invoice_id)
    return invoicing.mark_uncollectible(unit, invoice)


@operation("POST", _ONE + "/send", "_invoice_send_invoice_params.InvoiceSendInvoiceParams")
def send(unit: UnitOfWork, _params: Parameters, invoice_id: str) -> Json:
    """Finalize an invoice if need be, and emit `invoice.sent`."""
    subscription, invoice = lock_invoice(unit, invoice_id)
    if invoice.data["collection_method"] != "send_invoice":
        raise invalid("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if invoice.data["status"] == "draft":
        finalize_and_collect(unit, subscription, invoice)
    elif invoice.data["status"] == "open":
        unit.emit("invoice.sent", invoice.data)
    return invoice.data
