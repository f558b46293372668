"""Tries every mutant on an instance of its own and writes the table: `python -m tests.security.mutation`.

It takes about an hour of one processor; run it before a release. What was tried is kept in .stack/mutants, so
that a run that was interrupted goes on, and several runs, each with a `--share` of its own, go side by side;
the last to end writes the whole table. A guard may survive because another wall stands behind it (a right, a
domain, a constraint, a second lock): survivors.toml says so for each; one that it does not name is a failure.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from stack.settings import INSTALL_DIR, REPOSITORY, StackSettings
from stack.testing.instance import running_instance
from stack.testing.pgtap import TESTS_DIR, run_file
from tests.security.acl import VARIANTS, fresh_database
from tests.security.mutation.calls import CallGraph
from tests.security.mutation.mutants import Connection, Mutant, mutants

PAGE = REPOSITORY / "docs" / "reference" / "mutants.md"
_SURVIVORS = Path(__file__).with_name("survivors.toml")
_RESULTS = INSTALL_DIR / "mutants" / "results.jsonl"
_STATE_DIR = INSTALL_DIR / "mutants"

#: What the matrix's calls buy and subscribe to.
_OFFERS = """
insert into billing.credit_packages (key, name, unit_amount, credits) values ('mutant', 'Pack', 1, 1);
insert into billing.subscription_plans (key, name, unit_amount, credits_per_period)
values ('free', 'Free', 0, 9);
"""


class Results:
    """What was tried, in a file that outlives the run."""

    def __init__(self) -> None:
        """Read what an earlier run left."""
        _RESULTS.parent.mkdir(parents=True, exist_ok=True)
        lines = _RESULTS.read_text().splitlines() if _RESULTS.exists() else []
        self.by = {entry["key"]: entry["by"] for entry in map(json.loads, lines)}

    @staticmethod
    def key(mutant: Mutant) -> str:
        """Name a mutant together with the text that it changes."""
        return hashlib.sha256(f"{mutant.name}\0{mutant.change}".encode()).hexdigest()[:16]

    def add(self, mutant: Mutant, by: str) -> None:
        """Write down who noticed a mutant; '' means nobody."""
        self.by[self.key(mutant)] = by
        with _RESULTS.open("a") as file:
            file.write(json.dumps({"key": self.key(mutant), "by": by, "name": mutant.name}) + "\n")
        print(f"{by or 'SURVIVED':<44} {mutant.kind:<7} {mutant.name[:130]}", flush=True)


def _try(
    found: list[Mutant],
    results: Results,
    connection: Connection,
    notice: Callable[[Mutant], str],
    is_sure: Callable[[str], bool] = bool,
    *,
    last: bool,
) -> None:
    """Put each mutant in place, look for a test that notices, and take it out again."""
    for mutant in found:
        connection.execute(mutant.change.encode())
        try:
            by = notice(mutant)
        finally:
            connection.execute(mutant.repair.encode())
        by = by if is_sure(by) else ""
        if by or last:
            results.add(mutant, by)


def _run(is_chosen: Callable[[Mutant], bool]) -> None:
    from tests.security.mutation import killing  # it imports the tests, which need the instance's addresses
    from tests.security.mutation.asking import Questioner

    settings, results = StackSettings.load(), Results()
    with fresh_database(settings, VARIANTS[0]) as url, psycopg.connect(url, autocommit=True) as connection:
        _bound_statements(connection)
        calls = CallGraph(connection)
        every = [m for m in mutants(connection) if is_chosen(m)]
        for mutant in _left(every, results, "right"):
            results.add(mutant, killing.by_rights(connection, mutant))
        connection.execute(_OFFERS.encode())
        questioner = Questioner(url)
        for kind in ("policy", "lock", "guard"):
            left = _left(every, results, kind)
            _try(left, results, connection, lambda m: killing.by_matrix(m, questioner, calls), last=False)
        questioner.close()
    # Stories end with a look at everybody's ledger, so they are told where the questioner left no hundreds.
    with fresh_database(settings, VARIANTS[0]) as url, psycopg.connect(url, autocommit=True) as connection:
        if run_file(url, TESTS_DIR / "00_helpers.sql").failed or not killing.copy_is_sound(url):
            raise RuntimeError("the stories fail without any mutant")
        _bound_statements(connection)
        stories = killing.Stories(url, calls)
        for kind in ("guard", "policy"):
            left = _left(every, results, kind)
            _try(left, results, connection, stories.first_to_notice, last=False)
    with psycopg.connect(settings.database_url(), autocommit=True) as connection:
        _bound_statements(connection)

        def is_sure(by: str) -> bool:
            return bool(by) and not killing.fails_anyway(by)

        for kind in ("policy", "lock", "guard"):
            left = _left(every, results, kind)
            _try(left, results, connection, lambda m: killing.over_http(m, calls), is_sure, last=True)


def _bound_statements(connection: Connection) -> None:
    """Let no statement of a mutated database run for ever: a loop's bound may be what is missing."""
    connection.execute(f"alter database {connection.info.dbname} set statement_timeout = '20s'".encode())


def _left(every: list[Mutant], results: Results, kind: str) -> list[Mutant]:
    return [m for m in every if m.kind == kind and results.key(m) not in results.by]


def _explanations() -> dict[str, str]:
    if not _SURVIVORS.exists():
        return {}
    return {
        entry["name"]: entry["reason"] for entry in tomllib.loads(_SURVIVORS.read_text()).get("survivor", [])
    }


def _page(every: list[Mutant], results: Results) -> Iterator[str]:
    known = [(mutant, results.by.get(results.key(mutant))) for mutant in every]
    tried = [(mutant, by) for mutant, by in known if by is not None]
    kinds = ("right", "policy", "guard", "lock")
    total, killed = Counter(m.kind for m in every), Counter(m.kind for m, by in tried if by)
    survived = [mutant for mutant, by in tried if not by]
    yield "# Mutants\n"
    yield "Written by `python -m tests.security.mutation`, which takes one guard away at a time and looks for"
    yield "a test that notices: a right given, a policy opened, a check left out, a lock not taken.\n"
    yield "| kind | mutants | tried | noticed | survived |\n|---|---|---|---|---|"
    for kind in kinds:
        of_kind = sum(m.kind == kind for m, _ in tried)
        yield f"| {kind} | {total[kind]} | {of_kind} | {killed[kind]} | {of_kind - killed[kind]} |"
    yield f"| all | {len(every)} | {len(tried)} | {sum(killed.values())} | {len(survived)} |\n"
    yield "| noticed first by | mutants |\n|---|---|"
    for by, number in Counter(by.partition(":")[0] for _, by in tried if by).most_common():
        yield f"| {by} | {number} |"
    yield "\n## Survivors\n"
    yield "Each of these stands before another wall.\n"
    reasons = _explanations()
    for mutant in survived:
        yield f"- `{mutant.name}`: {reasons.get(mutant.name, 'NOT EXPLAINED')}"
    left = [mutant for mutant, by in known if by is None]
    if left:
        yield "\n## Not tried to the end\n"
        yield "The run ended before all that could notice these had its turn: neither the golden rights, the"
        yield "matrix nor the locks did; of the stories and the tests over HTTP, not all were run.\n"
        for mutant in left:
            reason = reasons.get(mutant.name, "")
            yield f"- {mutant.kind} `{mutant.name}`{': ' if reason else ''}{reason}"
    yield ""


def main(arguments: list[str]) -> int:
    """Try the mutants and write the page.

    Returns:
        The exit status: 1 when one survived that survivors.toml does not explain, or was not tried.
    """
    parser = argparse.ArgumentParser(description="Takes away one guard at a time.")
    parser.add_argument("part", nargs="?", default="", help="only mutants whose name contains this")
    parser.add_argument("--share", default="1/1", metavar="I/N", help="only every N-th mutant, from the I-th")
    parser.add_argument("--page-only", action="store_true", help="write the page from what was tried")
    chosen = parser.parse_args(arguments)
    number, _, shares = chosen.share.partition("/")

    def is_chosen(mutant: Mutant) -> bool:
        return chosen.part in mutant.name and int(Results.key(mutant), 16) % int(shares) == int(number) - 1

    os.nice(10)
    with running_instance(_STATE_DIR / f"instance-{number}") as environment:
        os.environ.update(environment)
        if not chosen.page_only:
            _run(is_chosen)
        with psycopg.connect(StackSettings.load().database_url()) as connection:
            every = list(mutants(connection))
    results = Results()
    PAGE.write_text("\n".join(_page(every, results)))
    names = _explanations()
    asked = [mutant for mutant in every if is_chosen(mutant)]
    open_questions = [m for m in asked if not results.by.get(results.key(m), "") and m.name not in names]
    print(f"{len(asked)} mutants, {len(open_questions)} survived without an explanation or were not tried")
    return 1 if open_questions else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
