"""One transaction left open beside the load: dead versions of hot rows can then not be pruned."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from .. import clients
from ..bench import Bench, Case
from ..load import ClientFactory, Measurement, run
from ..results import Row, at_least

_CLIENTS = 8


def _run(bench: Bench) -> list[Row]:
    url, held = bench.project.database_url, bench.options.snapshot_seconds
    rows = []
    for name, factory, target in (
        ("spends beside a snapshot held for", clients.spend(url, bench.hot), at_least(0.85)),
        ("the floor's debits beside a snapshot held for", clients.floor(url, [bench.hot]), None),
    ):
        compared = bench.compare_runs(
            f"{name} {held:g} s, against without",
            _CLIENTS,
            _after(factory, bench, held),
            _beside_snapshot(factory, bench, held),
        )
        rows.append(compared.row(target))
    return rows


def _after(factory: ClientFactory, bench: Bench, seconds: float) -> Callable[[], Measurement]:
    """A measurement at the end of so many seconds of the same load."""

    def measure() -> Measurement:
        run(factory, _CLIENTS, max(0.0, seconds - bench.options.seconds))
        return run(factory, _CLIENTS, bench.options.seconds)

    return measure


def _beside_snapshot(factory: ClientFactory, bench: Bench, seconds: float) -> Callable[[], Measurement]:
    """The same, while one transaction keeps the snapshot that it took before."""
    loaded = _after(factory, bench, seconds)

    def measure() -> Measurement:
        with psycopg.connect(bench.project.database_url) as reader:
            reader.execute("set transaction isolation level repeatable read")
            reader.execute("select count(*) from billing.organizations")
            measured = loaded()
            reader.rollback()
        bench.connection.execute("vacuum tallybase_bench.balances")
        bench.connection.execute("vacuum billing_private.credit_limit_counters")
        return measured

    return measure


CASE = Case(
    "snapshot",
    "Spends of one hot organization while a report or dump keeps an old snapshot, against the same "
    "load without it; measured at the end of the time for which it is held. The floor's own loss "
    "stands beside ours. The default is short: `--snapshot-seconds 60` is the documented measure.",
    _run,
)
