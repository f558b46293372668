"""The receipt behind a charge's `receipt_url`."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response

from stripe_twin.context import Twin
from stripe_twin.pages.rendering import page


def blueprint(twin: Twin) -> Blueprint:
    """Return the page's route."""
    routes = Blueprint("receipt", __name__)

    def show(charge_id: str) -> Response:
        with twin.unit() as unit:
            charge = unit.find("charge", charge_id)
        merchant = twin.settings.merchant_name
        if charge is None or charge.data["status"] != "succeeded":
            return page("closed.html", 404, merchant=merchant, session=None, paid=False, return_to=None)
        paid_on = datetime.fromtimestamp(charge.data["created"], UTC)
        return page(
            "receipt.html", merchant=merchant, charge=charge.data, paid_on=f"{paid_on:%d %B %Y, %H:%M} UTC"
        )

    routes.add_url_rule("/receipts/<charge_id>", endpoint="show", view_func=show, methods=["GET"])
    return routes
