"""Every derived number follows from facts: thrown away or written over, it comes back the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.conftest import Organization, StackUnderTest

from .api import LedgerApi
from .conftest import EPOCH, Story, day
from .plans import MONTH, Catalogue, start_free

Database = psycopg.Connection[dict[str, Any]]
# Jobs that another test runs meanwhile would go by numbers that are garbled on purpose.
pytestmark = pytest.mark.serial
DERIVED = {
    "billing_private.credit_grant_lots": "id",
    "billing_private.credit_limit_counters": "limit_id, window_start",
    "billing.credit_usage_daily": "t::text",
    "billing_private.credit_usage_runs": "t::text",
    "billing_private.credit_usage_watermarks": "organization_id",
}


def dump(database: Database, organization_id: str) -> dict[str, list[str]]:
    """Return every row of every derived table, as text; but for a hint that may always be taken away."""
    return {
        table: [
            row["row"]
            for row in database.execute(
                f"select (to_jsonb(t) - 'quiet_below')::text as row from {table} as t"
                f" where organization_id = %s order by {order}".encode(),
                (organization_id,),
            )
        ]
        for table, order in DERIVED.items()
    }


def hold(story: Story, amount: int, expires_in: str = "30 days", **more: object) -> str:
    """Take a hold and return its id."""
    answer = story.api.call(
        "hold_credits",
        organization_id=story.organization_id,
        agent_type="TestAgent",
        action="test",
        amount=amount,
        expires_in=expires_in,
        **more,
    ).accepted()
    return str(answer["hold_id"])


def tell_everything(story: Story, database: Database) -> None:
    """Tell a story in which every kind of entry and every way in which a grant can end occurs."""
    call = story.api.call
    organization_id = story.organization_id
    sales, support = (
        call("create_department", organization_id=organization_id, name=name).accepted()["id"]
        for name in ("Sales", "Support")
    )
    for subject_type, subject_id, window, zone in (
        ("organization", organization_id, "day", "America/New_York"),
        ("organization", organization_id, "lifetime", "UTC"),
        ("department", sales, "week", "Asia/Kolkata"),
        ("agent_type", "TestAgent", "month", "UTC"),
        ("run", "run-1", "lifetime", "UTC"),
    ):
        call(
            "set_credit_limit",
            subject_type=subject_type,
            subject_id=subject_id,
            amount=100000,
            window=window,
            timezone=zone,
            organization_id=organization_id,
        ).accepted()
    start_free(story, Catalogue(database).plan(100, rollover_cap=30))
    story.grant(50, expires_at=day(5))
    story.grant(40, department_id=sales)
    story.grant(40, agent_types=["QAAgent"], priority=50)
    story.grant(500, effective_at=day(20), expires_at=day(50))
    voided = story.grant(25, priority=10)
    pending = story.grant(11, effective_at=day(300))
    first = story.consume(30, metadata={"model": "m-1"}, run_id="run-1", idempotency_key="k").accepted()
    story.consume(5, department_id=sales).accepted()
    for grant_id in (voided, pending):
        call("void_grant", grant_id=grant_id, reason="a mistake").accepted()
    story.go_to(day(1.3))
    captured, released, _expired = hold(story, 20, run_id="run-1"), hold(story, 3), hold(story, 4, "1 day")
    call("extend_hold", hold_id=captured, additional=2, metered=5).accepted()
    story.go_to(day(6))
    call("capture_hold", hold_id=captured, amount=17).accepted()
    call("release_hold", hold_id=released).accepted()
    for reason, amount, key in (("customer", 7, "r1"), ("platform_fault", 5, "r2")):
        call(
            "refund_consumption",
            transaction_id=first["transaction_id"],
            amount=amount,
            reason=reason,
            idempotency_key=key,
        ).accepted()
    for delta, key in ((12, "a1"), (-3, "a2")):
        call(
            "adjust_credits",
            organization_id=organization_id,
            delta=delta,
            reason="by hand",
            idempotency_key=key,
        ).accepted()
    story.go_to(day(21))
    call(
        "transfer_credits",
        from_department_id=None,
        to_department_id=support,
        amount=60,
        idempotency_key="t1",
    ).accepted()
    story.consume(44, department_id=support, metadata={"model": "m-2"}).accepted()
    hold(story, 9, "30 days", department_id=support)
    story.go_to(MONTH[1])
    story.consume(1, run_id="run-2").accepted()
    story.go_to(MONTH[3])
    call(
        "adjust_credits", organization_id=organization_id, delta=-5000, reason="debt", idempotency_key="a3"
    ).accepted()
    story.grant(60)
    story.grant(9000, expires_at=day(400))
    story.consume(100).accepted()
    hold(story, 6, "10 days")
    call(
        "adjust_credits", organization_id=organization_id, delta=7, reason="at rest", idempotency_key="a4"
    ).accepted()
    call("run_due_jobs").accepted()


@pytest.fixture(scope="module")
def told(
    stack: StackUnderTest, service_api: LedgerApi
) -> Iterator[tuple[Story, psycopg.Connection[dict[str, Any]]]]:
    """The story, told once; tests change its derived numbers and have them rebuilt."""
    with psycopg.connect(stack.database_url, autocommit=True, row_factory=dict_row) as database:
        row = database.execute(
            "insert into auth.users (id, email)"
            " values (gen_random_uuid(), gen_random_uuid() || '@tests.test') returning id"
        ).fetchone()
        assert row
        made = service_api.call(
            "create_organization", name="Everything", owner_user_id=str(row["id"])
        ).accepted()
        story = Story.__new__(Story)
        story.api, story.organization_id = service_api, made["organization_id"]
        story.go_to(EPOCH)
        tell_everything(story, database)
        yield story, database
        assert service_api.call("verify_ledger", organization_id=story.organization_id).accepted() == []


def rebuild(story: Story) -> dict[str, int]:
    """Rebuild the story's organization; how many rows of each kind were wrong."""
    rows = story.api.call("rebuild_ledger", organization_id=story.organization_id).accepted()
    return {row["kind"]: row["changed"] for row in rows}


def violations(story: Story) -> set[str]:
    """Return the names of the broken invariants."""
    rows = story.api.call("verify_ledger", organization_id=story.organization_id).accepted()
    return {row["invariant"] for row in rows}


def test_the_story_has_every_kind_of_entry_and_end(told: tuple[Story, Database]) -> None:
    """So that the tests below are about all of them (clawbacks are told in tests/money)."""
    story, database = told
    kinds = {entry["kind"] for entry in story.entries()}
    assert kinds >= {
        "schedule", "grant", "consume", "expire", "refund", "void", "adjust", "transfer", "hold", "release"
    }  # fmt: skip
    rows = database.execute(
        "select distinct closed_reason from billing_private.credit_grant_lots where organization_id = %s",
        (story.organization_id,),
    ).fetchall()
    assert {row["closed_reason"] for row in rows} >= {
        None, "spent", "expired", "voided", "debt_repaid", "rolled_over"
    }  # fmt: skip


def test_a_whole_ledger_is_left_as_it_is(told: tuple[Story, Database]) -> None:
    story, database = told
    before = dump(database, story.organization_id)
    assert all(before.values())
    assert rebuild(story) == {"grants": 0, "limit_counters": 0, "usage": 0}
    assert dump(database, story.organization_id) == before


def test_everything_derived_is_rebuilt_byte_for_byte(told: tuple[Story, Database]) -> None:
    story, database = told
    before = dump(database, story.organization_id)
    mine = {"id": story.organization_id}
    database.execute(
        "update billing_private.credit_grant_lots set remaining = amount, held = 0, is_open = not is_open,"
        " closed_reason = 'forgotten', activated_at = null where organization_id = %(id)s",
        mine,
    )
    database.execute("delete from billing_private.credit_limit_counters where organization_id = %(id)s", mine)
    database.execute("delete from billing.credit_usage_daily where organization_id = %(id)s", mine)
    database.execute(
        "update billing_private.credit_usage_runs set amount = 1 where organization_id = %(id)s", mine
    )
    assert len(violations(story)) >= 5
    changed = rebuild(story)
    assert changed["grants"] == len(before["billing_private.credit_grant_lots"])
    assert changed["limit_counters"] == len(before["billing_private.credit_limit_counters"])
    assert dump(database, story.organization_id) == before
    assert violations(story) == set()


OF_MINE = "where organization_id = %(id)s"


def one_grant(condition: str) -> str:
    """Return a where clause that picks one of the story's grants."""
    return (
        f"{OF_MINE} and id = (select min(g.id::text)::uuid from billing_private.credit_grant_lots as g"
        f" where g.organization_id = %(id)s and {condition})"
    )


GARBLED = {
    "a grant has more left than it should": (
        "update billing_private.credit_grant_lots set remaining = remaining + 1 "
        + one_grant("is_open and remaining < amount and activated_at is not null"),
        {"grant_is_rebuilt_from_transactions", "grants_are_balance_plus_debt"},
        "grants",
    ),
    "a claim is forgotten": (
        "update billing_private.credit_grant_lots set held = 0 " + one_grant("held > 0"),
        {"claims_are_those_of_open_holds"},
        "grants",
    ),
    "a claim is invented": (
        "update billing_private.credit_grant_lots set held = 1 " + one_grant("held = 0 and remaining > 1"),
        {"claims_are_those_of_open_holds"},
        "grants",
    ),
    "an open grant is closed": (
        "update billing_private.credit_grant_lots set is_open = false " + one_grant("is_open"),
        {"grant_state_follows_its_entries"},
        "grants",
    ),
    "a spent grant says it expired": (
        "update billing_private.credit_grant_lots set closed_reason = 'expired' "
        + one_grant("closed_reason = 'spent'"),
        {"grant_state_follows_its_entries"},
        "grants",
    ),
    "a grant began at another time": (
        "update billing_private.credit_grant_lots set activated_at = activated_at - interval '1 hour' "
        + one_grant("activated_at is not null"),
        {"grant_state_follows_its_entries"},
        "grants",
    ),
    "a counter is too low": (
        "update billing_private.credit_limit_counters set used = used - 1 where organization_id = %(id)s"
        " and used = (select max(used) from billing_private.credit_limit_counters"
        " where organization_id = %(id)s)",
        {"counters_are_sums_of_their_windows"},
        "limit_counters",
    ),
    "counters are gone": (
        f"delete from billing_private.credit_limit_counters {OF_MINE} and used > 0",
        {"counters_are_sums_of_their_windows"},
        "limit_counters",
    ),
    "a counter is of no window": (
        "insert into billing_private.credit_limit_counters (organization_id, limit_id, window_start, used)"
        " select organization_id, limit_id, window_start + interval '1 hour', 5"
        f" from billing_private.credit_limit_counters {OF_MINE} and window_start > '-infinity' limit 1",
        {"counters_are_sums_of_their_windows"},
        "limit_counters",
    ),
    "a counter is wider than was approved": (
        f"update billing_private.credit_limit_counters set additional = 10 {OF_MINE}",
        {"counters_are_as_wide_as_approved"},
        "limit_counters",
    ),
    "a counter would not ask its limit": (
        f"update billing_private.credit_limit_counters set quiet_below = 1000000 {OF_MINE}",
        {"counters_are_quiet_below_their_limit"},
        "limit_counters",
    ),
    "a counter ends with another window": (
        "update billing_private.credit_limit_counters set window_end = window_end + interval '1 day'"
        f" {OF_MINE} and window_end < 'infinity'",
        {"counters_end_with_their_window"},
        "limit_counters",
    ),
    "a day's total is wrong": (
        f"update billing.credit_usage_daily set amount = amount + 0.000001 {OF_MINE}",
        {"rollups_are_usage"},
        "usage",
    ),
    "a day's hours are wrong": (
        "update billing.credit_usage_daily set hours = array[23]::smallint[]"
        f" {OF_MINE} and hours <> '{{23}}'",
        {"rollups_are_usage"},
        "usage",
    ),
    "a run's count is wrong": (
        "update billing_private.credit_usage_runs set consumption_count = consumption_count + 1 " + OF_MINE,
        {"rollups_are_usage"},
        "usage",
    ),
    "the watermark is beyond the ledger": (
        f"update billing_private.credit_usage_watermarks set folded_sequence = 1000000 {OF_MINE}",
        {"watermark_is_within_the_ledger"},
        "usage",
    ),
    "the watermark has fallen back": (
        f"update billing_private.credit_usage_watermarks set folded_sequence = 3 {OF_MINE}",
        {"rollups_are_usage"},
        "usage",
    ),
}


@pytest.mark.parametrize("name", GARBLED)
def test_each_garbled_number_is_named_and_put_right(told: tuple[Story, Database], name: str) -> None:
    story, database = told
    statement, expected, kind = GARBLED[name]
    before = dump(database, story.organization_id)
    changed = database.execute(statement.encode(), {"id": story.organization_id}).rowcount
    assert changed >= 1
    assert violations(story) == expected
    rebuilt = rebuild(story)
    assert rebuilt.pop(kind) >= 1
    assert set(rebuilt.values()) == {0}
    assert violations(story) == set()
    assert dump(database, story.organization_id) == before


def test_only_the_service_may_rebuild(
    new_organization: Callable[..., Organization], stack: StackUnderTest
) -> None:
    mine = new_organization()
    token = mine.owner.client.auth.get_session().access_token  # type: ignore[union-attr]
    owner = LedgerApi(stack.supabase_url, stack.publishable_key, {"Authorization": f"Bearer {token}"})
    assert owner.call("rebuild_ledger", organization_id=str(mine.organization_id)).status == 403
