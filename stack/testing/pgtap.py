"""Runs the files of `supabase/tests/database` with pgTAP: `python -m stack.testing.pgtap [FILE …]`."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from stack.settings import REPOSITORY, StackSettings

TESTS_DIR = REPOSITORY / "supabase" / "tests" / "database"
_RESULT = re.compile(r"^(not )?ok (\d+)")
_PLAN = re.compile(r"^1\.\.(\d+)")


@dataclass
class FileResult:
    """What one file reported.

    Attributes:
        passed: number of `ok` lines.
        failed: number of `not ok` lines, of planned tests that did not run, and 1 for an error.
        problems: the lines to show.
    """

    passed: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)


def run_file(database_url: str, file: Path) -> FileResult:
    """Run one file in a session of its own; files end with `rollback`, so they leave nothing behind.

    Args:
        database_url: connection of the role `postgres`.
        file: the SQL file.
    """
    lines: list[str] = []
    error = ""
    with psycopg.connect(database_url, autocommit=True, application_name="pgtap") as connection:
        connection.execute("create extension if not exists pgtap with schema extensions")
        cursor = connection.cursor()
        try:
            cursor.execute(file.read_bytes())
            while True:
                if cursor.description is not None:
                    lines += [text for row in cursor.fetchall() for text in str(row[0]).splitlines()]
                if not cursor.nextset():
                    break
        except psycopg.Error as raised:
            error = str(raised).strip()
    return _judge(lines, error)


def main(arguments: list[str]) -> int:
    """Run the named files, or all; print one line a file and `N passed, N failed` at the end.

    Returns:
        The exit status: 1 when anything failed or nothing ran.
    """
    database_url = os.environ.get("DATABASE_URL") or StackSettings.load().database_url()
    files = [Path(name) for name in arguments] or sorted(TESTS_DIR.glob("*.sql"))
    passed = failed = 0
    for file in files:
        result = run_file(database_url, file)
        print(
            f"{'ok    ' if not result.failed else 'FAILED'} {file.name} ({result.passed} passed)", flush=True
        )
        print("".join(f"       {line}\n" for line in result.problems), end="", flush=True)
        passed += result.passed
        failed += result.failed
    print(f"pgTAP: {passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


def _judge(lines: list[str], error: str) -> FileResult:
    result = FileResult()
    planned = 0
    failing = False
    for line in lines:
        if match := _RESULT.match(line):
            failing = bool(match[1])
            result.failed += failing
            result.passed += not failing
        elif match := _PLAN.match(line):
            planned = int(match[1])
        if failing:
            result.problems.append(line)
    missing = planned - result.passed - result.failed
    if error:
        result.failed += 1
        result.problems.append(error)
    elif missing:
        result.failed += abs(missing)
        result.problems.append(f"planned {planned} tests, ran {planned - missing}")
    elif not planned:
        result.failed += 1
        result.problems.append("no plan: the file ran no test")
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
