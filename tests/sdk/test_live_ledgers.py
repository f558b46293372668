"""Commands that put something into ledgers or take it out, against the running stack."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tallybase import Credits
from tests.conftest import Organization, StackUnderTest
from tests.sdk.test_live_cli import Run, printed, runner


@pytest.fixture
def organization(new_organization: Callable[..., Organization]) -> Organization:
    return new_organization(credits=100)


@pytest.fixture
def as_service(stack: StackUnderTest, organization: Organization) -> Run:
    """Runs the command line with the secret key."""
    settings = {
        "TALLYBASE_KEY": stack.secret_key,
        "TALLYBASE_ORGANIZATION_ID": str(organization.organization_id),
    }
    return runner(settings, stack)


def test_a_grant_is_booked_once_under_its_reference(
    as_service: Run, organization: Organization, live_client: Callable[..., Credits]
) -> None:
    options = ("--reference", "gift-1", "--expires-at", "2031-01-01", "--reason", "welcome")
    first = printed(as_service("grant", "12.5", *options, "--json"))
    again = printed(as_service("grant", "12.5", *options, "--json"))
    assert (first["replayed"], again) == (False, {**first, "replayed": True})
    assert first["expires_at"].startswith("2031-01-01")
    assert live_client(organization).balance().available == Decimal("112.5")
    assert "2 credits granted" in as_service("grant", "2").stdout
    refused = as_service("grant", "3", "--reference", "gift-1")
    assert refused.exit_code == 1
    assert "idempotency_conflict" in refused.stderr


def test_only_a_service_grants(stack: StackUnderTest, organization: Organization) -> None:
    agent = {"TALLYBASE_KEY": stack.publishable_key, "TALLYBASE_AGENT_KEY": organization.agent_key}
    refused = runner(agent, stack)("grant", "5")
    assert refused.exit_code == 1
    assert "secret key" in refused.stderr


def test_an_export_has_every_movement_and_no_formula(
    as_service: Run, organization: Organization, live_client: Callable[..., Credits], tmp_path: Path
) -> None:
    agent = live_client(organization)
    agent.consume("TestAgent", "test", amount=Decimal("1.5"), run_id="=1+1", idempotency_key="@k")
    rows = list(csv.DictReader(io.StringIO(as_service("export").stdout)))
    assert [row["kind"] for row in rows] == ["grant", "consume"]
    assert (rows[1]["amount"], rows[1]["run_id"], rows[1]["idempotency_key"]) == ("-1.5", "'=1+1", "'@k")
    lines = as_service("export", "--json").stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2]
    file = tmp_path / "ledger.jsonl"
    assert as_service("export", "--json", "--output", str(file)).exit_code == 0
    assert [json.loads(line)["kind"] for line in file.read_text().splitlines()] == ["grant", "consume"]


def test_simulated_organizations_live_and_their_ledgers_hold(as_service: Run) -> None:
    arguments = ("simulate", "--organizations", "2", "--days", "9", "--seed", "7", "--yes", "--json")
    stories = printed(as_service(*arguments))
    assert [(story["days"], story["violations"]) for story in stories] == [(9, 0), (9, 0)]
    assert all(story["spends"] > 0 and story["expired"] > 0 for story in stories)
    assert all(
        story["balance"] == story["granted"] - story["charged"] - story["expired"] for story in stories
    )
    told = [[story[name] for name in ("spends", "refused", "granted", "charged")] for story in stories]
    again = printed(as_service(*arguments))
    assert [[story[name] for name in ("spends", "refused", "granted", "charged")] for story in again] == told


def test_a_simulation_elsewhere_wants_the_host_typed(stack: StackUnderTest) -> None:
    elsewhere = {"TALLYBASE_KEY": stack.secret_key, "TALLYBASE_URL": "https://live.example"}
    result = runner(elsewhere, stack)("simulate", "--organizations", "1", "--days", "1", "--yes")
    assert result.exit_code == 1
    assert "live.example" in result.stderr
