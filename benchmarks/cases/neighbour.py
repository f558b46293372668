"""A quiet organization beside one that is very busy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import clients
from ..bench import Bench, Case
from ..load import ClientFactory, Measurement, run_workers, spread, threads
from ..results import Row, Target, at_most
from ..tenants import make_tenants

_CROWD = 128
#: How many may wait for one organization: by default, and fewer than PostgREST's pool of 20 connections.
_PLACES = (64, 16)
#: The crowd needs a while until its waits are as long as they get.
_LONGER = 4


def _run(bench: Bench) -> list[Row]:
    quiet = clients.rpc(bench.project, "consume_credits", make_tenants(bench.connection, bench.project, 1)[0])
    hot = clients.rpc(bench.project, "consume_credits", bench.hot)
    seconds = _LONGER * bench.options.seconds

    def alone() -> Measurement:
        return run_workers([threads(quiet, [0], seconds)])[0]

    def beside(crowd: ClientFactory) -> Callable[[], Measurement]:
        return lambda: run_workers([threads(quiet, [0], seconds)], spread(crowd, _CROWD, seconds))[0]

    rows = []
    for places in _PLACES:
        with _queue_places(bench, places):
            name = f"{_CROWD} connections of another, queue_places {places}"
            rows.append(_row(bench, name, alone, beside(hot), at_most(3)))
    nothing = clients.rpc(bench.project, "bench_nothing", bench.hot)
    rows.append(_row(bench, f"{_CROWD} that call an RPC that does nothing", alone, beside(nothing), None))
    return rows


def _row(
    bench: Bench,
    name: str,
    alone: Callable[[], Measurement],
    beside: Callable[[], Measurement],
    target: Target | None,
) -> Row:
    name = f"a quiet organization's p50 beside {name}"
    compared = bench.compare_runs(name, 1, alone, beside)
    floor, ours = (one.percentile(0.5) for one in (compared.floor[-1], compared.ours[-1]))
    shown = f"{floor:.1f} ms", f"{ours:.1f} ms"
    return Row(name, "1", *shown, compared.latency_ratio, target, compared.latency)


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
    "calls may wait for one organization's lock) at its default, which is more than PostgREST has "
    "connections, and at 16. Those of the crowd who are told `busy` come again with the same key after the "
    "SDK's waits: 50 to 100 ms, twice as long each further time, at most 2 s. All of them share the "
    "machine's processors with the server; what that alone costs shows beside a crowd whose calls do "
    "nothing and wait for nothing.",
    _run,
)
