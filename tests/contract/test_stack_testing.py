"""The pgTAP runner fails when it should: a judge that lets everything pass would be worse than none."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.config import parse_duration
from stack.testing.pgtap import FileResult, run_file
from tests.conftest import StackUnderTest


def run(stack: StackUnderTest, folder: Path, body: str) -> FileResult:
    """Run one SQL text inside a transaction that is rolled back."""
    file = folder / "case.sql"
    file.write_text(f"begin;\n{body}\nrollback;")
    return run_file(stack.database_url, file)


def test_passing_tests_are_counted(stack: StackUnderTest, tmp_path: Path) -> None:
    result = run(
        stack,
        tmp_path,
        "select plan(2); select ok(true, 'one'); select is(1, 1, 'two'); select * from finish();",
    )
    assert (result.passed, result.failed, result.problems) == (2, 0, [])


def test_a_failing_test_fails_the_file_and_is_shown(stack: StackUnderTest, tmp_path: Path) -> None:
    result = run(
        stack,
        tmp_path,
        "select plan(2); select ok(true, 'one'); select is(1, 2, 'sum'); select * from finish();",
    )
    assert (result.passed, result.failed) == (1, 1)
    assert any("sum" in line for line in result.problems)


@pytest.mark.parametrize(
    "body",
    [
        "select plan(2); select ok(true, 'only one'); select * from finish();",
        "select plan(1); select 1 / 0;",
        "select ok(true, 'no plan');",
        "select 1;",
    ],
)
def test_missing_tests_and_errors_fail_the_file(stack: StackUnderTest, tmp_path: Path, body: str) -> None:
    assert run(stack, tmp_path, body).failed >= 1


def test_durations_of_config_toml_are_understood() -> None:
    assert [parse_duration(text).total_seconds() for text in ("1s", "1m30s", "24h", "500ms")] == [
        1,
        90,
        86400,
        0.5,
    ]
    for nonsense in ("", "s", "1", "1 s", "1s2", "-1s"):
        with pytest.raises(ValueError, match="not a duration"):
            parse_duration(nonsense)
