"""Sends events to webhook endpoints: signed, at least once, retried with growing pauses.

Deliveries are rows. A loop claims those that are due (`for update skip locked`), so any number of loops may
run; one that dies loses its claims with its database session, one that hangs after a while. A notification
from the writing transaction wakes the loop.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import structlog
from psycopg import sql
from stripe import WebhookSignature

from stripe_twin.database import Connection, Database
from stripe_twin.faults import Faults, read_faults
from stripe_twin.renderings import render
from stripe_twin.settings import TwinSettings
from stripe_twin.shapes import Json
from stripe_twin.unit import delivery_channel

_log = structlog.get_logger("stripe_twin.deliveries")
_LONGEST_SLEEP_SECONDS = 5.0
_HOUSEKEEPING_SECONDS = 15.0


@dataclass(frozen=True)
class Delivery:
    """One claimed delivery: which event goes where, and the number of this attempt, from 1."""

    id: int
    event_id: str
    endpoint_id: str
    attempts: int


class DeliveryLoop:
    """The background sender of one process."""

    def __init__(self, database: Database, settings: TwinSettings, housekeeping: Callable[[], None]) -> None:
        """Args: where deliveries are kept, the settings, and what else is to be done every few seconds."""
        self._database = database
        self._settings = settings
        self._housekeeping = housekeeping
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._finished = threading.Condition()

    def start(self) -> None:
        """Start the loop's thread, once."""
        if self._thread is None or not self._thread.is_alive():
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="stripe-twin-deliveries", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop claiming, and wait for the deliveries in flight."""
        if self._thread is None or not self._thread.is_alive():
            return
        self._stopping.set()
        try:
            with self._database.transaction() as connection:
                connection.execute("select pg_notify(%s, '')", (delivery_channel(self._settings.schema),))
        except psycopg.Error:
            _log.warning("twin_deliveries_stop_without_database")
        self._thread.join(self._settings.delivery_timeout_seconds + 2 * _LONGEST_SLEEP_SECONDS)

    def wait_for_answers(self, event_type: str, object_id: str, seconds: float) -> bool:
        """Wait until every endpoint has been tried once with an object's events of one type.

        Args:
            event_type: Such as `checkout.session.completed`.
            object_id: The object in the events.
            seconds: The longest wait.

        Returns:
            Whether every first attempt has ended, well or not.
        """
        deadline = time.monotonic() + seconds
        while self._untried(event_type, object_id):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.wait_for_progress(min(left, 0.25))
        return True

    def _untried(self, event_type: str, object_id: str) -> bool:
        with self._database.transaction() as connection:
            row = connection.execute(
                """
                select exists (
                  select from deliveries d join events e on e.id = d.event_id
                  where e.object_id = %s and e.type = %s and d.state = 'pending'
                    and d.last_status is null and d.last_error is null
                ) as untried
                """,
                (object_id, event_type),
            ).fetchone()
        return bool(row and row["untried"])

    def wait_for_progress(self, seconds: float) -> None:
        """Wait until this process finishes an attempt, at most `seconds`.

        Attempts of other processes do not wake it.
        """
        with self._finished:
            self._finished.wait(seconds)

    # ---- the loop ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with ThreadPoolExecutor(
            self._settings.delivery_threads, thread_name_prefix="stripe-twin-send"
        ) as senders:
            while not self._stopping.is_set():
                try:
                    with self._database.connect() as listener:
                        self._listen(listener, senders)
                except psycopg.Error as error:
                    _log.warning("twin_deliveries_interrupted", error=type(error).__name__)
                    self._stopping.wait(1)

    def _listen(self, listener: Connection, senders: ThreadPoolExecutor) -> None:
        channel = sql.Identifier(delivery_channel(self._settings.schema))
        listener.execute(sql.SQL("listen {}").format(channel))
        next_housekeeping = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= next_housekeeping:
                self._housekeeping()
                next_housekeeping = time.monotonic() + _HOUSEKEEPING_SECONDS
            claimed = self._claim(listener)
            for delivery in claimed:
                senders.submit(self._attempt, delivery)
            if not claimed:
                pause = min(self._seconds_to_next(listener), _LONGEST_SLEEP_SECONDS)
                for _ in listener.notifies(timeout=pause, stop_after=1):
                    pass

    def _claim(self, connection: Connection) -> list[Delivery]:
        rows = connection.execute(
            """
            update deliveries
            set attempts = attempts + 1, claimed_by = pg_backend_pid(),
              claimed_until = now() + make_interval(secs => %s)
            where id in (
              select id from deliveries
              where state = 'pending' and due_at <= now()
                and (
                  claimed_until is null or claimed_until <= now()
                  or not exists (select from pg_stat_activity session where session.pid = claimed_by)
                )
              order by due_at, id
              limit %s
              for update skip locked
            )
            returning id, event_id, endpoint_id, attempts
            """,
            (self._settings.delivery_timeout_seconds * 2, self._settings.delivery_threads * 2),
        ).fetchall()
        return [Delivery(**row) for row in sorted(rows, key=lambda row: row["id"])]

    def _seconds_to_next(self, connection: Connection) -> float:
        row = connection.execute(
            """
            select extract(epoch from min(greatest(due_at, claimed_until)) - now())::double precision
              as seconds
            from deliveries where state = 'pending'
            """
        ).fetchone()
        if row is None or row["seconds"] is None:
            return _LONGEST_SLEEP_SECONDS
        return max(float(row["seconds"]), 0.02)

    # ---- one attempt ---------------------------------------------------------------------------------------

    def _attempt(self, delivery: Delivery) -> None:
        try:
            with self._database.transaction() as connection:
                message = _compose(connection, delivery)
            status, problem = (None, "endpoint is gone") if message is None else self._send(message, delivery)
            with self._database.transaction() as connection:
                self._record(connection, delivery, status, problem, gone=message is None)
        except psycopg.Error as error:
            _log.warning("twin_delivery_not_recorded", delivery=delivery.id, error=type(error).__name__)
        with self._finished:
            self._finished.notify_all()

    def _send(self, message: Message, delivery: Delivery) -> tuple[int | None, str | None]:
        if delivery.attempts <= message.faults.drop_attempts:
            return None, "dropped on demand"
        copies = 1 + message.faults.duplicates
        outcome: tuple[int | None, str | None] = (None, None)
        for _ in range(copies):
            outcome = self._post(
                message, wrong_secret=delivery.attempts <= message.faults.wrong_secret_attempts
            )
        return outcome

    def _post(self, message: Message, *, wrong_secret: bool) -> tuple[int | None, str | None]:
        secrets = ("whsec_a_secret_nobody_has",) if wrong_secret else message.secrets
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(message.body, secrets),
            "User-Agent": "Stripe/1.0 (local twin)",
        }
        try:
            answer = httpx.post(
                message.url,
                content=message.body.encode(),
                headers=headers,
                timeout=self._settings.delivery_timeout_seconds,
                follow_redirects=False,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            return None, type(error).__name__
        return answer.status_code, None if answer.is_success else answer.text[:500]

    def _record(
        self,
        connection: Connection,
        delivery: Delivery,
        status: int | None,
        problem: str | None,
        *,
        gone: bool,
    ) -> None:
        delivered = status is not None and 200 <= status < 300
        pauses = self._settings.retry_pauses_seconds
        given_up = delivery.attempts > len(pauses)
        state = "delivered" if delivered else "canceled" if gone else "failed" if given_up else "pending"
        pause = 0 if state != "pending" else pauses[delivery.attempts - 1]
        connection.execute(
            """
            update deliveries
            set claimed_until = null, last_status = %s, last_error = %s,
              -- an endpoint that was deleted during the attempt gets no other
              state = case when state = 'canceled' and %s = 'pending' then 'canceled' else %s end,
              delivered_at = case when %s then now() end, due_at = now() + make_interval(secs => %s)
            where id = %s
            """,
            (status, problem, state, state, delivered, pause, delivery.id),
        )
        if state == "pending":  # the loop may be asleep for longer than the pause
            connection.execute("select pg_notify(%s, '')", (delivery_channel(self._settings.schema),))
        log = _log.info if delivered else _log.warning
        log(
            "twin_delivery", event_id=delivery.event_id, attempt=delivery.attempts, status=status, state=state
        )


@dataclass(frozen=True)
class Message:
    """What goes over the wire for one delivery."""

    url: str
    secrets: tuple[str, ...]
    body: str
    faults: Faults


def sign(body: str, secrets: Sequence[str]) -> str:
    """Return the `Stripe-Signature` of a body: one time, and one `v1` for each secret that signs.

    Source: https://docs.stripe.com/webhooks#roll-endpoint-secrets
    """
    moment = int(time.time())
    signed = [WebhookSignature.generate_signature_header(body, secret, moment) for secret in secrets]
    return ",".join([signed[0], *(header.partition(",")[2] for header in signed[1:])])


def _compose(connection: Connection, delivery: Delivery) -> Message | None:
    """Return the message of a delivery, or None when its endpoint was deleted or disabled."""
    endpoint = connection.execute(
        "select data, hidden from objects where id = %s and not deleted and data->>'status' = 'enabled'",
        (delivery.endpoint_id,),
    ).fetchone()
    if endpoint is None:
        return None
    faults = read_faults(connection)
    body = event_body(connection, delivery.event_id)
    version = faults.api_version or endpoint["data"]["api_version"]
    if version:
        body = render(body, version)
    hidden = endpoint["hidden"]
    secrets = [hidden["secret"]]
    if hidden.get("old_secret_until", 0) > time.time():
        secrets.append(hidden["old_secret"])
    return Message(endpoint["data"]["url"], tuple(secrets), json.dumps(body, indent=2), faults)


def event_body(connection: Connection, event_id: str) -> Json:
    """Return an event as the API shows it, with the number of deliveries still outstanding."""
    row: dict[str, Any] | None = connection.execute(
        """
        select body, (select count(*) from deliveries d where d.event_id = e.id and d.state = 'pending') as
        pending from events e where e.id = %s
        """,
        (event_id,),
    ).fetchone()
    assert row is not None, event_id
    body: Json = row["body"]
    body["pending_webhooks"] = row["pending"]
    return body
