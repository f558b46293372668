"""Batches: many spends under one lock and one commit."""

from __future__ import annotations

from .. import clients
from ..bench import Bench, Case
from ..results import Row, at_least

_TARGETS = {100: 10, 1000: 20}


def _run(bench: Bench) -> list[Row]:
    url, hot = bench.project.database_url, bench.hot
    return [
        bench.compare(
            f"consume_credits_batch of {size:,}, one hot organization, spends",
            8,
            clients.floor(url, [hot]),
            clients.batch(url, hot, size),
            size,
        ).row(at_least(target))
        for size, target in _TARGETS.items()
    ]


CASE = Case(
    "batch",
    "One call with 100 or 1,000 spends, each with its own key and receipt: spends a second, against "
    "single guarded debits.",
    _run,
    grows=True,
)
