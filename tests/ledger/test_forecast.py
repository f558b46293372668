"""When credits run out: computed by hand where that can be done, and by a small simulation beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Organization, StackUnderTest

from .api import LedgerApi
from .conftest import EPOCH, Story, day
from .plans import Catalogue, start_free

Database = psycopg.Connection[dict[str, Any]]
QUANTILE = 1.2815515655446004
HORIZON_DAYS = 730
NEVER = (None, None, None)


def forecast(story: Story) -> dict[str, Any]:
    """Return the answer of get_usage_forecast."""
    answer: dict[str, Any] = story.api.call(
        "get_usage_forecast", organization_id=story.organization_id
    ).accepted()
    return answer


def instants(answer: dict[str, Any]) -> tuple[datetime | None, ...]:
    """Return when credits run out: expected, earliest, latest."""
    names = ("runs_out_at", "runs_out_earliest", "runs_out_latest")
    return tuple(datetime.fromisoformat(answer[name]) if answer[name] else None for name in names)


def spend_each_day(story: Story, *amounts: int, first_day: int = 0) -> datetime:
    """Spend so much on each day, at noon, and go to the midnight after; 0: nothing. Returns that midnight."""
    for number, amount in enumerate(amounts, start=first_day):
        if amount:
            story.go_to(day(number + 0.5))
            story.consume(amount).accepted()
    end = day(first_day + len(amounts))
    story.go_to(end)
    return end


def test_without_a_consumption_there_is_no_pace(story: Story) -> None:
    story.grant(100)
    answer = forecast(story)
    assert instants(answer) == NEVER
    assert (answer["days_observed"], answer["spend_per_day"], answer["balance"]) == (0, None, 100)


def test_constant_spend_runs_out_on_one_certain_date(story: Story) -> None:
    story.grant(100)
    now = spend_each_day(story, 10, 10, 10, 10)
    answer = forecast(story)
    assert instants(answer) == (now + timedelta(days=6),) * 3
    assert (answer["spend_per_day"], answer["spend_per_day_deviation"], answer["days_observed"]) == (10, 0, 4)
    assert (answer["confidence"], answer["available"]) == (Decimal("0.8"), 60)


def test_days_without_spend_count_and_only_the_last_28_do(story: Story) -> None:
    story.grant(1000)
    spend_each_day(story, 500, 0, 7)
    assert forecast(story)["spend_per_day"] == 169
    story.go_to(day(30))
    answer = forecast(story)
    assert (answer["days_observed"], answer["spend_per_day"]) == (28, Decimal("0.25"))
    story.go_to(day(40))
    answer = forecast(story)
    assert (answer["days_observed"], answer["spend_per_day"]) == (28, 0)
    assert instants(answer) == NEVER


def test_the_first_day_counts_though_it_is_not_over(story: Story) -> None:
    story.grant(100)
    story.go_to(day(0.25))
    story.consume(10).accepted()
    answer = forecast(story)
    assert (answer["days_observed"], answer["spend_per_day"], answer["spend_per_day_deviation"]) == (
        1,
        10,
        10,
    )
    assert instants(answer)[0] == day(9.25)


def test_refunds_make_the_day_on_which_they_are_given_cheaper(story: Story) -> None:
    story.grant(100)
    story.go_to(day(0.5))
    spent = story.consume(30).accepted()
    story.go_to(day(1.5))
    story.consume(12).accepted()
    story.api.call(
        "refund_consumption",
        transaction_id=spent["transaction_id"],
        amount=10,
        reason="customer",
        idempotency_key="r",
    ).accepted()
    story.go_to(day(2))
    assert forecast(story)["spend_per_day"] == 16


def test_the_interval_is_that_of_the_sum_of_uncertain_days(story: Story) -> None:
    """Days of 10 and 20: m = 15, s² = 50, n = 2; 970 are spent when 15d ± q·√(50d + 25d²) = 970."""
    story.grant(1000)
    now = spend_each_day(story, 10, 20)
    answer = forecast(story)
    expected, earliest, latest = (
        (instant - now) / timedelta(days=1) for instant in instants(answer) if instant
    )
    assert math.isclose(expected, 970 / 15, rel_tol=1e-12)
    for days, sign in ((earliest, 1), (latest, -1)):
        spent = 15 * days + sign * QUANTILE * math.sqrt(50 * days + 25 * days**2)
        assert math.isclose(spent, 970, rel_tol=1e-9)
    assert earliest < expected < latest
    assert answer["spend_per_day_deviation"] == Decimal("7.071068")


def test_a_pace_that_may_be_nothing_has_no_latest_date(story: Story) -> None:
    story.grant(100)
    spend_each_day(story, 30, 0)
    expected, earliest, latest = instants(forecast(story))
    assert expected == day(2) + timedelta(days=70 / 15)
    assert earliest
    assert earliest < expected
    assert latest is None


def test_what_ends_first_is_spent_first_and_the_rest_of_it_is_lost(story: Story) -> None:
    story.grant(20)
    spend_each_day(story, 10, 10)
    story.grant(30)
    story.grant(50, expires_at=day(4))
    answer = forecast(story)
    assert instants(answer) == (day(7),) * 3  # two days from the 50, of which 30 are lost; three from the 30
    (event,) = answer["events"]
    assert (datetime.fromisoformat(event["at"]), event["kind"], event["amount"]) == (day(4), "expiry", 30)


def test_credits_that_nobody_spends_run_out_when_they_end(story: Story) -> None:
    story.grant(5)
    spend_each_day(story, 5)
    story.go_to(day(40))
    story.grant(50, expires_at=day(44))
    assert instants(forecast(story)) == (day(44),) * 3


def test_an_empty_wallet_has_run_out_now(story: Story) -> None:
    story.grant(20)
    now = spend_each_day(story, 10, 10)
    story.grant(100, effective_at=day(5))
    assert instants(forecast(story)) == (now,) * 3


def test_scheduled_grants_count_when_they_begin_in_time(story: Story) -> None:
    story.grant(40)
    spend_each_day(story, 10, 10)
    story.grant(60, effective_at=day(3))
    story.grant(500, effective_at=day(11))
    answer = forecast(story)
    assert instants(answer) == (day(10),) * 3  # 20 left, and 60 from day 3 on; the 500 come a day too late
    assert [(event["kind"], event["amount"]) for event in answer["events"]] == [("activation", 60)]


def test_what_ends_and_begins_at_one_instant_leaves_no_gap(story: Story) -> None:
    story.grant(10)
    spend_each_day(story, 10)
    story.grant(70, expires_at=day(3))
    story.grant(20, effective_at=day(3))
    assert instants(forecast(story))[0] == day(5)


def test_held_credits_count_as_spent_until_the_hold_ends(story: Story) -> None:
    story.grant(60)
    spend_each_day(story, 10, 10)
    story.api.call(
        "hold_credits",
        organization_id=story.organization_id,
        agent_type="TestAgent",
        action="test",
        amount=30,
        expires_in="1 hour",
    ).accepted()
    assert instants(forecast(story)) == (day(3),) * 3


def test_a_hold_that_nobody_swept_counts_no_more(story: Story, database: Database) -> None:
    story.grant(60)
    spend_each_day(story, 10, 10)
    story.api.call(
        "hold_credits",
        organization_id=story.organization_id,
        agent_type="TestAgent",
        action="test",
        amount=30,
        expires_in="1 hour",
    ).accepted()
    story.set_clock_only(day(2.5), database)
    assert instants(forecast(story))[0] == day(6.5)


def test_debt_is_repaid_before_a_scheduled_grant_is_spent(story: Story, database: Database) -> None:
    story.grant(20)
    spend_each_day(story, 10)
    database.execute(
        "update billing.organizations set overdraft_limit = 50 where organization_id = %s",
        (story.organization_id,),
    )
    story.grant(25, expires_at=day(3), agent_types=["QAAgent"])
    story.consume(14).accepted()  # 10 from the pool and 4 on the overdraft; the 25 are for another agent
    story.grant(16, effective_at=day(2))
    answer = forecast(story)
    assert (answer["balance"], answer["spend_per_day"]) == (21, 10)
    # 25 less a debt of 4; after a day 15 are left of them, and 12 begin; after another, 5 of the 15 are lost.
    assert instants(answer)[0] == day(4.2)


def test_a_free_plan_that_covers_the_pace_never_runs_out(story: Story, database: Database) -> None:
    start_free(story, Catalogue(database).plan(100))
    spend_each_day(story, 2, 2, 2)
    answer = forecast(story)
    assert instants(answer) == NEVER
    kinds = [event["kind"] for event in answer["events"]]
    assert kinds.count("renewal") == 24
    assert [event["amount"] for event in answer["events"][:2]] == [38, 100]  # 31 days of 2, the rest is lost


def test_a_free_plan_that_does_not_is_renewed_until_it_fails(story: Story, database: Database) -> None:
    start_free(story, Catalogue(database).plan(100, rollover_cap=30))
    spend_each_day(story, 4)
    # January leaves nothing of 100: it runs out on day 25, before the renewal on the 1st of February.
    assert instants(forecast(story))[0] == day(25)
    story.grant(24)
    # 124 are spent by the end of January; February brings 100 for 28 days of 4, which is not enough.
    assert instants(forecast(story))[0] == day(31 + 25)


def test_a_plan_that_ends_renews_no_more(story: Story, database: Database) -> None:
    start_free(story, Catalogue(database).plan(100))
    spend_each_day(story, 1)
    story.api.call("cancel_free_subscription", organization_id=story.organization_id).accepted()
    assert instants(forecast(story)) == (day(31),) * 3


def test_members_may_ask_and_nobody_else(
    new_organization: Callable[..., Organization], stack: StackUnderTest
) -> None:
    mine, other = new_organization(credits=10), new_organization()
    owner = LedgerApi(
        stack.supabase_url,
        stack.publishable_key,
        {"Authorization": f"Bearer {mine.owner.client.auth.get_session().access_token}"},  # type: ignore[union-attr]
    )
    agent = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": mine.agent_key})
    organization_id = str(mine.organization_id)
    assert owner.call("get_usage_forecast", organization_id=organization_id).accepted()["balance"] == 10
    owner.call("get_usage_forecast", organization_id=str(other.organization_id)).refused(
        403, "not_authorized"
    )
    assert agent.call("get_usage_forecast", organization_id=organization_id).status in (401, 403)


# A simulation that shares nothing with the database's way: it steps from event to event and finds the instant
# at which a wallet is empty by bisection.


def _spent(days: float, paces: list[int], quantile: float) -> float:
    mean = sum(paces) / len(paces)
    if len(paces) == 1:
        deviation = mean
    else:
        deviation = math.sqrt(sum((pace - mean) ** 2 for pace in paces) / (len(paces) - 1))
    return max(0.0, mean * days + quantile * deviation * math.sqrt(days + days**2 / len(paces)))


Lot = tuple[int, int, int, int | None]  # amount, priority, first day, end day


def _simulate(lots: list[Lot], paces: list[int], quantile: float) -> float | None:
    left = [float(lot[0]) for lot in lots]
    edges = sorted(
        {edge for lot in lots for edge in lot[2:] if edge is not None and edge > 0} | {HORIZON_DAYS}
    )
    before = 0.0
    for edge in edges:
        usable = [
            index
            for index, (_, _, begin, end) in enumerate(lots)
            if begin <= before and (end is None or before < end)
        ]
        usable.sort(key=lambda index: (lots[index][1], lots[index][3] or math.inf, lots[index][2]))
        there = sum(left[index] for index in usable)
        if there <= 0:
            return before
        spent = _spent(before, paces, quantile)
        if _spent(edge, paces, quantile) - spent > there:
            low, high = before, float(edge)
            for _ in range(200):
                middle = (low + high) / 2
                if _spent(middle, paces, quantile) - spent > there:
                    high = middle
                else:
                    low = middle
            return low
        wanted = _spent(edge, paces, quantile) - spent
        for index in usable:
            taken = min(left[index], wanted)
            left[index] -= taken
            wanted -= taken
        before = float(edge)
    there = sum(
        left[index]
        for index, (_, _, begin, end) in enumerate(lots)
        if begin <= before and (end is None or end > before)
    )
    return before if there <= 0 else None


_LOT = st.tuples(
    st.integers(1, 400),
    st.sampled_from([50, 100]),
    st.sampled_from([0, 0, 0, 3, 11, 40]),
    st.one_of(st.none(), st.integers(41, 120), st.integers(1, 30)),
).filter(lambda lot: lot[3] is None or lot[2] < lot[3])


@pytest.mark.timeout(300)
def test_paths_are_those_of_an_independent_simulation(
    stack: StackUnderTest, new_organization: Callable[..., Organization]
) -> None:
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        owner_id = new_organization().owner.user_id

        def told(lots: list[Lot], paces: list[int]) -> tuple[datetime, tuple[datetime | None, ...]]:
            with connection.transaction(force_rollback=True):
                execute = connection.execute
                row = execute(
                    "select (billing.create_organization('forecast', %s)).organization_id", (owner_id,)
                ).fetchone()
                assert row
                execute("select billing.advance_test_clock(%s, %s)", (row[0], EPOCH))
                execute("select billing.grant_credits(%s, %s, 'trial', 'past')", (row[0], sum(paces)))
                for number, pace in enumerate(paces):
                    execute(
                        "select billing.advance_test_clock(%s, %s), case when %s > 0 then"
                        " billing.consume_credits('TestAgent', 'test', amount => %s,"
                        " organization_id => %s) end",
                        (row[0], day(number + 0.5), pace, pace, row[0]),
                    )
                now = day(len(paces))
                execute("select billing.advance_test_clock(%s, %s)", (row[0], now))
                for amount, priority, begin, end in lots:
                    execute(
                        "select billing.grant_credits(%s, %s, 'promotion', priority => %s,"
                        " effective_at => %s, expires_at => %s)",
                        (
                            row[0],
                            amount,
                            priority,
                            now + timedelta(days=begin),
                            None if end is None else now + timedelta(days=end),
                        ),
                    )
                answer = execute(
                    "select runs_out_at, runs_out_earliest, runs_out_latest"
                    " from billing.get_usage_forecast(%s)",
                    (row[0],),
                ).fetchone()
                assert answer
                return now, tuple(answer)

        @settings(
            max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
        )
        @given(
            lots=st.lists(_LOT, min_size=1, max_size=5),
            paces=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(lambda paces: paces[0] > 0),
        )
        def agrees(lots: list[Lot], paces: list[int]) -> None:
            now, actual = told(lots, paces)
            for instant, quantile in zip(actual, (0.0, QUANTILE, -QUANTILE), strict=True):
                expected = _simulate(lots, paces, quantile)
                if expected is None or instant is None:
                    assert (expected, instant) == (None, None)
                else:
                    assert abs((instant - now) / timedelta(days=1) - expected) < 1e-5, (quantile, expected)

        agrees()
