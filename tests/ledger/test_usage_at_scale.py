"""Scenario 60: usage of a year by 50 departments, whose rollups are exact however they are asked.

`TALLYBASE_USAGE_ENTRIES=1000000` is the scenario's own size; by default it is a small one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from benchmarks.history import Shape, write_history
from tests.conftest import StackUnderTest

Database = psycopg.Connection[dict[str, Any]]
ENTRIES = int(os.environ.get("TALLYBASE_USAGE_ENTRIES", "50000"))
DEPARTMENTS = 50
GROUPS = {
    "agent_type": "t.agent_type",
    "action": "t.agent_type || '.' || t.action",
    "department": "t.department_id::text",
    "member": "t.user_id::text",
    "model": "t.metadata ->> 'model'",
    "agent_key": "t.agent_key_id",
    "run": "t.run_id",
}
# Whole hours without and with daylight saving, half an hour, three quarters.
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Eucla")


@dataclass(frozen=True)
class Tenant:
    """The organization with the history.

    Attributes:
        organization_id: its id.
        owner_id: the user who owns it.
    """

    organization_id: UUID
    owner_id: UUID


@pytest.fixture(scope="module")
def year(stack: StackUnderTest) -> Iterator[tuple[Database, Tenant]]:
    """A session of the schema's owner, and a tenant whose last year is in the ledger, half of it folded."""
    with psycopg.connect(stack.database_url, autocommit=True, row_factory=dict_row) as database:
        tenant = _make_tenant(database)
        database.execute("select billing_private.fold_usage(%s, %s)", (tenant.organization_id, ENTRIES // 2))
        yield database, tenant


def _one(database: Database, query: str, *arguments: object) -> Any:
    row = database.execute(query, arguments).fetchone()
    assert row is not None
    return row["value"]


def _make_tenant(database: Database) -> Tenant:
    owner_id = _one(
        database,
        "insert into auth.users (id, email) values (gen_random_uuid(), gen_random_uuid() || '@tests.test')"
        " returning id as value",
    )
    organization_id = _one(
        database, "select (billing.create_organization('A year', %s)).organization_id as value", owner_id
    )
    departments = [
        _one(
            database, "select (billing.create_department(%s, %s)).id as value", organization_id, f"D{number}"
        )
        for number in range(DEPARTMENTS)
    ]
    until = datetime.now(UTC) - timedelta(minutes=5)
    shape = Shape(departments=departments)
    write_history(database, organization_id, ENTRIES, until - timedelta(days=365), until, shape)
    return Tenant(organization_id, owner_id)


def _raw(
    database: Database, tenant: Tenant, since: datetime, until: datetime, bucket: str, zone: str, group: str
) -> list[tuple[Any, ...]]:
    rows = database.execute(
        f"""
        select date_trunc(%s, t.created_at, %s) as bucket_start, {GROUPS[group]} as group_key,
          -sum(t.amount)::numeric as amount, count(*) as consumption_count
        from billing.credit_transactions as t
        where t.organization_id = %s and t.kind = 'consume' and t.created_at >= %s and t.created_at < %s
        group by 1, 2 order by 1, 3 desc, 2
        """.encode(),
        (bucket, zone, tenant.organization_id, since, until),
    ).fetchall()
    return [tuple(row.values()) for row in rows]


def _told(
    database: Database, tenant: Tenant, since: datetime, until: datetime, bucket: str, zone: str, group: str
) -> list[tuple[Any, ...]]:
    rows = database.execute(
        'select * from billing.get_usage_timeseries(%s, "from" => %s, "to" => %s, bucket => %s,'
        " timezone => %s, group_by => %s)",
        (tenant.organization_id, since, until, bucket, zone, group),
    ).fetchall()
    return [tuple(row.values()) for row in rows]


def _differences(database: Database, tenant: Tenant) -> list[dict[str, Any]]:
    return database.execute(
        """
        with raw as (
          select (t.created_at at time zone 'UTC')::date as day, t.department_id,
            t.metadata ->> 'model' as model, -sum(t.amount) as amount, count(*) as total
          from billing.credit_transactions as t
          where t.organization_id = %(id)s and t.kind = 'consume' and t.sequence <= (
            select w.folded_sequence from billing_private.credit_usage_watermarks as w
            where w.organization_id = %(id)s
          )
          group by 1, 2, 3
        ),
        rolled as (
          select d.usage_date as day, d.department_id, d.model, sum(d.amount) as amount,
            sum(d.consumption_count) as total,
            sum((select sum(h) from unnest(d.hour_amounts) as h)) as hour_amount
          from billing.credit_usage_daily as d where d.organization_id = %(id)s group by 1, 2, 3
        )
        select * from raw full join rolled using (day, department_id, model)
        where raw.amount is distinct from rolled.amount or raw.total is distinct from rolled.total
          or rolled.amount is distinct from rolled.hour_amount
        """,
        {"id": tenant.organization_id},
    ).fetchall()


def _ledger_rows_read(database: Database) -> int:
    """Return how many rows of the ledger this session has read since its statistics were last sent."""
    return int(
        _one(
            database,
            "select sum(seq_tup_read + idx_tup_fetch) as value from pg_stat_xact_user_tables"
            " where relname like 'credit_transactions%%'",
        )
    )


@pytest.mark.timeout(1200)
def test_s60_a_year_of_history_is_a_whole_ledger(year: tuple[Database, Tenant]) -> None:
    database, tenant = year
    assert (
        database.execute("select * from billing.verify_ledger(%s)", (tenant.organization_id,)).fetchall()
        == []
    )


@pytest.mark.timeout(600)
def test_s60_rollups_are_the_raw_usage_of_every_day_department_and_model(
    year: tuple[Database, Tenant],
) -> None:
    database, tenant = year
    assert (
        _one(
            database,
            "select count(distinct (usage_date, department_id, model)) as value"
            " from billing.credit_usage_daily where organization_id = %s",
            tenant.organization_id,
        )
        > 1000
    )
    assert _differences(database, tenant) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("zone", ZONES)
def test_s60_every_grouping_by_day_is_exact_in_any_zone(year: tuple[Database, Tenant], zone: str) -> None:
    """The range begins within an hour, ends beyond the last entry, and its last half is not folded yet."""
    database, tenant = year
    since = datetime.now(UTC) - timedelta(days=200, minutes=17, microseconds=1)
    until = datetime.now(UTC) + timedelta(days=1)
    for group in GROUPS:
        asked = (database, tenant, since, until, "day", zone, group)
        assert _told(*asked) == _raw(*asked), group


@pytest.mark.timeout(600)
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("bucket", ["hour", "week", "month"])
def test_s60_every_bucket_is_exact_in_any_zone(year: tuple[Database, Tenant], bucket: str, zone: str) -> None:
    database, tenant = year
    middle = datetime.now(UTC) - timedelta(days=182)  # half before the watermark, half behind it
    span = timedelta(days=3 if bucket == "hour" else 150)
    asked = (database, tenant, middle - span, middle + span, bucket, zone, "department")
    assert _told(*asked) == _raw(*asked)
    assert _told(*asked)


def test_s60_thirty_days_read_no_entry_that_is_folded(year: tuple[Database, Tenant]) -> None:
    """What makes the reading cheap at any size: rows of the ledger that it touches."""
    database, tenant = year
    database.execute("select billing_private.fold_usage(%s, 100000000)", (tenant.organization_id,))
    with database.transaction(force_rollback=True):
        database.execute(
            "select set_config('request.jwt.claims', json_build_object('sub', %s::text)::text, true)",
            (str(tenant.owner_id),),
        )
        database.execute("set local role authenticated")
        before = _ledger_rows_read(database)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        rows = _told(database, tenant, today - timedelta(days=30), today, "day", "UTC", "agent_type")
        assert len({row[0] for row in rows}) == 30
        assert _ledger_rows_read(database) - before < 500
    assert _differences(database, tenant) == []
