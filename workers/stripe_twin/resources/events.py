"""Events: what happened, newest first.

Source: https://docs.stripe.com/api/events
"""

from __future__ import annotations

from typing import Any

from stripe_twin.deliveries import event_body
from stripe_twin.errors import invalid, no_such
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import check_limit
from stripe_twin.shapes import Json, listing
from stripe_twin.unit import UnitOfWork, add_created_range

_PATH = "/v1/events"


@operation("GET", _PATH, "_event_list_params.EventListParams")
def list_events(unit: UnitOfWork, params: Parameters) -> Json:
    """List events of the last 30 days, by type, time and success of their deliveries."""
    check_limit(params)
    conditions = ["recorded_at > now() - interval '30 days'"]
    values: list[Any] = []
    add_created_range(conditions, values, params.get("created"), "(body->>'created')::bigint")
    _add_types(conditions, values, params)
    _add_cursors(unit, conditions, values, params)
    if "delivery_success" in params:
        conditions.append(
            f"{'not ' if params['delivery_success'] else ''}exists "
            "(select from deliveries d where d.event_id = events.id and d.state in ('pending', 'failed'))"
        )
    limit = int(params.get("limit", 10))
    backwards = bool(params.get("ending_before"))
    rows = unit.connection.execute(
        f"select id from events where {' and '.join(conditions)} "
        f"order by sequence {'asc' if backwards else 'desc'} limit %s",
        (*values, limit + 1),
    ).fetchall()
    shown = [event_body(unit.connection, row["id"]) for row in rows[:limit]]
    return listing(shown[::-1] if backwards else shown, _PATH, has_more=len(rows) > limit)


def _add_types(conditions: list[str], values: list[Any], params: Parameters) -> None:
    if "type" in params and "types" in params:
        raise invalid("You may only specify one of these parameters: type, types.")
    wanted = params.get("types") or ([params["type"]] if params.get("type") else [])
    if len(wanted) > 20:
        raise invalid("You can only filter by up to 20 event types.", param="types")
    if wanted:
        patterns = [
            name.replace("\\", r"\\").replace("_", r"\_").replace("%", r"\%").replace("*", "%")
            for name in wanted
        ]
        conditions.append("type like any(%s)")
        values.append(patterns)


def _add_cursors(unit: UnitOfWork, conditions: list[str], values: list[Any], params: Parameters) -> None:
    for param, sign in (("starting_after", "<"), ("ending_before", ">")):
        cursor = params.get(param)
        if cursor:
            row = unit.connection.execute("select sequence from events where id = %s", (cursor,)).fetchone()
            if row is None:
                raise no_such("event", cursor, param=param)
            conditions.append(f"sequence {sign} %s")
            values.append(row["sequence"])


@operation("GET", _PATH + "/<event_id>", "_event_retrieve_params.EventRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, event_id: str) -> Json:
    """Return an event."""
    if unit.connection.execute("select from events where id = %s", (event_id,)).fetchone() is None:
        raise no_such("event", event_id)
    return event_body(unit.connection, event_id)
