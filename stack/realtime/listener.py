"""Broadcast from the database: committed rows of `realtime.messages` become broadcasts."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from stack.realtime.authorization import Pool
from stack.realtime.frames import Broadcast
from stack.realtime.hub import Hub, Topic

NOTIFY_CHANNEL = "realtime_messages"
"""The trigger of stack/bootstrap/50_realtime.sql notifies here, with the row's id."""

RETENTION = "3 days"
"""How long the real server keeps messages, too."""

_RECONNECT_SECONDS = 0.5
_CLEANUP_EVERY_SECONDS = 3600.0

_log = logging.getLogger(__name__)


async def listen_forever(database_url: str, pool: Pool, hub: Hub, ready: asyncio.Event) -> None:
    """Deliver messages until cancelled; a lost connection is opened anew.

    Messages that commit while the database connection is down are not delivered, as with the real server:
    clients refetch when their channel comes back.

    Args:
        database_url: connection as the owner of `realtime.messages`.
        pool: reads the messages.
        hub: delivers them.
        ready: set while notifications are being received.
    """
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                database_url, autocommit=True, row_factory=dict_row, application_name="realtime"
            ) as connection:
                await connection.execute(f"listen {NOTIFY_CHANNEL}")
                ready.set()
                while True:
                    # Waits for one notice and takes those that came with it.
                    notices = connection.notifies(stop_after=1)
                    await _deliver(pool, hub, [UUID(notice.payload) async for notice in notices])
        except (psycopg.Error, OSError) as error:
            _log.warning("listening to the database failed, trying again: %s", error)
        ready.clear()
        await asyncio.sleep(_RECONNECT_SECONDS)


async def _deliver(pool: Pool, hub: Hub, ids: list[UUID]) -> None:
    """Deliver messages in the order of their notifications, which is the order of the commits."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            """select messages.id, topic, private, event, coalesce(payload, 'null')::text as payload
                 from unnest(%s::uuid[]) with ordinality as notified (id, position)
                 join realtime.messages on messages.id = notified.id
                where extension = 'broadcast' order by position""",
            [ids],
        )
        rows = await cursor.fetchall()
    for row in rows:
        hub.publish(
            Topic(row["topic"], bool(row["private"])),
            Broadcast(row["event"] or "", row["payload"], {"id": str(row["id"])}),
        )


async def clean_up_forever(pool: Pool) -> None:
    """Delete messages past their retention, once an hour until cancelled."""
    while True:
        try:
            async with pool.connection() as connection:
                await connection.execute(
                    "delete from realtime.messages where inserted_at < localtimestamp - %s::interval",
                    [RETENTION],
                )
        except psycopg.Error as error:
            _log.warning("deleting old messages failed: %s", error)
        await asyncio.sleep(_CLEANUP_EVERY_SECONDS)
