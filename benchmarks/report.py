"""The report: a table for the terminal, and docs/performance.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from .bench import Case
from .results import COLUMNS, Row
from .stages import Stage

_FINDINGS = Path(__file__).with_name("findings.md")
_TEXT = """# What it costs

Every figure stands beside what it is measured against, in the same run and in turn with it: machines differ
and are shared, so ratios are what can be compared. Rates and latencies are medians of the repetitions; a
ratio is the median of the repetitions' ratios, each run against the one just before it. The floor is the
cheapest thing that is still a guarded debit, prepared, one statement, same cluster, same `fsync`:
`update … set amount = amount - 1 where organization_id = $1 and amount >= 1`.

Clients are closed loops in Python, two processes of threads on the server's own processors: prepared
statements straight through libpq (about 0.014 ms of processor time a call), kept HTTP connections of the
standard library (about 0.14 ms). What a client costs is in both sides of a ratio and draws it towards 1. The
organizations have 1e9 credits, and one limit on the agent's key that every spend counts against.

Command: `{command}`
{machine} · PostgreSQL {version}, fsync {fsync}, synchronous_commit {synchronous_commit}

{tables}

## What each measure is

{abouts}

## What was tried

{findings}
"""


def printed(stage: Stage) -> Table:
    """A stage's table for the terminal."""
    table = Table(*COLUMNS, title=stage.title)
    for row in stage.rows:
        table.add_row(*row.cells, style="red" if row.is_missed else None)
    return table


def written(stages: Sequence[Stage], cases: Sequence[Case], command: str, server: Sequence[str]) -> str:
    """The page.

    Args:
        stages: what was measured.
        cases: that were run.
        command: that made it.
        server: version, fsync and synchronous_commit of the database.
    """
    version, fsync, synchronous_commit = server
    return _TEXT.format(
        command=command,
        machine=_machine(),
        version=version,
        fsync=fsync,
        synchronous_commit=synchronous_commit,
        tables="\n\n".join(_section(stage) for stage in stages),
        abouts="\n".join(f"- **{case.key}**: {case.about}" for case in cases),
        findings=_FINDINGS.read_text().strip(),
    )


def _section(stage: Stage) -> str:
    return f"## {stage.title}\n\n{_table(stage.rows)}\n\n{_summary(stage.rows)}"


def _table(rows: Sequence[Row]) -> str:
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(row.cells for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _summary(rows: Sequence[Row]) -> str:
    aimed = [row for row in rows if row.target is not None]
    return f"{sum(not row.is_missed for row in aimed)} of {len(aimed)} targets are reached in this run."


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} processors, {memory:.0f} GiB of memory, {platform.system()} {platform.machine()}"
    )
