"""Scenarios A7, C24, F51 and G54 at the size and in the words of the design.

Their own sizes: `TALLYBASE_SCENARIO_LOTS=100000`, `TALLYBASE_SCENARIO_SPENDS=500000`; the default is smaller.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg

from benchmarks.grants import write_grants
from tests.conftest import Organization

from .api import LedgerApi
from .conftest import EPOCH, Story, day

LOTS = int(os.environ.get("TALLYBASE_SCENARIO_LOTS", "20000"))
SPENDS = int(os.environ.get("TALLYBASE_SCENARIO_SPENDS", "20000"))
BATCH = 1000


def test_a7_among_100000_lots_the_one_that_ends_a_day_sooner_pays(
    service_api: LedgerApi,
    new_organization: Callable[..., Organization],
    database: psycopg.Connection[dict[str, Any]],
) -> None:
    organization = str(new_organization().organization_id)
    write_grants(database, organization, LOTS, 100)
    sooner = service_api.call(
        "grant_credits",
        organization_id=organization,
        amount=100,
        source="promotion",
        expires_at=(datetime.now(UTC) + timedelta(days=364)).isoformat(),
    ).accepted()["grant_id"]
    receipt = service_api.consume(99, organization_id=organization).accepted()
    assert receipt["grants"] == [{"grant_id": sooner, "amount": 99}]
    left = database.execute(
        "select remaining, count(*) as lots from billing.credit_grants where organization_id = %s"
        " group by 1 order by 1",
        (organization,),
    ).fetchall()
    assert [(row["remaining"], row["lots"]) for row in left] == [(1, 1), (100, LOTS)]
    assert service_api.call("verify_ledger", organization_id=organization).accepted() == []


def test_c24_a_key_is_answered_after_49_hours_as_after_one(story: Story) -> None:
    story.grant(100)
    first = story.consume(10, idempotency_key="k").accepted()
    story.go_to(EPOCH + timedelta(hours=49))
    again = story.consume(10, idempotency_key="k").accepted()
    assert again == {**first, "replayed": True}
    assert story.balance()["balance"] == 90


def test_f51_a_change_of_plan_leaves_a_full_day_full(story: Story) -> None:
    story.grant(100)
    story.api.call(
        "set_credit_limit",
        subject_type="organization",
        subject_id=story.organization_id,
        amount=5,
        window="day",
    ).accepted()
    story.go_to(EPOCH + timedelta(hours=9))
    story.consume(5).accepted()
    story.api.call(
        "start_free_subscription", organization_id=story.organization_id, plan_key="free"
    ).accepted()
    refused = story.consume(1).refused(402, "limit_exceeded")
    assert (refused["remaining"], refused["resets_at"]) == (0, "2031-01-02T00:00:00+00:00")
    story.go_to(day(1) - timedelta(microseconds=1))
    story.consume(1).refused(402, "limit_exceeded")
    story.go_to(day(1))
    story.consume(1).accepted()


def test_g54_500000_spends_of_a_millionth_take_exactly_a_half(
    service_api: LedgerApi,
    new_organization: Callable[..., Organization],
    database: psycopg.Connection[dict[str, Any]],
) -> None:
    organization = str(new_organization(credits=1).organization_id)
    event = {"agent_type": "TestAgent", "action": "test", "amount": "0.000001"}
    for start in range(0, SPENDS, BATCH):
        answer = service_api.call(
            "consume_credits_batch",
            events=[{**event, "idempotency_key": f"{start + place}"} for place in range(BATCH)],
            organization_id=organization,
        ).accepted()
        assert all(result["ok"] for result in answer)
    balance = service_api.call("get_credit_balance", organization_id=organization).accepted()["balance"]
    assert balance == 1 - SPENDS * Decimal("0.000001")
    # Past the API: a proof over so many entries takes longer than a request may.
    assert database.execute("select * from billing.verify_ledger(%s)", (organization,)).fetchall() == []
