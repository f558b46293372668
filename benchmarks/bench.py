"""What every case is given: the project, the organizations, the options, and how two loads are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from .load import ClientFactory, Measurement, run
from .results import Comparison, Row
from .tenants import Project, Tenant


@dataclass(frozen=True)
class Options:
    """How long, how often and how much.

    Attributes:
        seconds: length of one run.
        repetitions: runs of each side.
        grants: open grants of the organization that has very many.
        snapshot_seconds: how long the old snapshot is held.
    """

    seconds: float
    repetitions: int
    grants: int
    snapshot_seconds: float


@dataclass(frozen=True)
class Bench:
    """What a case is given.

    Attributes:
        project: where and as whom.
        connection: of the schema's owner, in autocommit.
        tenants: organizations; the first is the hot one.
        options: see `Options`.
        say: tells the person who waits what is being measured.
    """

    project: Project
    connection: psycopg.Connection[Any]
    tenants: list[Tenant]
    options: Options
    say: Callable[[str], None]

    @property
    def hot(self) -> Tenant:
        """The organization whose agents all spend at once; with a history it has the largest share of it."""
        return self.tenants[0]

    def compare(
        self, name: str, clients: int, floor: ClientFactory, ours: ClientFactory, weight: int = 1
    ) -> Comparison:
        """Measure two loads in turn.

        Args:
            name: what is measured.
            clients: how many at once.
            floor: what it is measured against.
            ours: the product.
            weight: how many spends one call of ours is.
        """
        seconds = self.options.seconds
        return self.compare_runs(
            name, clients, lambda: run(floor, clients, seconds), lambda: run(ours, clients, seconds), weight
        )

    def compare_runs(
        self,
        name: str,
        clients: int,
        floor: Callable[[], Measurement],
        ours: Callable[[], Measurement],
        weight: int = 1,
    ) -> Comparison:
        """The same for loads that are driven in a way of their own."""
        self.say(f"{name}, {clients} clients")
        floors, measured = [], []
        for _ in range(self.options.repetitions):
            floors.append(floor())
            measured.append(ours())
        return Comparison(name, clients, floors, measured, weight)


@dataclass(frozen=True)
class Case:
    """Something that is measured.

    Attributes:
        key: by which `--only` names it.
        about: what is measured, and how; a paragraph of the report.
        run: measures it.
        grows: whether it is measured again when the ledger has a past, and must stay as it was.
    """

    key: str
    about: str
    run: Callable[[Bench], list[Row]]
    grows: bool = False
