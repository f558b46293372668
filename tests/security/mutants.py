"""Takes away one guard after another and looks whether a test notices: `python -m tests.security.mutants`.

Every policy is opened and every guard in a function is left out, one at a time: first on a database of its
own, where the pgTAP stories are told until one fails; what they do not notice then on the running instance,
against the security tests that name the table or function. So the instance should be one for tests. Locks are
not among the mutants: one session cannot miss them, and the concurrency tests hold them. A guard may survive
because another wall stands behind it (a right, a domain, a constraint): a person judges each survivor.
It takes many minutes; run it before a release.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from stack.settings import REPOSITORY, StackSettings
from stack.testing.pgtap import TESTS_DIR, run_file
from tests.security.acl import VARIANTS, fresh_database

_HELPERS = TESTS_DIR / "00_helpers.sql"
#: Stories of the catalogue find any change of rights, and none of behaviour.
_STORIES = [file for file in sorted(TESTS_DIR.glob("*.sql")) if file.name >= "10"]
_GUARDS = (
    *("require_role", "require_service", "require_department", "require_an_owner", "require_amount"),
    *("require_text", "require_metadata", "require_hold_duration", "require_usage_window"),
)
_GUARD = re.compile(r"\n\s*perform billing_private\.(?:" + "|".join(_GUARDS) + r")\([^;]*\);")
#: A whole `if … then perform fail(…); end if;` without another statement in it.
_REFUSAL = re.compile(
    r"\n\s*if (?:(?!\bthen\b)[^;])*\bthen\s+perform billing_private\.fail\([^;]*\);\s+end if;", re.DOTALL
)


#: Private tables are read through these.
_VIEWS = {
    "billing_private.credit_grant_lots": "billing.credit_grants",
    "billing_private.credit_limit_counters": "billing.department_credit_limits",
    "billing_private.credit_usage_watermarks": "billing.get_usage_timeseries",
}
#: Bodies that are called by others: the exposed function that shows their guards best.
_CALLERS = {"grant_credits_as_caller": "grant_credits", "collectable_excess": "capture_hold"}


def _exposed(signature: str) -> str:
    name = signature.partition(".")[2].partition("(")[0]
    return _CALLERS.get(name, name)


@dataclass(frozen=True)
class Mutant:
    """One guard taken away.

    Attributes:
        name: what is missing.
        subject: the table or function, as the security tests name it.
        change: the statement that takes it away.
        repair: the statement that brings it back.
    """

    name: str
    subject: str
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
        subject = _VIEWS.get(table, table).partition(".")[2]
        yield Mutant(f"policy {policy}", subject, f"{statement}(true)", f"{statement}({condition})")
    functions = connection.execute(
        "select p.oid::regprocedure::text, pg_get_functiondef(p.oid) from pg_proc as p "
        "inner join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql' "
        "where p.pronamespace = 'billing_private'::regnamespace order by 1"
    ).fetchall()
    for name, definition in functions:
        for pattern in (_GUARD, _REFUSAL):
            for found in pattern.finditer(definition):
                without = f"{definition[: found.start()]}\n  null;{definition[found.end() :]}"
                guard = " ".join(found[0].split())
                yield Mutant(f"{name}: {guard}", _exposed(name), without, definition)


def first_to_notice(database_url: str, last: Path | None) -> Path | None:
    """Return the first story that fails, None when all are told to the end.

    Args:
        database_url: of the mutated database.
        last: the story that noticed the mutant before, which is likely to notice this one.
    """
    stories = sorted(_STORIES, key=lambda file: file != last)
    return next((file for file in stories if run_file(database_url, file).failed), None)


def is_noticed_over_http(subject: str) -> bool:
    """Return whether a security test that names the table or function fails on the running instance."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "tests/security",
        "-k",
        subject,
    ]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False).returncode == 1


def survivors_of_the_stories(settings: StackSettings, part: str) -> list[Mutant]:
    """Tell the stories for each mutant and return those that none of them notices.

    Args:
        settings: a running instance, beside whose database the mutated one is made.
        part: only mutants whose name contains this.

    Raises:
        RuntimeError: the stories fail without any mutant.
    """
    found: list[Mutant] = []
    last: Path | None = None
    with fresh_database(settings, VARIANTS[0]) as url, psycopg.connect(url, autocommit=True) as connection:
        if run_file(url, _HELPERS).failed or first_to_notice(url, None):
            raise RuntimeError("the stories fail without any mutant")
        for mutant in [m for m in mutants(connection) if part in m.name]:
            connection.execute(mutant.change.encode())
            noticed = first_to_notice(url, last)
            connection.execute(mutant.repair.encode())
            last = noticed or last
            _report(noticed.name if noticed else "no story", mutant)
            found += [] if noticed else [mutant]
    return found


def survivors_over_http(settings: StackSettings, candidates: list[Mutant]) -> list[Mutant]:
    """Run the security tests for each mutant and return those that none of them notices."""
    found = []
    with psycopg.connect(settings.database_url(), autocommit=True) as connection:
        for mutant in candidates:
            connection.execute(mutant.change.encode())
            try:
                noticed = is_noticed_over_http(mutant.subject)
            finally:
                connection.execute(mutant.repair.encode())
            _report("a test over HTTP" if noticed else "SURVIVED", mutant)
            found += [] if noticed else [mutant]
    return found


def _report(by: str, mutant: Mutant) -> None:
    print(f"{by:<28} {mutant.name[:150]}", flush=True)


def main(arguments: list[str]) -> int:
    """Try every mutant whose name contains the argument, if one is given.

    Returns:
        The exit status: 1 when a mutant survived.
    """
    parser = argparse.ArgumentParser(description="Leaves out one guard at a time.")
    parser.add_argument("part", nargs="?", default="", help="only mutants whose name contains this")
    settings = StackSettings.load()
    left = survivors_of_the_stories(settings, parser.parse_args(arguments).part)
    left = survivors_over_http(settings, left)
    print(f"{len(left)} survived")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
