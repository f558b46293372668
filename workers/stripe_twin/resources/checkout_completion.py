"""The end of a checkout, by mode: the payment, the subscription with its first invoice, the saved card."""

from __future__ import annotations

from stripe_twin.identifiers import new_id
from stripe_twin.resources import invoicing
from stripe_twin.resources.checkout_totals import lines_of
from stripe_twin.resources.common import update
from stripe_twin.resources.customers import create_customer
from stripe_twin.resources.discounts import count_redemption, discount_shape
from stripe_twin.resources.invoice_drafts import create_invoice
from stripe_twin.resources.invoice_lines import pricing
from stripe_twin.resources.prorations import attach_items, line_of
from stripe_twin.resources.subscription_shapes import Chosen
from stripe_twin.resources.subscription_start import start
from stripe_twin.shapes import Json, complete
from stripe_twin.timers import set_timer
from stripe_twin.unit import Record, UnitOfWork

_NOBODY: Json = {
    "address": None,
    "business_name": None,
    "email": None,
    "individual_name": None,
    "name": None,
    "phone": None,
    "tax_exempt": "none",
    "tax_ids": [],
}


def customer_of(unit: UnitOfWork, session: Record) -> str | None:
    """Return the customer of a locked session; makes one when the session needs one."""
    known: str | None = session.data["customer"] or session.hidden.get("customer")
    if known or not _needs_customer(session):
        return known
    payer = session.hidden["payer"]
    place = (session.data["customer_details"] or {}).get("address")
    given: Json = {"email": payer["email"]}
    given |= {"name": payer["name"]} if payer["name"] else {}
    given |= {"address": place} if place else {}
    session.hidden["customer"] = create_customer(unit, given).id
    return str(session.hidden["customer"])


def _needs_customer(session: Record) -> bool:
    data = session.data
    return (
        data["mode"] == "subscription"
        or data["customer_creation"] == "always"
        or bool((data["invoice_creation"] or {}).get("enabled"))
        or bool(session.hidden["payment_intent_data"].get("setup_future_usage"))
    )


def complete_session(unit: UnitOfWork, session: Record, intent: Record | None = None) -> None:
    """Complete a locked session and emit `checkout.session.completed`.

    Args:
        unit: The unit of work.
        session: The locked session.
        intent: The payment or setup intent that succeeded, or is on its way; None when nothing was wanted.
    """
    payer = session.hidden["payer"]
    details = session.data["customer_details"] or {}
    session.data |= {
        "customer": customer_of(unit, session),
        "customer_details": {**_NOBODY, **details, "email": payer["email"], "name": payer["name"]},
        "status": "complete",
        "url": None,
    }
    _update_customer(unit, session)
    kind = None if intent is None else intent.data["object"]
    is_paid = kind == "payment_intent" and intent is not None and intent.data["status"] == "succeeded"
    if session.data["amount_total"]:
        session.data["payment_status"] = "paid" if is_paid else "unpaid"
    finish = {"payment": _finish_payment, "setup": _finish_setup, "subscription": _finish_subscription}
    finish[session.data["mode"]](unit, session, intent)
    unit.save(session)
    set_timer(unit, session.id, "checkout_session_expires", None, session.data["customer"])
    unit.emit("checkout.session.completed", session.data)


def after_debit(unit: UnitOfWork, session: Record, intent: Record, *, arrived: bool) -> None:
    """Note on a locked session how its debit ended: `...async_payment_succeeded` or `..._failed`."""
    if arrived:
        session.data["payment_status"] = "paid"
        creation = session.data["invoice_creation"] or {}
        if session.data["mode"] == "payment" and creation.get("enabled") and session.data["customer"]:
            invoice_session(unit, session, intent)
    unit.save(session)
    outcome = "succeeded" if arrived else "failed"
    unit.emit(f"checkout.session.async_payment_{outcome}", session.data)


def _update_customer(unit: UnitOfWork, session: Record) -> None:
    """Write to the customer what the session may update."""
    allowed = session.hidden["customer_update"]
    customer_id, details = session.data["customer"], session.data["customer_details"]
    changes: Json = {}
    if allowed.get("address") == "auto" and details["address"]:
        changes["address"] = details["address"]
    if allowed.get("name") == "auto" and details["name"]:
        changes["name"] = details["name"]
    if customer_id and changes:
        update(unit, unit.get("customer", customer_id, lock=True), changes, "customer.updated")


def _finish_setup(unit: UnitOfWork, session: Record, intent: Record | None) -> None:
    assert intent is not None, session.id
    session.data["setup_intent"] = intent.id


# ---- payment -----------------------------------------------------------------------------------------------


def _finish_payment(unit: UnitOfWork, session: Record, intent: Record | None) -> None:
    if intent is not None:
        session.data["payment_intent"] = intent.id
    for one in session.data["discounts"] or []:
        count_redemption(unit, unit.get("coupon", one["coupon"], lock=True), one["promotion_code"])
    wants_invoice = session.data["invoice_creation"]["enabled"] and session.data["customer"]
    if wants_invoice and session.data["payment_status"] != "unpaid":
        invoice_session(unit, session, intent)


def invoice_session(unit: UnitOfWork, session: Record, intent: Record | None) -> None:
    """Make the paid invoice of a locked session in payment mode that asked for one."""
    customer = unit.get("customer", session.data["customer"])
    creation = session.data["invoice_creation"]["invoice_data"]
    lines = [_invoice_line(unit, session, one.data) for one in lines_of(unit, session.id)]
    discounts = []
    for one in session.data["discounts"] or []:
        coupon = unit.get("coupon", one["coupon"]).data
        shape = discount_shape(
            unit, coupon, one["promotion_code"], customer_id=customer.id, checkout_session=session.id
        )
        discounts.append(unit.insert(shape).id)
    invoice = create_invoice(
        unit,
        customer,
        lines,
        currency=session.data["currency"],
        reason="manual",
        period=(unit.now, unit.now),
        auto_advance=False,
        automatic_tax=session.data["automatic_tax"]["enabled"],
        description=creation["description"],
        discounts=discounts,
        footer=creation["footer"],
        metadata=creation["metadata"],
    )
    attach_items(unit, invoice)
    _finalize_paid(unit, invoice, intent)
    session.data["invoice"] = invoice.id


def _finalize_paid(unit: UnitOfWork, invoice: Record, intent: Record | None) -> None:
    if invoicing.finalize(unit, invoice, intent=intent) and invoice.data["status"] == "open":
        invoicing.mark_paid(unit, invoice)


def _invoice_line(unit: UnitOfWork, session: Record, item: Json) -> Json:
    return line_of(unit, _one_time_item(unit, session, item))


def _one_time_item(unit: UnitOfWork, session: Record, item: Json) -> Record:
    """Make the invoice item of a line that is paid once."""
    data = complete(
        "invoiceitem",
        {
            "id": new_id("ii"),
            "amount": item["amount_subtotal"],
            "currency": item["currency"],
            "customer": session.data["customer"],
            "date": unit.now,
            "description": item["description"],
            "discountable": True,
            "discounts": [],
            "metadata": {},
            "net_amount": item["amount_subtotal"],
            "period": {"end": unit.now, "start": unit.now},
            "pricing": pricing(item["price"]),
            "proration": False,
            "quantity": item["quantity"],
            "quantity_decimal": str(item["quantity"]),
        },
    )
    record = unit.insert(data)
    unit.emit("invoiceitem.created", data)
    return record


# ---- subscription ------------------------------------------------------------------------------------------


def _finish_subscription(unit: UnitOfWork, session: Record, intent: Record | None) -> None:
    customer = unit.get("customer", session.data["customer"])
    chosen = []
    for one in lines_of(unit, session.id):
        if one.data["price"]["recurring"]:
            chosen.append(Chosen(one.data["price"], one.data["quantity"]))
        else:
            _one_time_item(unit, session, one.data)
    params: Json = {**session.hidden["subscription_data"]}
    params["automatic_tax"] = {"enabled": session.data["automatic_tax"]["enabled"]}
    if intent is not None:
        params["default_payment_method"] = intent.data["payment_method"]
    pays = intent if intent is not None and intent.data["object"] == "payment_intent" else None
    discounts = [(one["coupon"], one["promotion_code"]) for one in session.data["discounts"] or []]
    subscription = start(unit, customer, chosen, params, paid_with=pays, discounts=discounts)
    session.data |= {"invoice": subscription.data["latest_invoice"], "subscription": subscription.id}
