"""The tables of which test keeps which rule are whole: every rule and slug has a row, every test exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import groupby
from pathlib import Path

from tests.ledger.test_refused_calls import CASES

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = REPOSITORY / "docs" / "reference"
RULES = REFERENCE / "ledger-rules.md"
REFUSED = REFERENCE / "refused-calls.md"

#: How many rules the contract has in each section; those of section 3 begin with its six numbered ones.
SECTIONS = {1: 6, 2: 3, 3: 12, 4: 8, 5: 9, 6: 8, 7: 4, 8: 5, 9: 3}

_RULE = re.compile(r"^\| (\d)\.(\d+) \| [^|]+ \| (.+) \|$", re.MULTILINE)
_SLUG = re.compile(r"^\| `([a-z_]+)` \| ([^|]+) \| (.+) \|$", re.MULTILINE)
_REFERENCE = re.compile(r"`([\w/]+\.py)::(\w+)`|`(\d\d_\w+\.sql)`")


def test_every_rule_of_the_ledger_has_a_row() -> None:
    rows = [(int(section), int(number)) for section, number, _ in _RULE.findall(RULES.read_text())]
    assert rows == [(section, number + 1) for section, count in SECTIONS.items() for number in range(count)]


def test_every_rule_is_kept_by_a_test_that_exists() -> None:
    for section, number, kept_by in _RULE.findall(RULES.read_text()):
        assert _REFERENCE.search(kept_by), f"rule {section}.{number} names no test"
    assert _missing(RULES.read_text()) == []


def test_every_refusal_of_the_database_has_a_row_and_a_test_that_exists() -> None:
    errors = (
        (REFERENCE / "errors.md").read_text().split("## The database", 1)[1].split("## The workers", 1)[0]
    )
    documented = {
        slug
        for _, slugs in re.findall(r"^\| ([\d, ]+) \| (`[^|]+`) \|", errors, re.MULTILINE)
        for slug in re.findall(r"`([a-z_]+)`", slugs)
    }
    rows = _SLUG.findall(REFUSED.read_text())
    assert [slug for slug, group in groupby(sorted(row[0] for row in rows)) if len(list(group)) > 1] == []
    slugs = {slug for slug, _, _ in rows}
    assert documented - slugs == set()
    migrations = "".join(file.read_text() for file in (REPOSITORY / "supabase" / "migrations").glob("*.sql"))
    assert [slug for slug in slugs - documented if f"'{slug}'" not in migrations] == []
    assert all(_REFERENCE.search(tests) for _, _, tests in rows)
    assert _missing(REFUSED.read_text()) == []


def test_every_case_of_a_refused_call_is_in_the_table_under_its_slug() -> None:
    named = {
        slug: set(re.findall(r'"([^"]+)"', reached))
        for slug, reached, _ in _SLUG.findall(REFUSED.read_text())
    }
    for name, case in CASES.items():
        assert name in named[case.slug], f"{name} is not told of under {case.slug}"
    assert set(CASES) == set().union(*named.values())


def _missing(text: str) -> list[str]:
    """Return the tests that a text names and that are not there."""
    lost = []
    for path, name, script in _REFERENCE.findall(text):
        if script and not (REPOSITORY / "supabase" / "tests" / "database" / script).exists():
            lost.append(script)
        elif path and name not in _tests_in(REPOSITORY / "tests" / path):
            lost.append(f"{path}::{name}")
    return lost


@cache
def _tests_in(file: Path) -> frozenset[str]:
    if not file.exists():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(n.name for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, functions))
