"""A quiet organization beside one that is very busy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import clients
from ..bench import Bench, Case
from ..load import Measurement, run_workers, spread, threads
from ..results import Row, at_most
from ..tenants import make_tenants

_CROWD = 128
_DEFAULT_PLACES = 64


def _run(bench: Bench) -> list[Row]:
    quiet = clients.rpc(bench.project, "consume_credits", make_tenants(bench.connection, bench.project, 1)[0])
    hot = clients.rpc(bench.project, "consume_credits", bench.hot)
    seconds = bench.options.seconds

    def alone() -> Measurement:
        return run_workers([threads(quiet, [0], seconds)])[0]

    def beside() -> Measurement:
        return run_workers([threads(quiet, [0], seconds)], spread(hot, _CROWD, seconds))[0]

    return [
        _row(bench, places, alone, beside) for places in (_DEFAULT_PLACES, max(1, bench.options.pool - 2))
    ]


def _row(
    bench: Bench, places: int, alone: Callable[[], Measurement], beside: Callable[[], Measurement]
) -> Row:
    with _queue_places(bench, places):
        name = f"a quiet organization's p50 beside {_CROWD} connections of another, queue_places {places}"
        compared = bench.compare_runs(name, 1, alone, beside)
    floor, ours = (one.percentile(0.5) for one in (compared.floor[-1], compared.ours[-1]))
    return Row(
        name, "1", f"{floor:.1f} ms", f"{ours:.1f} ms", compared.latency_ratio, at_most(3), compared.latency
    )


@contextmanager
def _queue_places(bench: Bench, places: int) -> Iterator[None]:
    """Let so many calls wait for one organization, and put the setting back."""
    write = """
        insert into billing_private.settings (name, value) values ('queue_places', %s)
        on conflict (name) do update set value = excluded.value
    """
    found = bench.connection.execute(
        "select value from billing_private.settings where name = 'queue_places'"
    ).fetchone()
    bench.connection.execute(write, (str(places),))
    try:
        yield
    finally:
        if found is None:
            bench.connection.execute("delete from billing_private.settings where name = 'queue_places'")
        else:
            bench.connection.execute(write, (found[0],))


CASE = Case(
    "neighbour",
    f"Median latency of one agent of a quiet organization through PostgREST, alone and beside {_CROWD} "
    "connections that all spend in one other organization, with the setting `queue_places` (how many "
    "calls may wait for one organization's lock) at its default and two below PostgREST's pool. Those "
    "of the crowd who are told `busy` come again after 50 to 100 ms with the same key. All of them "
    "share the machine's processors with the server.",
    _run,
)
