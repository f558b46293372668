"""The database under test, driven as the service; one transaction a call, refusals as exceptions."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg.abc import Buffer
from psycopg.rows import dict_row
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import Jsonb, set_json_loads

from .entities import ALWAYS, NEVER, Refused

Row = dict[str, Any]

#: Its receipts are rows of their own, which are read as what PostgREST answers.
BATCH = "consume_credits_batch"


class _EndlessLoader(TimestamptzLoader):
    """Reads instants, and the two that Python has no word for."""

    def load(self, data: Buffer) -> datetime:
        endless = {b"infinity": NEVER, b"-infinity": ALWAYS}.get(bytes(data))
        return super().load(data) if endless is None else endless


def exactly(text: str | bytes) -> Any:
    """Parse JSON without floats."""
    return json.loads(text, parse_float=Decimal)


class Database:
    """One organization with a test clock of its own."""

    def __init__(self, connection: psycopg.Connection[Row], owner: UUID, start: datetime) -> None:
        self._connection = connection
        made = self.one("create_organization", name=f"Model {secrets.token_hex(6)}", owner_user_id=owner)
        self.organization_id: UUID = made["organization_id"]
        self.one("advance_test_clock", organization_id=self.organization_id, to=start)

    @staticmethod
    def connect(url: str) -> psycopg.Connection[Row]:
        """Open a session in autocommit, in which JSON numbers are exact."""
        connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        set_json_loads(exactly, connection)
        connection.adapters.register_loader("timestamptz", _EndlessLoader)
        return connection

    def call(self, function: str, **arguments: Any) -> list[Row]:
        """Call a function of schema `billing` by named arguments.

        Raises:
            Refused: it answered with SQLSTATE PTnnn. Anything else is a defect and passes through.
        """
        named = ", ".join(f'"{name}" => %({name})s' for name in arguments)
        values = {name: _as_parameter(value) for name, value in arguments.items()}
        try:
            with self._connection.transaction():
                # As PostgREST: the short cut of consume_credits knows its callers by their role.
                self._connection.execute("set local role service_role")
                columns = "index, ok, to_jsonb(receipt) as receipt, error" if function == BATCH else "*"
                query = f"select {columns} from billing.{function}({named})"
                return self._connection.execute(query.encode(), values).fetchall()
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("PT"):
                raise
            details = exactly(error.diag.message_detail or "{}")
            raise Refused(int(str(error.sqlstate)[2:]), str(error.diag.message_primary), **details) from error

    def one(self, function: str, **arguments: Any) -> Row:
        """Call a function that answers one row."""
        (row,) = self.call(function, **arguments)
        return row

    def query(self, sql: str, *values: object) -> list[Row]:
        """Run a query about this organization, whose id is the first parameter."""
        return self._connection.execute(sql.encode(), (self.organization_id, *values)).fetchall()

    def configure(self, column: str, value: object) -> None:
        """Set a column of the organization, as an operator would."""
        sql = f"update billing.organizations set {column} = %s where organization_id = %s"
        self._connection.execute(sql.encode(), (value, self.organization_id))

    def department(self, name: str) -> str:
        """Make a department and return its id."""
        made = self.one("create_department", organization_id=self.organization_id, name=name)
        return str(made["id"])

    def balance(self, as_of: datetime | None = None) -> Row:
        """Return get_credit_balance."""
        return self.one("get_credit_balance", organization_id=self.organization_id, as_of=as_of)

    def remains(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Return what each grant has left and what of it is held, by id."""
        rows = self.query("select id, remaining, held from billing.credit_grants where organization_id = %s")
        return {str(row["id"]): (row["remaining"], row["held"]) for row in rows}


def _as_parameter(value: Any) -> Any:
    if isinstance(value, dict):
        return Jsonb(value)
    if isinstance(value, Sequence) and value and isinstance(value[0], dict):
        return Jsonb(value, dumps=lambda events: json.dumps(events, default=str))
    return value
