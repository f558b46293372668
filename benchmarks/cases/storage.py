"""Write-ahead log and stored bytes of a spend."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from .. import clients
from ..bench import Bench, Case
from ..load import run
from ..results import Row, at_most
from ..tenants import one

_CLIENTS = 8
_WAL = "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_STORED = """
select sum(pg_total_relation_size(c.relation))
from (
  select t.relid as relation from pg_partition_tree('billing.credit_transactions') as t where t.isleaf
  union all select 'billing_private.credit_limit_counters'::regclass
  union all select 'billing_private.credit_grant_lots'::regclass
) as c
"""


def _run(bench: Bench) -> list[Row]:
    bench.say("log and storage of a spend")
    logged, stored = zip(*_repeat(bench), strict=True)
    figures = (
        ("write-ahead log of a spend", statistics.median(logged), 600),
        ("stored by a spend, indexes included", statistics.median(stored), 350),
    )
    return [
        Row(name, str(_CLIENTS), "", f"{figure:,.0f} B", figure, at_most(most), unit="B")
        for name, figure, most in figures
    ]


def _repeat(bench: Bench) -> Iterator[tuple[float, float]]:
    factory = clients.spend(bench.project.database_url, bench.hot)
    for table in ("billing.credit_transactions", "billing_private.credit_grant_lots"):
        bench.connection.execute(f"vacuum {table}")  # or autovacuum would do so, and log it, meanwhile
    # The first change of a page after a checkpoint logs it whole: not what a spend costs.
    run(factory, _CLIENTS, bench.options.seconds)
    for _ in range(bench.options.repetitions):
        wal, stored = (float(one(bench.connection, query)) for query in (_WAL, _STORED))
        spends = len(run(factory, _CLIENTS, bench.options.seconds).latencies) + _CLIENTS
        wal_after, stored_after = (float(one(bench.connection, query)) for query in (_WAL, _STORED))
        yield (wal_after - wal) / spends, (stored_after - stored) / spends


CASE = Case(
    "storage",
    "What the server's write-ahead log and the files of ledger, counters and grants grow by, for each "
    "spend of 8 callers of one organization, each spend a transaction of its own. Whatever else the "
    "server logs meanwhile is in it.",
    _run,
    grows=True,
)
