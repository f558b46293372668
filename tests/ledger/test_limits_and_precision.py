"""Scenarios F and G of the design: windowed caps, and exact decimals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from benchmarks.grants import write_grants
from tests.conftest import Organization, StackUnderTest

from .api import LedgerApi, in_parallel
from .conftest import Story, day


def _department(story: Story) -> str:
    return str(
        story.api.call("create_department", organization_id=story.organization_id, name="R&D").accepted()[
            "id"
        ]
    )


def _limit(
    story: Story, subject_type: str, subject_id: str, amount: object, window: str, **arguments: object
) -> Any:
    return story.api.call(
        "set_credit_limit",
        subject_type=subject_type,
        subject_id=subject_id,
        amount=amount,
        window=window,
        **arguments,
    ).accepted()


def test_f48_a_hard_department_limit_refuses_and_never_clamps(story: Story) -> None:
    story.grant(300)
    department = _department(story)
    limit = _limit(story, "department", department, 50, "day")
    story.consume(30, department_id=department).accepted()
    receipt = story.consume(15, department_id=department).accepted()
    assert receipt["limits"] == [
        {
            "limit_id": limit["id"],
            "subject": f"department:{department}",
            "remaining": 5,
            "resets_at": "2031-01-02T00:00:00+00:00",
        }
    ]
    details = story.consume(10, department_id=department).refused(402, "limit_exceeded")
    assert details == {
        "limit_id": limit["id"],
        "subject_type": "department",
        "subject_id": department,
        "limit": 50,
        "used": 45,
        "required": 10,
        "remaining": 5,
        "resets_at": "2031-01-02T00:00:00+00:00",
    }
    assert story.balance()["balance"] == 255
    rows = story.api.select(f"department_credit_limits?department_id=eq.{department}").accepted()
    assert [(row["used"], row["remaining"], row["department_name"]) for row in rows] == [(45, 5, "R&D")]


def test_f49_a_soft_limit_lets_pass_and_tells_once(story: Story) -> None:
    story.grant(300)
    department = _department(story)
    _limit(story, "department", department, 50, "day", mode="soft", alert_at=[])
    for amount in (30, 15, 10, 1):
        story.consume(amount, department_id=department).accepted()
    told = story.api.select(
        f"notifications?organization_id=eq.{story.organization_id}&select=kind"
    ).accepted()
    assert [row["kind"] for row in told] == ["limit_passed"]
    assert story.balance()["balance"] == 244


def test_f50_the_refusal_names_the_limit_that_fired(
    stack: StackUnderTest, service_api: LedgerApi, new_organization: Callable[..., Organization]
) -> None:
    organization = new_organization(credits=5000)
    organization_id = str(organization.organization_id)
    service_api.call(
        "set_credit_limit",
        subject_type="organization",
        subject_id=organization_id,
        amount=1000,
        window="month",
    ).accepted()
    made = service_api.call(
        "create_agent_key",
        organization_id=organization_id,
        name="capped",
        spend_limit=200,
        spend_window="day",
    ).accepted()
    agent = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": made["key"]})
    agent.consume(200).accepted()
    details = agent.consume(1).refused(402, "limit_exceeded")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert (details["subject_type"], details["subject_id"], details["remaining"]) == (
        "agent_key",
        made["key_id"],
        0,
    )
    assert datetime.fromisoformat(details["resets_at"]) == midnight
    other = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": organization.agent_key})
    assert other.consume(1).accepted()["balance"] == 4799


def test_a_window_opens_anew_by_itself(story: Story, database: psycopg.Connection[Any]) -> None:
    story.grant(300)
    _limit(story, "organization", story.organization_id, 5, "day")
    story.consume(5).accepted()
    story.set_clock_only(day(1) - timedelta(microseconds=1), database)
    story.consume(1).refused(402, "limit_exceeded")
    story.set_clock_only(day(1), database)
    story.consume(5).accepted()


@pytest.mark.parametrize(
    ("window", "resets_at"),
    [
        ("day", "2031-03-30T22:00:00+00:00"),  # a day of 23 hours in Berlin
        ("week", "2031-03-30T22:00:00+00:00"),
        ("month", "2031-03-31T22:00:00+00:00"),
        ("lifetime", None),
    ],
)
def test_windows_are_those_of_the_limits_own_zone(story: Story, window: str, resets_at: str | None) -> None:
    story.go_to(datetime(2031, 3, 29, 23, 30, tzinfo=UTC))  # Sunday 30 March, 00:30 in Berlin
    story.grant(10)
    _limit(story, "organization", story.organization_id, 5, window, timezone="Europe/Berlin")
    (limit,) = story.consume(1).accepted()["limits"]
    assert limit["resets_at"] == resets_at


def test_editing_a_limit_never_resets_its_counter(story: Story) -> None:
    story.grant(300)
    story.consume(4).accepted()
    _limit(story, "organization", story.organization_id, 10, "day")
    story.consume(3).accepted()
    _limit(story, "organization", story.organization_id, 8, "day")
    details = story.consume(2).refused(402, "limit_exceeded")
    assert (details["used"], details["remaining"]) == (7, 1)
    story.consume(1).accepted()


def test_a_limit_of_zero_blocks(story: Story) -> None:
    story.grant(300)
    _limit(story, "agent_type", "TestAgent", 0, "lifetime", organization_id=story.organization_id)
    story.consume("0.000001").refused(402, "limit_exceeded")


def test_parallel_spends_never_pass_a_hard_limit(story: Story) -> None:
    story.grant(1000)
    _limit(story, "organization", story.organization_id, 10, "day")
    answers = in_parallel(30, lambda _: story.consume(1))
    assert sum(answer.status == 200 for answer in answers) == 10
    assert story.balance()["balance"] == 990


def test_g53_prices_round_up_once_at_the_sixth_decimal(story: Story) -> None:
    story.grant(100)
    receipt = story.consume("17.9699999999999988631316").accepted()
    assert (receipt["amount"], receipt["balance"]) == (Decimal("17.970000"), Decimal("82.030000"))
    assert receipt["price"]["exact_amount"] == Decimal("17.9699999999999988631316")


def test_g54_thirty_tenths_are_exactly_three(story: Story) -> None:
    story.grant(3)
    for _ in range(30):
        story.consume("0.1").accepted()
    assert story.balance()["balance"] == 0
    story.consume("0.000001").refused(402, "insufficient_credits")


def test_g54_millionths_add_up_exactly(story: Story, database: psycopg.Connection[Any]) -> None:
    story.grant(1)
    with database.transaction():
        database.execute(
            """select count(billing.consume_credits(
                 'TestAgent', 'test', amount => 0.000001, organization_id => %s
               )) from generate_series(1, 2000)""",
            (story.organization_id,),
        )
    assert story.balance()["balance"] == Decimal("0.998")


def test_tokens_are_priced_exactly_and_the_receipt_says_how(story: Story) -> None:
    story.grant(100)
    receipt = story.api.call(
        "consume_credits",
        agent_type="QAAgent",
        action="answer_question",
        quantities={"input_tokens": 1234, "output_tokens": 81},
        organization_id=story.organization_id,
    ).accepted()
    assert receipt["amount"] == Decimal("5") + 1234 * Decimal("0.0005") + 81 * Decimal("0.0015")
    assert receipt["price"]["quantities"] == {"call": 1, "input_tokens": 1234, "output_tokens": 81}
    again = story.api.call("explain_transaction", transaction_id=receipt["transaction_id"]).accepted()
    assert {**again, "replayed": False} == receipt


@pytest.mark.parametrize("window", ["day", "week", "lifetime"])
def test_a_limit_counts_from_the_window_of_a_hold_that_is_open_when_it_is_set(
    story: Story, window: str
) -> None:
    """Also by the proof at the end of the story, which compares each window with the ledger."""
    story.grant(100)
    story.consume(7, idempotency_key="before").accepted()
    hold = story.api.call(
        "hold_credits",
        agent_type="TestAgent",
        action="test",
        amount=10,
        expires_in="9 days",
        organization_id=story.organization_id,
        idempotency_key="hold",
    ).accepted()
    story.go_to(day(1))
    story.consume(3, idempotency_key="between").accepted()
    story.go_to(day(8))
    _limit(story, "organization", story.organization_id, 20, window)
    assert story.api.call("verify_ledger", organization_id=story.organization_id).accepted() == []
    if window == "lifetime":
        story.consume(1, idempotency_key="after").refused(402, "limit_exceeded")
    else:
        story.consume(20, idempotency_key="after").accepted()
    extend = {"hold_id": hold["hold_id"], "additional": 5}
    if window == "day":  # 17 of 20 are used where the hold was taken
        story.api.call("extend_hold", **extend).refused(402, "limit_exceeded")
        extend["additional"] = 3
        story.api.call("extend_hold", **extend).accepted()


def test_a_spent_grant_that_is_voided_leaves_a_sound_ledger_that_goes_on(story: Story) -> None:
    """Nothing is booked, and the last entry still names the grant as the one being burnt."""
    spent = story.grant(10)
    story.consume(5, idempotency_key="one").accepted()
    story.consume(5, idempotency_key="two").accepted()
    voided = story.api.call("void_grant", grant_id=spent, reason="test").accepted()
    assert voided["balance"] == 0
    assert story.api.call("verify_ledger", organization_id=story.organization_id).accepted() == []
    story.consume(1, idempotency_key="three").refused(402, "insufficient_credits")
    story.grant(2)
    assert story.consume(1, idempotency_key="three").accepted()["balance"] == 1


@pytest.mark.serial
def test_former_versions_of_a_counter_are_not_looked_at(
    story: Story, database: psycopg.Connection[dict[str, Any]]
) -> None:
    """Beside an old snapshot no version of a hot row can be cleared away, and nor can a transaction's own.

    What a spend reads is counted, not timed: pages, before and after thousands of spends.
    """
    story.grant(10_000)
    _limit(story, "organization", story.organization_id, 10_000, "month")
    spend = (
        "select billing.consume_credits('TestAgent', 'test', amount => 1,"
        f" organization_id => '{story.organization_id}')"
    )

    with database.transaction(force_rollback=True):
        database.execute("set local role service_role")
        database.execute(f"{spend} from generate_series(1, 100)".encode())
        first = _pages(database, spend)
        database.execute(f"{spend} from generate_series(1, 4000)".encode())
        assert _pages(database, spend) - first < 20


def _pages(database: psycopg.Connection[dict[str, Any]], call: str) -> int:
    """How many pages a call reads, whether or not they are in memory.

    The least of five calls: whenever autovacuum gives a table new statistics, the next call plans
    its statements anew, and reads hundreds of pages of the catalogue for it.
    """
    explained = f"explain (analyze, buffers, format json) {call}".encode()
    plans = [database.execute(explained).fetchall()[0]["QUERY PLAN"][0]["Plan"] for _ in range(5)]
    return min(int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]) for plan in plans)


@pytest.mark.serial
@pytest.mark.parametrize("others", [0, 2_000])
@pytest.mark.parametrize("call", ["consume_credits", "hold_credits"])
def test_the_next_of_many_grants_is_looked_up_and_the_others_left_alone(
    new_organization: Callable[..., Organization],
    database: psycopg.Connection[dict[str, Any]],
    call: str,
    others: int,
) -> None:
    """Ten thousand grants, of which each spend uses up two: in pages read, not in time.

    Beside many organizations with one grant each, the planner takes this one for such another, and
    thinks that all its grants are as few as those that are looked for.
    """
    organization_id = str(new_organization().organization_id)
    spend = f"select billing.{call}('TestAgent', 'test', amount => 2, organization_id => '{organization_id}')"
    with database.transaction(force_rollback=True):
        database.execute(
            "with others as ("
            " insert into billing.organizations (name) select 'Other' from generate_series(1, %s)"
            " returning organization_id)"
            " select billing.grant_credits(o.organization_id, 1, 'promotion', 'one') from others as o",
            (others,),
        )
        write_grants(database, organization_id, 10_000, 1)
        database.execute("analyze billing_private.credit_grant_lots")
        database.execute(f"{spend} from generate_series(1, 5)".encode())
        assert _pages(database, spend) < 250
