"""One unit of work: a call's reads, writes and events, in one database transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import stripe
from psycopg.types.json import Json as JsonParameter
from psycopg.types.json import Jsonb

from stripe_twin.database import Connection
from stripe_twin.errors import no_such
from stripe_twin.identifiers import new_id
from stripe_twin.settings import TwinSettings
from stripe_twin.shapes import Json, complete


@dataclass
class Record:
    """A stored object: what the API shows, and what only the twin knows about it."""

    data: Json
    hidden: Json
    deleted: bool = False

    @property
    def id(self) -> str:
        """The object's id."""
        return str(self.data["id"])


@dataclass
class Page:
    """One page of a list."""

    records: list[Record]
    has_more: bool


@dataclass
class UnitOfWork:
    """What a handler works with.

    Attributes:
        connection: The open transaction.
        settings: The twin's settings.
        request_id: Id of the API request that caused the work; None for a browser or the clock.
        idempotency_key: Key of that request, shown in its events.
        now: Time of the work, in seconds since 1970: that of the customer's test clock as soon as an object
            of a customer with a clock is read.
        is_time_held: Whether `now` is fixed, as while a clock is advanced.
    """

    connection: Connection
    settings: TwinSettings
    request_id: str | None = None
    idempotency_key: str | None = None
    now: int = field(default_factory=lambda: int(time.time()))
    is_time_held: bool = False

    # ---- time ----------------------------------------------------------------------------------------------

    def at(self, moment: int) -> UnitOfWork:
        """Return a unit of work in the same transaction whose time is fixed."""
        return replace(self, now=moment, is_time_held=True)

    def _follow_clock(self, record: Record) -> None:
        """Live in the time of a record's customer: that of the test clock, or so many seconds ahead."""
        customer_id = record.id if record.data["object"] == "customer" else record.data.get("customer")
        if self.is_time_held or not isinstance(customer_id, str):
            return
        row = self.connection.execute(
            "select (k.data->>'frozen_time')::bigint as frozen, "
            "  (c.hidden->>'seconds_ahead')::bigint as ahead "
            "from objects c left join objects k on k.id = c.data->>'test_clock' where c.id = %s",
            (customer_id,),
        ).fetchone()
        if row is not None and row["frozen"] is not None:
            self.now = row["frozen"]
        elif row is not None and row["ahead"] is not None:
            self.now = int(time.time()) + row["ahead"]

    # ---- objects -------------------------------------------------------------------------------------------

    def insert(self, data: Json, hidden: Json | None = None) -> Record:
        """Store a new object and return it."""
        record = Record(data, hidden or {})
        self.connection.execute(
            "insert into objects (id, object, data, hidden) values (%s, %s, %s, %s)",
            (record.id, data["object"], Jsonb(data), Jsonb(record.hidden)),
        )
        return record

    def find(self, object_name: str, object_id: str, *, lock: bool = False) -> Record | None:
        """Return an object, or None; deleted ones are returned too.

        Args:
            object_name: The kind it must be.
            object_id: Its id.
            lock: Hold its row until the transaction ends. Handlers lock in this order: test clock, checkout
                session, subscription, invoice, setup intent, payment intent, charge, refund, dispute, payment
                method, customer, product, price.
        """
        row = self.connection.execute(
            "select data, hidden, deleted from objects where id = %s and object = %s"
            + (" for update" if lock else ""),
            (object_id, object_name),
        ).fetchone()
        if row is None:
            return None
        record = Record(row["data"], row["hidden"], row["deleted"])
        self._follow_clock(record)
        return record

    def get(
        self, object_name: str, object_id: str, *, lock: bool = False, param: str | None = None
    ) -> Record:
        """Return an object that must exist and not be deleted.

        Args:
            object_name: The kind it must be.
            object_id: Its id.
            lock: See `find`.
            param: The request's parameter that named it; None for the path.

        Raises:
            StripeError: 404 (or 400, when a parameter named it) `resource_missing`.
        """
        record = self.find(object_name, object_id, lock=lock)
        if record is None or record.deleted:
            raise no_such(object_name, object_id, param=param)
        return record

    def save(self, record: Record) -> None:
        """Write a locked object back."""
        self.connection.execute(
            "update objects set data = %s, hidden = %s, deleted = %s where id = %s",
            (Jsonb(record.data), Jsonb(record.hidden), record.deleted, record.id),
        )

    def all(self, object_name: str, matching: Json | None = None, hidden: Json | None = None) -> list[Record]:
        """Return every object of a kind that contains `matching` and `hidden`, oldest first."""
        rows = self.connection.execute(
            "select data, hidden from objects where object = %s and not deleted and data @> %s and "
            "hidden @> %s order by sequence",
            (object_name, Jsonb(matching or {}), Jsonb(hidden or {})),
        ).fetchall()
        return [Record(row["data"], row["hidden"]) for row in rows]

    def page(
        self,
        object_name: str,
        params: Json,
        matching: Json | None = None,
        hidden: Json | None = None,
        among: tuple[str, tuple[str, ...]] | None = None,
    ) -> Page:
        """Return one page of a list, newest first.

        Args:
            object_name: Kind of the objects.
            params: The call's `limit`, `starting_after`, `ending_before` and `created`; others are ignored.
            matching: What the objects must contain.
            hidden: What their hidden part must contain.
            among: A field, and the values of which it must have one.

        Raises:
            StripeError: 400 when a cursor names no such object.
        """
        conditions = ["object = %s", "not deleted", "data @> %s", "hidden @> %s"]
        values: list[Any] = [object_name, Jsonb(matching or {}), Jsonb(hidden or {})]
        add_created_range(conditions, values, params.get("created"), "(data->>'created')::bigint")
        if among is not None:
            conditions.append("data->>%s = any(%s)")
            values += [among[0], list(among[1])]
        limit = int(params.get("limit", 10))
        after, before = params.get("starting_after"), params.get("ending_before")
        for cursor, sign, param in ((after, "<", "starting_after"), (before, ">", "ending_before")):
            if cursor:
                if self.find(object_name, cursor) is None:
                    raise no_such(object_name, cursor, param=param)
                conditions.append(f"sequence {sign} (select c.sequence from objects c where c.id = %s)")
                values.append(cursor)
        order = "asc" if before else "desc"
        rows = self.connection.execute(
            f"select data, hidden from objects where {' and '.join(conditions)} "
            f"order by sequence {order} limit %s",
            (*values, limit + 1),
        ).fetchall()
        records = [Record(row["data"], row["hidden"]) for row in rows[:limit]]
        return Page(records[::-1] if before else records, len(rows) > limit)

    # ---- events --------------------------------------------------------------------------------------------

    def emit(self, event_type: str, shown: Json, previous: Json | None = None) -> str:
        """Write an event, and a delivery for each endpoint that wants it, in this transaction.

        Args:
            event_type: Such as `customer.updated`.
            shown: The object as it is now.
            previous: For `*.updated`: the old values of the fields that changed.

        Returns:
            The event's id.
        """
        data: Json = {"object": shown}
        if previous is not None:
            data["previous_attributes"] = previous
        event_id = new_id("evt")
        body = complete(
            "event",
            {
                "id": event_id,
                "api_version": stripe.api_version,
                "created": self.now,
                "data": data,
                "pending_webhooks": 0,
                "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
                "type": event_type,
            },
        )
        del body["account"], body["context"]  # only events of connected accounts have them
        self.connection.execute(
            "insert into events (id, type, object_id, body) values (%s, %s, %s, %s)",
            (event_id, event_type, shown.get("id"), JsonParameter(body)),
        )
        self._queue(event_id, event_type)
        return event_id

    def _queue(self, event_id: str, event_type: str) -> None:
        wanting = [
            endpoint.id
            for endpoint in self.all("webhook_endpoint", {"status": "enabled"})
            if {"*", event_type} & set(endpoint.data["enabled_events"])
        ]
        if not wanting:
            return
        self.connection.execute(
            "insert into deliveries (event_id, endpoint_id, due_at) "
            "select %s, endpoint, now() + make_interval(secs => "
            "  coalesce((faults.settings->>'delay_seconds')::numeric, 0)::double precision"
            "  + random() * coalesce((faults.settings->>'shuffle_seconds')::numeric, 0)::double precision) "
            "from unnest(%s::text[]) as endpoint left join faults on true",
            (event_id, wanting),
        )
        self.connection.execute("select pg_notify(%s, '')", (delivery_channel(self.settings.schema),))


def delivery_channel(schema: str) -> str:
    """Return the name of the notification that wakes the delivery loops of one twin."""
    return f"{schema}_deliveries"


def add_created_range(conditions: list[str], values: list[Any], created: Any, column: str) -> None:
    """Add the list parameter `created` (a time, or gt/gte/lt/lte bounds) to a where clause."""
    if created is None or created == "":
        return
    bounds: Iterable[tuple[str, Any]] = created.items() if isinstance(created, dict) else [("eq", created)]
    signs = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "="}
    for name, bound in bounds:
        conditions.append(f"{column} {signs[name]} %s")
        values.append(int(bound))


def changed(before: Json, after: Json) -> Json:
    """Return the old values of the top-level fields that differ, for `previous_attributes`."""
    return {name: before.get(name) for name in after if before.get(name) != after[name]}


def snapshot(data: Json) -> Json:
    """Return a copy that later changes do not touch."""
    copy: Json = json.loads(json.dumps(data))
    return copy
