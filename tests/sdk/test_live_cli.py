"""The command line against the running stack: what it prints for people and programs, and its status."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tallybase import AgentKeyInvalid, Credits, Outbox
from tallybase.cli.app import app
from tests.conftest import Organization, StackUnderTest

Run = Callable[..., Result]


@pytest.fixture
def organization(new_organization: Callable[..., Organization]) -> Organization:
    return new_organization(credits=100)


@pytest.fixture
def as_agent(stack: StackUnderTest, organization: Organization) -> Run:
    """Runs the command line with an agent key."""
    return runner(
        {"TALLYBASE_KEY": stack.publishable_key, "TALLYBASE_AGENT_KEY": organization.agent_key}, stack
    )


@pytest.fixture
def as_owner(stack: StackUnderTest, organization: Organization) -> Run:
    """Runs the command line as the organization's owner."""
    session = organization.owner.client.auth.get_session()
    assert session is not None
    owner = {
        "TALLYBASE_KEY": stack.publishable_key,
        "TALLYBASE_ACCESS_TOKEN": session.access_token,
        "TALLYBASE_ORGANIZATION_ID": str(organization.organization_id),
    }
    return runner(owner, stack)


def runner(settings: dict[str, str], stack: StackUnderTest) -> Run:
    names = ("KEY", "AGENT_KEY", "ACCESS_TOKEN", "ORGANIZATION_ID", "OUTBOX")
    unset = {f"TALLYBASE_{name}": "" for name in names}
    environment = unset | {"TALLYBASE_URL": stack.supabase_url} | settings

    def run(*arguments: str, **extra: str) -> Result:
        return CliRunner().invoke(app, arguments, env=environment | extra, catch_exceptions=False)

    return run


def printed(result: Result) -> Any:
    """The JSON that a command printed, after it succeeded."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout, parse_float=Decimal)


def test_the_balance_as_a_table_and_as_json(as_agent: Run, organization: Organization) -> None:
    assert printed(as_agent("balance", "--json"))["available"] == 100
    table = as_agent("balance")
    assert table.exit_code == 0
    assert str(organization.organization_id)[:8] in table.stdout
    assert "100" in table.stdout


def test_an_owner_makes_lists_and_revokes_a_key(
    as_owner: Run, organization: Organization, live_client: Callable[..., Credits]
) -> None:
    options = ("--spend-limit", "12.5", "--spend-window", "day", "--agent-type", "TestAgent")
    created = printed(as_owner("agents", "key", "create", "night shift", *options, "--json"))
    agent = live_client(organization, created["key"])
    assert agent.consume("TestAgent", "test", amount=12).limits[0].remaining == Decimal("0.5")
    (listed,) = printed(as_owner("agents", "key", "list", "--json"))
    assert (listed["name"], listed["agent_types"], listed["spend_limit"]) == (
        "night shift",
        ["TestAgent"],
        12.5,
    )
    assert "key" not in listed

    assert as_owner("agents", "key", "revoke", created["key_id"]).exit_code == 1, (
        "nobody answered the question"
    )
    assert agent.balance().available == 88
    assert printed(as_owner("agents", "key", "revoke", created["key_id"], "--yes", "--json"))["revoked_at"]
    with pytest.raises(AgentKeyInvalid):
        agent.balance()


def test_the_tail_of_the_ledger_in_its_order(
    as_owner: Run, organization: Organization, live_client: Callable[..., Credits]
) -> None:
    agent = live_client(organization)
    for amount in (1, 2, 3):
        agent.consume("TestAgent", "test", amount=amount, run_id="r")
    lines = as_owner("ledger", "tail", "-n", "2", "--json").stdout.splitlines()
    entries = [json.loads(line, parse_float=Decimal) for line in lines]
    assert [(entry["kind"], entry["amount"], entry["run_id"]) for entry in entries] == [
        ("consume", -2, "r"),
        ("consume", -3, "r"),
    ]
    text = as_owner("ledger", "tail").stdout
    assert "TestAgent.test  run r" in text
    assert "+100" in text


def test_an_agent_sees_no_ledger_and_makes_no_keys(as_agent: Run, organization: Organization) -> None:
    named = {"TALLYBASE_ORGANIZATION_ID": str(organization.organization_id)}
    for command in (("ledger", "tail"), ("agents", "key", "create", "mine")):
        refused = as_agent(*command, **named)
        assert refused.exit_code == 1
        assert "Error (" in refused.stderr
        assert organization.agent_key not in refused.output


def test_the_outbox_is_listed_without_being_settled_and_then_settled(
    as_agent: Run, organization: Organization, tmp_path: Path, live_client: Callable[..., Credits]
) -> None:
    path = str(tmp_path / "outbox.sqlite")
    outbox = Outbox(path)
    outbox.add(
        "k1", {"agent_type": "TestAgent", "action": "test", "amount": Decimal("1.5"), "idempotency_key": "k1"}
    )
    outbox.add("k2", {"agent_type": "TestAgent", "action": "nope", "idempotency_key": "k2"})
    listed = printed(as_agent("outbox", "list", "--json", TALLYBASE_OUTBOX=path))
    assert [entry["idempotency_key"] for entry in listed] == ["k1", "k2"]
    assert live_client(organization).balance().available == 100
    settled = printed(as_agent("outbox", "settle", "--json", TALLYBASE_OUTBOX=path))
    assert settled == {"booked": 1, "refused": 1, "waiting": 0}
    assert live_client(organization).balance().available == Decimal("98.5")


def test_the_doctor_finds_nothing_wrong_with_a_good_set_up(as_agent: Run) -> None:
    findings = printed(as_agent("doctor", "--json"))
    assert {finding["check"]: finding["state"] for finding in findings} == {
        "settings": "ok",
        "encryption": "ok",
        "connection": "ok",
        "clock": "ok",
        "balance": "ok",
        "ledger": "skipped",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"TALLYBASE_URL": ""}, "TALLYBASE_URL"),
        ({"TALLYBASE_URL": "http://127.0.0.1:9"}, "no answer"),
        ({"TALLYBASE_KEY": "sb_publishable_wrong"}, "TALLYBASE_KEY"),
        ({"TALLYBASE_AGENT_KEY": "tb_test_0123456789abcdef_x_y"}, "agents key create"),
        ({"TALLYBASE_AGENT_KEY": ""}, "TALLYBASE_AGENT_KEY"),
    ],
)
def test_the_doctor_says_what_to_mend(as_agent: Run, change: dict[str, str], said: str) -> None:
    result = as_agent("doctor", **change)
    assert result.exit_code == 1
    assert "problem" in result.stdout
    assert said in result.stdout


def test_a_service_has_its_ledger_verified(stack: StackUnderTest, organization: Organization) -> None:
    service = {
        "TALLYBASE_KEY": stack.secret_key,
        "TALLYBASE_ORGANIZATION_ID": str(organization.organization_id),
    }
    findings = printed(runner(service, stack)("doctor", "--json"))
    assert {"check": "ledger", "state": "ok", "message": "all invariants hold", "fix": ""} in findings
