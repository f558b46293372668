"""stripe_webhook: verify, read at Stripe what the event is about, store and apply it in one transaction."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import stripe
from flask import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from billing import database, http
from billing.errors import DatabaseRefusalError, NotConfiguredError, StripeUnavailableError, WorkerError
from billing.events import RULES
from billing.logs import get_logger
from billing.rows import EventOutcome
from billing.settings import get_settings
from billing.signatures import verify
from billing.stripe_client import explain, get_client

#: Stripe's events are kilobytes; a body above this is not read.
MAX_BYTES = 2 * 1024 * 1024
#: After so many attempts an event that waiting cannot mend is parked, answered with 200 and left to a person.
PARK_AFTER_ATTEMPTS = 5
#: The end of the year 9999.
_LAST_SECOND = 253_402_300_799

_log = get_logger("webhook")


class InvalidEventError(WorkerError):
    """Signed by Stripe, and still no event that we can read."""

    status = 400
    slug = "invalid_event"


class EventNotAppliedError(WorkerError):
    """The event is recorded as failed; Stripe is asked to send it again."""

    status = 500
    slug = "event_not_applied"


class _Data(BaseModel):
    model_config = ConfigDict(extra="ignore")

    object: dict[str, Any]


class UnreadableObjectError(WorkerError):
    """The event's object is not in a shape that we know, so nothing of it is applied."""

    status = 422
    slug = "unreadable_object"


class Event(BaseModel):
    """The envelope of a snapshot event; its body is Stripe's and is only stored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str
    type: str
    created: int = Field(ge=0, le=_LAST_SECOND)
    livemode: bool
    api_version: str | None = None
    data: _Data


def receive(request: Request) -> http.Answer:
    """Handle POST stripe_webhook.

    200 for what is processed, ignored, parked or a duplicate; 400 for a bad signature or body; 413 above
    2 MiB; 500 when it could not be applied (Stripe sends it again) and when no signing secret is configured.
    """
    settings = get_settings()
    if not settings.webhook_secrets:
        raise NotConfiguredError(
            "STRIPE_WEBHOOK_SECRET is not set: events cannot be verified and are refused."
        )
    body = http.body_of(request)
    verify(body, request.headers.get("Stripe-Signature"), settings.webhook_secrets, time.time())
    outcome = ingest(_decode(body))
    return http.Answer({"received": True, "status": outcome.status, "is_duplicate": outcome.is_duplicate})


def replay(event_id: str) -> EventOutcome:
    """Run a stored event through the ingest again (parked, failed or ignored before).

    Args:
        event_id: Stripe's id of the event.

    Raises:
        DatabaseRefusalError: 404, no such event.
        EventNotAppliedError: it failed again.
    """
    payload = database.call("reopen_stripe_event", {"event_id": event_id})
    if not isinstance(payload, dict):
        raise InvalidEventError("The stored event is not readable.")
    return ingest(payload)


def ingest(payload: dict[str, Any]) -> EventOutcome:
    """Store and apply one verified event.

    Args:
        payload: the event as JSON.

    Returns:
        What became of it: processed, ignored or parked.

    Raises:
        InvalidEventError: it is not a snapshot event.
        EventNotAppliedError: it could not be applied and should come again.
    """
    try:
        event = Event.model_validate(payload)
    except ValidationError:
        raise InvalidEventError("This is not a Stripe event.") from None
    if event.api_version != stripe.api_version:
        _log.warning(
            "event_of_other_api_version",
            event_id=event.id,
            api_version=event.api_version,
            ours=stripe.api_version,
        )
    facts: dict[str, Any] | None = None
    try:
        facts = _facts(event)
        outcome = database.call_for(
            EventOutcome,
            "process_stripe_event",
            {"event": payload, "facts": facts, "livemode": get_settings().livemode},
        )
    except stripe.StripeError as error:
        refusal = explain(error)
        outcome = _record_failure(event, payload, refusal, can_pass=not refusal.is_definite)
    except WorkerError as error:
        can_pass = not isinstance(error, DatabaseRefusalError | UnreadableObjectError) or error.status >= 500
        outcome = _record_failure(event, payload, error, can_pass=can_pass, facts=facts)
    _report(event, outcome)
    if outcome.status == "failed":
        raise EventNotAppliedError("The event was not applied. Send it again.")
    return outcome


def _decode(body: bytes) -> dict[str, Any]:
    try:
        # Postgres' jsonb holds everything that Stripe sends but the character NUL.
        payload = msgspec.json.decode(body.replace(rb"\u0000", rb"\ufffd"))
    except (msgspec.DecodeError, RecursionError):
        raise InvalidEventError("The body is not JSON.") from None
    if not isinstance(payload, dict):
        raise InvalidEventError("This is not a Stripe event.")
    return payload


def _facts(event: Event) -> dict[str, Any] | None:
    """Read what the event is about, at Stripe, now; None for events that are only stored or foreign."""
    rule = RULES.get(event.type)
    if rule is None or event.livemode != get_settings().livemode:
        return None
    try:
        reading = rule.read(get_client(), event.data.object)
    except (KeyError, TypeError, ValueError) as error:
        # A version of Stripe's API, older or newer, that we cannot read: never applied by halves.
        raise UnreadableObjectError(
            "What Stripe says about this event is not readable.",
            details={"type": event.type, "api_version": event.api_version, "error": type(error).__name__},
        ) from error
    if reading is None:
        return None
    return {"kind": reading.kind, "object": reading.object, "notice": rule.notice}


def _record_failure(
    event: Event,
    payload: dict[str, Any],
    error: WorkerError,
    *,
    can_pass: bool,
    facts: dict[str, Any] | None = None,
) -> EventOutcome:
    """Remember the failure in a transaction of its own; park, in the end, what waiting cannot mend."""
    _log.error(
        "event_failed",
        event_id=event.id,
        type=event.type,
        slug=error.slug,
        details=error.details,
        can_pass=can_pass,
    )
    text = (
        f"{error.slug}: {error.hint}"
        if isinstance(error, StripeUnavailableError)
        else f"{error.slug} {error.details}"
    )
    return database.call_for(
        EventOutcome,
        "record_stripe_event_failure",
        {
            "event": payload,
            "error": text,
            "park_after": None if can_pass else PARK_AFTER_ATTEMPTS,
            "facts": facts,
        },
    )


def _report(event: Event, outcome: EventOutcome) -> None:
    _log.info(
        "stripe_event",
        event_id=event.id,
        type=event.type,
        status=outcome.status,
        is_duplicate=outcome.is_duplicate,
        attempts=outcome.attempts,
    )
    if outcome.status == "parked" and not outcome.is_duplicate:
        _log.error("stripe_event_parked", event_id=event.id, type=event.type, error=outcome.error)
