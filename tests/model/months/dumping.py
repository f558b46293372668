"""A ledger in full, without what differs in every run: ids become names, the wall clock is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any
from uuid import UUID

import psycopg

from ..database import Row

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: Columns that the wall clock, or chance, decides.
_OF_THE_RUN = {
    "id",
    "organization_id",
    "recorded_at",
    "announced_at",
    "updated_at",
    "ledger_number",
    "sequence",
}
#: What an entry says of the wallet after it, compared for the last entry of each instant.
_OF_THE_WALLET = (
    "balance_after",
    "held_after",
    "debt_after",
    "turn_at",
    "head_available",
    "head_grant_id",
    "has_scoped_grants",
)

_TABLES = {
    "grants": "select * from billing_private.credit_grant_lots where organization_id = %s",
    "holds": "select * from billing.credit_holds where organization_id = %s",
    "limits": "select subject_type, limit_window, amount, mode, timezone, alert_at from billing.credit_limits"
    " where organization_id = %s",
    "counters": "select l.subject_type, l.limit_window, c.window_start, c.used, c.additional"
    " from billing_private.credit_limit_counters as c"
    " join billing.credit_limits as l on l.organization_id = c.organization_id and l.id = c.limit_id"
    " where c.organization_id = %s",
    "usage": "select * from billing.credit_usage_daily where organization_id = %s",
    "subscriptions": "select status, current_period_start, current_period_end, ends_at, period_number,"
    " timezone from billing.subscriptions where organization_id = %s",
}


def dump(connection: psycopg.Connection[Row], organization_id: UUID) -> dict[str, list[str]]:
    """Return all that the ledger of an organization says, as sorted lines of text by table.

    Entries of one instant that the ledger booked by itself (grants that end together, say) are in the order
    of their grants' ids: they are sorted, and the wallet is compared after the last of them.
    """
    names = _names(connection, organization_id)

    def read(query: str) -> list[dict[str, Any]]:
        wrapped = f"select to_jsonb(r) as row from ({query}) as r"
        rows = connection.execute(wrapped.encode(), (organization_id,)).fetchall()
        return [row["row"] for row in rows]

    told = {table: sorted(_lines(read(query), names)) for table, query in _TABLES.items()}
    entries = read("select * from billing.credit_transactions where organization_id = %s order by sequence")
    told["entries"] = list(_instants(entries, names))
    return told


def _names(connection: psycopg.Connection[Row], organization_id: UUID) -> dict[str, str]:
    """Name every id by what it stands for."""
    names = {str(organization_id): "organization"}
    for row in connection.execute(
        "select id from billing.departments where organization_id = %s", (organization_id,)
    ):
        names[str(row["id"])] = "department"
    for row in connection.execute(
        "select id, subject_type, limit_window from billing.credit_limits where organization_id = %s",
        (organization_id,),
    ):
        names[str(row["id"])] = f"limit of {row['subject_type']} {row['limit_window']}"
    for row in connection.execute(
        "select id, idempotency_key from billing.credit_holds where organization_id = %s", (organization_id,)
    ):
        names[str(row["id"])] = f"hold {row['idempotency_key']}"
    for row in connection.execute(
        "select id, idempotency_key from billing.credit_transactions where organization_id = %s"
        " and idempotency_key is not null",
        (organization_id,),
    ):
        names[str(row["id"])] = f"entry {row['idempotency_key']}"
    for row in connection.execute(
        "select id, row_number() over (order by current_period_start) as place from billing.subscriptions"
        " where organization_id = %s",
        (organization_id,),
    ):
        names[str(row["id"])] = f"subscription {row['place']}"
    for row in connection.execute(
        "select id, source, source_reference, parent_grant_id, created_at"
        " from billing_private.credit_grant_lots where organization_id = %s"
        " order by created_at, parent_grant_id is not null",
        (organization_id,),
    ):
        parent = row["parent_grant_id"]
        origin = names.get(str(parent), "?") if parent else _name_all(row["source_reference"], names)
        names[str(row["id"])] = f"{row['source']} of {origin} at {row['created_at'].isoformat()}"
    return names


def _name_all(text: str, names: dict[str, str]) -> str:
    """Replace ids by their names; those that nothing else names are alike."""
    return _UUID.sub(lambda found: names.get(found.group(), "(id)"), text)


def _line(row: dict[str, Any], names: dict[str, str]) -> str:
    kept = {name: value for name, value in row.items() if name not in _OF_THE_RUN}
    if "id" in row:
        kept["name"] = row["id"]
    named = json.loads(_name_all(json.dumps(kept, default=str), names))
    if named.get("limits"):
        named["limits"].sort(key=json.dumps)  # theirs is the order of their ids
    return json.dumps(named, sort_keys=True)


def _lines(rows: Iterable[dict[str, Any]], names: dict[str, str]) -> list[str]:
    return [_line(row, names) for row in rows]


def _instants(entries: list[dict[str, Any]], names: dict[str, str]) -> Iterable[str]:
    for at, group in groupby(entries, key=lambda entry: str(entry["created_at"])):
        together = list(group)
        wallet = {name: together[-1][name] for name in _OF_THE_WALLET}
        bare = [{n: v for n, v in entry.items() if n not in _OF_THE_WALLET} for entry in together]
        for line in sorted(_lines(bare, names)):
            yield f"{at} {line}"
        yield f"{at} {_line(wallet, names)}"
