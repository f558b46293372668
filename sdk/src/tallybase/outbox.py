"""The outbox: a local SQLite file of spends that could not be booked, kept until the ledger has answered.

For actions whose work must not wait for the billing server (`on_unavailable="queue"`). A spend keeps its
idempotency key, so one that was booked although the answer was lost is charged once. A spend that the ledger
refuses later is kept, with the refusal, for a person to look at; nothing is dropped.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tallybase import _json
from tallybase.errors import TallybaseError

_SCHEMA = """
create table if not exists outbox (
  idempotency_key text primary key,
  arguments text not null,
  queued_at text not null,
  refused_at text,
  refusal text
) strict
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A spend in the outbox.

    Attributes:
        idempotency_key: under which it is charged once.
        arguments: of `consume_credits`, amounts as Decimals.
        queued_at: when it was put here.
        refused_at: when the ledger refused it, or None while it waits.
        refusal: slug of the refusal, or None.
    """

    idempotency_key: str
    arguments: Mapping[str, object]
    queued_at: datetime
    refused_at: datetime | None = None
    refusal: str | None = None


class Outbox:
    """Spends that wait in a file. Safe for threads, and for processes that share the file.

    Args:
        path: of the SQLite file; it is made when it is not there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        with self._connected() as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute(_SCHEMA)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Open a connection for one transaction; committed means on disk (`synchronous = full`)."""
        with self._lock, closing(sqlite3.connect(self.path, timeout=10.0)) as connection:
            connection.execute("pragma synchronous = full")
            with connection:
                yield connection

    def add(self, idempotency_key: str, arguments: Mapping[str, object]) -> None:
        """Keep a spend; when this returns it is on disk. The same key twice is one spend."""
        with self._connected() as connection:
            connection.execute(
                "insert into outbox (idempotency_key, arguments, queued_at) values (?, ?, ?)"
                " on conflict (idempotency_key) do nothing",
                (idempotency_key, _json.encode(dict(arguments)).decode(), datetime.now(UTC).isoformat()),
            )

    def waiting(self) -> list[Entry]:
        """Return what waits to be booked, oldest first."""
        return self._select("where refused_at is null")

    def refused(self) -> list[Entry]:
        """Return what the ledger refused, oldest first."""
        return self._select("where refused_at is not null")

    def remove(self, idempotency_key: str) -> None:
        """Forget a spend: it is booked, or a person has dealt with its refusal."""
        with self._connected() as connection:
            connection.execute("delete from outbox where idempotency_key = ?", (idempotency_key,))

    def refuse(self, idempotency_key: str, error: TallybaseError) -> None:
        """Keep a spend as refused."""
        with self._connected() as connection:
            connection.execute(
                "update outbox set refused_at = ?, refusal = ? where idempotency_key = ?",
                (datetime.now(UTC).isoformat(), error.slug, idempotency_key),
            )

    def retry(self, idempotency_key: str) -> bool:
        """Let a refused spend wait again, such as after a top-up; False when there is none of that key."""
        with self._connected() as connection:
            changed = connection.execute(
                "update outbox set refused_at = null, refusal = null"
                " where idempotency_key = ? and refused_at is not null",
                (idempotency_key,),
            )
            return changed.rowcount == 1

    def _select(self, condition: str) -> list[Entry]:
        with self._connected() as connection:
            rows = connection.execute(
                "select idempotency_key, arguments, queued_at, refused_at, refusal from outbox "
                f"{condition} order by queued_at, idempotency_key"
            ).fetchall()
        return [_entry(*row) for row in rows]


def _entry(key: str, arguments: str, queued_at: str, refused_at: str | None, refusal: str | None) -> Entry:
    decoded = _json.decode(arguments.encode())
    if not isinstance(decoded, dict):
        raise ValueError(f"the outbox holds arguments that are not an object, under {key}")
    refused = None if refused_at is None else datetime.fromisoformat(refused_at)
    return Entry(key, decoded, datetime.fromisoformat(queued_at), refused, refusal)
