"""Where pg_cron is there, the migrations give it the jobs, and it does what is due (ledger.md, section 9)."""

from __future__ import annotations

import time

import psycopg
import pytest
from psycopg.rows import dict_row

from stack.testing import postgres15

#: It calls at each full minute.
_PATIENCE_SECONDS = 150
_PRELOADED = {
    "shared_preload_libraries": "pg_cron",
    "cron.database_name": "postgres",
    "cron.use_background_workers": "on",
}
_GRANT_THAT_ENDS = """
with made as (insert into billing.organizations (name) values ('Acme') returning organization_id)
select m.organization_id, billing.grant_credits(
  m.organization_id, 10, 'promotion', 'short', expires_at => clock_timestamp() + interval '1 second')
from made as m
"""
_BOOKED = "select kind, amount from billing.credit_transactions where organization_id = %s order by sequence"


def test_pg_cron_books_what_falls_due() -> None:
    home = postgres15.home("pg_cron")
    if home is None:
        pytest.skip(postgres15.NOT_HERE.format("pg_cron"))
    with postgres15.server(home, _PRELOADED) as url:
        with psycopg.connect(url, autocommit=True) as superuser:
            superuser.execute("create extension pg_cron")
            superuser.execute("grant usage on schema cron to postgres")  # as a hosted project has it
        with psycopg.connect(postgres15.migrate(url), autocommit=True, row_factory=dict_row) as owner:
            jobs = owner.execute("select jobname, schedule, username from cron.job").fetchall()
            assert jobs == [
                {"jobname": "tallybase-run-due-jobs", "schedule": "* * * * *", "username": "postgres"}
            ]
            granted = owner.execute(_GRANT_THAT_ENDS).fetchone()
            assert granted is not None
            patience = time.monotonic() + _PATIENCE_SECONDS
            while len(owner.execute(_BOOKED, (granted["organization_id"],)).fetchall()) < 2:
                assert time.monotonic() < patience, "pg_cron has booked nothing"
                time.sleep(1)
            booked = owner.execute(_BOOKED, (granted["organization_id"],)).fetchall()
            assert [(row["kind"], row["amount"]) for row in booked] == [("grant", 10), ("expire", -10)]
            ends = owner.execute("select distinct status from cron.job_run_details").fetchall()
            assert {row["status"] for row in ends} <= {"starting", "running", "succeeded"}
