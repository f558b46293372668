"""Calls `billing.run_due_jobs()` every minute, which pg_cron does on a hosted project."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg.rows import class_row

from stack.settings import StackSettings

PERIOD_SECONDS = 60
_STATEMENT_TIMEOUT = "50s"

_IS_OURS_TO_RUN = """
    select exists (
      select from pg_catalog.pg_proc as p
      where p.pronamespace = to_regnamespace('billing') and p.proname = 'run_due_jobs'
    ) and not exists (select from pg_catalog.pg_extension as e where e.extname = 'pg_cron')
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobResult:
    """What one job did: see `billing.job_result`."""

    job: str
    processed: int
    failed: int


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


async def run_once(database_url: str) -> list[JobResult]:
    """Run the jobs that are due now, unless pg_cron is there to do it or the migrations are not.

    Args:
        database_url: connection of the role `postgres`.

    Returns:
        One result for each job, none when nothing was called.

    Raises:
        psycopg.Error: the call failed, or the database is away.
    """
    async with await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, application_name="scheduler"
    ) as connection:
        await connection.execute(f"set statement_timeout = '{_STATEMENT_TIMEOUT}'")
        row = await (await connection.execute(_IS_OURS_TO_RUN)).fetchone()
        if row is None or not row[0]:
            return []
        cursor = connection.cursor(row_factory=class_row(JobResult))
        await cursor.execute("select job, processed, failed from billing.run_due_jobs()")
        return await cursor.fetchall()


async def _repeat(database_url: str) -> None:
    while True:
        await asyncio.sleep(PERIOD_SECONDS - datetime.now(UTC).timestamp() % PERIOD_SECONDS)
        try:
            results = await run_once(database_url)
        except psycopg.Error as error:
            _log.error("scheduled jobs failed: %s", str(error).strip())
            continue
        for result in results:
            if result.processed or result.failed:
                level = logging.WARNING if result.failed else logging.INFO
                _log.log(
                    level, "job %s: %d processed, %d failed", result.job, result.processed, result.failed
                )
