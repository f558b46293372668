"""Saved cards on the customer's page: add one, choose the one that is charged, remove one."""

from __future__ import annotations

from flask import Blueprint, Response, request

from stripe_twin import cards
from stripe_twin.context import Twin
from stripe_twin.pages.card_form import CardForm, read_form
from stripe_twin.pages.portal_session import PortalSession, finish, open_session, unknown
from stripe_twin.pages.rendering import page, see_other
from stripe_twin.resources.customers import update_customer
from stripe_twin.resources.payment_methods import create_method, detach_method
from stripe_twin.resources.setups import attempt_setup, create_setup
from stripe_twin.unit import Record, UnitOfWork

_FEATURE = "payment_method_update"


def add_routes(routes: Blueprint, twin: Twin) -> None:
    """Add the routes below a portal session's address."""
    page_of_cards = _Cards(twin)
    for rule, view, method in (
        ("/cards/add", page_of_cards.show_form, "GET"),
        ("/cards/add", page_of_cards.add, "POST"),
        ("/cards/added", page_of_cards.added, "GET"),
        ("/cards/<method_id>/default", page_of_cards.make_default, "POST"),
        ("/cards/<method_id>/remove", page_of_cards.remove, "POST"),
    ):
        routes.add_url_rule(rule, endpoint=view.__name__, view_func=view, methods=[method])


class _Cards:
    """The cards of one twin's customers."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def show_form(self, token: str) -> Response:
        """Ask for a card."""
        with self._twin.unit() as unit:
            session = _session(unit, token)
            return unknown(self._twin) if session is None else self._form(session, CardForm(), 200)

    def add(self, token: str) -> Response:
        """Save a card, ask for 3-D Secure, or show what is wrong."""
        with self._twin.unit() as unit:
            session = _session(unit, token)
            if session is None:
                return unknown(self._twin)
            email = unit.get("customer", session.customer_id).data["email"] or "customer@example.com"
            form = read_form(request.form, unit.now, card_needed=True, email_fixed=email)
            if form.card is None and "number" not in form.errors:
                form.errors["number"] = cards.UNKNOWN_CARD.message
            if form.errors or form.card is None:
                return self._form(session, form, 422)
            method = create_method(
                unit, form.card, month=form.month, year=form.year, billing={"email": email, "name": form.name}
            )
            intent = create_setup(unit, {"customer": session.customer_id})
            back = f"{unit.settings.public_url}{session.path}/cards/added"
            outcome = attempt_setup(unit, intent, method, return_url=back)
            if outcome.kind == "declined":
                form.errors["number"] = (outcome.error or {})["message"]
                return self._form(session, form, 402)
            if outcome.kind == "requires_action":
                return see_other(intent.data["next_action"]["redirect_to_url"]["url"])
            return _use(unit, session, method.id)

    def added(self, token: str) -> Response:
        """Go on after the bank's question."""
        with self._twin.unit() as unit:
            session = _session(unit, token)
            intent = unit.find("setup_intent", request.args.get("setup_intent", ""))
            if session is None or intent is None or intent.data["customer"] != session.customer_id:
                return unknown(self._twin)
            if intent.data["status"] == "succeeded":
                return _use(unit, session, intent.data["payment_method"])
            error = (intent.data["last_setup_error"] or {}).get("message", "Your bank has not answered yet.")
            return self._form(session, CardForm(errors={"form": error}), 402)

    def make_default(self, token: str, method_id: str) -> Response:
        """Charge this card from now on."""
        with self._twin.unit() as unit:
            session = _session(unit, token)
            if session is None or _own(unit, session, method_id) is None:
                return unknown(self._twin)
            _prefer(unit, session, method_id)
            return see_other(session.path)

    def remove(self, token: str, method_id: str) -> Response:
        """Forget a card."""
        with self._twin.unit() as unit:
            session = _session(unit, token)
            if session is None or _own(unit, session, method_id) is None:
                return unknown(self._twin)
            detach_method(unit, {}, method_id)
            return see_other(session.path)

    def _form(self, session: PortalSession, form: CardForm, status: int) -> Response:
        return page(
            "portal_card.html",
            status,
            merchant=self._twin.settings.merchant_name,
            session=session.data,
            path=session.path,
            back=session.back,
            form=form,
        )


def _session(unit: UnitOfWork, token: str) -> PortalSession | None:
    session = open_session(unit, token)
    return session if session is not None and session.allows(_FEATURE) else None


def _own(unit: UnitOfWork, session: PortalSession, method_id: str) -> Record | None:
    method = unit.find("payment_method", method_id)
    return method if method is not None and method.data["customer"] == session.customer_id else None


def _prefer(unit: UnitOfWork, session: PortalSession, method_id: str) -> None:
    settings = {"invoice_settings": {"default_payment_method": method_id}}
    update_customer(unit, settings, session.customer_id)


def _use(unit: UnitOfWork, session: PortalSession, method_id: str) -> Response:
    """Make a card that was just saved the default where there is none, or where that was the task."""
    settings = unit.get("customer", session.customer_id).data["invoice_settings"]
    is_task = session.flow is not None and session.flow["type"] == _FEATURE
    if is_task or settings["default_payment_method"] is None:
        _prefer(unit, session, method_id)
    return finish(unit, session) if is_task else see_other(session.path)
