"""The HTTP side of the API: authentication, parameters, idempotency, transaction, answer."""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable
from typing import Any

import stripe
import structlog
from flask import Blueprint, Request, Response, request
from werkzeug.exceptions import HTTPException

from stripe_twin import browsers
from stripe_twin.api_faults import Meeting, cut_off, meet
from stripe_twin.context import Twin
from stripe_twin.errors import StripeError, invalid
from stripe_twin.expansion import expand
from stripe_twin.forms import FormValue, decode
from stripe_twin.idempotency import Answer, Claim
from stripe_twin.identifiers import random_text
from stripe_twin.operations import OPERATIONS, UNDOCUMENTED, Operation
from stripe_twin.parameters import Parameters, check

_log = structlog.get_logger("stripe_twin")


def blueprint(twin: Twin) -> Blueprint:
    """Return the routes of every registered operation, and Stripe's 404 for all others below /v1."""
    routes = Blueprint("api", __name__)
    for index, entry in enumerate((*OPERATIONS, *UNDOCUMENTED)):
        routes.add_url_rule(
            entry.path, endpoint=f"operation_{index}", view_func=_view(twin, entry), methods=[entry.method]
        )
    for method in ("GET", "POST", "DELETE", "PUT", "PATCH"):
        routes.add_url_rule(
            "/v1/<path:rest>",
            endpoint=f"unknown_{method}",
            view_func=_unknown_route,
            methods=[method],
        )
    return routes


def _view(twin: Twin, entry: Operation) -> Callable[..., Response]:
    def view(**ids: str) -> Response:
        request_id = f"req_{random_text(14)}"
        meeting = Meeting()
        try:
            if "\0" in request.path:
                raise StripeError(404, "No object has the character NUL in its id.", code="resource_missing")
            meeting = _meet(twin)
            answer = _answer(twin, entry, ids, request_id, meeting)
        except StripeError as error:
            answer = _told(error, request_id)
        except HTTPException as error:  # a body that is too large or no form
            refusal = StripeError(error.code or 400, error.description or "The request cannot be read.")
            answer = Answer(refusal.status, refusal.body(), request_id)
        except Exception:  # the edge of the program: whatever broke, the caller reads Stripe's shape
            _log.exception(
                "twin_request_failed", method=entry.method, path=request.path, request_id=request_id
            )
            answer = Answer(500, _BROKEN.body(), request_id)
        if meeting.kind in ("cut_before", "cut_after"):
            return _cut(answer)
        return _respond(answer)

    return view


def _meet(twin: Twin) -> Meeting:
    """Return what this call meets, and wait if it is to be slow."""
    with twin.unit() as unit:
        meeting = meet(unit.connection, request.method, request.path)
    if meeting.seconds:
        time.sleep(meeting.seconds)
    return meeting


def _cut(answer: Answer) -> Response:
    body = json.dumps(answer.body)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body.encode()))}
    return Response(cut_off(body), 200, headers)


_BROKEN = StripeError(500, "The Stripe twin failed; its log says why.", kind="api_error")


def _answer(twin: Twin, entry: Operation, ids: dict[str, str], request_id: str, meeting: Meeting) -> Answer:
    values = _values(request)
    is_browser = bool(browsers.take_key(values))
    if is_browser:
        claim, params = None, _browser_parameters(twin, entry, ids, values)
    else:
        account = authenticate(request)
        _check_headers(request)
        claim = _claim(account, values)
        params = check(values, entry.parameter_type(), strict="Stripe-Version" in request.headers)
    refusal = meeting.refusal()
    if not meeting.acts:
        return Answer(503, _BROKEN.body(), request_id) if refusal is None else _told(refusal, request_id)
    failure = _told(refusal, request_id) if refusal is not None else None
    stored = failure if meeting.remembered else None
    if not is_browser:
        answer = _run(twin, entry, ids, params, request_id, claim, stored)
        return failure or answer
    try:
        answer = _run(twin, entry, ids, params, request_id, claim, stored)
    except StripeError as error:
        answer = _told(error, request_id)
    return browsers.shown_answer(failure or answer)


def _browser_parameters(
    twin: Twin, entry: Operation, ids: dict[str, str], values: dict[str, FormValue]
) -> Parameters:
    """Check a call made with a publishable key: it may touch what it knows the client secret of."""
    if not entry.for_browsers:
        raise browsers.not_for_browsers()
    _check_version(str(values.pop("_stripe_version", stripe.api_version)))
    secret = values.pop("client_secret", None)
    with twin.unit() as unit:
        browsers.check_secret(unit, list(ids.values()), secret)
    return check(values, entry.parameter_type())


def _told(error: StripeError, request_id: str) -> Answer:
    return Answer(error.status, error.body(), request_id)


def _claim(account: str, values: dict[str, FormValue]) -> Claim | None:
    key = request.headers.get("Idempotency-Key", "")
    if not key or request.method != "POST":
        return None
    return Claim.of(key, account, request.method, request.path, values)


def _run(
    twin: Twin,
    entry: Operation,
    ids: dict[str, str],
    params: Parameters,
    request_id: str,
    claim: Claim | None,
    stored: Answer | None = None,
) -> Answer:
    """Run the handler in one transaction; a declined card leaves traces, any other error none.

    A failure on demand may be what the idempotency key remembers (`stored`), in place of the answer.
    """
    paths = params.pop("expand", [])
    key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
    with twin.unit(request_id=request_id, idempotency_key=key) as unit:
        earlier = claim.earlier_answer(unit, request.path) if claim else None
        if earlier is not None:
            return earlier
        try:
            answer = Answer(200, expand(unit, entry.handler(unit, params, **ids), paths), request_id)
        except StripeError as error:
            if not error.keeps_changes:
                raise
            answer = Answer(error.status, error.body(), request_id)
        if claim is not None:
            claim.remember(unit, stored or answer)
    return answer


def authenticate(http_request: Request) -> str:
    """Return the API key of a request.

    Raises:
        StripeError: 401 without a usable test key; a live key is refused by name of its kind only.
    """
    key = _sent_key(http_request)
    if not key:
        raise StripeError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization "
            "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        )
    if key.startswith(("sk_live_", "rk_live_", "pk_live_")):
        raise StripeError(
            401,
            "This is the local Stripe twin: it takes no live keys. Use any key that begins with sk_test_.",
        )
    if browsers.is_publishable(key):
        raise browsers.not_for_browsers()
    if not key.startswith(("sk_test_", "rk_test_")) or len(key) <= len("sk_test_"):
        raise StripeError(401, f"Invalid API Key provided: {key[:8]}{'*' * max(0, min(len(key), 20) - 8)}")
    return key


def _check_version(version: str) -> None:
    """Refuse another version of the API: it would change the meaning of the call."""
    if version != stripe.api_version:
        message = f"The Stripe twin speaks API version {stripe.api_version} only, not {version}."
        raise invalid(message, code="twin_not_supported")


def _check_headers(http_request: Request) -> None:
    """Refuse what would change the meaning of a call at Stripe and cannot be honoured here."""
    _check_version(http_request.headers.get("Stripe-Version", stripe.api_version))
    if "Stripe-Account" in http_request.headers or "Stripe-Context" in http_request.headers:
        raise invalid("The Stripe twin has no connected accounts.", code="twin_not_supported")


def _sent_key(http_request: Request) -> str:
    scheme, _, credentials = http_request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _values(http_request: Request) -> dict[str, FormValue]:
    pairs = list(http_request.args.items(multi=True))
    if http_request.method != "GET":
        pairs += list(http_request.form.items(multi=True))
    return decode(pairs)


def _unknown_route(rest: str) -> Response:
    request_id = f"req_{random_text(14)}"
    try:
        authenticate(request)
    except StripeError as refusal:
        return _respond(Answer(refusal.status, refusal.body(), request_id))
    error = StripeError(
        404,
        f"Unrecognized request URL ({request.method}: /v1/{rest}). The Stripe twin does not have this call; "
        "docs/reference/stripe-twin.md lists those it has.",
    )
    return _respond(Answer(404, error.body(), request_id))


def _respond(answer: Answer) -> Response:
    headers: dict[str, Any] = {
        "Access-Control-Allow-Origin": "*",  # as at Stripe; a page can send no secret key across origins
        "Content-Type": "application/json",
        "Request-Id": answer.request_id,
        "Stripe-Version": request.headers.get("Stripe-Version", stripe.api_version),
        "Cache-Control": "no-cache, no-store",
    }
    key = request.headers.get("Idempotency-Key")
    if key and request.method == "POST":
        headers["Idempotency-Key"] = key
        headers["Original-Request"] = answer.request_id
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(json.dumps(answer.body, indent=2), answer.status, headers)
