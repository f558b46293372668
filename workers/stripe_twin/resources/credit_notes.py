"""Credit notes: what is taken back of a finalized invoice, before or after it was paid.

Source: https://docs.stripe.com/invoicing/integration/programmatic-credit-notes
"""

from __future__ import annotations

from stripe_twin.errors import StripeError, invalid, missing_parameter, unexpected_state
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.collection import after_payment, lock_invoice
from stripe_twin.resources.common import list_objects, only, simple_changes, update, value_of
from stripe_twin.resources.invoicing import mark_paid, payment_of
from stripe_twin.resources.refunding import create_refund
from stripe_twin.shapes import Json, complete, listing
from stripe_twin.unit import Record, UnitOfWork, changed, snapshot

_PATH = "/v1/credit_notes"
_ONE = _PATH + "/<note_id>"
_CREATE = (
    "amount",
    "credit_amount",
    "invoice",
    "lines",
    "memo",
    "metadata",
    "out_of_band_amount",
    "reason",
    "refund_amount",
)


@operation("POST", _PATH, "_credit_note_create_params.CreditNoteCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Take back a part of an invoice: by a refund, as credit, or off what is still owed."""
    only(params, _CREATE, "credit note creation")
    subscription, invoice = lock_invoice(unit, params["invoice"])
    if invoice.data["status"] not in ("open", "paid"):
        raise unexpected_state(
            "You can only create credit notes for open or paid invoices.", "invoice_not_editable"
        )
    lines = _lines(invoice, params)
    total = sum(line["amount"] for line in lines)
    is_paid = invoice.data["status"] == "paid"
    _check(unit, invoice, params, total, is_paid=is_paid)
    note = unit.insert(_shape(unit, invoice, params, lines, total, is_paid=is_paid))
    before = snapshot(invoice.data)
    if is_paid:
        _give_back(unit, invoice, note, params)
        invoice.data["post_payment_credit_notes_amount"] += total
    else:
        _lower(unit, invoice, total)
    unit.save(note)
    unit.save(invoice)
    unit.emit("credit_note.created", note.data)
    unit.emit("invoice.updated", invoice.data, changed(before, invoice.data))
    if not is_paid and invoice.data["amount_remaining"] == 0:
        mark_paid(unit, invoice)
        after_payment(unit, subscription, invoice)
    return note.data


def _lines(invoice: Record, params: Parameters) -> list[Json]:
    given = params.get("lines")
    if bool(given) == ("amount" in params):
        raise invalid("Name an amount or lines, not both.", param="amount")
    if not given:
        return [_line(params["amount"], "Credit", None)]
    lines = []
    for index, one in enumerate(given):
        amount, of = one.get("amount"), one.get("invoice_line_item")
        if amount is None and one.get("unit_amount") is not None:
            amount = one["unit_amount"] * one.get("quantity", 1)
        if amount is None:
            raise missing_parameter(f"lines[{index}][amount]")
        known = [line for line in invoice.data["lines"]["data"] if line["id"] == of]
        if one["type"] == "invoice_line_item" and not known:
            raise invalid(f"No such line item: '{of}'", param=f"lines[{index}][invoice_line_item]")
        text = one.get("description") or (known[0]["description"] if known else "Credit")
        lines.append(_line(amount, text, of))
    return lines


def _line(amount: int, description: str | None, invoice_line: str | None) -> Json:
    return complete(
        "credit_note_line_item",
        {
            "id": new_id("cnli"),
            "amount": amount,
            "description": description,
            "discount_amount": 0,
            "discount_amounts": [],
            "invoice_line_item": invoice_line,
            "metadata": {},
            "pretax_credit_amounts": [],
            "tax_rates": [],
            "taxes": [],
            "type": "invoice_line_item" if invoice_line else "custom_line_item",
        },
    )


def _check(unit: UnitOfWork, invoice: Record, params: Parameters, total: int, *, is_paid: bool) -> None:
    if total < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    parts = sum(params.get(name, 0) for name in ("credit_amount", "out_of_band_amount", "refund_amount"))
    if not is_paid:
        if parts:
            raise invalid("An open invoice is credited by lowering what it asks for.", param="refund_amount")
        if total > invoice.data["amount_remaining"]:
            raise _too_much(total, invoice.data["amount_remaining"])
        return
    noted = invoice.data["post_payment_credit_notes_amount"]
    left = invoice.data["amount_paid"] - noted
    if total > left:
        raise _too_much(total, left)
    if parts != total:
        raise invalid(
            f"The sum of credit amount, refund amount and out of band amount ({parts}) must equal the credit "
            f"note amount ({total}).",
            param="amount",
        )


def _too_much(total: int, left: int) -> StripeError:
    return invalid(f"The credit note amount ({total}) is greater than what is left ({left}).", param="amount")


def _shape(
    unit: UnitOfWork, invoice: Record, params: Parameters, lines: list[Json], total: int, *, is_paid: bool
) -> Json:
    earlier = len(unit.all("credit_note", {"invoice": invoice.id}))
    note_id = new_id("cn")
    token = random_text(40)
    return complete(
        "credit_note",
        {
            "id": note_id,
            "amount": total,
            "amount_shipping": 0,
            "created": unit.now,
            "currency": invoice.data["currency"],
            "customer": invoice.data["customer"],
            "discount_amount": 0,
            "discount_amounts": [],
            "effective_at": unit.now,
            "invoice": invoice.id,
            "lines": listing(lines, f"{_PATH}/{note_id}/lines"),
            "memo": value_of(params, "memo"),
            "metadata": value_of(params, "metadata") or {},
            "number": f"{invoice.data['number']}-CN-{earlier + 1:02}",
            "out_of_band_amount": params.get("out_of_band_amount"),
            "pdf": f"{unit.settings.public_url}/i/{invoice.hidden['token']}/credit/{token}",
            "post_payment_amount": total if is_paid else 0,
            "pre_payment_amount": 0 if is_paid else total,
            "pretax_credit_amounts": [],
            "reason": params.get("reason"),
            "refunds": [],
            "status": "issued",
            "subtotal": total,
            "subtotal_excluding_tax": total,
            "total": total,
            "total_excluding_tax": total,
            "total_taxes": [],
            "type": "post_payment" if is_paid else "pre_payment",
        },
    )


def _give_back(unit: UnitOfWork, invoice: Record, note: Record, params: Parameters) -> None:
    amount = params.get("refund_amount", 0)
    if amount:
        payment = payment_of(unit, invoice)
        if payment is None or payment.data["status"] != "paid":
            raise invalid("This invoice has no payment to refund.", param="refund_amount")
        intent = unit.get("payment_intent", payment.data["payment"]["payment_intent"], lock=True)
        charge = unit.get("charge", intent.data["latest_charge"], lock=True)
        refund = create_refund(unit, charge, {"amount": amount})
        note.data["refunds"] = [
            {
                "amount_refunded": amount,
                "payment_record_refund": None,
                "refund": refund.id,
                "type": "refund",
            }
        ]
    credit = params.get("credit_amount", 0)
    if credit:
        customer = unit.get("customer", invoice.data["customer"], lock=True)
        update(unit, customer, {"balance": customer.data["balance"] - credit}, "customer.updated")


def _lower(unit: UnitOfWork, invoice: Record, total: int) -> None:
    """Take an amount off what an open invoice asks for, and off the payment that it waits for."""
    invoice.data["pre_payment_credit_notes_amount"] += total
    invoice.data["amount_due"] -= total
    invoice.data["amount_remaining"] -= total
    payment = payment_of(unit, invoice)
    if payment is not None and payment.data["status"] == "open" and invoice.data["amount_due"] > 0:
        intent = unit.get("payment_intent", payment.data["payment"]["payment_intent"], lock=True)
        intent.data["amount"] = invoice.data["amount_due"]
        payment.data["amount_requested"] = invoice.data["amount_due"]
        unit.save(intent)
        unit.save(payment)


@operation("GET", _PATH, "_credit_note_list_params.CreditNoteListParams")
def list_notes(unit: UnitOfWork, params: Parameters) -> Json:
    """List credit notes, by customer or invoice."""
    return list_objects(unit, "credit_note", params, _PATH)


@operation("GET", _ONE, "_credit_note_retrieve_params.CreditNoteRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, note_id: str) -> Json:
    """Return a credit note."""
    return unit.get("credit_note", note_id).data


@operation("POST", _ONE, "_credit_note_update_params.CreditNoteUpdateParams")
def update_note(unit: UnitOfWork, params: Parameters, note_id: str) -> Json:
    """Change a credit note's memo or metadata and emit `credit_note.updated`."""
    record = unit.get("credit_note", note_id, lock=True)
    return update(unit, record, simple_changes(params, record.data, ("memo",)), "credit_note.updated")


@operation("POST", _ONE + "/void", "_credit_note_void_credit_note_params.CreditNoteVoidCreditNoteParams")
def void(unit: UnitOfWork, _params: Parameters, note_id: str) -> Json:
    """Void a credit note of an invoice that is still open, and emit `credit_note.voided`."""
    _, invoice = lock_invoice(unit, unit.get("credit_note", note_id).data["invoice"])
    note = unit.get("credit_note", note_id, lock=True)
    if note.data["status"] != "issued" or invoice.data["status"] != "open":
        raise unexpected_state("You can only void credit notes of open invoices.", "credit_note_not_voidable")
    before = snapshot(invoice.data)
    _lower(unit, invoice, -note.data["amount"])
    note.data |= {"status": "void", "voided_at": unit.now}
    unit.save(note)
    unit.save(invoice)
    unit.emit("credit_note.voided", note.data)
    unit.emit("invoice.updated", invoice.data, changed(before, invoice.data))
    return note.data
