"""The reference page lists exactly what the twin has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from stripe_twin.api_faults import ApiFault
from stripe_twin.bank_accounts import TEST_ACCOUNTS
from stripe_twin.cards import TEST_CARDS
from stripe_twin.faults import Faults
from stripe_twin.operations import OPERATIONS
from stripe_twin.preferences import Preferences
from stripe_twin.settings import TwinSettings
from tests.money.twin.shop import Shop
from tests.money.twin.story import Walk

PAGE = (Path(__file__).parents[3] / "docs/reference/stripe-twin.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return the text below a heading, up to the next one of its level."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def with_plain_ids(path: str) -> str:
    """Return a path whose placeholders are all `<id>`."""
    return re.sub(r"<\w+>", "<id>", path)


def test_every_call_is_listed_and_no_other() -> None:
    listed = re.findall(r"`((?:GET|POST|DELETE) /v1/[^`]+)`", section("Calls"))
    had = [f"{entry.method} {with_plain_ids(entry.path)}" for entry in OPERATIONS]
    assert sorted(listed) == sorted(had)


@pytest.mark.timeout(600)  # the walk delivers hundreds of events
def test_every_event_is_listed_and_no_other(walk: Walk) -> None:
    listed = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", section("Events"))
    assert sorted(listed) == sorted({event["type"] for event in walk.events})


def test_every_test_card_is_listed_and_no_other() -> None:
    listed = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+) \|$", section("Test cards"), re.MULTILINE)
    assert listed == [(card.number, card.token, card.hint) for card in TEST_CARDS]


def test_every_test_account_is_listed_and_no_other() -> None:
    listed = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+) \|$", section("Test cards"), re.MULTILINE)
    assert listed == [(account.number, account.token, account.hint) for account in TEST_ACCOUNTS]


def test_every_preference_and_every_api_fault_is_listed() -> None:
    for name in Preferences.model_fields:
        assert f"`{name}`" in section("What a person does in the dashboard, or a bank decides")
    for name in ApiFault.model_fields:
        assert f"`{name}`" in section("Calls that misbehave")
    for kind in get_args(ApiFault.model_fields["kind"].annotation):
        assert f"`{kind}`" in section("Calls that misbehave")


def test_every_fault_and_every_pause_is_listed() -> None:
    for name in Faults.model_fields:
        assert f"`{name}`" in section("Deliveries")
    *pauses, last = [f"{int(seconds):,}" for seconds in TwinSettings("").retry_pauses_seconds]
    assert f"{', '.join(pauses)} and {last} seconds" in section("Deliveries").replace("\n", " ")


def test_every_route_of_the_control_api_is_listed(shop: Shop) -> None:
    listed = set(re.findall(r"`(GET|POST) (/_twin/[^`?]+)", PAGE))
    rules = [rule for rule in shop.app.url_map.iter_rules() if rule.rule.startswith("/_twin")]
    had = {
        (method, with_plain_ids(rule.rule))
        for rule in rules
        for method in (rule.methods or set()) & {"GET", "POST"}
    }
    assert listed == had
