"""Database sessions that speak as somebody, for interleavings that are written down step by step."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

Refusal = tuple[str, str]


class Session:
    """One transaction of one person, statement by statement.

    Args:
        database_url: connection of the role `postgres`.
        user_id: who speaks, as PostgREST would set it up; None: the schema's owner.
    """

    def __init__(self, database_url: str, user_id: UUID | None) -> None:
        self._connection = psycopg.connect(database_url, row_factory=dict_row)
        if user_id is not None:
            self._connection.execute("select set_config('role', 'authenticated', true)")
            claims = json.dumps({"sub": str(user_id), "role": "authenticated", "is_anonymous": False})
            self._connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        self.answer: Any = None
        self.pid = self._connection.info.backend_pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection.info.transaction_status is not TransactionStatus.ACTIVE:
            self._connection.rollback()  # what it holds is free before the next test begins
        self._connection.close()

    def call(self, statement: str, *arguments: object) -> Refusal | None:
        """Run a statement; the transaction stays open. `answer` is then the first column of its first row.

        Returns:
            SQLSTATE and message of a refusal, None when it succeeded.
        """
        try:
            cursor = self._connection.execute(statement.encode(), arguments or None)
            row = cursor.fetchone() if cursor.description is not None else None
            self.answer = None if row is None else next(iter(row.values()))
        except psycopg.Error as error:
            return str(error.sqlstate), str(error.diag.message_primary)
        return None

    def commit(self) -> None:
        """End the transaction."""
        self._connection.commit()


class Waiting:
    """A call in a thread of its own that is seen to wait for a lock before the story goes on."""

    def __init__(
        self,
        database: psycopg.Connection[dict[str, Any]],
        session: Session,
        statement: str,
        *arguments: object,
    ) -> None:
        self._outcome: list[Refusal | None] = []

        def run() -> None:
            self._outcome.append(session.call(statement, *arguments))

        self._thread = threading.Thread(target=run)
        self._thread.start()
        query = "select wait_event_type = 'Lock' as waits from pg_stat_activity where pid = %s"
        while self._thread.is_alive():
            row = database.execute(query, (session.pid,)).fetchone()
            if row is not None and row["waits"]:
                return
        raise AssertionError(f"it did not wait: {self._outcome}")

    def outcome(self) -> Refusal | None:
        """Wait for the call's end."""
        self._thread.join()
        return self._outcome[0]


@contextmanager
def two_sessions(
    database_url: str, first: UUID | None, second: UUID | None
) -> Iterator[tuple[Session, Session]]:
    """Open a session for each of two people; None: the schema's owner."""
    with Session(database_url, first) as one, Session(database_url, second) as other:
        yield one, other
