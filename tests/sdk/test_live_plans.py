"""Plans as a file, against the running stack: what is pulled can be pushed, a push changes what differs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tallybase import InvalidArgument
from tallybase.plans import read_plans, write_plans
from tests.conftest import Organization, StackUnderTest
from tests.sdk.test_live_cli import Run, printed, runner


@pytest.fixture
def as_service(stack: StackUnderTest) -> Run:
    """Runs the command line with the secret key."""
    return runner({"TALLYBASE_KEY": stack.secret_key}, stack)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    """Writes plans into a file and returns its path."""

    def write(*plans: dict[str, Any]) -> str:
        path = tmp_path / "plans.json"
        path.write_text(json.dumps(plans), encoding="utf-8")
        return str(path)

    return write


def _changes(result: Any) -> dict[str, Any]:
    return {change["key"]: change for change in result if change["action"] != "extra"}


def test_what_is_pulled_has_nothing_to_push(as_service: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "plans.json")
    assert as_service("plans", "pull", "--output", path).exit_code == 0
    seeded = [plan for plan in read_plans(Path(path).read_bytes()) if plan.key == "free"]
    Path(path).write_text(write_plans(seeded), encoding="utf-8")  # other tests edit plans of their own
    assert as_service("plans", "diff", path).exit_code == 0
    assert _changes(printed(as_service("plans", "push", path, "--json"))) == {}


def test_a_push_makes_and_edits_what_differs(as_service: Run, file: Callable[..., str]) -> None:
    key = f"p{secrets.token_hex(6)}"
    plan = {"key": key, "name": "Team", "unit_amount": 1900, "credits_per_period": 500, "is_active": False}
    made = _changes(printed(as_service("plans", "push", file(plan), "--yes", "--json")))
    assert made[key]["action"] == "create"
    edited = {**plan, "credits_per_period": 750.5, "features": {"departments": 3}, "credit_expiry": "30 days"}
    pending = as_service("plans", "diff", file(edited), "--json")
    assert pending.exit_code == 1
    assert set(_changes(json.loads(pending.stdout))[key]["after"]) == {
        "credits_per_period",
        "features",
        "credit_expiry",
    }
    assert as_service("plans", "push", file(edited), "--yes").exit_code == 0
    assert as_service("plans", "diff", file(edited)).exit_code == 0
    pulled = {row["key"]: row for row in printed(as_service("plans", "pull", "--json"))}
    assert (pulled[key]["name"], pulled[key]["features"]) == ("Team", {"departments": 3})


def test_a_push_asks_first(as_service: Run, file: Callable[..., str]) -> None:
    key = f"p{secrets.token_hex(6)}"
    plan = {"key": key, "name": "Asked", "unit_amount": 0, "credits_per_period": 0, "is_active": False}
    assert as_service("plans", "push", file(plan)).exit_code == 1
    assert key not in as_service("plans", "pull").stdout


@pytest.mark.parametrize(
    "terms",
    [
        {"credits_per_period": -1},
        {"unit_amount": -1},
        {"currency": "dollars"},
        {"name": ""},
        {"rollover_share": 2},
        {"credit_expiry": "soon"},
        {"trial_days": 10_000},
    ],
    ids=lambda terms: next(iter(terms)),
)
def test_a_plan_that_cannot_be_is_refused(
    as_service: Run, file: Callable[..., str], terms: dict[str, Any]
) -> None:
    key = f"p{secrets.token_hex(6)}"
    plan = {"key": key, "name": "No", "unit_amount": 1, "credits_per_period": 1, "is_active": False} | terms
    refused = as_service("plans", "push", file(plan), "--yes")
    assert refused.exit_code == 1
    assert "invalid_a" in refused.stderr
    assert key not in as_service("plans", "pull").stdout


def test_a_file_is_read_strictly() -> None:
    plan = {"key": "a", "name": "A", "unit_amount": 1, "credits_per_period": 1}
    files: list[object] = [[{**plan, "colour": "red"}], [plan, plan], {"plans": []}, [{"key": "a"}]]
    for plans in files:
        with pytest.raises(InvalidArgument):
            read_plans(json.dumps(plans))


def test_only_the_service_sets_plans(
    stack: StackUnderTest, new_organization: Callable[..., Organization]
) -> None:
    agent = {"TALLYBASE_KEY": stack.publishable_key, "TALLYBASE_AGENT_KEY": new_organization().agent_key}
    refused = runner(agent, stack)("plans", "pull")
    assert refused.exit_code == 1
    assert "secret key" in refused.stderr
