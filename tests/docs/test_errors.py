"""The table of errors names every refusal that the code can raise, with its status, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| ([\d, ]+) \| (`[^|]+`) \|", re.MULTILINE)
_SQL_REFUSAL = re.compile(r"\b(4\d\d|5\d\d), '([a-z]+(?:_[a-z]+)+|busy|conflict|hold_)'")
#: fail_rate_limited() writes the body itself, for the header's sake.
_SQL_BODY = re.compile(r"'code', 'PT(\d{3})', 'message', '([a-z_]+)'")
_HOLD_ENDS = ("captured", "released", "expired")
#: What decide_limits() answers; its callers raise it with 402.
_LIMIT_DECISION = re.compile(
    r"v_decision\.slug := [^;]*?'([a-z]+_[a-z]+)'(?: else '([a-z]+_[a-z]+)')?[^;']*;"
)

Refusals = set[tuple[int, str]]


def test_the_table_of_errors_names_exactly_what_the_database_raises() -> None:
    raised: Refusals = set()
    for file in (REPOSITORY / "supabase" / "migrations").glob("*.sql"):
        for status, slug in _SQL_REFUSAL.findall(file.read_text()):
            if slug == "hold_":  # completed by the hold's status
                raised |= {(int(status), f"hold_{end}") for end in _HOLD_ENDS}
            else:
                raised.add((int(status), slug))
        raised |= {(int(status), slug) for status, slug in _SQL_BODY.findall(file.read_text())}
        for slugs in _LIMIT_DECISION.findall(file.read_text()):
            raised |= {(402, slug) for slug in slugs if slug}
    assert _documented("## The database", "## The workers") == raised


def test_the_table_of_errors_names_exactly_what_the_workers_raise() -> None:
    raised: Refusals = set()
    for file in (REPOSITORY / "workers" / "billing").glob("*.py"):
        raised |= _raised_in(ast.parse(file.read_text()))
    raised |= {(502, "stripe_unavailable")}  # its second status is decided by an argument
    assert _documented("## The workers", None) == raised - _passed_on()


def _passed_on() -> Refusals:
    """What the workers raise with a slug of the database's own."""
    return _documented("## The database", "## The workers")


def _documented(begin: str, end: str | None) -> Refusals:
    text = (REPOSITORY / "docs" / "reference" / "errors.md").read_text()
    section = text.split(begin, 1)[1]
    if end is not None:
        section = section.split(end, 1)[0]
    return {
        (int(status), slug)
        for statuses, slugs in _ROW.findall(section)
        for status in statuses.split(", ")
        for slug in re.findall(r"`([a-z_]+)`", slugs)
    }


def _raised_in(module: ast.Module) -> Refusals:
    """Collect the class attributes and the keyword pairs that give a refusal its status and slug."""
    found: Refusals = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            constants = {
                target.id: assignment.value.value
                for assignment in node.body
                if isinstance(assignment, ast.Assign) and isinstance(assignment.value, ast.Constant)
                for target in assignment.targets
                if isinstance(target, ast.Name)
            }
            if isinstance(slug := constants.get("slug"), str):
                status = constants.get("status", 500)  # WorkerError's own
                assert isinstance(status, int)
                found.add((status, slug))
        elif isinstance(node, ast.Call):
            named = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            status, slug = named.get("status"), named.get("slug")
            if isinstance(status, int) and isinstance(slug, str):
                found.add((status, slug))
    return found
