"""Connections to Postgres and the twin's schema in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

Connection = psycopg.Connection[DictRow]

_SCHEMA_LOCK = 7_281_143_906  # any number that no other program uses as an advisory lock


class Database:
    """A pool of connections whose search_path is the twin's schema.

    The pool opens at first use and again after a fork, so that a server may load the app before it forks.
    """

    def __init__(self, database_url: str, schema: str, pool_size: int) -> None:
        self.schema = schema
        self._database_url = database_url
        self._pool_size = pool_size
        self._pool: ConnectionPool[Connection] | None = None
        self._pool_process = 0
        self._guard = threading.Lock()

    def connect(self) -> Connection:
        """Return a connection outside the pool, in autocommit mode, for one who listens."""
        connection = psycopg.connect(self._database_url, autocommit=True, row_factory=dict_row)
        self._use_schema(connection)
        return connection

    def _use_schema(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(self.schema)))
        if not connection.autocommit:
            connection.commit()

    def _open_pool(self) -> ConnectionPool[Connection]:
        with self._guard:
            if self._pool is None or self._pool_process != os.getpid():
                self._pool = ConnectionPool(
                    self._database_url,
                    connection_class=Connection,
                    min_size=0,
                    max_size=self._pool_size,
                    max_idle=60,
                    kwargs={"row_factory": dict_row},
                    configure=self._use_schema,
                    check=ConnectionPool.check_connection,
                    open=True,
                    name="stripe-twin",
                )
                self._pool_process = os.getpid()
            return self._pool

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection inside one transaction: committed at the end, rolled back on an error."""
        with self._open_pool().connection() as connection:
            yield connection

    def apply_schema(self) -> None:
        """Create the schema and its tables where they are missing; several processes may do it at once."""
        text = resources.files("stripe_twin").joinpath("schema.sql").read_text(encoding="utf-8")
        name = sql.Identifier(self.schema)
        with psycopg.connect(self._database_url) as connection:
            connection.execute("select pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            connection.execute("set local client_min_messages to warning")
            connection.execute(sql.SQL("create schema if not exists {}").format(name))
            connection.execute(sql.SQL("set local search_path to {}").format(name))
            connection.execute(text.encode())
            self._close_to_others(connection)

    def _close_to_others(self, connection: psycopg.Connection[Any]) -> None:
        """Take every right from the roles of the API, whatever default privileges gave them."""
        roles = connection.execute(
            "select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role')"
        ).fetchall()
        grantees = [sql.SQL("public")] + [sql.Identifier(row[0]) for row in roles]
        for grantee in grantees:
            for what in ("schema {}", "all tables in schema {}", "all sequences in schema {}"):
                statement = sql.SQL("revoke all on " + what + " from ").format(sql.Identifier(self.schema))
                connection.execute(statement + grantee)

    def close(self) -> None:
        """Close the pool; a later transaction opens it again."""
        with self._guard:
            if self._pool is not None and self._pool_process == os.getpid():
                self._pool.close()
            self._pool = None
