"""The customer's own page, `/p/session/<token>`: saved cards and payments."""

from __future__ import annotations

from flask import Blueprint, Response

from stripe_twin.context import Twin
from stripe_twin.pages.rendering import page

_LIFETIME_SECONDS = 3600


def blueprint(twin: Twin) -> Blueprint:
    """Return the page's route."""
    routes = Blueprint("portal", __name__)

    def show(token: str) -> Response:
        with twin.unit() as unit:
            sessions = unit.all("billing_portal.session", hidden={"token": token})
            session = sessions[0].data if sessions else None
            if session is None or session["created"] + _LIFETIME_SECONDS < unit.now:
                merchant = twin.settings.merchant_name
                return page("closed.html", 404, merchant=merchant, session=None, paid=False, return_to=None)
            customer = unit.find("customer", session["customer"])
            methods = unit.all("payment_method", {"customer": session["customer"]})
            charges = unit.page("charge", {"limit": 50}, {"customer": session["customer"]}).records
        return page(
            "portal.html",
            merchant=twin.settings.merchant_name,
            session=session,
            customer=customer.data if customer else {},
            methods=[method.data for method in methods],
            charges=[charge.data for charge in charges],
        )

    routes.add_url_rule("/p/session/<token>", endpoint="show", view_func=show, methods=["GET"])
    return routes
