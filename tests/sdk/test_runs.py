"""Runs: attribution across tasks and threads, keys that a restart derives again, budgets that hold."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from tallybase import (
    ConfigurationError,
    Consumption,
    CreditsUnavailable,
    LimitExceeded,
    RunBudgetExceeded,
    current_run,
)
from tallybase.testing import FakeAsyncCredits, FakeCredits

PRICES = {("A", "b"): 5, ("A", "free"): None}


def test_what_is_spent_inside_carries_the_run(fake_credits: FakeCredits) -> None:
    with fake_credits.run(run_id="r", agent_type="A"):
        fake_credits.consume(None, "b")
        fake_credits.consume("B", "c", run_id="other")
    fake_credits.consume("A", "b")
    assert [(spend.agent_type, spend.run_id) for spend in fake_credits.ledger.spends] == [
        ("A", "r"),
        ("B", "other"),
        ("A", None),
    ]


def test_threads_started_inside_belong_to_the_run(fake_credits: FakeCredits) -> None:
    def spend() -> None:
        fake_credits.consume("A", "b")

    with fake_credits.run(run_id="r"), ThreadPoolExecutor(2) as pool:
        thread = threading.Thread(target=spend)
        thread.start()
        thread.join()
        pool.submit(spend).result()
    assert [spend.run_id for spend in fake_credits.ledger.spends] == ["r", "r"]


def test_a_pool_that_outlives_the_run_does_not_stay_in_it(fake_credits: FakeCredits) -> None:
    with ThreadPoolExecutor(1) as pool:
        with fake_credits.run(run_id="r"):
            assert pool.submit(current_run).result() is not None
        assert pool.submit(current_run).result() is None
        with fake_credits.run(run_id="s") as other:
            assert pool.submit(current_run).result() is other


def test_threads_are_left_alone_when_no_run_is_open(fake_credits: FakeCredits) -> None:
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    with fake_credits.run(), fake_credits.run():
        assert threading.Thread.start is not start
    assert threading.Thread.start is start
    assert ThreadPoolExecutor.submit is submit


async def test_tasks_of_two_runs_do_not_mix() -> None:
    client = FakeAsyncCredits(balance=100)

    async def work(name: str) -> None:
        async with client.run(run_id=name):
            for _ in range(5):
                await client.consume("A", name)
                await asyncio.sleep(0)

    await asyncio.gather(*(work(name) for name in ("one", "two", "three")))
    assert len(client.ledger.spends) == 15
    assert all(spend.run_id == spend.action for spend in client.ledger.spends)


def test_a_bound_function_belongs_to_the_run_wherever_it_is_called(fake_credits: FakeCredits) -> None:
    with fake_credits.run(run_id="r") as run:
        bound = run.bind(fake_credits.consume)
    assert bound("A", "b").amount == 1
    assert fake_credits.ledger.spends[0].run_id == "r"


def test_a_repeated_run_derives_the_same_keys_and_is_charged_once(fake_credits: FakeCredits) -> None:
    for _ in range(2):
        with fake_credits.run(run_id="r") as run:
            for _ in range(3):
                fake_credits.consume("A", "b", idempotency_key=run.step_key)
            fake_credits.consume("A", "b", idempotency_key=run.step_key("A", "b", "summary"))
    assert fake_credits.ledger.spent == 4
    assert run.spent == 4


def test_a_transaction_counts_once_however_often_it_is_replayed(fake_credits: FakeCredits) -> None:
    with fake_credits.run(budget=5) as run:
        for _ in range(3):
            fake_credits.consume("A", "b", amount=2, idempotency_key="k")
        assert (run.spent, run.remaining) == (Decimal(2), Decimal(3))


def test_keys_of_long_runs_fit_and_stay_apart(fake_credits: FakeCredits) -> None:
    run = fake_credits.run(run_id="r" * 250)
    keys = {run.step_key("A" * 100, "b") for _ in range(3)} | {run.step_key("A" * 100, "c")}
    assert len(keys) == 4
    assert all(len(key) <= 255 for key in keys)


def test_a_budget_is_never_passed_and_the_spend_is_not_made() -> None:
    client = FakeCredits(balance=100, prices=PRICES)
    with client.run(run_id="r", budget=12) as run:
        client.consume("A", "b")
        client.consume("A", "b")
        with pytest.raises(RunBudgetExceeded) as caught:
            client.consume("A", "b")
        assert (run.spent, run.remaining) == (Decimal(10), Decimal(2))
        client.consume("A", "free", amount=Decimal("2.0"))
    assert isinstance(caught.value, LimitExceeded)
    assert (caught.value.subject_id, caught.value.remaining) == ("r", Decimal(2))
    assert client.ledger.spent == 12


def test_a_budget_holds_for_parallel_threads() -> None:
    client = FakeCredits(balance=100, prices=PRICES)

    def spend(_: int) -> bool:
        try:
            client.consume("A", "b")
        except RunBudgetExceeded:
            return False
        return True

    with client.run(budget=25), ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(spend, range(40))) == 5
    assert client.ledger.spent == 25


def test_a_run_inside_a_run_counts_to_both_budgets() -> None:
    client = FakeCredits(balance=100, prices=PRICES)
    with client.run(budget=10) as outer, client.run(budget=100) as inner:
        client.consume("A", "b")
        client.consume("A", "b")
        with pytest.raises(RunBudgetExceeded) as caught:
            client.consume("A", "b")
        assert caught.value.subject_id == outer.id
        assert (inner.spent, outer.spent, inner.remaining) == (Decimal(10), Decimal(10), Decimal(90))


def test_a_batch_counts_to_the_budget() -> None:
    client = FakeCredits(balance=100, prices=PRICES)
    with client.run(run_id="r", budget=12) as run:
        with pytest.raises(RunBudgetExceeded):
            client.consume_many([Consumption("A", "b")] * 3)
        outcomes = client.consume_many([Consumption("A", "b")] * 2)
        assert run.spent == 10
    assert [outcome.unwrap().amount for outcome in outcomes] == [5, 5]
    assert [spend.run_id for spend in client.ledger.spends] == ["r", "r"]


def test_a_refused_spend_gives_its_part_of_the_budget_back() -> None:
    client = FakeCredits(balance=3, prices=PRICES)
    with client.run(budget=5) as run:
        with pytest.raises(LimitExceeded):
            client.consume("A", "free", amount=6)
        with pytest.raises(Exception, match="Not enough credits"):
            client.consume("A", "b")
        assert run.remaining == 5


def test_a_spend_of_unknown_outcome_keeps_its_part_of_the_budget() -> None:
    client = FakeCredits(balance=100, prices=PRICES)
    with client.run(budget=8) as run:
        answer = client.ledger.answer

        def losing(function: str, arguments: object) -> tuple[int, object]:
            if function == "consume_credits":
                client.ledger.available = False
            return answer(function, arguments)  # type: ignore[arg-type]

        client.ledger.answer = losing  # type: ignore[method-assign]
        with pytest.raises(CreditsUnavailable):
            client.consume("A", "b")
        assert run.remaining == 3


def test_a_run_is_entered_once_at_a_time(fake_credits: FakeCredits) -> None:
    run = fake_credits.run()
    with run, pytest.raises(ConfigurationError), run:
        pass
    with run:
        assert current_run() is run
    assert current_run() is None


def test_a_spend_without_an_agent_type_anywhere_is_refused(fake_credits: FakeCredits) -> None:
    with pytest.raises(ConfigurationError, match="agent type"):
        fake_credits.consume(None, "b")
