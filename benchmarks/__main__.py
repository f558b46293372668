"""`make bench`: what Tallybase costs, each measure beside its floor: a table, and docs/performance.md."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
from rich.console import Console

from stack.environment import public_environment
from stack.settings import INSTALL_DIR, REPOSITORY, StackSettings
from stack.testing.instance import running_instance

from . import report, tenants
from .bench import Bench, Case, Options
from .cases import CASES
from .stages import Stage, run_stages

#: Of the instance that is measured: on the disk on which instances are, for fsync is the point.
_STATE = INSTALL_DIR / "bench"
_PAGE = REPOSITORY / "docs" / "performance.md"
#: Columns of the table where there is no terminal to ask.
_PAGE_WIDTH = 180
_SERVER = """
select current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')
"""


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and write.

    Args:
        words: the command's arguments; default: those of this process.
    """
    words = sys.argv[1:] if words is None else words
    arguments = _arguments(words)
    console = Console() if sys.stdout.isatty() else Console(width=_PAGE_WIDTH)
    cases = [case for case in CASES if case.key in arguments.only]
    with _environment(here=arguments.here) as environment:
        server, stages = _measure(environment, arguments, cases, console)
    for stage in stages:
        console.print(report.printed(stage))
    output = arguments.output or (_PAGE if len(cases) == len(CASES) else None)
    if output is not None:
        command = shlex.join(["python", "-m", "benchmarks", *words])
        output.write_text(report.written(stages, cases, command, server))
        console.print(f"written to {output}")


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    keys = [case.key for case in CASES]
    add("--only", default=",".join(keys), help=f"some of: {', '.join(keys)} (default: all)")
    add("--seconds", type=float, default=2, help="length of one run (default 2)")
    add("--repetitions", type=int, default=3, help="runs of each side (default 3)")
    add("--organizations", type=int, default=1000, help="of the spread load, at least 2 (default 1000)")
    add("--entries", default="1000000", help="of long ledgers, comma-separated; 0: none (default 1000000)")
    add("--grants", type=int, default=100_000, help="of the organization with many (default 100000)")
    add("--snapshot-seconds", type=float, default=10, help="age of the old snapshot (default 10)")
    add("--here", action="store_true", help="measure the running instance, and leave the organizations in it")
    add("--output", type=Path, help="where the report goes (default: docs/performance.md if all is measured)")
    arguments = parser.parse_args(words)
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(keys):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    arguments.entries = sorted({0, *(int(entries) for entries in arguments.entries.split(","))})
    return arguments


@contextmanager
def _environment(*, here: bool) -> Iterator[Mapping[str, str]]:
    """The instance to measure: one of its own with fsync, or the running one that the environment names."""
    if here:
        settings = StackSettings.load()
        yield {**public_environment(settings), **os.environ}
        return
    variables = {"TALLYBASE_DURABLE": "1", "TALLYBASE_FRONTEND": "0"}
    try:
        with running_instance(_STATE, variables) as environment:
            yield environment
    finally:
        shutil.rmtree(_STATE, ignore_errors=True)


def _measure(
    environment: Mapping[str, str], arguments: argparse.Namespace, cases: Sequence[Case], console: Console
) -> tuple[tuple[str, ...], list[Stage]]:
    project = tenants.open_project(environment)
    options = Options(
        seconds=arguments.seconds,
        repetitions=arguments.repetitions,
        grants=arguments.grants,
        snapshot_seconds=arguments.snapshot_seconds,
    )
    with psycopg.connect(project.database_url, autocommit=True) as connection:
        server = connection.execute(_SERVER).fetchone()
        assert server is not None
        tenants.add_floors(connection)
        try:
            console.print(f"making {arguments.organizations:,} organizations")
            made = tenants.make_tenants(connection, project, arguments.organizations)
            _wait_for_rpc(project, made[0])
            bench = Bench(project, connection, made, options, _timed(console))
            stages = run_stages(bench, arguments.entries, cases)
        finally:
            tenants.clean_up(connection)
    return tuple(str(setting) for setting in server), stages


def _timed(console: Console) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: console.print(f"{time.monotonic() - began:6.0f} s  {text}")


def _wait_for_rpc(project: tenants.Project, tenant: tenants.Tenant) -> None:
    """Wait until PostgREST has read the new RPC from its schema notification."""
    body = {"agent_type": "", "action": "", "amount": 1, "idempotency_key": ""}
    headers = project.headers(tenant.agent_key)
    for _ in range(300):
        answer = httpx.post(f"{project.rest_url}/rpc/bench_nothing", json=body, headers=headers)
        if answer.status_code == 200:
            return
        time.sleep(0.1)
    raise SystemExit("PostgREST did not take up the benchmark's RPC")


if __name__ == "__main__":
    main()
