"""The stages of a run: everything on an empty ledger, then what must stay as it was on longer ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .bench import Bench, Case
from .history_stage import organizations_with_past
from .results import Row, at_least

#: At most so many organizations have a past.
_WITH_PAST = 9

_FLAT = at_least(0.9)


@dataclass(frozen=True)
class Stage:
    """What was measured at one length of the ledger.

    Attributes:
        entries: that were written before; 0: none.
        rows: what was measured.
    """

    entries: int
    rows: list[Row]

    @property
    def title(self) -> str:
        """Its heading."""
        return "An empty ledger" if self.entries == 0 else f"A ledger of {self.entries:,} entries"

    def find(self, row: Row) -> Row | None:
        """The row of the same measure."""
        same = (one for one in self.rows if (one.measure, one.clients) == (row.measure, row.clients))
        return next(same, None)


def run_stages(bench: Bench, lengths: Sequence[int], cases: Sequence[Case]) -> list[Stage]:
    """Measure.

    Args:
        bench: see `Bench`.
        lengths: entries of the ledger at each stage, rising, the first 0.
        cases: what to measure; after the first stage only those that must stay as they were.
    """
    stages = [Stage(0, _rows(bench, cases))]
    growing = [case for case in cases if case.grows]
    for before, length in itertools.pairwise(lengths):
        bench.say(f"writing a ledger of {length:,} entries")
        count = min(_WITH_PAST, len(bench.tenants))
        past = organizations_with_past(bench.connection, bench.project, length - before, count)
        grown = replace(bench, tenants=past + bench.tenants[len(past) :])
        stage = Stage(length, _rows(grown, growing))
        stage.rows.extend(_flatness(stages, stage))
        stages.append(stage)
    return stages


def _rows(bench: Bench, cases: Sequence[Case]) -> list[Row]:
    return [row for case in cases for row in case.run(bench)]


def _flatness(stages: Sequence[Stage], grown: Stage) -> list[Row]:
    """The long ledger's ratios against the empty one's, and its times against those of the first long one."""
    rows = []
    for row in grown.rows:
        if row.floor.endswith("/s"):
            before = stages[0].find(row)
        elif row.unit == "ms" and len(stages) > 1:
            before = stages[1].find(row)
        else:
            before = None
        if before is not None:
            rows.append(_compared(before, row))
    return rows


def _compared(before: Row, row: Row) -> Row:
    is_time = row.unit == "ms"
    kept = before.figure / row.figure if is_time else row.figure / before.figure
    unit = " ms" if is_time else ""
    return Row(
        f"flat: {row.measure}",
        row.clients,
        f"{before.figure:.2f}{unit}",
        f"{row.figure:.2f}{unit}",
        kept,
        _FLAT,
    )
