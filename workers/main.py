"""Entry points of the workers, one cloud function each; what they do is in the package `billing`."""

from __future__ import annotations

import functions_framework
from flask import Request, Response

from billing import (
    agent_tokens,
    catalogue,
    checkout,
    doctor,
    fulfilment,
    http,
    invitations,
    logs,
    payment_methods,
    portal,
    reconcile,
    replay,
    subscriptions,
    topup,
    webhook,
)
from billing import api as rest_api

logs.configure()

_create_checkout_session = http.endpoint("create_checkout_session", checkout.create, methods=("POST",))
_create_portal_session = http.endpoint("create_portal_session", portal.create, methods=("POST",))
_fulfil_checkout = http.endpoint("fulfil_checkout", fulfilment.fulfil, methods=("POST",))
_change_plan = http.endpoint("change_plan", subscriptions.change_plan, methods=("POST",))
_cancel_subscription = http.endpoint("cancel_subscription", subscriptions.cancel, methods=("POST",))
_resume_subscription = http.endpoint("resume_subscription", subscriptions.resume, methods=("POST",))
_create_setup_session = http.endpoint("create_setup_session", payment_methods.create_setup, methods=("POST",))
_finish_setup_session = http.endpoint("finish_setup_session", payment_methods.finish_setup, methods=("POST",))
_set_default_payment_method = http.endpoint(
    "set_default_payment_method", payment_methods.set_default, methods=("POST",)
)
_detach_payment_method = http.endpoint("detach_payment_method", payment_methods.detach, methods=("POST",))
_start_auto_topups = http.endpoint("start_auto_topups", topup.start, methods=("POST",))
_confirm_auto_topup = http.endpoint("confirm_auto_topup", topup.confirm, methods=("POST",))
_sync_catalogue = http.endpoint("sync_catalogue", catalogue.sync, methods=("POST",))
_reconcile_stripe = http.endpoint("reconcile_stripe", reconcile.reconcile, methods=("POST",))
_replay_stripe_events = http.endpoint("replay_stripe_events", replay.answer, methods=("POST",))
_check_money_settings = http.endpoint("check_money_settings", doctor.answer, methods=("POST",))
_send_invitation = http.endpoint("send_invitation", invitations.send, methods=("POST",))
_exchange_agent_key = http.endpoint("exchange_agent_key", agent_tokens.exchange, methods=("POST",))
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
def change_plan(request: Request) -> Response:
    """Change the plan of an organization's subscription; for owners, admins and billing managers."""
    return _change_plan(request)


@functions_framework.http
def cancel_subscription(request: Request) -> Response:
    """Cancel a subscription, at the period's end or now; for owners, admins and billing managers."""
    return _cancel_subscription(request)


@functions_framework.http
def resume_subscription(request: Request) -> Response:
    """Undo a planned end or a pause; for owners, admins and billing managers."""
    return _resume_subscription(request)


@functions_framework.http
def create_setup_session(request: Request) -> Response:
    """Open Stripe's page for saving a card; for owners, admins and billing managers."""
    return _create_setup_session(request)


@functions_framework.http
def finish_setup_session(request: Request) -> Response:
    """Make the card that was just saved the default; called by the return page."""
    return _finish_setup_session(request)


@functions_framework.http
def set_default_payment_method(request: Request) -> Response:
    """Choose the card that is charged when nobody is there; for owners, admins and billing managers."""
    return _set_default_payment_method(request)


@functions_framework.http
def detach_payment_method(request: Request) -> Response:
    """Remove a saved card; for owners, admins and billing managers."""
    return _detach_payment_method(request)


@functions_framework.http
def start_auto_topups(request: Request) -> Response:
    """Charge what automatic top-up is due: each minute by a scheduler, or for the caller's organization."""
    return _start_auto_topups(request)


@functions_framework.http
def confirm_auto_topup(request: Request) -> Response:
    """Say what a person has to confirm for an automatic top-up, and how it went."""
    return _confirm_auto_topup(request)


@functions_framework.http
def sync_catalogue(request: Request) -> Response:
    """Bring Stripe's products and prices in line with plans and packs; by the installation's own jobs."""
    return _sync_catalogue(request)


@functions_framework.http
def reconcile_stripe(request: Request) -> Response:
    """Catch up on lost events and report what differs from Stripe; by the installation's own jobs."""
    return _reconcile_stripe(request)


@functions_framework.http
def replay_stripe_events(request: Request) -> Response:
    """Run stored Stripe events again; for platform admins and for the holder of the secret key."""
    return _replay_stripe_events(request)


@functions_framework.http
def check_money_settings(request: Request) -> Response:
    """Check every line of the go-live checklist that a program can; by the holder of the secret key."""
    return _check_money_settings(request)


@functions_framework.http
def send_invitation(request: Request) -> Response:
    """Invite somebody and mail them the link; for owners and admins."""
    return _send_invitation(request)


@functions_framework.http
def exchange_agent_key(request: Request) -> Response:
    """Give a short-lived token for an agent key; off unless a signing key is configured."""
    return _exchange_agent_key(request)


@functions_framework.http
def stripe_webhook(request: Request) -> Response:
    """Take an event from Stripe; the signature is its only lock."""
    return _stripe_webhook(request)


@functions_framework.http
def api(request: Request) -> Response:
    """Answer the plain REST paths below /api."""
    return _api(request)
