"""Reads of people: balance, the last transactions, usage of a month; under row level security."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta

from .. import clients, tenants
from ..bench import Bench, Case
from ..load import run
from ..results import Row, at_least, at_most

_CLIENTS = 8
_LAST = 50
_COPIED = """
insert into billing.bench_entries
select * from billing.credit_transactions where organization_id = %s order by sequence desc limit %s
"""
_USAGE = "select * from billing.get_usage_breakdown($1::uuid, $2::timestamptz, $3::timestamptz, 'agent_type')"


def _reads(bench: Bench) -> list[Row]:
    project, organization = bench.project, f"organization_id=eq.{bench.hot.organization_id}"
    arguments = {"agent_type": "", "action": "", "amount": 1, "idempotency_key": ""}
    token = tenants.add_owner(bench.connection, project, bench.hot.organization_id).token
    nothing = clients.request(project, token, "POST", "/rpc/bench_nothing", arguments)
    bench.connection.execute("truncate billing.bench_entries")
    bench.connection.execute(_COPIED, (bench.hot.organization_id, _LAST))
    last = f"?{organization}&order=sequence.desc&limit={_LAST}"
    return [
        bench.compare(name, _CLIENTS, nothing, clients.request(project, token, "GET", path)).row(target)
        for name, path, target in (
            ("balance through PostgREST", f"/credit_balances?{organization}", at_least(0.8)),
            (f"last {_LAST} transactions through PostgREST", f"/credit_transactions{last}", at_least(0.8)),
            ("the same rows of a plain table, through PostgREST", f"/bench_entries{last}", None),
        )
    ]


def _usage(bench: Bench) -> list[Row]:
    bench.say("usage of 30 days by agent")
    _fold(bench)
    until = datetime.now(UTC)
    since = until - timedelta(days=30)
    factory = clients.reading(
        bench.project.database_url,
        tenants.add_owner(bench.connection, bench.project, bench.hot.organization_id).user_id,
        _USAGE,
        bench.hot.organization_id,
        since.isoformat(),
        until.isoformat(),
    )
    measured = [run(factory, 1, bench.options.seconds) for _ in range(bench.options.repetitions)]
    typical, slow = (statistics.median(one.percentile(share) for one in measured) for share in (0.5, 0.99))
    return [
        Row(
            "usage of 30 days by agent, in the database",
            "1",
            "",
            f"{typical:.2f} ms",
            typical,
            at_most(20),
            latency=f"{typical:.1f} / {slow:.1f}",
            unit="ms",
        )
    ]


def _fold(bench: Bench) -> None:
    """Do what the job does each minute, until nothing is left to do."""
    for tenant in bench.tenants:
        while bench.connection.execute(
            "select 1 where billing_private.fold_usage(%s) > 0", (tenant.organization_id,)
        ).fetchone():
            pass


CASES = (
    Case(
        "reads",
        "Balance and last 50 transactions of a signed-in owner of one organization, under row level "
        "security, against an RPC that does nothing, with the same token. Beside them, what no policy "
        "can pass: the same 50 rows, of a table that holds nothing else and has no policies or partitions.",
        _reads,
        grows=True,
    ),
    Case(
        "usage",
        "`get_usage_breakdown` of 30 days by agent type for the organization with the largest share of "
        "the ledger, as its owner under row level security, one caller straight to the database, "
        "rollups folded as the job does.",
        _usage,
        grows=True,
    ),
)
