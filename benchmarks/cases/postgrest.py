"""The spend through gateway and PostgREST, as agents send it."""

from __future__ import annotations

from .. import clients
from ..bench import Bench, Case
from ..results import Row, at_least


def _run(bench: Bench) -> list[Row]:
    return [
        bench.compare(
            "consume_credits through PostgREST",
            count,
            clients.rpc(bench.project, "bench_nothing", bench.hot),
            clients.rpc(bench.project, "consume_credits", bench.hot),
        ).row(at_least(0.6))
        for count in (8, 32)
    ]


CASE = Case(
    "postgrest",
    "The spend through gateway and PostgREST, one hot organization, against an RPC of the same "
    "arguments and headers that does nothing.",
    _run,
    grows=True,
)
