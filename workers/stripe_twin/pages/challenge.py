"""The 3-D Secure challenge: the page on which a bank asks its customer, `/3ds/<payment intent>`."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

from flask import Blueprint, Response, request

from stripe_twin.context import Twin
from stripe_twin.pages.checkout import finish
from stripe_twin.pages.rendering import page, same, see_other
from stripe_twin.resources.checkout_payment import after_challenge
from stripe_twin.resources.payments import answer_challenge
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork


def blueprint(twin: Twin) -> Blueprint:
    """Return the page's routes."""
    routes = Blueprint("challenge", __name__)
    challenge = _Challenge(twin)
    routes.add_url_rule("/3ds/<intent_id>", endpoint="show", view_func=challenge.show, methods=["GET"])
    routes.add_url_rule("/3ds/<intent_id>", endpoint="answer", view_func=challenge.answer, methods=["POST"])
    return routes


class _Challenge:
    """The page of one twin; whoever knows the intent's client secret may answer, as in Stripe.js."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def show(self, intent_id: str) -> Response:
        """Ask."""
        with self._twin.unit() as unit:
            intent = unit.find("payment_intent", intent_id)
            if intent is None or not same(request.args.get("key", ""), intent.data["client_secret"]):
                return self._unknown()
            if intent.data["status"] != "requires_action":
                return see_other(self._way_back(unit, intent))
        return page(
            "challenge.html",
            merchant=self._twin.settings.merchant_name,
            intent=intent.data,
            key=intent.data["client_secret"],
        )

    def answer(self, intent_id: str) -> Response:
        """Take the answer, go on with the payment, and send the customer back."""
        passed = request.form.get("answer") == "complete"
        with self._twin.unit() as unit:
            found = self._lock(unit, intent_id)
            if found is None:
                return self._unknown()
            session, intent = found
            if not same(request.form.get("key", ""), intent.data["client_secret"]):
                return self._unknown()
            back = self._way_back(unit, intent)
            if intent.data["status"] == "requires_action":
                self._go_on(unit, session, intent, passed=passed)
        if session is not None and session.data["status"] == "complete":
            return finish(self._twin, session.data)
        return see_other(_with_result(back, intent.data) if session is None else f"{back}?challenge=failed")

    def _lock(self, unit: UnitOfWork, intent_id: str) -> tuple[Record | None, Record] | None:
        """Lock the session first, then its intent, as everyone does."""
        intent = unit.find("payment_intent", intent_id)
        if intent is None:
            return None
        session_id = intent.hidden.get("session")
        session = unit.get("checkout.session", session_id, lock=True) if session_id else None
        return session, unit.get("payment_intent", intent_id, lock=True)

    def _go_on(self, unit: UnitOfWork, session: Record | None, intent: Record, *, passed: bool) -> None:
        if session is None:
            answer_challenge(unit, intent, passed=passed)
        else:
            after_challenge(unit, session, intent, passed=passed)

    def _way_back(self, unit: UnitOfWork, intent: Record) -> str:
        session_id = intent.hidden.get("session")
        if session_id:
            return f"{unit.settings.public_url}/c/pay/{session_id}"
        action = intent.data["next_action"] or {}
        return str((action.get("redirect_to_url") or {}).get("return_url") or unit.settings.public_url)

    def _unknown(self) -> Response:
        merchant = self._twin.settings.merchant_name
        return page("closed.html", 404, merchant=merchant, session=None, paid=False, return_to=None)


def _with_result(url: str, intent: Json) -> str:
    """Add what Stripe adds to a return address."""
    succeeded = intent["status"] in ("succeeded", "processing")
    more = urlencode(
        {
            "payment_intent": intent["id"],
            "payment_intent_client_secret": intent["client_secret"],
            "redirect_status": "succeeded" if succeeded else "failed",
        }
    )
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=f"{parts.query}&{more}" if parts.query else more))
