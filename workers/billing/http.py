"""The HTTP edge of every entry point: methods, CORS, sizes, JSON, refusals, one log line a request."""

from __future__ import annotations

import io
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from flask import Request, Response
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from billing import exact_json
from billing.errors import (
    BodyTooLargeError,
    InvalidArgumentError,
    MethodNotAllowedError,
    UnsupportedMediaTypeError,
    WorkerError,
)
from billing.logs import get_logger
from billing.settings import get_settings

#: Enough for every call but Stripe's.
MAX_JSON_BYTES = 64 * 1024

#: The character that JSON can write and Postgres cannot keep.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_ALLOWED_HEADERS = (
    "authorization, content-type, apikey, x-client-info, x-agent-key, idempotency-key, x-request-id"
)
_SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_log = get_logger("http")

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Answer:
    """What a handler returns.

    Attributes:
        body: anything JSON can carry, Decimals included; bytes are sent as they are (they are JSON already).
        status: HTTP status.
        headers: further headers; they win over the usual ones.
    """

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Answer]

_entry_points: set[str] = set()


def entry_points() -> tuple[str, ...]:
    """The names of all entry points that were made (by importing `main`)."""
    return tuple(sorted(_entry_points))


def endpoint(
    name: str, handler: Handler, *, methods: tuple[str, ...], max_bytes: int = MAX_JSON_BYTES
) -> Callable[[Request], Response]:
    """Make an entry point of a handler.

    Args:
        name: for the log.
        handler: answers the request or raises a `WorkerError`.
        methods: what the entry point takes; OPTIONS is answered here.
        max_bytes: largest body, in bytes; a larger one is 413 and is not read to its end.

    Returns:
        A function from a Flask request to a response, as functions-framework wants it. It never raises.
    """
    _entry_points.add(name)

    def handle(request: Request) -> Response:
        started = time.perf_counter()
        request_id = _request_id(request)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id, entry_point=name)
        if request.method == "OPTIONS":
            response = Response(status=204)
        else:
            response = _render(_answer(request, handler, methods, max_bytes))
            _leave_unread(request)
        _add_headers(request, response, request_id, methods)
        _log.info(
            "request",
            method=request.method,
            path=(request.script_root + request.path).rstrip("/"),
            status=response.status_code,
            milliseconds=round((time.perf_counter() - started) * 1000, 1),
        )
        return response

    return handle


def _answer(request: Request, handler: Handler, methods: tuple[str, ...], max_bytes: int) -> Answer:
    try:
        if request.method not in methods:
            raise MethodNotAllowedError(methods)
        refuse_large_body(request, max_bytes)
        return handler(request)
    except WorkerError as error:
        if error.status >= 500:
            _log.error(
                "refused", status=error.status, slug=error.slug, hint=error.hint, details=error.details
            )
        return Answer(error.body(), error.status, error.headers)
    except RequestEntityTooLarge:
        too_large = BodyTooLargeError(details={"max_bytes": request.max_content_length})
        return Answer(too_large.body(), too_large.status)
    except ClientDisconnected:
        return Answer(InvalidArgumentError("body", "The body ended early.").body(), 400)
    except (
        Exception
    ):  # the edge of the program: whatever broke, the caller gets JSON and the log gets the trace
        _log.exception("request_failed")
        broken = WorkerError("Something broke on our side. The request id finds it in the log.")
        return Answer(broken.body(), broken.status)


def refuse_large_body(request: Request, max_bytes: int) -> None:
    """Take no more than `max_bytes` from this request.

    Raises:
        BodyTooLargeError: the body is announced as larger; one of unknown size is refused while it is read.
    """
    request.max_content_length = max_bytes
    if (request.content_length or 0) > max_bytes:
        raise BodyTooLargeError(details={"max_bytes": max_bytes})


def body_of(request: Request) -> bytes:
    """Read the body.

    Raises:
        BodyTooLargeError: it was not announced, and is larger than this request may be.
    """
    body = request.get_data(cache=False)
    limit = request.max_content_length
    if request.content_length is None and limit is not None and len(body) >= limit:
        raise BodyTooLargeError(details={"max_bytes": limit})  # what was read is not known to be all of it
    return body


def _leave_unread(request: Request) -> None:
    """functions-framework reads what is left of a body after the answer, all of it: leave it nothing."""
    request.__dict__["stream"] = io.BytesIO()


def parse(request: Request, model: type[Model]) -> Model:
    """Read the JSON body.

    Args:
        request: the request; its body must be said to be JSON.
        model: what the body must be.

    Raises:
        UnsupportedMediaTypeError: another media type.
        InvalidArgumentError: not JSON, or not what the model says; the argument is named.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaTypeError("Send a JSON body with Content-Type: application/json.")
    try:
        body = body_of(request)
        value = exact_json.decode(body)
    except RecursionError:
        raise InvalidArgumentError("body", "The body is nested too deeply.") from None
    except ValueError as error:  # RequestEntityTooLarge is none
        raise InvalidArgumentError("body", f"The body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidArgumentError("body", "The body must be a JSON object.")
    if _NUL.search(body):
        raise InvalidArgumentError("body", "No text may hold the character NUL.")
    return validate(model, value)


def validate(model: type[Model], value: Mapping[str, object]) -> Model:
    """Check what a caller sent.

    Raises:
        InvalidArgumentError: names the first argument that is missing, unknown or not of its kind.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        argument = ".".join(str(part) for part in first["loc"]) or "body"
        slug = "invalid_amount" if argument == "amount" else None
        raise InvalidArgumentError(argument, first["msg"], slug=slug) from None


def _render(answer: Answer) -> Response:
    content = answer.body if isinstance(answer.body, bytes) else exact_json.encode(answer.body)
    response = Response(content, status=answer.status, content_type="application/json; charset=utf-8")
    for name, value in answer.headers.items():
        response.headers[name] = value
    return response


def _request_id(request: Request) -> str:
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _add_headers(request: Request, response: Response, request_id: str, methods: tuple[str, ...]) -> None:
    response.headers["X-Request-Id"] = request_id
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.vary.add("Origin")
    origin = request.headers.get("Origin", "").rstrip("/")
    if origin and _is_allowed(origin):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "x-request-id, retry-after"
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = ", ".join((*methods, "OPTIONS"))
            response.headers["Access-Control-Allow-Headers"] = _ALLOWED_HEADERS
            response.headers["Access-Control-Max-Age"] = "600"


def _is_allowed(origin: str) -> bool:
    try:
        return origin in get_settings().allowed_origins
    except WorkerError:
        return False
