"""The local scheduler does each minute what pg_cron does on a hosted project."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from stack.services.scheduler import SCHEDULED_WORKERS, call_workers, run_once
from stack.settings import StackSettings
from tests.conftest import Organization, StackUnderTest


async def test_due_work_is_done(
    stack: StackUnderTest,
    new_organization: Callable[..., Organization],
    database: psycopg.Connection[dict[str, Any]],
) -> None:
    organization = new_organization()
    organization.grant(
        10, source_reference=secrets.token_hex(8), expires_at=str(datetime.now(UTC) + timedelta(seconds=1))
    )
    database.execute("select pg_sleep(1.1)")
    results = await run_once(stack.database_url)
    assert results
    assert not [result for result in results if result.failed]
    rows = database.execute(
        "select kind, amount from billing.credit_transactions where organization_id = %s order by sequence",
        [organization.organization_id],
    ).fetchall()
    assert [(row["kind"], row["amount"]) for row in rows] == [("grant", 10), ("expire", -10)]


async def test_a_database_without_the_product_is_left_alone(stack: StackUnderTest) -> None:
    name = f"empty_{secrets.token_hex(4)}"
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
        try:
            assert await run_once(stack.database_url.rsplit("/", 1)[0] + f"/{name}") == []
        finally:
            connection.execute(f"drop database {name} with (force)")


async def test_the_workers_that_are_due_by_the_clock_are_called_with_the_secret_key() -> None:
    settings = StackSettings.load()
    assert await call_workers(settings, 30) == dict.fromkeys(SCHEDULED_WORKERS, 200)
    assert await call_workers(settings, 31) == {"start_auto_topups": 200}
