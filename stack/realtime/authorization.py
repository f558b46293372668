"""Who may read and write a private channel: the row level security policies of `realtime.messages` decide.

Rule: https://supabase.com/docs/guides/realtime/authorization. A probe row is looked at (or inserted) as the
subscriber's role with the subscriber's claims, in a transaction that is always rolled back.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

import psycopg
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

Claims = dict[str, Any]
Pool = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]
Extension = Literal["broadcast", "presence"]

_EXTENSIONS: tuple[Extension, ...] = ("broadcast", "presence")
_TIMEOUT = "3s"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Permissions:
    """What a subscriber may do in a channel, for each extension."""

    broadcast: bool
    presence: bool

    def allows(self, extension: Extension) -> bool:
        """Whether an extension is permitted."""
        return self.broadcast if extension == "broadcast" else self.presence


EVERYTHING = Permissions(broadcast=True, presence=True)
NOTHING = Permissions(broadcast=False, presence=False)


async def readable(pool: Pool, topic: str, claims: Claims) -> Permissions:
    """Ask the SELECT policies.

    Args:
        pool: connections as the owner of `realtime.messages`, a member of the API roles.
        topic: without the prefix; what `realtime.topic()` answers inside the policies.
        claims: of the subscriber's token; `role` names the database role.

    Returns:
        The permissions; nothing if a policy fails.
    """
    probes = {extension: uuid4() for extension in _EXTENSIONS}
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        await connection.cursor().executemany(
            "insert into realtime.messages (id, topic, extension, private) values (%s, %s, %s, true)",
            [(probe, topic, extension) for extension, probe in probes.items()],
        )
        try:
            async with connection.transaction():
                await _become(connection, topic, claims)
                cursor = await connection.execute(
                    "select id from realtime.messages where topic = %s and id = any(%s)",
                    [topic, list(probes.values())],
                )
                seen = {row["id"] for row in await cursor.fetchall()}
        except psycopg.Error as error:
            _log.warning("policies of realtime.messages for topic %s: %s", topic, error)
            return NOTHING
    return Permissions(**{extension: probe in seen for extension, probe in probes.items()})


async def writable(pool: Pool, topic: str, claims: Claims) -> Permissions:
    """Ask the INSERT policies; arguments and answer as in `readable`."""
    allowed: dict[str, bool] = {}
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        for extension in _EXTENSIONS:
            try:
                async with connection.transaction(force_rollback=True):
                    await _become(connection, topic, claims)
                    await connection.execute(
                        "insert into realtime.messages (topic, extension, private) values (%s, %s, true)",
                        [topic, extension],
                    )
                    allowed[extension] = True
            except psycopg.Error as error:
                _log.info("no %s into topic %s: %s", extension, topic, error)
                allowed[extension] = False
    return Permissions(**allowed)


async def _become(connection: psycopg.AsyncConnection[DictRow], topic: str, claims: Claims) -> None:
    await connection.execute(
        """select set_config('statement_timeout', %s, true), set_config('realtime.topic', %s, true),
             set_config('request.jwt.claims', %s, true), set_config('request.jwt.claim.sub', %s, true),
             set_config('request.jwt.claim.role', %s, true), set_config('role', %s, true)""",
        [
            _TIMEOUT,
            topic,
            json.dumps(claims),
            str(claims.get("sub", "")),
            str(claims["role"]),
            str(claims["role"]),
        ],
    )
