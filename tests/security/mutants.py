"""Takes away one guard after another and looks whether a test notices: `python -m tests.security.mutants`.

Runs on a database of its own beside the running instance: every policy is opened, every guard in a function is left
out, one at a time, and the pgTAP stories are told until one fails. Locks are not among them: one session cannot miss
them, and the concurrency tests hold them. It takes minutes; run it before a release.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from stack.settings import StackSettings
from stack.testing.pgtap import TESTS_DIR, run_file
from tests.security.acl import VARIANTS, fresh_database

_HELPERS = TESTS_DIR / "00_helpers.sql"
#: Stories of the catalogue find any change of rights, and none of behaviour.
_STORIES = [file for file in sorted(TESTS_DIR.glob("*.sql")) if file.name >= "10"]
_GUARDS = (
    *("require_role", "require_service", "require_department", "require_an_owner", "require_amount"),
    *("require_text", "require_metadata", "require_hold_duration", "usage_by_instant"),
)
_GUARD = re.compile(r"\n\s*perform billing_private\.(?:" + "|".join(_GUARDS) + r")\([^;]*\);")
#: A whole `if … then perform fail(…); end if;` without another statement in it.
_REFUSAL = re.compile(
    r"\n\s*if (?:(?!\bthen\b)[^;])*\bthen\s+perform billing_private\.fail\([^;]*\);\s+end if;", re.DOTALL
)


@dataclass(frozen=True)
class Mutant:
    """One guard taken away.

    Attributes:
        name: what is missing.
        change: the statement that takes it away.
        repair: the statement that brings it back.
    """

    name: str
    change: str
    repair: str


def mutants(connection: psycopg.Connection[tuple[str, ...]]) -> Iterator[Mutant]:
    """Yield every policy opened and every guard left out."""
    policies = connection.execute(
        "select format('%I.%I', schemaname, tablename), policyname, qual from pg_policies "
        "where schemaname in ('billing', 'billing_private') order by 1, 2"
    ).fetchall()
    for table, policy, condition in policies:
        statement = f"alter policy {policy} on {table} using "
        yield Mutant(f"policy {policy}", f"{statement}(true)", f"{statement}({condition})")
    functions = connection.execute(
        "select p.oid::regprocedure::text, pg_get_functiondef(p.oid) from pg_proc as p "
        "inner join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql' "
        "where p.pronamespace = 'billing_private'::regnamespace order by 1"
    ).fetchall()
    for name, definition in functions:
        for pattern in (_GUARD, _REFUSAL):
            for found in pattern.finditer(definition):
                without = f"{definition[: found.start()]}\n  null;{definition[found.end() :]}"
                yield Mutant(f"{name}: {' '.join(found[0].split())}", without, definition)


def first_to_notice(database_url: str, last: Path | None) -> Path | None:
    """Return the first story that fails, None when all are told to the end.

    Args:
        database_url: of the mutated database.
        last: the story that noticed the mutant before, which is likely to notice this one.
    """
    stories = sorted(_STORIES, key=lambda file: file != last)
    return next((file for file in stories if run_file(database_url, file).failed), None)


def main(arguments: list[str]) -> int:
    """Try every mutant whose name contains the argument, if one is given.

    Returns:
        The exit status: 1 when a mutant survived.
    """
    parser = argparse.ArgumentParser(description="Leaves out one guard at a time.")
    parser.add_argument("part", nargs="?", default="", help="only mutants whose name contains this")
    part = parser.parse_args(arguments).part
    survivors = []
    with fresh_database(StackSettings.load(), VARIANTS[0]) as url:
        if run_file(url, _HELPERS).failed or first_to_notice(url, None):
            print("the stories fail without any mutant")
            return 1
        last: Path | None = None
        with psycopg.connect(url, autocommit=True) as connection:
            for mutant in [m for m in mutants(connection) if part in m.name]:
                connection.execute(mutant.change.encode())
                noticed = first_to_notice(url, last)
                connection.execute(mutant.repair.encode())
                last = noticed or last
                print(f"{noticed.name if noticed else 'SURVIVED':<28} {mutant.name[:150]}", flush=True)
                survivors += [] if noticed else [mutant.name]
    print(f"{len(survivors)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
