"""The hosted invoice, `/i/<token>`: what it asks for, a form to pay it, and `/i/<token>/pdf` to keep."""

from __future__ import annotations

from flask import Blueprint, Response, request

from stripe_twin import cards
from stripe_twin.amounts import money
from stripe_twin.context import Twin
from stripe_twin.pages.card_form import CardForm, read_form
from stripe_twin.pages.pdf import text_pdf
from stripe_twin.pages.rendering import page, see_other
from stripe_twin.periods import spoken_date
from stripe_twin.resources.collection import collect, lock_invoice
from stripe_twin.resources.payment_methods import attach, create_method
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork


def blueprint(twin: Twin) -> Blueprint:
    """Return the page's routes."""
    routes = Blueprint("invoice", __name__)
    invoice = _Invoice(twin)
    routes.add_url_rule("/i/<token>", endpoint="show", view_func=invoice.show, methods=["GET"])
    routes.add_url_rule("/i/<token>", endpoint="pay", view_func=invoice.pay, methods=["POST"])
    routes.add_url_rule("/i/<token>/pdf", endpoint="pdf", view_func=invoice.pdf, methods=["GET"])
    return routes


class _Invoice:
    """The page of one twin; whoever knows the token may see and pay, as with Stripe's own link."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def show(self, token: str) -> Response:
        """Show the invoice, and how to pay it when it is open."""
        with self._twin.unit() as unit:
            invoice = _find(unit, token)
            if invoice is None:
                return self._unknown()
            return self._page(unit, invoice, CardForm(), 200)

    def pay(self, token: str) -> Response:
        """Pay the invoice with a card, ask for 3-D Secure, or show what is wrong."""
        with self._twin.unit() as unit:
            found = _find(unit, token)
            if found is None:
                return self._unknown()
            subscription, invoice = lock_invoice(unit, found.id)
            if invoice.data["status"] not in ("open", "uncollectible"):
                return see_other(f"/i/{token}")
            email = invoice.data["customer_email"] or "customer@example.com"
            form = read_form(request.form, unit.now, card_needed=True, email_fixed=email)
            if form.card is None and "number" not in form.errors:
                form.errors["number"] = cards.UNKNOWN_CARD.message
            if form.errors or form.card is None:
                return self._page(unit, invoice, form, 422)
            billing = {"email": email, "name": form.name}
            method = create_method(unit, form.card, month=form.month, year=form.year, billing=billing)
            if cards.by_behaviour(form.card.behaviour).decline is None:
                attach(unit, method.id, invoice.data["customer"])
            outcome = collect(
                unit,
                subscription,
                invoice,
                off_session=False,
                method_id=method.id,
                return_url=invoice.data["hosted_invoice_url"],
            )
            if outcome.kind == "declined":
                form.errors["number"] = (outcome.error or {})["message"]
                return self._page(unit, invoice, form, 402)
            if outcome.kind == "requires_action":
                intent = unit.get("payment_intent", invoice.hidden["payment_intent"])
                return see_other(intent.data["next_action"]["redirect_to_url"]["url"])
        return see_other(f"/i/{token}")

    def pdf(self, token: str) -> Response:
        """Answer the invoice as a PDF file."""
        with self._twin.unit() as unit:
            invoice = _find(unit, token)
        if invoice is None:
            return self._unknown()
        headers = {"Content-Disposition": f'inline; filename="Invoice-{invoice.data["number"]}.pdf"'}
        title = f"Invoice {invoice.data['number']}"
        return Response(text_pdf(title, _lines(invoice.data)), 200, headers, mimetype="application/pdf")

    def _page(self, unit: UnitOfWork, invoice: Record, form: CardForm, status: int) -> Response:
        return page(
            "invoice.html",
            status,
            merchant=self._twin.settings.merchant_name,
            invoice=invoice.data,
            due=spoken_date(invoice.data["due_date"]) if invoice.data["due_date"] else None,
            challenge=_challenge(unit, invoice),
            spoken_date=spoken_date,
            form=form,
        )

    def _unknown(self) -> Response:
        merchant = self._twin.settings.merchant_name
        return page("closed.html", 404, merchant=merchant, session=None, paid=False, return_to=None)


def _find(unit: UnitOfWork, token: str) -> Record | None:
    found = unit.all("invoice", hidden={"token": token})
    return found[0] if found else None


def _challenge(unit: UnitOfWork, invoice: Record) -> str | None:
    """Return the address at which the customer confirms a payment that the bank asks about."""
    intent_id = invoice.hidden.get("payment_intent")
    intent = unit.find("payment_intent", intent_id) if intent_id else None
    if intent is None or intent.data["status"] != "requires_action" or invoice.data["status"] != "open":
        return None
    return f"{unit.settings.public_url}/3ds/{intent.id}?key={intent.data['client_secret']}"


def _lines(invoice: Json) -> list[str]:
    currency = invoice["currency"]
    shown = [
        f"{invoice['account_name']}",
        f"Date: {spoken_date(invoice['effective_at'] or invoice['created'])}",
        f"Status: {invoice['status']}",
        f"Bill to: {invoice['customer_name'] or ''} {invoice['customer_email'] or ''}".rstrip(),
        "",
    ]
    for line in invoice["lines"]["data"]:
        period = line["period"]
        dates = f"{spoken_date(period['start'])} to {spoken_date(period['end'])}"
        shown.append(f"{line['description']}   {dates}   {money(line['amount'], currency)}")
    taxes = sum(tax["amount"] for tax in invoice["total_taxes"])
    discounts = sum(discount["amount"] for discount in invoice["total_discount_amounts"])
    return [
        *shown,
        "",
        f"Subtotal: {money(invoice['subtotal'], currency)}",
        *([f"Discount: {money(-discounts, currency)}"] if discounts else []),
        *([f"Tax: {money(taxes, currency)}"] if taxes else []),
        f"Total: {money(invoice['total'], currency)}",
        f"Amount due: {money(invoice['amount_remaining'], currency)}",
        "",
        "Made by the local Stripe twin. No money moves.",
    ]
