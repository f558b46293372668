"""The hosted checkout page, `/c/pay/<session>`."""

from __future__ import annotations

from flask import Blueprint, Response, request

from stripe_twin import bank_accounts, cards
from stripe_twin.amounts import money
from stripe_twin.context import Twin
from stripe_twin.errors import StripeError
from stripe_twin.pages.card_form import CardForm, read_form
from stripe_twin.pages.rendering import page, same, see_other, success_address
from stripe_twin.periods import DAY, spoken_date
from stripe_twin.resources.checkout_payment import Step, closed_step, pay, wants_method
from stripe_twin.resources.checkout_shapes import customer_details
from stripe_twin.resources.checkout_totals import (
    drop_promotion_code,
    lines_of,
    price_session,
    use_promotion_code,
)
from stripe_twin.resources.invoice_lines import amount_of
from stripe_twin.resources.owners import intent_named
from stripe_twin.resources.payment_methods import create_account_method, create_method
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork

_OUT_OF_DATE = "This page was out of date. Try again."
_HINTED = ("visa", "authentication_on_setup", "authentication_always", "declined", "insufficient_funds")


def blueprint(twin: Twin) -> Blueprint:
    """Return the page's routes."""
    routes = Blueprint("checkout", __name__)
    checkout = _Checkout(twin)
    routes.add_url_rule("/c/pay/<session_id>", endpoint="show", view_func=checkout.show, methods=["GET"])
    routes.add_url_rule("/c/pay/<session_id>", endpoint="pay", view_func=checkout.submit, methods=["POST"])
    routes.add_url_rule(
        "/c/pay/<session_id>/promotion-code", endpoint="code", view_func=checkout.take_code, methods=["POST"]
    )
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
            session = _hosted_session(unit, session_id)
            if session is None:
                return _unknown(self._twin)
            if closed_step(unit, session) is not None:
                return self._closed(session)
            return self._form(unit, session, CardForm(), 200)

    def submit(self, session_id: str) -> Response:
        """Take the form: pay, ask for 3-D Secure, or show what is wrong."""
        with self._twin.unit() as unit:
            session = _hosted_session(unit, session_id)
            if session is None:
                return _unknown(self._twin)
            if not same(request.form.get("form_token", ""), session.hidden["form_token"]):
                return self._form(unit, session, CardForm(errors={"form": _OUT_OF_DATE}), 400)
            answer = self._take(unit, session)
        if isinstance(answer, Response):
            return answer
        if answer.kind == "challenge":
            with self._twin.unit() as unit:
                intent = intent_named(unit, answer.intent_id or "")
            return see_other(intent.data["next_action"]["redirect_to_url"]["url"])
        if answer.kind == "complete":
            return finish(self._twin, session.data)
        return self._closed(session)

    def _take(self, unit: UnitOfWork, session: Record) -> Step | Response:
        closed = closed_step(unit, session)
        if closed is not None:
            return closed
        form = read_form(
            request.form,
            unit.now,
            card_needed=wants_method(session.data),
            address_needed=wants_address(session.data),
            bank=_bank_of(session.data),
            email_fixed=_known_email(session.data),
        )
        if form.errors:
            return self._form(unit, session, form, 422)
        if form.address:
            _take_address(unit, session, form.address)
        if not wants_method(session.data):
            return pay(unit, session, None, email=form.email, name=form.name or None)
        billing = {"address": form.address, "email": form.email, "name": form.name}
        if form.account is not None:
            method = create_account_method(unit, form.account, billing)
        elif form.card is None:
            form.errors["number"] = cards.UNKNOWN_CARD.message
            return self._form(unit, session, form, 402)
        else:
            method = create_method(unit, form.card, month=form.month, year=form.year, billing=billing)
        step = pay(unit, session, method, email=form.email, name=form.name)
        if step.kind == "declined":
            form.errors[_field_of(step.error or {})] = (step.error or {})["message"]
            return self._form(unit, session, form, 402)
        return step

    def take_code(self, session_id: str) -> Response:
        """Take a promotion code, or drop the one that is there."""
        with self._twin.unit() as unit:
            session = _hosted_session(unit, session_id)
            if session is None:
                return _unknown(self._twin)
            if closed_step(unit, session) is not None:
                return self._closed(session)
            if not same(request.form.get("form_token", ""), session.hidden["form_token"]):
                return self._form(unit, session, CardForm(errors={"form": _OUT_OF_DATE}), 400)
            if request.form.get("remove"):
                drop_promotion_code(unit, session)
                return see_other(f"/c/pay/{session.id}")
            try:
                use_promotion_code(unit, session, request.form.get("promotion_code", ""))
            except StripeError as refusal:
                form = CardForm(errors={"promotion_code": refusal.message})
                return self._form(unit, session, form, 422)
        return see_other(f"/c/pay/{session_id}")

    def _form(self, unit: UnitOfWork, session: Record, form: CardForm, status: int) -> Response:
        lines = lines_of(unit, session.id)
        return page(
            "checkout.html",
            status,
            merchant=self._twin.settings.merchant_name,
            session=session.data,
            lines=[line.data for line in lines],
            codes=_codes(unit, session.data),
            first_payment=_first_payment(unit, session, [line.data for line in lines]),
            wants_method=wants_method(session.data),
            wants_address=wants_address(session.data),
            form=form,
            form_token=session.hidden["form_token"],
            known_email=_known_email(session.data),
            bank=_bank_of(session.data),
            by_bank=_bank_of(session.data) is not None and request.values.get("method") == "bank",
            accounts=[one for one in bank_accounts.TEST_ACCOUNTS if one.kind == _bank_of(session.data)],
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


def wants_address(session: Json) -> bool:
    """Whether a session's page asks where the customer lives."""
    return bool(session["automatic_tax"]["enabled"]) or session["billing_address_collection"] == "required"


def _bank_of(session: Json) -> str | None:
    """Return the type of bank account that may pay a session; None where only cards do."""
    kinds = [kind for kind in session["payment_method_types"] if kind != "card"]
    return kinds[0] if kinds and session["amount_total"] else None


def _hosted_session(unit: UnitOfWork, session_id: str) -> Record | None:
    session = unit.find("checkout.session", session_id, lock=True)
    return session if session is not None and session.data["ui_mode"] == "hosted_page" else None


def _take_address(unit: UnitOfWork, session: Record, place: Json) -> None:
    """Note where the customer lives, and let the tax follow."""
    known = session.data["customer_details"] or {}
    session.data["customer_details"] = {**customer_details(email=None), **known, "address": place}
    if session.data["mode"] != "setup":
        price_session(unit, session)


def _codes(unit: UnitOfWork, session: Json) -> list[str]:
    """Return the promotion codes at work, or the names of coupons that the merchant gave."""
    shown = []
    for one in session["discounts"] or []:
        if one["promotion_code"]:
            shown.append(str(unit.get("promotion_code", one["promotion_code"]).data["code"]))
        else:
            shown.append(str(unit.get("coupon", one["coupon"]).data["name"] or "Discount"))
    return shown


def _first_payment(unit: UnitOfWork, session: Record, lines: list[Json]) -> str | None:
    """Return what a subscription will cost after its trial, in words; None without a trial."""
    given = session.hidden.get("subscription_data") or {}
    if not given.get("trial_period_days") and not given.get("trial_end"):
        return None
    end = given.get("trial_end") or unit.now + given["trial_period_days"] * DAY
    recurring = [line for line in lines if line["price"]["recurring"]]
    total = sum(amount_of(line["price"], line["quantity"]) for line in recurring)
    return f"{money(total, session.data['currency'])} from {spoken_date(end)}"


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
