"""The customer's own page, `/p/session/<token>`: plan, saved cards, invoices, payments; or one task of it."""

from __future__ import annotations

from flask import Blueprint, Response

from stripe_twin.context import Twin
from stripe_twin.pages import portal_cards, portal_plans
from stripe_twin.pages.portal_session import PortalSession, open_session, unknown
from stripe_twin.pages.rendering import page, see_other
from stripe_twin.periods import spoken_date
from stripe_twin.resources.subscription_states import FINAL, items_of
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork

_INVOICES_SHOWN = 24
_CHARGES_SHOWN = 50
_STATUS = {
    "active": "Active",
    "incomplete": "Payment open",
    "past_due": "Past due",
    "paused": "Paused",
    "trialing": "Trial",
    "unpaid": "Unpaid",
}
#: Where each flow begins, below the session's address; a subscription's id goes in.
_BEGINNINGS = {
    "payment_method_update": "/cards/add",
    "subscription_cancel": "/subscriptions/{}/cancel",
    "subscription_update": "/subscriptions/{}/update",
    "subscription_update_confirm": "/subscriptions/{}/update/confirm",
}


def blueprint(twin: Twin) -> Blueprint:
    """Return the page's routes."""
    routes = Blueprint("portal", __name__, url_prefix="/p/session/<token>")

    def show(token: str) -> Response:
        with twin.unit() as unit:
            session = open_session(unit, token)
            if session is None:
                return unknown(twin)
            beginning = _beginning(session)
            if beginning is not None:
                return see_other(session.path + beginning)
            return page("portal.html", merchant=twin.settings.merchant_name, **_facts(unit, session))

    def done(token: str) -> Response:
        with twin.unit() as unit:
            session = open_session(unit, token)
            if session is None or session.flow is None:
                return unknown(twin)
            said = (session.flow["after_completion"]["hosted_confirmation"] or {}).get("custom_message")
        return page(
            "portal_done.html", merchant=twin.settings.merchant_name, session=session.data, message=said
        )

    routes.add_url_rule("", endpoint="show", view_func=show, methods=["GET"])
    routes.add_url_rule("/done", endpoint="done", view_func=done, methods=["GET"])
    portal_cards.add_routes(routes, twin)
    portal_plans.add_routes(routes, twin)
    return routes


def _beginning(session: PortalSession) -> str | None:
    """Return where the session's one task begins; None for the whole page, or once the task is done."""
    flow = session.flow
    if flow is None or flow["type"] not in _BEGINNINGS or session.is_done:
        return None
    task = flow.get(flow["type"]) or {}
    return _BEGINNINGS[flow["type"]].format(task.get("subscription"))


def _facts(unit: UnitOfWork, session: PortalSession) -> Json:
    customer = unit.find("customer", session.customer_id)
    known = customer.data if customer else {}
    subscriptions = unit.all("subscription", {"customer": session.customer_id})
    methods = unit.all("payment_method", {"customer": session.customer_id})
    invoices = unit.page("invoice", {"limit": _INVOICES_SHOWN}, {"customer": session.customer_id}).records
    charges = unit.page("charge", {"limit": _CHARGES_SHOWN}, {"customer": session.customer_id}).records
    return {
        "charges": [one.data for one in charges],
        "customer": known,
        "default_method": (known.get("invoice_settings") or {}).get("default_payment_method"),
        "features": session.features,
        "headline": session.headline,
        "invoices": [one.data for one in invoices if one.data["status"] != "draft"],
        "methods": [one.data for one in methods],
        "path": session.path,
        "plans": [_plan(unit, one) for one in subscriptions if one.data["status"] not in FINAL],
        "session": session.data,
        "spoken_date": spoken_date,
    }


def _plan(unit: UnitOfWork, subscription: Record) -> Json:
    """Return what the page says about a subscription: its prices, and what happens next."""
    data = subscription.data
    end = max(item["current_period_end"] for item in items_of(subscription))
    if data["cancel_at"] is not None:
        following = f"Your plan ends on {spoken_date(data['cancel_at'])}."
    elif data["status"] == "trialing":
        following = f"Your trial ends on {spoken_date(data['trial_end'])}."
    else:
        following = f"Your plan renews on {spoken_date(end)}."
    return {
        "can_change": data["status"] in ("active", "trialing") and data["cancel_at"] is None,
        "following": following,
        "id": subscription.id,
        "is_ending": data["cancel_at"] is not None,
        "prices": [portal_plans.priced(unit, item["price"]) for item in items_of(subscription)],
        "status": _STATUS.get(data["status"], data["status"]),
    }
