"""When the periods of free plans begin, and that the jobs change nothing of what they bring."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from postgrest.exceptions import APIError

from tests.conftest import Organization, User

from .api import LedgerApi, in_parallel
from .conftest import Story, day
from .plans import MONTH, Catalogue, PaidSubscription, grants, moved, rolled, start_free

Database = psycopg.Connection[dict[str, Any]]
HOUR = timedelta(hours=1)
NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture
def catalogue(database: Database) -> Catalogue:
    """Plans of the test's own."""
    return Catalogue(database)


@pytest.fixture
def twin_of(
    service_api: LedgerApi, new_organization: Callable[..., Organization]
) -> Callable[[datetime], Story]:
    """Returns a function that opens another story, at an instant."""

    def open_at(at: datetime) -> Story:
        story = Story(service_api, new_organization())
        story.go_to(at)
        return story

    return open_at


def starts(story: Story) -> list[datetime]:
    """When each period granted so far began, in order."""
    begun = [datetime.fromisoformat(grant["period_start"]) for grant in grants(story, "subscription")]
    return sorted(begun)


def at(text: str, zone: ZoneInfo | None = None) -> datetime:
    """Return an instant, in UTC unless a zone is named."""
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC)


# When periods begin -------------------------------------------------------------------------------------


def test_the_31st_stays_the_31st_where_there_is_one(
    twin_of: Callable[[datetime], Story], catalogue: Catalogue
) -> None:
    story = twin_of(at("2031-01-31T10:00"))
    start_free(story, catalogue.plan(10))
    story.go_to(at("2032-03-31T10:00"))
    told = [(start.month, start.day) for start in starts(story)]
    assert told[:6] == [(1, 31), (2, 28), (3, 31), (4, 30), (5, 31), (6, 30)]
    assert told[-3:] == [(1, 31), (2, 29), (3, 31)], "2032 is a leap year"
    assert {start.hour for start in starts(story)} == {10}


def test_29_february_comes_back_in_leap_years(
    twin_of: Callable[[datetime], Story], catalogue: Catalogue
) -> None:
    story = twin_of(at("2032-02-29T00:00"))
    start_free(story, catalogue.plan(10, billing_interval="year"))
    story.go_to(at("2036-03-01T00:00"))
    assert [(start.year, start.month, start.day) for start in starts(story)] == [
        (2032, 2, 29),
        (2033, 2, 28),
        (2034, 2, 28),
        (2035, 2, 28),
        (2036, 2, 29),
    ]


def test_a_week_is_seven_days_from_the_anchor(story: Story, catalogue: Catalogue) -> None:
    start_free(story, catalogue.plan(10, billing_interval="week"))
    story.go_to(day(21))
    assert starts(story) == [day(0), day(7), day(14), day(21)]


def test_local_midnight_stays_midnight_when_the_clocks_change(
    twin_of: Callable[[datetime], Story], catalogue: Catalogue, database: Database
) -> None:
    story = twin_of(at("2031-03-08T00:00", NEW_YORK))
    start_free(story, catalogue.plan(10, billing_interval="day"), timezone="America/New_York")
    story.go_to(at("2031-03-11T00:00", NEW_YORK))
    local = [start.astimezone(NEW_YORK) for start in starts(story)]
    assert [(start.day, start.hour) for start in local] == [(8, 0), (9, 0), (10, 0), (11, 0)]
    lengths = [b - a for a, b in zip(starts(story), starts(story)[1:], strict=False)]
    assert lengths == [24 * HOUR, 23 * HOUR, 24 * HOUR]
    autumn = twin_of(at("2031-11-01T00:00", NEW_YORK))
    start_free(autumn, catalogue.plan(10, billing_interval="day"), timezone="America/New_York")
    autumn.set_clock_only(at("2031-11-03T00:00", NEW_YORK) - timedelta(microseconds=1), database)
    autumn.consume(10).accepted()
    autumn.consume(1).refused(402, "insufficient_credits")
    autumn.set_clock_only(at("2031-11-03T00:00", NEW_YORK), database)
    autumn.consume(10).accepted()
    lengths = [b - a for a, b in zip(starts(autumn), starts(autumn)[1:], strict=False)]
    assert lengths == [24 * HOUR, 25 * HOUR]


@pytest.mark.parametrize(
    ("anchor", "current", "following"),
    [
        (at("2029-10-31T00:00"), at("2030-12-31T00:00"), at("2031-01-31T00:00")),
        (at("2031-01-20T06:00"), at("2030-12-20T06:00"), at("2031-01-20T06:00")),
        (at("2031-01-01T00:00"), at("2031-01-01T00:00"), at("2031-02-01T00:00")),
    ],
)
def test_an_anchor_may_lie_before_or_after_now(
    story: Story, catalogue: Catalogue, anchor: datetime, current: datetime, following: datetime
) -> None:
    started = start_free(story, catalogue.plan(10), anchor=anchor)
    told = [datetime.fromisoformat(started[f"current_period_{end}"]) for end in ("start", "end")]
    assert told == [current, following]
    assert story.balance()["balance"] == 10
    story.go_to(following)
    assert starts(story) == [current, following]


def test_an_edited_interval_counts_from_the_next_period_on(story: Story, catalogue: Catalogue) -> None:
    plan = catalogue.plan(10)
    start_free(story, plan)
    catalogue.edit(plan, billing_interval="week")
    story.go_to(MONTH[1] + timedelta(days=7))
    assert starts(story) == [MONTH[0], MONTH[1], MONTH[1] + timedelta(days=7)]


# Jobs -----------------------------------------------------------------------------------------------------

FACTS = ("kind", "reason", "amount", "balance_after", "held_after", "debt_after", "created_at")


def told(story: Story) -> list[tuple[Any, ...]]:
    """What a ledger says, without ids."""
    return [tuple(entry[fact] for fact in FACTS) for entry in story.entries()]


def open_grants(story: Story) -> list[tuple[Any, ...]]:
    """What billing.credit_grants shows of grants in force, without ids."""
    facts = ("source", "amount", "remaining", "priority", "effective_at", "activated_at", "expires_at")
    rows = story.api.select(
        f"credit_grants?organization_id=eq.{story.organization_id}&is_open=is.true"
    ).accepted()
    return sorted(tuple(str(row[fact]) for fact in facts) for row in rows)


def begin(story: Story, plan: str) -> None:
    """A plan, purchased and promotional credits, one grant to come, and something spent."""
    start_free(story, plan)
    story.grant(25, source="purchase", unit_cost="0.01")
    story.grant(5, expires_at=day(45))
    story.grant(7, effective_at=day(80), expires_at=day(300))
    story.consume(12).accepted()


@pytest.mark.parametrize(
    "terms",
    [
        {"rollover_cap": 30},
        {"rollover_share": "0.5", "billing_interval": "week"},
        {"credit_expiry": "40 days"},
        {"rollover_cap": 100, "billing_interval": "day", "grace_days": 0},
    ],
)
def test_the_ledger_and_every_reading_are_the_same_whenever_the_jobs_run(
    twin_of: Callable[[datetime], Story],
    catalogue: Catalogue,
    database: Database,
    terms: dict[str, object],
) -> None:
    plan = catalogue.plan(50, **terms)
    swept, unswept = twin_of(day(0)), twin_of(day(0))
    for story in (swept, unswept):
        begin(story, plan)
    read = ("balance", "held", "available", "debt", "pending", "expiring")
    for number in (20, 31, 45, 75.5, 90, 120):
        swept.go_to(day(number))
        unswept.set_clock_only(day(number), database)
        now, then = swept.balance(), unswept.balance()
        assert [then[name] for name in read] == [now[name] for name in read], number
        assert open_grants(unswept) == open_grants(swept)
        tables = [
            story.api.select(f"credit_balances?organization_id=eq.{story.organization_id}").accepted()[0]
            for story in (swept, unswept)
        ]
        assert tables[0]["available"] == tables[1]["available"]
        checks = [
            story.api.call(
                "check_credits",
                agent_type="TestAgent",
                action="test",
                amount=100000,
                organization_id=story.organization_id,
            ).accepted()
            for story in (swept, unswept)
        ]
        assert checks[0]["available"] == checks[1]["available"] == now["available"]
    for _ in range(40):  # a run passes over a ledger that another run, the scheduler's say, has just locked
        unswept.api.call("run_due_jobs").accepted()
        if told(unswept) == told(swept):
            break
    assert told(unswept) == told(swept)
    for story in (swept, unswept):
        assert story.api.call("verify_ledger", organization_id=story.organization_id).accepted() == []


def test_24_months_at_once_by_month_and_by_day_are_one_ledger(
    twin_of: Callable[[datetime], Story], catalogue: Catalogue
) -> None:
    plan = catalogue.plan(50, rollover_cap=20)
    stories = {step: twin_of(day(0)) for step in (730, 30.5, 5)}
    for step, story in stories.items():
        start_free(story, plan)
        story.consume(45).accepted()
        reached = 0.0
        while reached < 730:
            reached = min(730, reached + step)
            story.go_to(day(reached))
    ledgers = [told(story) for story in stories.values()]
    assert ledgers[0] == ledgers[1] == ledgers[2]
    assert len(starts(stories[730])) == 24
    assert stories[730].balance()["balance"] == 70


def test_a_job_a_minute_books_nothing_more(
    twin_of: Callable[[datetime], Story], catalogue: Catalogue, database: Database
) -> None:
    plan = catalogue.plan(50, rollover_cap=20, billing_interval="day")
    minutely, once = twin_of(day(0)), twin_of(day(0))
    for story in (minutely, once):
        start_free(story, plan)
    database.execute(
        "select count(billing_private.advance_test_clock(%s, m.instant))"
        " from generate_series(%s, %s, interval '1 minute') as m (instant)",
        (minutely.organization_id, day(0), day(2)),
    )
    once.go_to(day(2))
    assert told(minutely) == told(once)


def test_a_spend_after_unswept_periods_finds_what_a_sweep_would_have_left(
    story: Story, catalogue: Catalogue, database: Database
) -> None:
    start_free(story, catalogue.plan(50, rollover_cap=20))
    story.consume(1).accepted()  # the plan's grant is the one being burnt
    story.set_clock_only(MONTH[3], database)
    receipt = story.consume(30).accepted()
    assert receipt["balance"] == 40
    rollover, main = grants(story, "rollover")[-1], grants(story, "subscription")[-1]
    assert receipt["grants"] == [
        {"grant_id": rollover["id"], "amount": 20},
        {"grant_id": main["id"], "amount": 10},
    ]


def test_parallel_spends_at_the_reset_renew_once(
    story: Story, catalogue: Catalogue, database: Database
) -> None:
    start_free(story, catalogue.plan(50, rollover_cap=20))
    story.set_clock_only(MONTH[1], database)
    answers = in_parallel(16, lambda _: story.consume(10))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [402] * 9
    assert (len(starts(story)), rolled(story), moved(story, "expire")) == (2, 20, -30)
    assert story.balance()["balance"] == 0


# Starting and canceling ------------------------------------------------------------------------------------


def test_a_free_plan_is_granted_once_a_period_however_often_it_is_left_and_taken(
    story: Story, catalogue: Catalogue
) -> None:
    plan, other = catalogue.plan(50, rollover_cap=50), catalogue.plan(80)
    first = start_free(story, plan)
    assert start_free(story, plan) == first, "again changes nothing"
    story.consume(20).accepted()
    story.api.call("cancel_free_subscription", organization_id=story.organization_id).accepted()
    assert story.balance()["expiring"] == [{"expires_at": "2031-02-01T00:00:00+00:00", "amount": 30}]
    back = start_free(story, plan)
    assert (back["id"], back["cancel_at"]) == (first["id"], None)
    assert story.balance()["expiring"] == [], "all of it will roll over"
    canceled = story.api.call(
        "cancel_free_subscription", organization_id=story.organization_id, at_period_end=False
    ).accepted()
    assert (canceled["status"], story.balance()["balance"]) == ("canceled", 0)
    again = start_free(story, other)
    assert (again["id"], again["status"], story.balance()["balance"]) == (first["id"], "active", 0)
    story.go_to(MONTH[1])
    assert story.balance()["balance"] == 80, "the other plan begins with the next period"


def test_canceled_at_the_period_s_end_a_free_plan_ends_there_and_nothing_rolls_over(
    story: Story, catalogue: Catalogue, database: Database
) -> None:
    plan = catalogue.plan(50, rollover_cap=50)
    start_free(story, plan)
    story.consume(20).accepted()
    for _ in range(2):
        story.api.call("cancel_free_subscription", organization_id=story.organization_id).accepted()
    story.set_clock_only(MONTH[1] - HOUR, database)
    assert story.balance()["balance"] == 30
    story.set_clock_only(MONTH[1], database)
    assert story.balance()["balance"] == 0
    story.go_to(MONTH[3])
    (row,) = story.api.select(f"subscriptions?organization_id=eq.{story.organization_id}").accepted()
    assert (row["status"], row["ended_at"]) == ("canceled", "2031-02-01T00:00:00+00:00")
    assert (story.balance()["balance"], rolled(story)) == (0, 0)
    assert start_free(story, plan)["id"] != row["id"], "a new one, from now on"
    assert story.balance()["balance"] == 50


def test_a_paid_plan_ends_the_free_one_whose_credits_last_their_period(
    story: Story, catalogue: Catalogue, database: Database
) -> None:
    free = catalogue.plan(50, rollover_cap=50)
    start_free(story, free)
    database.execute("select billing_private.end_free_subscription(%s)", (story.organization_id,))
    paid = PaidSubscription.open(story, database, catalogue.plan(1000, unit_amount=1900))
    paid.renew(day(0), MONTH[1])
    assert story.balance()["balance"] == 1050
    refused = story.api.call("start_free_subscription", organization_id=story.organization_id, plan_key=free)
    refused.refused(409, "subscription_exists")
    story.set_clock_only(MONTH[1], database)
    assert story.balance()["balance"] == 1000, "the paid renewal is awaited, the free one does not come"


def test_a_plan_that_has_got_a_price_is_free_no_longer_than_its_period(
    story: Story, catalogue: Catalogue
) -> None:
    plan = catalogue.plan(50, rollover_cap=50)
    start_free(story, plan)
    catalogue.edit(plan, unit_amount=900)
    story.go_to(MONTH[1])
    assert (story.balance()["balance"], rolled(story)) == (0, 0)
    (row,) = story.api.select(f"subscriptions?organization_id=eq.{story.organization_id}").accepted()
    assert row["status"] == "canceled"


def test_who_may_start_a_free_plan_and_which(
    story: Story, catalogue: Catalogue, stack: Any, new_user: Callable[[], User]
) -> None:
    free, priced = catalogue.plan(50), catalogue.plan(50, unit_amount=100)
    withdrawn = catalogue.plan(50, is_active=False)

    def call(client: Any, **arguments: object) -> Any:
        named = {"organization_id": story.organization_id, "plan_key": free, **arguments}
        return client.rpc("start_free_subscription", named).execute().data

    def refusal(client: Any, **arguments: object) -> tuple[str | None, str]:
        with pytest.raises(APIError) as refused:
            call(client, **arguments)
        return refused.value.code, str(refused.value.message)

    owner = story.organization.owner.client
    assert refusal(new_user().client) == ("PT403", "not_authorized")
    assert refusal(owner, anchor="2031-01-01T00:01:00Z") == ("PT403", "not_authorized")
    assert refusal(owner, plan_key=priced) == ("PT422", "invalid_argument")
    assert refusal(owner, plan_key=withdrawn) == ("PT404", "not_found")
    assert refusal(owner, plan_key=None) == ("PT422", "invalid_argument")
    assert refusal(owner, timezone="Mars/Olympus") == ("PT422", "invalid_argument")
    assert call(owner, timezone="Europe/Berlin")["status"] == "active"
    assert story.balance()["balance"] == 50
    with pytest.raises(APIError) as refused:
        new_user().client.rpc(
            "cancel_free_subscription", {"organization_id": story.organization_id}
        ).execute()
    assert refused.value.code == "PT403"
