"""What a benchmark answers: figures, what they are measured against, and whether targets are reached."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from .load import Measurement, median_percentile, median_rate


@dataclass(frozen=True)
class Target:
    """A bound that a figure should keep.

    Attributes:
        bound: in the figure's unit.
        at_least: whether it bounds the figure from below; else from above.
    """

    bound: float
    at_least: bool

    def is_reached_by(self, figure: float) -> bool:
        """Whether a figure keeps it."""
        return figure >= self.bound if self.at_least else figure <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:,g}"


def at_least(bound: float) -> Target:
    """A bound from below."""
    return Target(bound, at_least=True)


def at_most(bound: float) -> Target:
    """A bound from above."""
    return Target(bound, at_least=False)


@dataclass(frozen=True)
class Row:
    """One line of the report.

    Attributes:
        measure: what is measured.
        clients: how many at once.
        floor: what it is measured against, as text.
        ours: the product's own, as text.
        figure: the ratio, or the size itself where nothing is divided.
        target: of the figure; None: it is there to be known.
        latency: of the product beside the floor's, as text.
        unit: of the figure, for sizes.
    """

    measure: str
    clients: str
    floor: str
    ours: str
    figure: float
    target: Target | None = None
    latency: str = ""
    unit: str = ""

    @property
    def is_missed(self) -> bool:
        """Whether it has a target and does not reach it."""
        return self.target is not None and not self.target.is_reached_by(self.figure)

    @property
    def cells(self) -> list[str]:
        """The cells of its line, as text."""
        figure = f"{self.figure:,.{_decimals(self.figure)}f}"
        unit = f" {self.unit}" if self.unit else ""
        reached = "" if self.target is None else "no" if self.is_missed else "yes"
        target = "" if self.target is None else f"{self.target}{unit}"
        return [
            self.measure,
            self.clients,
            self.floor,
            self.ours,
            f"{figure}{unit}",
            target,
            reached,
            self.latency,
        ]


#: Heads of the columns of `Row.cells`.
COLUMNS = ("measure", "clients", "against", "ours", "figure", "target", "reached", "p50 / p99 ms (against)")


def _decimals(figure: float) -> int:
    return 0 if figure >= 100 else 1 if figure >= 10 else 2


@dataclass(frozen=True)
class Comparison:
    """Two loads, measured in turn.

    Attributes:
        name: what is measured.
        clients: how many at once.
        floor: runs of what it is measured against.
        ours: runs of the product.
        weight: how many spends one call of ours is.
        floor_weight: how many one of the floor's is.
    """

    name: str
    clients: int
    floor: list[Measurement]
    ours: list[Measurement]
    weight: int = 1
    floor_weight: int = 1

    @property
    def ratio(self) -> float:
        """The median of the repetitions' ratios: each run against the one just before it."""
        scale = self.weight / self.floor_weight
        pairs = zip(self.ours, self.floor, strict=True)
        return scale * statistics.median(ours.rate / floor.rate for ours, floor in pairs)

    @property
    def latency_ratio(self) -> float:
        """The median over the repetitions of median latency by median latency."""
        pairs = zip(self.ours, self.floor, strict=True)
        return statistics.median(ours.percentile(0.5) / floor.percentile(0.5) for ours, floor in pairs)

    @property
    def rates(self) -> tuple[str, str]:
        """The floor's and ours, a second."""
        floor, ours = median_rate(self.floor) * self.floor_weight, median_rate(self.ours) * self.weight
        return f"{floor:,.0f}/s", f"{ours:,.0f}/s"

    @property
    def latency(self) -> str:
        """Ours and the floor's, in milliseconds."""
        sides = [
            f"{median_percentile(side, 0.5):.1f} / {median_percentile(side, 0.99):.1f}"
            for side in (self.ours, self.floor)
        ]
        return f"{sides[0]} ({sides[1]})"

    def row(self, target: Target | None = None, name: str | None = None) -> Row:
        """The line that gives the ratio of the rates."""
        return Row(
            name or self.name, str(self.clients), *self.rates, self.ratio, target=target, latency=self.latency
        )
