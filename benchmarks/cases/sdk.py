"""Agents of one process through the SDK: combined, and each for itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tallybase import AsyncCredits

from ..bench import Bench, Case
from ..load import Measurement, Worker, run_workers
from ..results import Comparison, Row, at_least
from ..tenants import Project, Tenant

_TARGETS = {32: 10, 128: 20}


def _run(bench: Bench) -> list[Row]:
    return [_compare(bench, agents).row(at_least(target)) for agents, target in _TARGETS.items()]


def _compare(bench: Bench, agents: int) -> Comparison:
    def measure(combine: bool) -> Callable[[], Measurement]:
        worker = _process(bench.project, bench.hot, agents, bench.options.seconds, combine)
        return lambda: run_workers([worker])[0]

    return bench.compare_runs(
        "agents of one process through the SDK, combined against each alone",
        agents,
        measure(False),
        measure(True),
    )


def _process(project: Project, tenant: Tenant, agents: int, seconds: float, combine: bool) -> Worker:
    """One process with so many agents as tasks of one event loop and one client."""

    async def drive(ready: Callable[[], None]) -> list[float]:
        latencies: list[float] = []

        async def agent(client: AsyncCredits, deadline: float) -> None:
            while (began := time.perf_counter()) < deadline:
                await client.consume("TestAgent", "test", amount=1)
                latencies.append(time.perf_counter() - began)

        key = project.publishable_key
        async with AsyncCredits(project.url, key, agent_key=tenant.agent_key, combine=combine) as client:
            await client.consume("TestAgent", "test", amount=1)
            ready()
            deadline = time.perf_counter() + seconds
            await asyncio.gather(*(agent(client, deadline) for _ in range(agents)))
        return latencies

    return lambda ready: asyncio.run(drive(ready))


CASE = Case(
    "sdk",
    "32 and 128 agents of one organization in one process, as tasks of one `AsyncCredits`, each "
    "awaiting its own receipt: with the SDK's combining, against each spend as a request of its own. "
    "Both through gateway and PostgREST.",
    _run,
)
