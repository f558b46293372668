"""Meters: what is recorded is booked in the background, once, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tallybase import (
    ConfigurationError,
    Consumption,
    CreditsUnavailable,
    InsufficientCredits,
    InvalidArgument,
    Outbox,
    RetryPolicy,
    TallybaseError,
)
from tallybase._wire import Request, Response
from tallybase.testing import FakeAsyncCredits, FakeCredits, FakeLedger
from tallybase.testing.clients import FakeTransport

HURRIED = RetryPolicy(max_attempts=1)


class Gate(FakeTransport):
    """Counts the calls and holds them up until it is opened."""

    def __init__(self, ledger: FakeLedger) -> None:
        super().__init__(ledger)
        self.calls = 0
        self.is_open = threading.Event()
        self.is_reached = threading.Event()

    def send(self, request: Request, time_limit: float) -> Response:
        self.calls += 1
        self.is_reached.set()
        self.is_open.wait(10)
        return super().send(request, time_limit)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite")


def test_while_one_batch_is_on_its_way_the_next_fills() -> None:
    client = FakeCredits(balance=5000)
    gate = client._transport = Gate(client.ledger)
    with client.meter() as meter:
        meter.record("A", "b")
        assert gate.is_reached.wait(10)
        for _ in range(1500):
            meter.record("A", "b")
        assert meter.unbooked == 1501
        gate.is_open.set()
        assert meter.flush()
        assert (meter.booked, meter.unbooked) == (1501, 0)
    assert client.ledger.spent == 1501
    assert gate.calls == 3  # the first alone, then 1,000 and 500


def test_a_charge_has_the_run_and_the_key_of_its_moment() -> None:
    client = FakeCredits(balance=10)
    with client.meter() as meter, client.run("Runner", "run-1") as run:
        key = meter.record(None, "b", idempotency_key=run.step_key)
        assert meter.record("A", "b", run_id="other", metadata={"why": "x"}) != key
    first, _ = client.ledger.spends
    assert (first.agent_type, first.run_id, first.idempotency_key) == ("Runner", "run-1", key)
    assert [s.run_id for s in client.ledger.spends] == ["run-1", "other"]


def test_a_refusal_is_told_and_stops_nobody_else(outbox: Outbox) -> None:
    told: list[tuple[Consumption, TallybaseError]] = []
    client = FakeCredits(balance=10, outbox=outbox)
    with client.meter(on_refused=lambda consumption, error: told.append((consumption, error))) as meter:
        meter.record("A", "b", amount=4)
        dear = meter.record("A", "b", amount=7)
        meter.record("A", "b", amount=6)
    assert client.ledger.spent == 10
    ((consumption, error),) = told
    assert isinstance(error, InsufficientCredits)
    assert (consumption.idempotency_key, meter.refusals) == (dear, told)
    (entry,) = outbox.refused()
    assert (entry.idempotency_key, entry.refusal) == (dear, "insufficient_credits")


def test_a_listener_that_fails_ends_nothing_and_without_one_the_log_says_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(consumption: Consumption, error: TallybaseError) -> None:
        raise RuntimeError("no")

    client = FakeCredits(balance=1)
    with client.meter(on_refused=fail) as meter:
        meter.record("A", "b", amount=2)
        assert meter.flush()
        meter.record("A", "b", amount=1)
    assert client.ledger.spent == 1
    assert "on_refused" in caplog.text
    caplog.clear()
    with client.meter() as meter:
        meter.record("A", "dear", amount=2)
    assert "A dear" in caplog.text


def test_an_outage_ends_and_everything_is_booked_once() -> None:
    client = FakeCredits(balance=10, retry=HURRIED)
    client.ledger.lose_answers(1)
    with client.meter() as meter:
        meter.record("A", "b")
        meter.record("A", "b")
        assert meter.flush()
    assert client.ledger.spent == 2


def test_what_cannot_be_booked_goes_to_the_outbox(outbox: Outbox) -> None:
    client = FakeCredits(balance=10, outbox=outbox, retry=HURRIED)
    client.ledger.available = False
    with client.meter() as meter:
        keys = [meter.record("A", "b", run_id="r"), meter.record("A", "b", run_id="r")]
        assert meter.flush()
    assert [entry.idempotency_key for entry in outbox.waiting()] == keys
    client.ledger.available = True
    assert [outcome.unwrap().amount for outcome in client.settle_outbox()] == [1, 1]
    assert client.ledger.spent == 2


def test_without_an_outbox_closing_says_what_is_not_booked() -> None:
    client = FakeCredits(balance=10, retry=HURRIED)
    client.ledger.available = False
    meter = client.meter()
    meter.record("A", "b")
    with pytest.raises(CreditsUnavailable, match="1 metered charges"):
        meter.close(within=0.05)
    meter.close()
    with pytest.raises(ConfigurationError, match="closed"):
        meter.record("A", "b")


def test_a_full_meter_lets_the_caller_wait() -> None:
    client = FakeCredits(balance=10)
    gate = client._transport = Gate(client.ledger)
    with client.meter(most_waiting=1) as meter:
        meter.record("A", "b")
        assert gate.is_reached.wait(10)
        meter.record("A", "b")
        late = threading.Thread(target=meter.record, args=("A", "b"))
        late.start()
        late.join(0.1)
        assert late.is_alive()
        gate.is_open.set()
        late.join(10)
    assert client.ledger.spent == 3
    with pytest.raises(ConfigurationError):
        client.meter(most_waiting=0)


def test_what_cannot_be_sent_is_said_at_once() -> None:
    client = FakeCredits(balance=10)
    with client.meter() as meter:
        with pytest.raises(ConfigurationError, match="agent type"):
            meter.record(None, "b")
        with pytest.raises(InvalidArgument):
            meter.record("A", "b", quantities={"tokens": float("nan")})  # type: ignore[dict-item]
    assert client.ledger.spends == []


def test_closing_the_client_closes_its_meters_first() -> None:
    client = FakeCredits(balance=10)
    meter = client.meter()
    meter.record("A", "b")
    client.close()
    assert client.ledger.spent == 1
    with pytest.raises(ConfigurationError):
        meter.record("A", "b")


def test_one_batch_is_of_one_organization() -> None:
    client = FakeCredits(balance=10)
    gate = client._transport = Gate(client.ledger)
    with client.meter() as meter:
        meter.record("A", "b")
        assert gate.is_reached.wait(10)
        for name in ("one", "one", "two", "one"):
            meter.record("A", "b", organization_id=name)
        gate.is_open.set()
    assert gate.calls == 4


async def test_the_same_for_asyncio(outbox: Outbox) -> None:
    client = FakeAsyncCredits(balance=10, retry=HURRIED)
    client.ledger.lose_answers(1)
    async with client.meter() as meter:
        for amount in (4, 7, 6):
            await meter.record("A", "b", amount=amount)
        assert await meter.flush()
        assert (meter.booked, meter.unbooked) == (2, 0)
    ((refused, error),) = meter.refusals
    assert (refused.amount, type(error)) == (7, InsufficientCredits)
    assert client.ledger.spent == 10

    client.ledger.available = False
    meter = client.meter()
    await meter.record("A", "b")
    assert not await meter.flush(within=0.01)
    with pytest.raises(CreditsUnavailable):
        await meter.aclose(within=0.01)

    client = FakeAsyncCredits(ledger=client.ledger, outbox=outbox, retry=HURRIED)
    meter = client.meter()
    key = await meter.record("A", "b")
    await client.aclose()
    assert [entry.idempotency_key for entry in outbox.waiting()] == [key]
    with pytest.raises(ConfigurationError):
        await meter.record("A", "b")


async def test_a_full_meter_lets_the_task_wait() -> None:
    client = FakeAsyncCredits(balance=100)
    async with client.meter(most_waiting=1) as meter:
        await asyncio.gather(*(meter.record("A", "b") for _ in range(50)))
    assert client.ledger.spent == 50
