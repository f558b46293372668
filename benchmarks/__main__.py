"""`make bench`: the spend beside its floor in one run, as ratios, printed and in docs/performance.md."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
from rich.console import Console
from rich.table import Table

from stack.environment import public_environment
from stack.settings import REPOSITORY, StackSettings

from . import clients, tenants
from .load import ClientFactory, Measurement, median_percentile, median_rate, run

_REPORT = REPOSITORY / "docs" / "performance.md"
_TEXT = """# What it costs

Ratios to a floor that is measured in the same run, in turn with it; medians of the repetitions. The floor in
SQL is the cheapest guarded debit (`update … set amount = amount - 1 where … and amount >= 1`); through
PostgREST it is an RPC of the same arguments that does nothing. A spend is whole: agent key, price,
idempotency key, one limit, lots, receipt. Clients are closed loops in Python, in two processes, on the
server's own cores, so the client's own cost is in both sides of each ratio.

Command: `{command}` · {machine} · PostgreSQL {version}, fsync {fsync}

| measure | clients | floor, calls/s | ours, calls/s | ratio | p50 ms | p99 ms | floor p99 ms |
|---|---|---|---|---|---|---|---|
{rows}

{facts}
"""


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        name: what is measured.
        clients: how many at once.
        floor: the floor's clients.
        ours: the product's.
        weight: how many spends one call of ours is.
    """

    name: str
    clients: int
    floor: ClientFactory
    ours: ClientFactory
    weight: int = 1


@dataclass(frozen=True)
class Line:
    """A case and what it gave."""

    case: Case
    floor: list[Measurement]
    ours: list[Measurement]

    @property
    def cells(self) -> list[str]:
        """The table's cells, as text."""
        floor_rate, our_rate = median_rate(self.floor), median_rate(self.ours) * self.case.weight
        return [
            self.case.name,
            str(self.case.clients),
            f"{floor_rate:,.0f}",
            f"{our_rate:,.0f}",
            f"{our_rate / floor_rate:.2f}",
            f"{median_percentile(self.ours, 0.5):.1f}",
            f"{median_percentile(self.ours, 0.99):.1f}",
            f"{median_percentile(self.floor, 0.99):.1f}",
        ]


def _measure(case: Case, seconds: float, repetitions: int) -> Line:
    line = Line(case, [], [])
    for _ in range(repetitions):
        line.floor.append(run(case.floor, case.clients, seconds))
        line.ours.append(run(case.ours, case.clients, seconds))
    return line


def _cases(environment: dict[str, str], made: Sequence[tenants.Tenant], counts: Sequence[int]) -> list[Case]:
    url, hot, spread = environment["DATABASE_URL"], list(made[:1]), list(made)
    key, rest_url = environment["SUPABASE_PUBLISHABLE_KEY"], f"{environment['SUPABASE_URL']}/rest/v1"
    floor, spend = clients.floor(url, hot), clients.spend(url, hot)
    cases = [Case("consume_credits, one hot organization", count, floor, spend) for count in counts]
    cases.append(
        Case(
            f"consume_credits, {len(spread)} organizations",
            8,
            clients.floor(url, spread),
            clients.spend(url, spread),
        )
    )
    cases.append(
        Case(
            "consume_credits_batch of 100, one hot organization",
            8,
            floor,
            clients.batch(url, hot[0], 100),
            100,
        )
    )
    nothing = clients.rpc(rest_url, key, "bench_nothing", hot[0])
    cases += [
        Case(
            "consume_credits through PostgREST",
            count,
            nothing,
            clients.rpc(rest_url, key, "consume_credits", hot[0]),
        )
        for count in (8, 32)
    ]
    return cases


def _storage_facts(
    connection: psycopg.Connection[tuple[object, ...]], tenant: tenants.Tenant, spends: int = 2000
) -> str:
    """WAL and stored bytes per spend, measured over so many spends after the load."""
    size = """select sum(pg_total_relation_size(c))
              from pg_partition_tree('billing.credit_transactions') as t (c, p, l, d) where l"""
    before = connection.execute("select pg_current_wal_insert_lsn()").fetchone()
    stored = connection.execute(size).fetchone()
    connection.execute(
        """select count(billing.consume_credits('TestAgent', 'test', amount => 1, organization_id => %s,
             idempotency_key => 'bench-' || clock_timestamp() || i)) from generate_series(1, %s) as i""",
        (tenant.organization_id, spends),
    )
    wal = connection.execute("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", before).fetchone()
    after = connection.execute(size).fetchone()
    assert stored is not None
    assert after is not None
    assert wal is not None
    per_wal = float(str(wal[0])) / spends
    per_row = (float(str(after[0])) - float(str(stored[0]))) / spends
    return (
        f"WAL per spend {per_wal:,.0f} B; stored per spend, indexes included, {per_row:,.0f} B"
        f" (over {spends:,} spends in one transaction)."
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="length of one run (default 3)")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of each side (default 3)")
    parser.add_argument(
        "--clients", default="1,8,32", help="clients on the hot organization (default 1,8,32)"
    )
    parser.add_argument(
        "--organizations", type=int, default=200, help="organizations of the spread load (default 200)"
    )
    parser.add_argument("--output", type=Path, default=_REPORT, help="where the report goes")
    return parser.parse_args()


def _wait_for_rpc(rest_url: str, key: str, tenant: tenants.Tenant) -> None:
    """Wait until PostgREST has read the new RPC from its schema notification."""
    headers = {"apikey": key, "x-agent-key": tenant.agent_key, "Content-Profile": "billing"}
    body = {"agent_type": "", "action": "", "amount": 1, "idempotency_key": ""}
    for _ in range(100):
        if httpx.post(f"{rest_url}/rpc/bench_nothing", json=body, headers=headers).status_code == 200:
            return
        time.sleep(0.1)
    raise SystemExit("PostgREST did not take up the benchmark's RPC")


def main() -> None:
    """Run all cases and write the report."""
    arguments, console = _arguments(), Console()
    settings = StackSettings.load()
    environment = {
        **public_environment(settings),
        **{k: v for k, v in os.environ.items() if k == "DATABASE_URL"},
    }
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        facts = connection.execute(
            "select current_setting('server_version'), current_setting('fsync')"
        ).fetchone()
        assert facts is not None
        console.print(f"making {arguments.organizations} organizations")
        made = tenants.make_tenants(connection, arguments.organizations)
        tenants.add_nothing_rpc(connection)
        try:
            _wait_for_rpc(
                f"{environment['SUPABASE_URL']}/rest/v1", environment["SUPABASE_PUBLISHABLE_KEY"], made[0]
            )
            counts = [int(count) for count in arguments.clients.split(",")]
            lines = []
            for case in _cases(environment, made, counts):
                console.print(f"{case.name}, {case.clients} clients")
                lines.append(_measure(case, arguments.seconds, arguments.repetitions))
            storage = _storage_facts(connection, made[0])
        finally:
            tenants.clean_up(connection)
    table = Table("measure", "clients", "floor/s", "ours/s", "ratio", "p50 ms", "p99 ms", "floor p99 ms")
    for line in lines:
        table.add_row(*line.cells)
    console.print(table)
    console.print(storage)
    options = (
        f"--seconds {arguments.seconds:g} --repetitions {arguments.repetitions}"
        f" --organizations {arguments.organizations}"
    )
    command = f"python -m benchmarks {options}"
    arguments.output.write_text(
        _TEXT.format(
            command=command,
            machine=f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
            version=facts[0],
            fsync=facts[1],
            rows="\n".join("| " + " | ".join(line.cells) + " |" for line in lines),
            facts=storage,
        )
    )
    console.print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
