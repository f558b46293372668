"""Calls `billing.run_due_jobs()` every minute, which pg_cron does on a hosted project."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg

from stack.settings import StackSettings

PERIOD_SECONDS = 60
_STATEMENT_TIMEOUT = "50s"

_log = logging.getLogger(__name__)


@asynccontextmanager
async def run_scheduler(settings: StackSettings) -> AsyncIterator[None]:
    """Run the scheduled jobs in the background for as long as the context is open.

    Args:
        settings: the instance; jobs run as `postgres`, as pg_cron's do.
    """
    task = asyncio.create_task(_repeat(settings.database_url()))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def run_once(database_url: str) -> Any:
    """Run the jobs that are due now, unless pg_cron is there to do it or the function is not.

    Args:
        database_url: connection of the role `postgres`.

    Returns:
        What `billing.run_due_jobs()` returned, None when it was not called.

    Raises:
        psycopg.Error: a job failed, or the database is away.
    """
    async with await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, application_name="scheduler"
    ) as connection:
        await connection.execute(f"set statement_timeout = '{_STATEMENT_TIMEOUT}'")
        query = """
            select exists (
              select from pg_catalog.pg_proc as p
              where p.pronamespace = to_regnamespace('billing') and p.proname = 'run_due_jobs'
            ) and not exists (select from pg_catalog.pg_extension as e where e.extname = 'pg_cron')
        """
        row = await (await connection.execute(query)).fetchone()
        if row is None or not row[0]:
            return None
        return await (
            await connection.execute("select to_jsonb(r) from billing.run_due_jobs() as r")
        ).fetchall()


def did_something(result: Any) -> bool:
    """Tell whether the jobs' report holds any count above zero, any text or any failure worth a log line."""
    if isinstance(result, dict):
        return any(did_something(value) for value in result.values())
    if isinstance(result, list | tuple):
        return any(did_something(value) for value in result)
    return isinstance(result, int | float | str) and not isinstance(result, bool) and result not in (0, "")


async def _repeat(database_url: str) -> None:
    while True:
        await asyncio.sleep(PERIOD_SECONDS - datetime.now(UTC).timestamp() % PERIOD_SECONDS)
        try:
            result = await run_once(database_url)
        except psycopg.Error as error:
            _log.error("scheduled jobs failed: %s", str(error).strip())
            continue
        if did_something(result):
            _log.info("scheduled jobs: %s", result)
