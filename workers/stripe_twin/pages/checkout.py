"""The hosted checkout page, `/c/pay/<session>`."""

from __future__ import annotations

from flask import Blueprint, Response, request

from stripe_twin import cards
from stripe_twin.context import Twin
from stripe_twin.pages.card_form import CardForm, read_form
from stripe_twin.pages.rendering import page, same, see_other, success_address
from stripe_twin.resources.checkout_payment import Step, closed_step, pay
from stripe_twin.resources.payment_methods import create_method
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork

_HINTED = ("visa", "authentication_on_setup", "authentication_always", "declined", "insufficient_funds")


def blueprint(twin: Twin) -> Blueprint:
    """Return the page's routes."""
    routes = Blueprint("checkout", __name__)
    checkout = _Checkout(twin)
    routes.add_url_rule("/c/pay/<session_id>", endpoint="show", view_func=checkout.show, methods=["GET"])
    routes.add_url_rule("/c/pay/<session_id>", endpoint="pay", view_func=checkout.submit, methods=["POST"])
    return routes


def finish(twin: Twin, session: Json) -> Response:
    """Wait, within bounds, for the webhook's answer, then send the customer to the success page."""
    seconds = twin.settings.redirect_wait_seconds
    twin.deliveries.wait_for_answers("checkout.session.completed", session["id"], seconds)
    return see_other(success_address(session))


class _Checkout:
    """The page of one twin."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def show(self, session_id: str) -> Response:
        """Show the form, or how the session ended."""
        with self._twin.unit() as unit:
            session = unit.find("checkout.session", session_id, lock=True)
            if session is None:
                return _unknown(self._twin)
            if closed_step(unit, session) is not None:
                return self._closed(session)
            return self._form(unit, session, CardForm(), 200)

    def submit(self, session_id: str) -> Response:
        """Take the form: pay, ask for 3-D Secure, or show what is wrong."""
        with self._twin.unit() as unit:
            session = unit.find("checkout.session", session_id, lock=True)
            if session is None:
                return _unknown(self._twin)
            if not same(request.form.get("form_token", ""), session.hidden["form_token"]):
                return self._form(
                    unit, session, CardForm(errors={"form": "This page was out of date. Try again."}), 400
                )
            answer = self._take(unit, session)
        if isinstance(answer, Response):
            return answer
        if answer.kind == "challenge":
            with self._twin.unit() as unit:
                intent = unit.get("payment_intent", answer.intent_id or "")
            return see_other(intent.data["next_action"]["redirect_to_url"]["url"])
        if answer.kind == "complete":
            return finish(self._twin, session.data)
        return self._closed(session)

    def _take(self, unit: UnitOfWork, session: Record) -> Step | Response:
        closed = closed_step(unit, session)
        if closed is not None:
            return closed
        free = session.data["amount_total"] == 0
        form = read_form(request.form, unit.now, card_needed=not free, email_fixed=_known_email(session.data))
        if form.errors:
            return self._form(unit, session, form, 422)
        if free:
            return pay(unit, session, None, email=form.email, name=form.name or None)
        if form.card is None:
            form.errors["number"] = cards.UNKNOWN_CARD.message
            return self._form(unit, session, form, 402)
        billing = {"email": form.email, "name": form.name}
        method = create_method(unit, form.card, month=form.month, year=form.year, billing=billing)
        step = pay(unit, session, method, email=form.email, name=form.name)
        if step.kind == "declined":
            form.errors[_field_of(step.error or {})] = (step.error or {})["message"]
            return self._form(unit, session, form, 402)
        return step

    def _form(self, unit: UnitOfWork, session: Record, form: CardForm, status: int) -> Response:
        lines = unit.all("item", hidden={"session": session.id})
        return page(
            "checkout.html",
            status,
            merchant=self._twin.settings.merchant_name,
            session=session.data,
            lines=[line.data for line in lines],
            form=form,
            form_token=session.hidden["form_token"],
            known_email=_known_email(session.data),
            hints=[cards.by_behaviour(name) for name in _HINTED],
        )

    def _closed(self, session: Record) -> Response:
        paid = session.data["status"] == "complete"
        return page(
            "closed.html",
            200 if paid else 410,
            merchant=self._twin.settings.merchant_name,
            session=session.data,
            paid=paid,
            return_to=success_address(session.data) if paid else session.data["cancel_url"],
        )


def _known_email(session: Json) -> str | None:
    details = session["customer_details"] or {}
    email: str | None = details.get("email")
    return email


def _field_of(error: Json) -> str:
    return {"exp_month": "expiry", "exp_year": "expiry", "cvc": "cvc", "number": "number"}.get(
        error.get("param", ""), "number"
    )


def _unknown(twin: Twin) -> Response:
    return page(
        "closed.html", 404, merchant=twin.settings.merchant_name, session=None, paid=False, return_to=None
    )
