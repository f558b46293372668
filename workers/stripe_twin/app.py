"""Builds the twin's WSGI application."""

from __future__ import annotations

import atexit

from flask import Flask, Response, current_app

from stripe_twin import api, control
from stripe_twin.context import Twin
from stripe_twin.errors import StripeError
from stripe_twin.pages import challenge, checkout, invoice, portal, receipt, stripe_js
from stripe_twin.pages.rendering import POLICY, page
from stripe_twin.resources.registry import RESOURCES
from stripe_twin.settings import TwinSettings

_MOST_BYTES = 1_000_000


def create_app(settings: TwinSettings | None = None) -> Flask:
    """Return the WSGI application: API below /v1, pages for customers, control API below /_twin.

    The delivery loop starts with it, unless the settings say otherwise. A server that forks must load the app
    in its workers, not before.

    Args:
        settings: The twin's settings; read from the environment when left out.

    Raises:
        StripeKeyRefusedError: When a Stripe key is set.
        psycopg.OperationalError: When the database cannot be reached.
    """
    twin = Twin(settings or TwinSettings.from_environment())
    assert RESOURCES
    app = Flask("stripe_twin", static_folder="static", static_url_path="/assets")
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BYTES
    app.extensions["stripe_twin"] = twin
    for part in (api, checkout, challenge, invoice, receipt, portal, stripe_js, control):
        app.register_blueprint(part.blueprint(twin))
    app.register_error_handler(StripeError, _show_problem)
    app.after_request(_harden)
    twin.start()
    atexit.register(twin.stop)
    return app


def twin_of(app: Flask) -> Twin:
    """Return the twin behind an application, to stop it or to look at its deliveries."""
    twin = app.extensions["stripe_twin"]
    assert isinstance(twin, Twin)
    return twin


def _show_problem(error: StripeError) -> Response:
    """Tell a customer what stopped a page, such as a customer record that was deleted meanwhile."""
    merchant = twin_of(current_app).settings.merchant_name
    return page(
        "closed.html",
        error.status,
        merchant=merchant,
        session=None,
        paid=False,
        title="The payment was not possible",
        message=error.message,
        return_to=None,
    )


def _harden(response: Response) -> Response:
    """Keep pages from being framed, sniffed, cached, or made to load anything that is not the twin's own."""
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    if response.mimetype == "text/html":
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
    return response
