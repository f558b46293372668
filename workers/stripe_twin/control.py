"""The twin's own control API below /_twin, for tests and demonstrations; it answers local callers only."""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from flask import Blueprint, Request, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stripe_twin import dashboard
from stripe_twin.api_faults import ApiFault, add_fault
from stripe_twin.context import Twin
from stripe_twin.errors import StripeError
from stripe_twin.faults import Faults, read_faults, write_faults
from stripe_twin.preferences import Preferences, read_preferences, write_preferences
from stripe_twin.shapes import Json
from stripe_twin.unit import delivery_channel

_LONGEST_WAIT_SECONDS = 60.0


class Resend(BaseModel):
    """Body of a resend: how often, whether at once, and to which endpoint (all that had it when left out)."""

    model_config = ConfigDict(extra="forbid")

    times: int = Field(default=1, ge=1, le=100)
    endpoint_id: str | None = None


def blueprint(twin: Twin) -> Blueprint:
    """Return the control routes."""
    routes = Blueprint("control", __name__, url_prefix="/_twin")
    control = _Control(twin)

    def add(rule: str, method: str, view: Callable[..., Response]) -> None:
        routes.add_url_rule(rule, endpoint=view.__name__, view_func=view, methods=[method])

    routes.before_request(_only_local)
    add("/health", "GET", control.health)
    add("/events/<event_id>/resend", "POST", control.resend)
    add("/faults", "GET", control.show_faults)
    add("/faults", "POST", control.set_faults)
    add("/api-faults", "GET", control.show_api_faults)
    add("/api-faults", "POST", control.add_api_fault)
    add("/api-faults/clear", "POST", control.clear_api_faults)
    add("/preferences", "GET", control.show_preferences)
    add("/preferences", "POST", control.set_preferences)
    add("/deliveries", "GET", control.list_deliveries)
    add("/deliveries/retry", "POST", control.retry_now)
    add("/wait", "GET", control.wait)
    add("/reset", "POST", control.reset)
    for action in dashboard.ACTIONS:
        view = _action(twin, action)
        routes.add_url_rule(action.path, endpoint=action.name, view_func=view, methods=["POST"])
    return routes


def _action(twin: Twin, action: dashboard.Action) -> Callable[..., Response]:
    """Return the view of an action: 422 for a wrong body, Stripe's own refusals as such."""

    def view(**ids: str) -> Response:
        try:
            body = action.body.model_validate(request.get_json(silent=True) or {})
        except ValidationError as error:
            return _problem(422, str(error))
        try:
            with twin.unit() as unit:
                try:
                    answer = action.act(unit, body, **ids)
                except StripeError as error:
                    if not error.keeps_changes:
                        raise
                    return _problem(error.status, error.message)
        except StripeError as error:
            return _problem(error.status, error.message)
        return jsonify(answer)

    return view


def _only_local() -> Response | None:
    """Refuse callers from elsewhere, and pages of other sites (which cannot send JSON unasked)."""
    if not _is_loopback(request):
        return _problem(403, "The control API answers local callers only.")
    if request.method == "POST" and request.get_data() and not request.is_json:
        return _problem(415, "Send JSON (Content-Type: application/json).")
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "none") not in (
        "none",
        "same-origin",
    ):
        return _problem(403, "The control API takes no calls from other sites.")
    return None


def _is_loopback(http_request: Request) -> bool:
    forwarded = "X-Forwarded-For" in http_request.headers or "Forwarded" in http_request.headers
    try:
        return not forwarded and ip_address(http_request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _problem(status: int, message: str) -> Response:
    response = jsonify({"error": {"message": message}})
    response.status_code = status
    return response


class _Control:
    """The control calls of one twin."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def health(self) -> Response:
        """Answer when the database does."""
        with self._twin.unit() as unit:
            unit.connection.execute("select 1")
        return jsonify({"status": "ok"})

    def resend(self, event_id: str) -> Response:
        """Deliver an event again, `times` times in parallel; answers with the ids of the new deliveries."""
        try:
            wish = Resend.model_validate(request.get_json(silent=True) or {})
        except ValidationError as error:
            return _problem(422, str(error))
        with self._twin.unit() as unit:
            if unit.connection.execute("select from events where id = %s", (event_id,)).fetchone() is None:
                return _problem(404, f"No such event: {event_id}")
            endpoints = unit.all("webhook_endpoint", {"status": "enabled"})
            chosen = [e.id for e in endpoints if wish.endpoint_id in (None, e.id)]
            rows = unit.connection.execute(
                "insert into deliveries (event_id, endpoint_id) "
                "select %s, endpoint from unnest(%s::text[]) as endpoint, generate_series(1, %s) "
                "returning id",
                (event_id, chosen, wish.times),
            ).fetchall()
            unit.connection.execute("select pg_notify(%s, '')", (delivery_channel(unit.settings.schema),))
        return jsonify({"event_id": event_id, "delivery_ids": [row["id"] for row in rows]})

    def show_faults(self) -> Response:
        """Answer which faults are switched on."""
        with self._twin.unit() as unit:
            return jsonify(read_faults(unit.connection).model_dump())

    def set_faults(self) -> Response:
        """Switch to exactly the faults in the body; `{}` switches all off."""
        try:
            faults = Faults.model_validate(request.get_json(silent=True) or {})
        except ValidationError as error:
            return _problem(422, str(error))
        with self._twin.unit() as unit:
            write_faults(unit.connection, faults)
        return jsonify(faults.model_dump())

    def show_api_faults(self) -> Response:
        """List the faults of API calls that are still to come, oldest first."""
        with self._twin.unit() as unit:
            rows = unit.connection.execute(
                "select id, method, path, kind, seconds::double precision as seconds, remembered, skip, "
                "times from api_faults where times > 0 order by id"
            ).fetchall()
        return jsonify({"data": [dict(row) for row in rows]})

    def add_api_fault(self) -> Response:
        """Let the next calls that match misbehave."""
        try:
            fault = ApiFault.model_validate(request.get_json(silent=True) or {})
        except ValidationError as error:
            return _problem(422, str(error))
        with self._twin.unit() as unit:
            return jsonify({"id": add_fault(unit.connection, fault)})

    def clear_api_faults(self) -> Response:
        """End all faults of API calls."""
        with self._twin.unit() as unit:
            unit.connection.execute("delete from api_faults")
        return jsonify({"status": "cleared"})

    def show_preferences(self) -> Response:
        """Answer how retries, tax and waiting times are set."""
        with self._twin.unit() as unit:
            return jsonify(read_preferences(unit).model_dump(mode="json"))

    def set_preferences(self) -> Response:
        """Switch to exactly the settings in the body; `{}` brings the defaults back."""
        try:
            wanted = Preferences.model_validate(request.get_json(silent=True) or {})
        except ValidationError as error:
            return _problem(422, str(error))
        with self._twin.unit() as unit:
            write_preferences(unit, wanted)
        return jsonify(wanted.model_dump(mode="json"))

    def list_deliveries(self) -> Response:
        """List deliveries, newest first; `?event_id=`, `?state=` and `?limit=` narrow them."""
        limit = min(request.args.get("limit", 100, type=int), 1000)
        event_id, state = request.args.get("event_id"), request.args.get("state")
        with self._twin.unit() as unit:
            rows = unit.connection.execute(
                """
                select d.id, d.event_id, e.type as event_type, d.endpoint_id, d.state, d.attempts,
                  d.last_status, d.last_error, extract(epoch from d.due_at)::double precision as due_at,
                  extract(epoch from d.delivered_at)::double precision as delivered_at
                from deliveries d join events e on e.id = d.event_id
                where (%(event)s::text is null or d.event_id = %(event)s)
                  and (%(state)s::text is null or d.state = %(state)s)
                order by d.id desc limit %(limit)s
                """,
                {"event": event_id, "state": state, "limit": limit},
            ).fetchall()
        return jsonify({"data": [dict(row) for row in rows]})

    def retry_now(self) -> Response:
        """Make every delivery that waits for its next attempt due now; answers how many."""
        with self._twin.unit() as unit:
            count = unit.connection.execute(
                "update deliveries set due_at = now() where state = 'pending' and claimed_until is null"
            ).rowcount
            unit.connection.execute("select pg_notify(%s, '')", (delivery_channel(unit.settings.schema),))
        return jsonify({"deliveries": count})

    def wait(self) -> Response:
        """Answer when nothing is on its way any more, or after `?seconds=` (10 unless told, at most 60)."""
        seconds = min(request.args.get("seconds", 10.0, type=float), _LONGEST_WAIT_SECONDS)
        deadline = time.monotonic() + seconds
        pending = self._pending()
        while pending["pending"] and time.monotonic() < deadline:
            self._twin.deliveries.wait_for_progress(min(0.25, max(deadline - time.monotonic(), 0.01)))
            pending = self._pending()
        return jsonify({"idle": pending["pending"] == 0, **pending})

    def _pending(self) -> Json:
        with self._twin.unit() as unit:
            row: dict[str, Any] | None = unit.connection.execute(
                "select count(*) filter (where state = 'pending') as pending, "
                "count(*) filter (where state = 'failed') as failed from deliveries"
            ).fetchone()
        return dict(row or {})

    def reset(self) -> Response:
        """Forget everything but the webhook endpoints."""
        with self._twin.unit() as unit:
            unit.connection.execute("delete from deliveries")
            unit.connection.execute("delete from events")
            unit.connection.execute("delete from idempotency_keys")
            for table in ("faults", "api_faults", "preferences", "timers"):
                unit.connection.execute(f"delete from {table}")
            unit.connection.execute("delete from objects where object <> 'webhook_endpoint'")
        return jsonify({"status": "reset"})
