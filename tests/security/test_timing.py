"""What is somebody else's takes as long to refuse as what is not there: nobody learns from a clock.

Interleaved calls and medians. A difference that an attacker could use over a network would be a scan of a
table or a wait for a lock; the bound is far below either, and wide for a busy machine: only what is slower
three times in a row counts. TALLYBASE_TIMING_ROUNDS makes the printed medians sharper.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.security.cast import Cast
from tests.security.catalogue import Database, relations
from tests.security.http import Caller
from tests.security.matrix import Matrix, fill
from tests.security.test_isolation import (
    foreign_and_unknown,
    foreign_names,
    same_each_time,
    with_foreign_ids,
)

MATRIX = Matrix.load()
ROUNDS = int(os.environ.get("TALLYBASE_TIMING_ROUNDS", "5"))
#: Both must hold: three times as long, and 40 ms longer.
_FACTOR, _SECONDS = 3, 0.04
_COMPARISONS = 3


def _is_telling(what: str, foreign: Callable[[], None], unknown: Callable[[], None]) -> bool:
    """Compare two calls; True when the same one of them was much slower each time they were compared."""
    slower = set()
    for _ in range(_COMPARISONS):
        spent: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for times, call in zip(spent, (foreign, unknown), strict=True):
                began = time.perf_counter()
                call()
                times.append(time.perf_counter() - began)
        first, second = median(spent[0]), median(spent[1])
        print(f"{what}: foreign {first * 1000:.2f} ms, unknown {second * 1000:.2f} ms")
        shorter, longer = sorted((first, second))
        if longer <= _FACTOR * shorter or longer <= shorter + _SECONDS:
            return False
        slower.add(first > second)
    return len(slower) == 1


@pytest.mark.parametrize("name", sorted(filter(foreign_names, MATRIX.functions)))
def test_a_function_takes_as_long_for_what_is_foreign_as_for_what_is_not(
    name: str, cast: Cast, callers: dict[str, Caller]
) -> None:
    foreign, unknown = foreign_and_unknown(name, cast)
    bodies = [
        fill(with_foreign_ids(MATRIX.functions[name].arguments, ids), same_each_time(cast))
        for ids in (foreign, unknown)
    ]

    def refused(caller: Caller, body: Any) -> None:
        assert caller.call(name, body).status >= 400

    for principal in ("owner", "agent"):
        calls = [partial(refused, callers[principal], body) for body in bodies]
        assert not _is_telling(f"{name} as {principal}", *calls), principal


def test_a_table_takes_as_long_for_what_is_foreign_as_for_what_is_not(
    owner_session: Database, cast: Cast, callers: dict[str, Caller]
) -> None:
    def empty(table: str, organization: UUID) -> None:
        answer = callers["owner"].get(f"{table}?organization_id=eq.{organization}")
        assert (answer.status, answer.body) == (200, []), table

    for relation in relations(owner_session):
        if relation.has_organization:
            calls = [partial(empty, relation.name, organization) for organization in (cast.globex, uuid4())]
            assert not _is_telling(relation.name, *calls), relation.name
