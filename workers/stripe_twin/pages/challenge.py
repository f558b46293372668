"""The 3-D Secure challenge: the page on which a bank asks its customer, `/3ds/<intent>`."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

from flask import Blueprint, Response, request

from stripe_twin.context import Twin
from stripe_twin.pages.checkout import finish
from stripe_twin.pages.rendering import page, same, see_other
from stripe_twin.resources.checkout_payment import return_address
from stripe_twin.resources.owners import answer as go_on
from stripe_twin.resources.owners import kind_of, lock_owned
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
            intent = unit.find(kind_of(intent_id), intent_id)
            if intent is None or not same(request.args.get("key", ""), intent.data["client_secret"]):
                return self._unknown()
            framed = bool(request.args.get("framed"))
            if intent.data["status"] != "requires_action":
                return _answered(self._twin) if framed else see_other(self._way_back(unit, intent))
        return page(
            "challenge.html",
            framed=framed,
            merchant=self._twin.settings.merchant_name,
            intent=intent.data,
            key=intent.data["client_secret"],
        )

    def answer(self, intent_id: str) -> Response:
        """Take the answer, go on with the payment, and send the customer back."""
        passed = request.form.get("answer") == "complete"
        with self._twin.unit() as unit:
            if unit.find(kind_of(intent_id), intent_id) is None:
                return self._unknown()
            owned = lock_owned(unit, intent_id)
            intent, session = owned.intent, owned.session
            if not same(request.form.get("key", ""), intent.data["client_secret"]):
                return self._unknown()
            back = self._way_back(unit, intent)
            if intent.data["status"] == "requires_action":
                go_on(unit, owned, passed=passed)
        if request.form.get("framed"):
            return _answered(self._twin)
        is_hosted = session is not None and session.data["ui_mode"] == "hosted_page"
        if session is not None and is_hosted:
            complete = session.data["status"] == "complete"
            return finish(self._twin, session.data) if complete else see_other(f"{back}?challenge=failed")
        return see_other(_with_result(back, intent.data))

    def _way_back(self, unit: UnitOfWork, intent: Record) -> str:
        session_id, invoice_id = intent.hidden.get("session"), intent.hidden.get("invoice")
        if session_id:
            return return_address(unit, unit.get("checkout.session", session_id).data)
        action = intent.data["next_action"] or {}
        given = (action.get("redirect_to_url") or {}).get("return_url")
        if given is None and invoice_id:
            return str(unit.get("invoice", invoice_id).data["hosted_invoice_url"])
        return str(given or unit.settings.public_url)

    def _unknown(self) -> Response:
        merchant = self._twin.settings.merchant_name
        return page("closed.html", 404, merchant=merchant, session=None, paid=False, return_to=None)


def _answered(twin: Twin) -> Response:
    """Return the page that tells Stripe.js, around its frame, that the customer has answered."""
    return page("answered.html", framed=True, merchant=twin.settings.merchant_name)


def _with_result(url: str, intent: Json) -> str:
    """Add what Stripe adds to a return address."""
    succeeded = intent["status"] in ("succeeded", "processing")
    kind = intent["object"]
    more = urlencode(
        {
            kind: intent["id"],
            f"{kind}_client_secret": intent["client_secret"],
            "redirect_status": "succeeded" if succeeded else "failed",
        }
    )
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=f"{parts.query}&{more}" if parts.query else more))
