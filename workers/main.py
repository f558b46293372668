"""Entry points of the workers, one cloud function each; what they do is in the package `billing`."""

from __future__ import annotations

import functions_framework
from flask import Request, Response

from billing import api as rest_api
from billing import checkout, fulfilment, http, logs, portal, webhook

logs.configure()

_create_checkout_session = http.endpoint("create_checkout_session", checkout.create, methods=("POST",))
_create_portal_session = http.endpoint("create_portal_session", portal.create, methods=("POST",))
_fulfil_checkout = http.endpoint("fulfil_checkout", fulfilment.fulfil, methods=("POST",))
_stripe_webhook = http.endpoint(
    "stripe_webhook", webhook.receive, methods=("POST",), max_bytes=webhook.MAX_BYTES
)
_api = http.endpoint(
    "api",
    rest_api.route,
    methods=("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"),
    max_bytes=webhook.MAX_BYTES,
)


@functions_framework.http
def create_checkout_session(request: Request) -> Response:
    """Open a checkout for a pack or a plan; for owners, admins and billing managers."""
    return _create_checkout_session(request)


@functions_framework.http
def create_portal_session(request: Request) -> Response:
    """Open Stripe's customer portal; for owners, admins and billing managers."""
    return _create_portal_session(request)


@functions_framework.http
def fulfil_checkout(request: Request) -> Response:
    """Say how a checkout went, and book it when it is paid; called by the return page."""
    return _fulfil_checkout(request)


@functions_framework.http
def stripe_webhook(request: Request) -> Response:
    """Take an event from Stripe; the signature is its only lock."""
    return _stripe_webhook(request)


@functions_framework.http
def api(request: Request) -> Response:
    """Answer the plain REST paths below /api."""
    return _api(request)
