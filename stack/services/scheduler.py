"""Calls `billing.run_due_jobs()` each minute, as pg_cron does when hosted, and the workers that are due."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import psycopg
from psycopg.rows import class_row

from stack.settings import StackSettings

PERIOD_SECONDS = 60
_STATEMENT_TIMEOUT = "50s"
#: Worker functions that a schedule calls, and after how many minutes again.
SCHEDULED_WORKERS = {"start_auto_topups": 1, "reconcile_stripe": 15}
_WORKER_TIMEOUT_SECONDS = 50

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
    task = asyncio.create_task(_repeat(settings))
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


async def call_workers(settings: StackSettings, minute: int) -> dict[str, int]:
    """Call the worker functions whose turn it is, with the secret key, as an operator's scheduler does.

    Args:
        settings: the instance.
        minute: minutes since the epoch; a function whose period divides it is called.

    Returns:
        The HTTP status of each that was called; 0: it could not be reached.
    """
    statuses = {}
    headers = {"apikey": settings.keys.secret_key}
    async with httpx.AsyncClient(
        base_url=f"{settings.workers_url}/workers/v1/", headers=headers, timeout=_WORKER_TIMEOUT_SECONDS
    ) as client:
        for name, period in SCHEDULED_WORKERS.items():
            if minute % period == 0:
                try:
                    statuses[name] = (await client.post(name, json={})).status_code
                except httpx.HTTPError:
                    statuses[name] = 0
    return statuses


def _workers_are_scheduled() -> bool:
    """Whether workers run by the clock; `TALLYBASE_SCHEDULED_WORKERS=0` (the tests' instance) says no."""
    return os.environ.get("TALLYBASE_SCHEDULED_WORKERS", "1") != "0"


async def _repeat(settings: StackSettings) -> None:
    while True:
        await asyncio.sleep(PERIOD_SECONDS - datetime.now(UTC).timestamp() % PERIOD_SECONDS)
        try:
            results = await run_once(settings.database_url())
        except psycopg.Error as error:
            _log.error("scheduled jobs failed: %s", str(error).strip())
            continue
        for result in results:
            if result.processed or result.failed:
                level = logging.WARNING if result.failed else logging.INFO
                _log.log(
                    level, "job %s: %d processed, %d failed", result.job, result.processed, result.failed
                )
        if results and _workers_are_scheduled():
            statuses = await call_workers(settings, int(datetime.now(UTC).timestamp()) // PERIOD_SECONDS)
            for name, status in statuses.items():
                if status != httpx.codes.OK:
                    _log.warning("scheduled worker %s answered %s", name, status or "nothing")
