"""Spends inside holds: many agents of one organization, each with credits of its own for a while."""

from __future__ import annotations

from decimal import Decimal

from .. import clients
from ..bench import Bench, Case
from ..load import Measurement, run
from ..results import Row, at_least
from ..tenants import one

_AGENTS = 32
_SIZE = 100
_REPORT_EVERY = 20


def _run(bench: Bench) -> list[Row]:
    url, hot, seconds = bench.project.database_url, bench.hot, bench.options.seconds
    ours = clients.lease(url, hot, _SIZE, _REPORT_EVERY)

    def measure() -> Measurement:
        before = _wallet(bench)
        measured = run(ours, _AGENTS, seconds)
        # Each agent spends one credit to warm up and one to be ready.
        require_exact(before, _wallet(bench), len(measured.latencies) + 2 * _AGENTS)
        return measured

    compared = bench.compare_runs(
        "spends inside holds, one hot organization, settled",
        _AGENTS,
        lambda: run(clients.floor(url, [hot]), _AGENTS, seconds),
        measure,
    )
    return [compared.row(at_least(4))]


def _wallet(bench: Bench) -> tuple[Decimal, Decimal]:
    """Balance and held."""
    wallet = (
        "select array[t.balance_after, t.held_after]::numeric[] from billing_private.ledger_tail(%s) as t"
    )
    balance, held = one(bench.connection, wallet, bench.hot.organization_id)
    return balance, held


def require_exact(
    before: tuple[Decimal | int, Decimal | int], after: tuple[Decimal | int, Decimal | int], spends: int
) -> None:
    """Compare an organization's wallet around a run.

    Args:
        before: balance and held before it.
        after: the same after it.
        spends: of one credit each.

    Raises:
        RuntimeError: the balance fell by something else, or something is still held.
    """
    if after != (before[0] - spends, before[1]):
        raise RuntimeError(
            f"{spends} credits were spent inside holds, and the wallet went {before} to {after}"
        )


CASE = Case(
    "holds",
    f"{_AGENTS} agents of one organization each take a hold of {_SIZE} credits, spend one credit after "
    f"another inside it, report the sum with `extend_hold(metered)` after each {_REPORT_EVERY}, capture "
    "it and take the next. A spend inside a hold is the agent's own count until it is reported, so an "
    f"agent that dies owes at most {_REPORT_EVERY - 1} spends that nobody was told of; fewer reports "
    "make it faster, more make that smaller. At the end of every run the balance must have fallen by "
    "exactly what was spent, and nothing may be held.",
    _run,
    grows=True,
)
