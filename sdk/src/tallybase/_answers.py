"""From an answer that is not a success to the exception that it means."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

from tallybase import _json, errors
from tallybase._wire import Reply

#: The error table of the API: the slug in `message` decides, never the text.
BY_SLUG: Mapping[str, type[errors.TallybaseError]] = {
    error.default_slug: error
    for error in (
        errors.AgentKeyInvalid,
        errors.ApprovalRequired,
        errors.BillingRestricted,
        errors.Busy,
        errors.HoldCaptured,
        errors.HoldExpired,
        errors.HoldReleased,
        errors.IdempotencyConflict,
        errors.InsufficientCredits,
        errors.InvalidAmount,
        errors.InvalidArgument,
        errors.LimitExceeded,
        errors.MetadataTooLarge,
        errors.NotAuthorized,
        errors.NotFound,
        errors.RateLimited,
        errors.UnknownAction,
    )
}

#: What a status means when the body carries none of our slugs: PostgREST's own errors, proxies, gateways.
_BY_STATUS: Mapping[int, type[errors.TallybaseError]] = {
    400: errors.InvalidArgument,
    401: errors.NotAuthorized,
    402: errors.SpendRefused,
    403: errors.NotAuthorized,
    409: errors.Conflict,
    413: errors.MetadataTooLarge,
    422: errors.InvalidArgument,
    429: errors.RateLimited,
}


class _Body(BaseModel):
    """The body of an error: PostgREST's four fields."""

    model_config = ConfigDict(extra="ignore")

    code: str | None = None
    message: str | None = None
    details: object = None
    hint: str | None = None


def slug_of(reply: Reply) -> str:
    """Return the slug of an error's body, or an empty string."""
    return _body(reply).message or ""


def error_of(reply: Reply) -> errors.TallybaseError:
    """Build the exception that an unsuccessful answer means.

    A refusal whose details do not have the expected shape becomes `UnexpectedAnswer`: it still stops the
    caller.
    """
    body = _body(reply)
    slug = body.message or ""
    details = _details(body.details)
    kind = BY_SLUG.get(slug)
    try:
        if kind is not None:
            return kind(status=reply.status, details=details, hint=body.hint or "")
        return _foreign_error(reply, body, details)
    except ValidationError:
        return errors.UnexpectedAnswer(
            status=reply.status, slug=slug or None, details=details, hint=body.hint or ""
        )


def _foreign_error(reply: Reply, body: _Body, details: Mapping[str, object]) -> errors.TallybaseError:
    said = " ".join(part for part in (body.code, body.message or reply.text) if part)
    if reply.server_failed:
        message = (
            f"The billing server failed (HTTP {reply.status}). Whether the credits were charged is not known."
        )
        return errors.CreditsUnavailable(message, status=reply.status, details=details, hint=said)
    kind = _BY_STATUS.get(reply.status, errors.UnexpectedAnswer)
    message = f"The billing server answered HTTP {reply.status}: {said or 'no explanation'}."
    return kind(message, slug=body.message, status=reply.status, details=details, hint=body.hint or "")


def _body(reply: Reply) -> _Body:
    try:
        return _Body.model_validate(reply.payload)
    except ValidationError:
        return _Body()


def _details(value: object) -> Mapping[str, object]:
    """Details are JSON as text in an HTTP body, and an object inside a batch."""
    if isinstance(value, str):
        try:
            value = _json.decode(value.encode())
        except ValueError:
            return {}
    return {str(name): item for name, item in value.items()} if isinstance(value, Mapping) else {}
