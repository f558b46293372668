"""Holds of the SDK, against the fake ledger and the real one: what is charged, what is given back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

import tallybase
from tallybase import (
    Credits,
    HoldCaptured,
    HoldReleased,
    IdempotencyConflict,
    InsufficientCredits,
    InvalidAmount,
    InvalidArgument,
    NotFound,
    RunBudgetExceeded,
    TallybaseError,
    UnknownAction,
)
from tallybase.testing import FakeAsyncCredits, FakeCredits
from tests.conftest import Organization
from tests.sdk.conftest import PRICES, wait_until
from tests.sdk.test_live_parity import client

__all__ = ["client"]


class WorkFailedError(Exception):
    """What the work inside a hold raises."""


def test_a_hold_reserves_and_a_capture_charges_what_it_came_to(client: Credits) -> None:
    with client.hold("TestAgent", "test", up_to=40, expires_in="15m") as hold:
        during = client.balance()
        assert [during.balance, during.held, during.available] == [100, 40, 60]
        receipt = hold.capture(Decimal("12.5"))
    assert [receipt.amount, receipt.balance, receipt.available] == [
        Decimal("12.5"),
        Decimal("87.5"),
        Decimal("87.5"),
    ]
    assert hold.receipt == receipt
    after = client.balance()
    assert [after.balance, after.held] == [Decimal("87.5"), 0]


def test_a_capture_by_quantities_has_the_prices_of_the_action(client: Credits) -> None:
    with client.hold("QAAgent", "answer_question", up_to=40) as hold:
        receipt = hold.capture(quantities={"input_tokens": 1200, "output_tokens": 80})
    assert receipt.amount == Decimal("5.72")
    assert client.balance().held == 0


def test_without_an_amount_the_price_of_the_quantities_is_reserved(client: Credits) -> None:
    with client.hold("QAAgent", "answer_question", quantities={"input_tokens": 1000}) as hold:
        assert hold.amount == Decimal("5.5")
        assert hold.capture().amount == Decimal("5.5")


def test_an_exception_releases(client: Credits) -> None:
    with pytest.raises(WorkFailedError), client.hold("TestAgent", "test", up_to=40):
        raise WorkFailedError
    after = client.balance()
    assert [after.balance, after.held] == [100, 0]


def test_an_exception_charges_what_was_metered(client: Credits) -> None:
    hold = client.hold("TestAgent", "test", up_to=40)
    with contextlib.suppress(WorkFailedError), hold:
        hold.meter(7)
        hold.meter(9)
        raise WorkFailedError
    assert client.balance().available == 91
    assert hold.receipt is not None
    assert hold.receipt.amount == 9


def test_a_block_without_capture_charges_the_report_or_the_estimate_or_nothing(client: Credits) -> None:
    with client.hold("TestAgent", "test", up_to=40, estimate=5) as hold:
        hold.meter(3)
    with client.hold("TestAgent", "test", up_to=40, estimate=5):
        pass
    with client.hold("TestAgent", "test", up_to=40):
        pass
    after = client.balance()
    assert [after.balance, after.held] == [92, 0]


def test_a_hold_that_cannot_be_had_stops_the_work(client: Credits) -> None:
    with pytest.raises(InsufficientCredits) as caught, client.hold("TestAgent", "test", up_to=101):
        pytest.fail("the block ran")
    assert [caught.value.required, caught.value.shortfall] == [101, 1]
    with client.hold("TestAgent", "test", up_to=80), pytest.raises(InsufficientCredits) as second:
        client.consume("TestAgent", "test", amount=21)
    assert [second.value.available, second.value.held] == [20, 80]


def test_a_hold_is_resolved_once(client: Credits) -> None:
    with client.hold("TestAgent", "test", up_to=10) as hold:
        first = hold.capture(4)
        again = hold.capture(4)
        assert again.replayed
        assert again.transaction_id == first.transaction_id
        with pytest.raises(HoldCaptured) as caught:
            hold.capture(5)
        assert caught.value.transaction_id == str(first.transaction_id)
        with pytest.raises(HoldCaptured):
            hold.release()
        with pytest.raises(HoldCaptured):
            hold.extend(1)
    with client.hold("TestAgent", "test", up_to=10) as released:
        released.release()
        released.release()
        with pytest.raises(HoldReleased):
            released.capture(1)
    assert client.balance().available == 96


def test_a_capture_above_the_hold_is_refused_and_leaves_it_open(client: Credits) -> None:
    with client.hold("TestAgent", "test", up_to=10) as hold:
        for cost in (Decimal("10.000001"), -1):
            with pytest.raises(InvalidAmount):
                hold.capture(cost)
        assert hold.is_open
        assert client.balance().held == 10
        hold.extend(5)
        assert hold.amount == 15
        assert hold.capture(12).amount == 12


def test_a_key_of_a_hold_is_one_hold(client: Credits) -> None:
    with (
        client.hold("TestAgent", "test", up_to=5, idempotency_key="h1") as first,
        client.hold("TestAgent", "test", up_to=5, idempotency_key="h1") as again,
    ):
        assert again.id == first.id
        with (
            pytest.raises(IdempotencyConflict),
            client.hold("TestAgent", "test", up_to=6, idempotency_key="h1"),
        ):
            pytest.fail("the block ran")
        assert client.balance().available == 95
        first.capture(5)


@pytest.mark.parametrize(
    ("agent_type", "up_to", "kind"),
    [("TestAgent", -1, InvalidAmount), ("Nobody", 5, UnknownAction)],
)
def test_what_cannot_be_held_is_refused_alike(
    client: Credits, agent_type: str, up_to: int, kind: type[TallybaseError]
) -> None:
    with pytest.raises(kind), client.hold(agent_type, "test", up_to=up_to):
        pytest.fail("the block ran")


@pytest.mark.parametrize("duration", ["15", "", "0m", "-5m", "soon", timedelta(0)])
def test_a_duration_is_said_with_its_unit(duration: str | timedelta) -> None:
    with pytest.raises(InvalidArgument) as caught:
        FakeCredits().hold("TestAgent", "test", up_to=1, expires_in=duration)
    assert caught.value.argument == "expires_in"


def test_a_hold_counts_to_the_budget_of_its_run(client: Credits) -> None:
    with client.run("TestAgent", budget=20) as run:
        with client.hold(None, "test", up_to=15) as hold:
            with pytest.raises(RunBudgetExceeded):
                client.consume(None, "test", amount=6)
            hold.capture(4)
        assert [run.spent, run.remaining] == [4, 16]
        with client.hold(None, "test", up_to=16):
            pass
        assert [run.spent, run.remaining] == [4, 16]


def test_a_lost_answer_takes_and_charges_a_hold_once() -> None:
    agent = FakeCredits(balance=100, prices=PRICES)
    agent.ledger.lose_answers(1)
    with agent.hold("TestAgent", "test", up_to=40) as hold:
        agent.ledger.lose_answers(1)
        hold.capture(12)
    assert [len(agent.ledger.holds), agent.ledger.spent, agent.balance().held] == [1, 12, 0]


def test_an_expired_hold_is_settled_late_once_without_what_was_metered() -> None:
    agent = FakeCredits(balance=100, prices=PRICES)
    with agent.hold("TestAgent", "test", up_to=40) as hold:
        hold.meter(10)
        agent.ledger.expire_holds()
        receipt = hold.capture(30)
    assert receipt.amount == 20
    assert agent.ledger.spends[-1].idempotency_key == f"late:{hold.id}"
    assert hold.capture(30).transaction_id == receipt.transaction_id
    assert agent.balance().available == 70


def test_an_expired_hold_is_settled_late_on_the_server(
    new_organization: Callable[..., Organization], live_client: Callable[..., Credits]
) -> None:
    agent = live_client(new_organization(credits=100))
    with agent.hold("TestAgent", "test", up_to=100, expires_in=timedelta(milliseconds=900)) as hold:
        hold._left.set()  # as a process that stopped extending
        wait_until(lambda: agent.balance().held == 0)
        receipt = hold.capture(30)
        assert hold.capture(30).transaction_id == receipt.transaction_id
    assert [receipt.amount, agent.balance().available] == [30, 70]


def test_an_open_hold_extends_itself() -> None:
    agent = FakeCredits(balance=100, prices=PRICES)
    with agent.hold("TestAgent", "test", up_to=40, expires_in=timedelta(milliseconds=30)) as hold:
        wait_until(lambda: agent.ledger.requests.count("extend_hold") >= 2)
        hold.capture(1)


def test_a_hold_that_was_never_taken_says_so(client: Credits) -> None:
    with pytest.raises(TallybaseError, match="with"):
        client.hold("TestAgent", "test", up_to=1).capture(1)


def test_holds_of_asyncio_do_the_same() -> None:
    async def story() -> None:
        agent = FakeAsyncCredits(balance=100, prices=PRICES)
        async with agent.hold("TestAgent", "test", up_to=40, expires_in=timedelta(milliseconds=30)) as hold:
            await asyncio.to_thread(wait_until, lambda: agent.ledger.requests.count("extend_hold") >= 2)
            await hold.extend(2)
            assert (await hold.capture(12)).amount == 12
        with contextlib.suppress(WorkFailedError):
            async with agent.hold("TestAgent", "test", up_to=40) as failing:
                await failing.meter(3)
                raise WorkFailedError
        async with agent.hold("TestAgent", "test", up_to=40) as released:
            await released.release()
        assert [agent.ledger.spent, agent.ledger.held] == [15, 0]

    asyncio.run(story())


def test_the_clients_for_tests_are_at_the_top_of_the_package() -> None:
    assert tallybase.FakeCredits is FakeCredits
    assert tallybase.FakeAsyncCredits is FakeAsyncCredits


def test_an_unknown_hold_is_not_found() -> None:
    first, second = FakeCredits(), FakeCredits()
    with first.hold("TestAgent", "test", up_to=1) as hold:
        second_hold = second.hold("TestAgent", "test", up_to=1)
        second_hold.state = hold.state
        with pytest.raises(NotFound):
            second_hold.capture(1)
