"""The spend through gateway and PostgREST, as agents send it."""

from __future__ import annotations

from .. import clients
from ..bench import Bench, Case
from ..results import Comparison, Row, at_least


def _run(bench: Bench) -> list[Row]:
    def compare(name: str, function: str, count: int) -> Comparison:
        nothing = clients.rpc(bench.project, "bench_nothing", bench.hot)
        return bench.compare(name, count, nothing, clients.rpc(bench.project, function, bench.hot))

    return [
        row
        for count in (8, 32)
        for row in (
            compare("consume_credits through PostgREST", "consume_credits", count).row(at_least(0.6)),
            compare("a bare entry under one lock, through PostgREST", "bench_entry", count).row(),
        )
    ]


CASE = Case(
    "postgrest",
    "The spend through gateway and PostgREST, one hot organization, against an RPC of the same "
    "arguments and headers that does nothing. PostgREST commits in a message of its own, so a lock is held "
    "for two more round trips than the work takes: below it, an RPC that only appends a bare entry under one "
    "lock, which no ledger of one organization can pass there.",
    _run,
    grows=True,
)
