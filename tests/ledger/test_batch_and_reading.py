"""Batches, usage over time, and balances at any instant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Organization, StackUnderTest

from .api import LedgerApi
from .conftest import Story, day


def _event(amount: object, **fields: object) -> dict[str, object]:
    return {"agent_type": "TestAgent", "action": "test", "amount": amount, **fields}


def _batch(story: Story, events: object, atomic: bool = True) -> Any:
    return story.api.call(
        "consume_credits_batch", organization_id=story.organization_id, events=events, atomic=atomic
    )


def test_a_batch_answers_each_event_in_order(story: Story) -> None:
    story.grant(10)
    events = [
        _event(4, idempotency_key="a"),
        _event(7),
        _event(6, idempotency_key="b"),
        _event(4, idempotency_key="a"),
        {"agent_type": "X", "action": "y"},
    ]
    results = _batch(story, events, atomic=False).accepted()
    assert [row["index"] for row in results] == [0, 1, 2, 3, 4]
    assert [row["ok"] for row in results] == [True, False, True, True, False]
    assert results[1]["error"]["message"] == "insufficient_credits"
    assert results[1]["error"]["details"]["available"] == 6
    assert results[3]["receipt"]["replayed"] is True
    assert (results[4]["error"]["status"], results[4]["error"]["message"]) == (422, "unknown_action")
    assert story.balance()["balance"] == 0


def test_a_known_key_in_a_batch_is_answered_whatever_has_become_of_its_price(
    story: Story, database: psycopg.Connection[dict[str, Any]]
) -> None:
    story.grant(10)
    price = {"agent_type": f"Agent {uuid4()}", "action": "read"}
    for metric, cost in (("call", 1), ("tokens", "0.5")):
        story.api.call(
            "set_agent_action_cost",
            **price,
            metric=metric,
            credit_cost=cost,
            effective_from=day(0).isoformat(),
        ).accepted()
    by_tokens = {**price, "quantities": {"tokens": 4}, "idempotency_key": "tokens"}
    by_call = {**price, "idempotency_key": "call"}
    first = [row["receipt"] for row in _batch(story, [by_tokens, by_call]).accepted()]
    database.execute(
        "update billing.agent_action_costs set effective_to = %s where agent_type = %s and metric = 'tokens'",
        (day(1), price["agent_type"]),
    )
    story.api.call(
        "set_agent_action_cost",
        **price,
        credit_cost=0,
        caller_priced=True,
        effective_from=day(1).isoformat(),
    ).accepted()
    story.go_to(day(1))
    for atomic in (True, False):
        again = [row["receipt"] for row in _batch(story, [by_tokens, by_call], atomic=atomic).accepted()]
        assert again == [{**receipt, "replayed": True} for receipt in first]
    other = {**by_tokens, "quantities": {"tokens": 5}}
    _batch(story, [other]).refused(409, "idempotency_conflict")
    _batch(story, [{**by_tokens, "idempotency_key": "new"}]).refused(422, "invalid_argument")


def test_an_atomic_batch_is_all_or_nothing_and_names_the_event(story: Story) -> None:
    story.grant(10)
    details = _batch(story, [_event(4), _event(7)], atomic=True).refused(402, "insufficient_credits")
    assert details["index"] == 1
    assert story.balance()["balance"] == 10
    assert len(_batch(story, [_event(4), _event(6)], atomic=True).accepted()) == 2


def test_a_batch_is_bounded_and_of_one_organization(
    story: Story, new_organization: Callable[..., Organization]
) -> None:
    story.grant(2000)
    for events in ([_event(1)] * 1001, {"a": 1}, None):
        _batch(story, events, atomic=False).refused(422, "invalid_argument")
    foreign = str(new_organization(credits=5).organization_id)
    (row,) = _batch(story, [_event(1, organization_id=foreign)], atomic=False).accepted()
    assert (row["error"]["status"], row["error"]["details"]) == (422, {"argument": "organization_id"})
    assert len(_batch(story, [_event(1)] * 1000, atomic=True).accepted()) == 1000
    assert story.balance()["balance"] == 1000


def test_usage_is_exact_before_within_and_after_folding(story: Story) -> None:
    story.grant(100)
    window = {"organization_id": story.organization_id, "from": day(0).isoformat(), "to": day(10).isoformat()}

    def read() -> Any:
        rows = story.api.call("get_usage_timeseries", group_by="action", **window).accepted()
        return [
            (row["bucket_start"][:10], row["group_key"], row["amount"], row["consumption_count"])
            for row in rows
        ]

    story.consume(3).accepted()
    assert read() == [("2031-01-01", "TestAgent.test", 3, 1)]
    story.api.call("run_due_jobs").accepted()
    assert read() == [("2031-01-01", "TestAgent.test", 3, 1)]
    story.consume(4).accepted()
    story.go_to(day(2))
    story.consume(5, metadata={"model": "m-1"}).accepted()
    expected = [("2031-01-01", "TestAgent.test", 7, 2), ("2031-01-03", "TestAgent.test", 5, 1)]
    assert read() == expected
    story.api.call("run_due_jobs").accepted()
    assert read() == expected
    by_model = story.api.call("get_usage_breakdown", group_by="model", **window).accepted()
    assert [(row["group_key"], row["amount"]) for row in by_model] == [(None, 7), ("m-1", 5)]


def test_a_breakdown_folds_the_long_tail_into_one_row(story: Story) -> None:
    story.grant(100)
    for run, amount in (("a", 5), ("b", 3), ("c", 2), ("d", 1)):
        story.consume(amount, run_id=run).accepted()
    rows = story.api.call(
        "get_usage_breakdown",
        organization_id=story.organization_id,
        group_by="run",
        top_n=2,
        **{"from": day(0).isoformat(), "to": day(1).isoformat()},
    ).accepted()
    assert [(row["group_key"], row["is_other"], row["amount"]) for row in rows] == [
        ("a", False, 5),
        ("b", False, 3),
        (None, True, 3),
    ]


def test_hours_follow_the_readers_zone(story: Story) -> None:
    story.grant(100)
    story.go_to(day(0.99))
    story.consume(3).accepted()
    rows = story.api.call(
        "get_usage_timeseries",
        organization_id=story.organization_id,
        bucket="day",
        timezone="Europe/Berlin",
        **{"from": day(0).isoformat(), "to": day(2).isoformat()},
    ).accepted()
    assert [row["bucket_start"] for row in rows] == ["2031-01-01T23:00:00+00:00"]


def test_bad_questions_about_usage_are_422(story: Story) -> None:
    window = {"organization_id": story.organization_id, "from": day(0).isoformat(), "to": day(10).isoformat()}
    for change, argument in (
        ({"bucket": "minute"}, "bucket"),
        ({"group_by": "moon"}, "group_by"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"to": day(-1).isoformat()}, "to"),
        ({"from": "-infinity"}, "to"),
    ):
        refused = story.api.call("get_usage_timeseries", **{**window, **change}).refused(
            422, "invalid_argument"
        )
        assert refused == {"argument": argument}


def test_a_balance_as_of_a_past_instant_comes_from_the_ledger_alone(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    story.grant(100, expires_at=day(20))
    story.go_to(day(1))
    story.consume(30).accepted()
    story.go_to(day(3))
    story.consume(20).accepted()
    story.set_clock_only(day(30), database)
    balances = [story.balance(as_of=day(at))["balance"] for at in (-1, 0, 0.5, 1, 2, 3, 19, 20, 30)]
    assert balances == [0, 100, 100, 70, 70, 50, 50, 0, 0]
    past = story.balance(as_of=day(2))
    assert past["expiring"] == [{"expires_at": "2031-01-21T00:00:00+00:00", "amount": 70}]
    assert story.balance()["balance"] == 0


def test_an_agent_reads_its_own_organizations_balance_and_no_other(
    stack: StackUnderTest, new_organization: Callable[..., Organization]
) -> None:
    mine, other = new_organization(credits=7), new_organization(credits=9)
    agent = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": mine.agent_key})
    assert agent.call("get_credit_balance").accepted()["balance"] == 7
    agent.call("get_credit_balance", organization_id=str(other.organization_id)).refused(
        403, "not_authorized"
    )


def test_a_repeated_batch_is_booked_at_once_and_says_the_same_as_single_spends(story: Story) -> None:
    story.grant(1000)
    for subject_type, subject_id in (("organization", story.organization_id), ("agent_type", "TestAgent")):
        story.api.call(
            "set_credit_limit",
            subject_type=subject_type,
            subject_id=subject_id,
            amount=500,
            window="month",
            organization_id=story.organization_id,
        ).accepted()
    story.consume(1).accepted()  # from here on the terms are remembered

    def events(start: int) -> list[dict[str, object]]:
        return [
            {
                "agent_type": "TestAgent",
                "action": "test",
                "amount": place,
                "idempotency_key": f"k{place}",
                "run_id": "r",
            }
            for place in range(start, start + 4)
        ]

    results = story.api.call(
        "consume_credits_batch", events=events(1), organization_id=story.organization_id
    ).accepted()
    receipts = [result["receipt"] for result in results]
    assert [result["index"] for result in results] == [0, 1, 2, 3]
    assert [receipt["balance"] for receipt in receipts] == [998, 996, 993, 989]
    assert [{limit["remaining"] for limit in receipt["limits"]} for receipt in receipts] == [
        {498},
        {496},
        {493},
        {489},
    ]
    single = story.consume(5, run_id="r").accepted()
    assert single["balance"] == 984
    assert {limit["remaining"] for limit in single["limits"]} == {484}
    assert {
        name: value for name, value in receipts[3].items() if name in ("price", "replayed", "organization_id")
    } == {
        **{name: single[name] for name in ("replayed", "organization_id")},
        "price": {
            **single["price"],
            "rows": [{**single["price"]["rows"][0], "amount": 4}],
            "exact_amount": 4,
        },
    }
    for receipt in [*receipts, single]:
        explained = story.api.call("explain_transaction", transaction_id=receipt["transaction_id"]).accepted()
        assert {**explained, "replayed": False} == receipt
    # Some known, some new: each answered in its place.
    mixed = story.api.call(
        "consume_credits_batch", events=events(3), organization_id=story.organization_id
    ).accepted()
    assert [result["receipt"]["replayed"] for result in mixed] == [True, True, False, False]
    assert mixed[3]["receipt"]["balance"] == 984 - 5 - 6
    twice = [*events(20)[:1], *events(20)[:1]]
    again = story.api.call(
        "consume_credits_batch", events=twice, organization_id=story.organization_id
    ).accepted()
    assert [result["receipt"]["replayed"] for result in again] == [False, True]


def test_a_batch_that_empties_the_wallet_and_goes_on_leaves_the_ledger_whole(story: Story) -> None:
    first = story.grant(10)
    events = [{"agent_type": "TestAgent", "action": "test", "amount": 1} for _ in range(12)]
    results = story.api.call(
        "consume_credits_batch", events=events, atomic=False, organization_id=story.organization_id
    ).accepted()
    assert [result["ok"] for result in results] == [True] * 10 + [False] * 2
    assert story.api.call("verify_ledger", organization_id=story.organization_id).accepted() == []
    second = story.grant(5)
    assert story.consume(2).accepted()["grants"] == [{"grant_id": second, "amount": 2}]
    assert (story.left(first), story.left(second)) == (0, 3)


def test_a_batch_of_nothing_answers_nothing(story: Story) -> None:
    story.grant(1)
    empty = {"events": [], "organization_id": story.organization_id}
    assert story.api.call("consume_credits_batch", **empty).accepted() == []
    assert story.balance()["balance"] == 1
    empty["organization_id"] = str(uuid4())
    story.api.call("consume_credits_batch", **empty).refused(404, "not_found")


def test_a_batch_may_name_its_organization_in_its_events(
    story: Story, new_organization: Callable[..., Organization]
) -> None:
    story.grant(10)
    event = _event(1, organization_id=story.organization_id)
    results = story.api.call("consume_credits_batch", events=[event, event]).accepted()
    assert [result["receipt"]["organization_id"] for result in results] == [story.organization_id] * 2
    assert story.balance()["balance"] == 8
    foreign = {**event, "organization_id": str(new_organization().organization_id)}
    details = story.api.call("consume_credits_batch", events=[event, foreign]).refused(
        422, "invalid_argument"
    )
    assert details == {"argument": "organization_id", "index": 1}
    assert story.balance()["balance"] == 8


@pytest.mark.parametrize("subjects", [["organization"], ["organization", "agent_type"]])
def test_a_batch_says_that_nothing_remains_of_a_soft_limit_that_is_passed(
    story: Story, subjects: list[str]
) -> None:
    story.grant(100)
    names = {"organization": story.organization_id, "agent_type": "TestAgent"}
    for subject in subjects:
        story.api.call(
            "set_credit_limit",
            organization_id=story.organization_id,
            subject_type=subject,
            subject_id=names[subject],
            amount=5,
            window="lifetime",
            mode="soft",
        ).accepted()
    left = []
    for amount in (3, 3, 3):  # short of it, across it, beyond it: the terms are remembered by then
        results = _batch(story, [_event(amount), _event(amount)], atomic=True).accepted()
        left += [[limit["remaining"] for limit in row["receipt"]["limits"]] for row in results]
    assert left == [[2] * len(subjects)] + [[0] * len(subjects)] * 5
