"""The spend itself, straight to the database: one hot organization, and many."""

from __future__ import annotations

import statistics

from .. import clients
from ..bench import Bench, Case
from ..results import Comparison, Row, at_least, at_most

_HOT_TARGETS = {1: 0.6, 8: 0.75, 32: 0.95}


def _hot(bench: Bench) -> list[Row]:
    url = bench.project.database_url
    compared = [
        bench.compare(
            "consume_credits, one hot organization",
            count,
            clients.floor(url, [bench.hot]),
            clients.spend(url, bench.hot),
        )
        for count in _HOT_TARGETS
    ]
    rows = [one.row(at_least(target)) for one, target in zip(compared, _HOT_TARGETS.values(), strict=True)]
    bare = [
        bench.compare(
            "a bare entry under the organization's lock",
            count,
            clients.floor(url, [bench.hot]),
            clients.bare_entry(url, bench.hot),
        ).row()
        for count in _HOT_TARGETS
    ]
    return [*rows, _tail(compared[-1]), _spread_of_latency(compared[-1]), *bare]


def _tail(compared: Comparison) -> Row:
    ours, floor = (
        statistics.median(one.percentile(0.99) for one in side) for side in (compared.ours, compared.floor)
    )
    return Row(
        "p99 of that against the floor's p99",
        str(compared.clients),
        f"{floor:.1f} ms",
        f"{ours:.1f} ms",
        ours / floor,
        at_most(1),
    )


def _spread_of_latency(compared: Comparison) -> Row:
    p50, p99 = (statistics.median(one.percentile(share) for one in compared.ours) for share in (0.5, 0.99))
    return Row(
        "p99 of that against its own p50",
        str(compared.clients),
        f"{p50:.1f} ms",
        f"{p99:.1f} ms",
        p99 / p50,
        at_most(5),
    )


def _many(bench: Bench) -> list[Row]:
    url, tenants = bench.project.database_url, bench.tenants
    once = clients.spend_of_any(url, tenants)(0)
    for _ in tenants:
        once.call()
    compared = bench.compare(
        f"consume_credits, {len(tenants):,} organizations",
        8,
        clients.floor(url, tenants),
        clients.spend_of_any(url, tenants),
    )
    return [compared.row(at_least(0.4))]


CASES = (
    Case(
        "hot",
        "A whole spend (agent key, price, idempotency key, one limit, lots, receipt) by 1, 8 and 32 "
        "callers of one organization, against the guarded debit of one row by as many. Below it, what no "
        "such ledger can pass: a lock and one keyed row that carries the balance, gap-free in the order of "
        "commit, without caller, price, limit, grants or receipt.",
        _hot,
        grows=True,
    ),
    Case(
        "many",
        "The same spread over many organizations: each call is of the next one's agent, with its own key."
        " Each has spent once before, so that its terms are remembered, as they are for whoever spends twice"
        " a minute.",
        _many,
        grows=True,
    ),
)
