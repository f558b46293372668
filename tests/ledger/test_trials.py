"""Scenario 46: trial credits come once an organization and once a card, for ever."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.conftest import Organization

from .api import LedgerApi, in_parallel
from .conftest import Story, day

Database = psycopg.Connection[dict[str, Any]]


def trial(api: LedgerApi, organization: Organization, card: str | None, reference: str = "trial") -> Any:
    """Ask for trial credits until day 14."""
    return api.call(
        "grant_trial",
        organization_id=organization.organization_id,
        amount=100,
        ends_at=day(14).isoformat(),
        reference=reference,
        card_fingerprint=card,
    ).accepted()


def test_e46_a_trial_is_granted_once_an_organization_and_once_a_card(
    service_api: LedgerApi, new_organization: Any, story: Story
) -> None:
    card, other_card = f"card-{story.organization_id}", f"other-{story.organization_id}"
    first = trial(service_api, story.organization, card)
    assert (first["granted"], first["receipt"]["balance"]) == (True, 100)
    again = trial(service_api, story.organization, card)
    assert (again["granted"], again["receipt"]["replayed"]) == (True, True)
    assert trial(service_api, story.organization, other_card, "second")["reason"] == "organization"
    somebody = new_organization()
    refused = trial(service_api, somebody, card)
    assert (refused["granted"], refused["reason"], refused["receipt"]) == (False, "card", None)
    assert trial(service_api, somebody, other_card)["granted"], "the refusal used nothing up"
    assert somebody.grant(50)["balance"] == 150, "a purchase is always possible"
    story.go_to(day(14))
    assert story.balance()["balance"] == 0


def test_e46_one_card_used_by_many_at_once_brings_one_trial(
    service_api: LedgerApi, new_organization: Any
) -> None:
    organizations = [new_organization() for _ in range(6)]
    card = f"card-{organizations[0].organization_id}"
    answers = in_parallel(6, lambda index: trial(service_api, organizations[index], card))
    assert sum(answer["granted"] for answer in answers) == 1  # type: ignore[index]


def test_e46_a_claim_outlives_its_organization_and_names_nobody(
    service_api: LedgerApi, story: Story, database: Database
) -> None:
    card = f"card-{story.organization_id}"
    trial(service_api, story.organization, card)
    rows = database.execute(
        "select c.subject_hash from billing_private.trial_claims as c"
        " where c.subject_hash = sha256(convert_to('card:' || %s, 'UTF8'))",
        (card,),
    ).fetchall()
    assert len(rows) == 1
    references = database.execute(
        "select 1 from pg_constraint"
        " where conrelid = 'billing_private.trial_claims'::regclass and contype = 'f'"
    ).fetchall()
    assert references == []
