"""The life of an invoice, from draft to open, paid, void or uncollectible; subscriptions are not known here.

Source: https://docs.stripe.com/invoicing/overview#invoice-statuses
"""

from __future__ import annotations

from stripe_twin.errors import StripeError, unexpected_state
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.resources.common import update
from stripe_twin.resources.invoice_drafts import recalculate, subscription_of
from stripe_twin.resources.payments import SMALLEST_AMOUNTS, create_intent
from stripe_twin.shapes import Json, complete
from stripe_twin.timers import set_timer
from stripe_twin.unit import Record, UnitOfWork, changed, snapshot

_SPOKEN = {
    "subscription_create": "Subscription creation",
    "subscription_cycle": "Subscription update",
    "subscription_update": "Subscription update",
}


def finalize(unit: UnitOfWork, invoice: Record, *, intent: Record | None = None) -> bool:
    """Open a locked draft, and pay it at once when nothing is due; return whether it could be opened.

    Args:
        unit: The unit of work.
        invoice: The locked draft.
        intent: The payment intent that has paid it already, as after a checkout; the balance is left alone
            then.
    """
    if invoice.data["automatic_tax"]["status"] == "requires_location_inputs":
        _fail_finalization(unit, invoice)
        return False
    recalculate(unit, invoice)
    customer = unit.get("customer", invoice.data["customer"], lock=True)
    if intent is None:
        _take_balance(unit, invoice, customer)
    _take_number(unit, invoice, customer)
    token = random_text(40)
    invoice.hidden["token"] = token
    page = f"{unit.settings.public_url}/i/{token}"
    invoice.data |= {
        "automatically_finalizes_at": None,
        "effective_at": unit.now,
        "hosted_invoice_url": page,
        "invoice_pdf": f"{page}/pdf",
        "last_finalization_error": None,
        "status": "open",
    }
    invoice.data["status_transitions"]["finalized_at"] = unit.now
    invoice.data["discounts"] = list(invoice.data["discounts"])
    if invoice.data["due_date"]:
        set_timer(unit, invoice.id, "invoice_is_overdue", invoice.data["due_date"], customer.id)
    unit.save(invoice)
    unit.emit("invoice.finalized", invoice.data)
    if invoice.data["amount_due"] == 0:
        mark_paid(unit, invoice)
    else:
        _ask_for_payment(unit, invoice, intent)
    return True


def _fail_finalization(unit: UnitOfWork, invoice: Record) -> None:
    invoice.data["last_finalization_error"] = {
        "code": "customer_tax_location_invalid",
        "doc_url": "https://docs.stripe.com/error-codes/customer-tax-location-invalid",
        "message": NO_LOCATION,
        "type": "invalid_request_error",
    }
    invoice.data["automatically_finalizes_at"] = None
    unit.save(invoice)
    unit.emit("invoice.finalization_failed", invoice.data)


NO_LOCATION = (
    "The customer's location isn't recognized. Set a valid customer address in order to automatically "
    "calculate tax."
)


def location_error() -> StripeError:
    """Return the 400 for an invoice that cannot be taxed; what was noted on it stays."""
    error = StripeError(400, NO_LOCATION, code="customer_tax_location_invalid")
    error.keeps_changes = True
    return error


def _take_balance(unit: UnitOfWork, invoice: Record, customer: Record) -> None:
    """Settle with the customer's balance: credit lowers what is due, a negative total becomes credit."""
    data, balance = invoice.data, int(customer.data["balance"])
    wanted = data["total"] + balance
    due = max(wanted, 0)
    if 0 < due < SMALLEST_AMOUNTS.get(data["currency"], 1):
        due = 0  # too little to charge: owed with the next invoice
    left = wanted - due
    data |= {
        "amount_due": due,
        "amount_remaining": due,
        "ending_balance": left,
        "starting_balance": balance,
    }
    if left != balance:
        update(unit, customer, {"balance": left, "currency": data["currency"]}, "customer.updated")


def _take_number(unit: UnitOfWork, invoice: Record, customer: Record) -> None:
    if invoice.data["number"]:
        return
    sequence = customer.data["next_invoice_sequence"] or 1
    invoice.data["number"] = f"{customer.data['invoice_prefix']}-{sequence:04}"
    customer.data |= {"currency": invoice.data["currency"], "next_invoice_sequence": sequence + 1}
    unit.save(customer)


def _ask_for_payment(unit: UnitOfWork, invoice: Record, intent: Record | None) -> None:
    data = invoice.data
    if intent is None:
        usage = {"setup_future_usage": "off_session"} if subscription_of(data) else {}
        intent = create_intent(
            unit,
            {
                "amount": data["amount_due"],
                "currency": data["currency"],
                "customer": data["customer"],
                "description": data["description"]
                or _SPOKEN.get(data["billing_reason"], "Payment for Invoice"),
                **usage,
            },
        )
    intent.hidden["invoice"] = invoice.id
    unit.save(intent)
    payment = complete(
        "invoice_payment",
        {
            "id": new_id("inpay"),
            "amount_requested": data["amount_due"],
            "created": unit.now,
            "currency": data["currency"],
            "invoice": invoice.id,
            "is_default": True,
            "payment": {"payment_intent": intent.id, "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        },
    )
    unit.insert(payment)
    invoice.hidden["payment_intent"] = intent.id
    unit.save(invoice)


def payment_of(unit: UnitOfWork, invoice: Record) -> Record | None:
    """Return the payment of a finalized invoice, locked; None when nothing was due."""
    found = unit.all("invoice_payment", {"invoice": invoice.id})
    return unit.get("invoice_payment", found[-1].id, lock=True) if found else None


def mark_paid(unit: UnitOfWork, invoice: Record, *, off_stripe: bool = False) -> None:
    """Note that a locked invoice is paid: `invoice.paid`, `.payment_succeeded`, `invoice_payment.paid`."""
    before = snapshot(invoice.data)
    due = invoice.data["amount_due"]
    invoice.data |= {
        "amount_paid": due,
        "amount_paid_off_stripe": due if off_stripe else invoice.data["amount_paid_off_stripe"],
        "amount_remaining": 0,
        "attempted": True,
        "auto_advance": False,
        "next_payment_attempt": None,
        "status": "paid",
    }
    invoice.data["status_transitions"] = {**invoice.data["status_transitions"], "paid_at": unit.now}
    stop_timers(unit, invoice)
    unit.save(invoice)
    payment = payment_of(unit, invoice)
    if payment is not None and not off_stripe:
        payment.data |= {"amount_paid": due, "status": "paid"}
        payment.data["status_transitions"]["paid_at"] = unit.now
        unit.save(payment)
        unit.emit("invoice_payment.paid", payment.data)
    unit.emit("invoice.updated", invoice.data, changed(before, invoice.data))
    unit.emit("invoice.paid", invoice.data)
    unit.emit("invoice.payment_succeeded", invoice.data)


def note_failure(unit: UnitOfWork, invoice: Record, *, asked: bool, next_attempt: int | None) -> None:
    """Note an attempt that did not pay a locked invoice, and when the next one will be made.

    Args:
        unit: The unit of work.
        invoice: The locked invoice.
        asked: Whether the bank asks the customer to confirm; then `invoice.payment_action_required` says so.
        next_attempt: Time of the next attempt; None when there is none.
    """
    before = snapshot(invoice.data)
    invoice.data |= {
        "attempt_count": invoice.data["attempt_count"] + 1,
        "attempted": True,
        "next_payment_attempt": next_attempt,
    }
    set_timer(unit, invoice.id, "invoice_is_retried", next_attempt, invoice.data["customer"])
    unit.save(invoice)
    unit.emit("invoice.updated", invoice.data, changed(before, invoice.data))
    if asked:
        unit.emit("invoice.payment_action_required", invoice.data)
    unit.emit("invoice.payment_failed", invoice.data)


def stop_timers(unit: UnitOfWork, invoice: Record) -> None:
    """Let nothing happen to an invoice by itself any more."""
    for kind in ("invoice_is_finalized", "invoice_is_retried", "invoice_is_overdue"):
        set_timer(unit, invoice.id, kind, None, invoice.data["customer"])


def void(unit: UnitOfWork, invoice: Record) -> Json:
    """Void a locked invoice that is open or uncollectible, and emit `invoice.voided`."""
    _require(invoice, ("open", "uncollectible"), "voided")
    before = snapshot(invoice.data)
    invoice.data |= {
        "auto_advance": False,
        "next_payment_attempt": None,
        "status": "void",
        "status_transitions": {**invoice.data["status_transitions"], "voided_at": unit.now},
    }
    _close(unit, invoice, before)
    _cancel_payment(unit, invoice)
    unit.emit("invoice.voided", invoice.data)
    return invoice.data


def _cancel_payment(unit: UnitOfWork, invoice: Record) -> None:
    from stripe_twin.resources.payment_intents import cancel_intent  # it imports what pays invoices

    payment = payment_of(unit, invoice)
    if payment is None or payment.data["status"] != "open":
        return
    payment.data["status"] = "canceled"
    payment.data["status_transitions"]["canceled_at"] = unit.now
    unit.save(payment)
    intent = unit.get("payment_intent", payment.data["payment"]["payment_intent"], lock=True)
    if intent.data["status"] not in ("succeeded", "canceled"):
        cancel_intent(unit, intent, "void_invoice")


def mark_uncollectible(unit: UnitOfWork, invoice: Record, reason: str = "user_forgiven") -> Json:
    """Give up a locked open invoice, and emit `invoice.marked_uncollectible`."""
    _require(invoice, ("open",), "marked uncollectible")
    before = snapshot(invoice.data)
    invoice.data |= {
        "next_payment_attempt": None,
        "status": "uncollectible",
        "status_details": {"uncollectible": {"reason": reason}},
        "status_transitions": {
            **invoice.data["status_transitions"],
            "marked_uncollectible_at": unit.now,
        },
    }
    _close(unit, invoice, before)
    unit.emit("invoice.marked_uncollectible", invoice.data)
    return invoice.data


def _close(unit: UnitOfWork, invoice: Record, before: Json) -> None:
    stop_timers(unit, invoice)
    unit.save(invoice)
    unit.emit("invoice.updated", invoice.data, changed(before, invoice.data))


def _require(invoice: Record, statuses: tuple[str, ...], verb: str) -> None:
    if invoice.data["status"] not in statuses:
        raise unexpected_state(
            f"This invoice is {invoice.data['status']} and cannot be {verb}.", "invoice_not_editable"
        )
