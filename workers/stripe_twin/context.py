"""What every part of a running twin shares: settings, database, default endpoint, deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from stripe_twin.database import Database
from stripe_twin.deliveries import DeliveryLoop
from stripe_twin.resources.webhook_endpoints import keep_default_endpoint
from stripe_twin.settings import TwinSettings
from stripe_twin.timers import TimerFailedError, fire_next_due, put_off
from stripe_twin.unit import UnitOfWork

_log = structlog.get_logger("stripe_twin")


class Twin:
    """One twin in this process."""

    def __init__(self, settings: TwinSettings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url, settings.schema, settings.pool_size)
        self.deliveries = DeliveryLoop(self.database, settings, self.run_due_timers)

    def start(self) -> None:
        """Make the schema ready and, if so configured, start delivering."""
        self._prepare()
        if self.settings.run_deliveries:
            self.deliveries.start()

    def stop(self) -> None:
        """Finish the deliveries in flight and close the connections."""
        self.deliveries.stop()
        self.database.close()

    def run_due_timers(self) -> None:
        """Let happen what is due by the time of day, each thing in a transaction of its own."""
        while True:
            try:
                with self.unit() as unit:
                    if not fire_next_due(unit):
                        return
            except TimerFailedError as failure:
                _log.exception("twin_timer_failed", object_id=failure.object_id, kind=failure.kind)
                with self.unit() as unit:
                    put_off(unit, failure.object_id, failure.kind)

    def _prepare(self) -> None:
        self.database.apply_schema()
        with self.database.transaction() as connection:
            keep_default_endpoint(UnitOfWork(connection, self.settings))

    @contextmanager
    def unit(
        self, *, request_id: str | None = None, idempotency_key: str | None = None
    ) -> Iterator[UnitOfWork]:
        """Yield a unit of work: committed at the end of the block, undone when it raises.

        Someone may reset the database under a running twin; the tables are made anew then.
        """
        if not self._has_tables():
            self._prepare()
        with self.database.transaction() as connection:
            yield UnitOfWork(connection, self.settings, request_id, idempotency_key)

    def _has_tables(self) -> bool:
        with self.database.transaction() as connection:
            row = connection.execute("select to_regclass('deliveries') is not null as present").fetchone()
        return bool(row and row["present"])
