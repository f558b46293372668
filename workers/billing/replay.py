"""Runs stored Stripe events again, reading each anew at Stripe.

From the command line: `python -m billing.replay EVENT_ID… | --failed | --parked`.
From the dashboard of platform admins and from schedulers: POST replay_stripe_events.
"""

from __future__ import annotations

import sys
from typing import Literal

from flask import Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from billing import database, http, logs, rest
from billing.errors import NotAuthorizedError, WorkerError
from billing.operators import is_operator
from billing.webhook import replay

#: So many events in one call; what is left over is for the next.
AT_ONCE = 100


class ReplayRequest(BaseModel):
    """Body of replay_stripe_events.

    Attributes:
        event_ids: these events; or
        status: all events of this status, newest first, at most 100 a call.
    """

    model_config = ConfigDict(extra="forbid")

    event_ids: list[str] | None = Field(default=None, min_length=1, max_length=AT_ONCE)
    status: Literal["failed", "parked"] | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> ReplayRequest:
        if (self.event_ids is None) == (self.status is None):
            raise ValueError("name event_ids or status")
        return self


class Replayed(BaseModel):
    """What became of one event.

    Attributes:
        event_id: Stripe's id.
        status: its status now, or the slug of the refusal.
    """

    event_id: str
    status: str


def answer(request: Request) -> http.Answer:
    """Handle POST replay_stripe_events: for platform admins, and for the holder of the secret key.

    Raises:
        WorkerError: 401, 403, 422, 503. An event that fails again is answered, and stops no other.
    """
    if not is_operator(request):
        _require_platform_admin(request)
    body = http.parse(request, ReplayRequest)
    events = body.event_ids or stored_events(body.status)
    return http.Answer({"events": [run(event_id).model_dump() for event_id in events]})


def _require_platform_admin(request: Request) -> None:
    """Ask the database, with the caller's own credential, whether they may read the inbox.

    Raises:
        NotAuthorizedError: they may not.
    """
    try:
        rest.call_function("list_stripe_events", {"limit": 1}, rest.credential_headers(request))
    except WorkerError as error:
        if error.status in (401, 403, 404):
            raise NotAuthorizedError("This call is for those who run the platform.") from error
        raise


def stored_events(status: str | None) -> list[str]:
    """Return the ids of stored events of a status, oldest first.

    Args:
        status: failed or parked.
    """
    rows = database.call("list_stripe_events", {"status": status, "limit": AT_ONCE})
    return [str(row["event_id"]) for row in reversed(rows)] if isinstance(rows, list) else []


def run(event_id: str) -> Replayed:
    """Run one event again.

    Args:
        event_id: Stripe's id.
    """
    try:
        return Replayed(event_id=event_id, status=replay(event_id).status)
    except WorkerError as error:
        return Replayed(event_id=event_id, status=error.slug)


def main(arguments: list[str]) -> int:
    """Replay each event and print what became of it.

    Args:
        arguments: Stripe's ids, as `billing.list_stripe_events` shows them, or --failed, or --parked.

    Returns:
        The exit status: 0 when every event was applied or is only stored, 1 when one failed, 2 without an id.
    """
    if not arguments:
        print("usage: python -m billing.replay EVENT_ID… | --failed | --parked", file=sys.stderr)
        return 2
    chosen = {"--failed": "failed", "--parked": "parked"}.get(arguments[0])
    replayed = [run(event_id) for event_id in (stored_events(chosen) if chosen else arguments)]
    for one in replayed:
        print(f"{one.event_id}\t{one.status}")
    return int(any(one.status not in ("processed", "ignored") for one in replayed))


if __name__ == "__main__":
    logs.configure()
    sys.exit(main(sys.argv[1:]))
