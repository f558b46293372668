"""`consumes_credits`: the charge comes first, a refusal stops the work, a restart does not charge twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest

from tallybase import (
    BaseCrew,
    ConfigurationError,
    CreditsUnavailable,
    IdempotencyConflict,
    InsufficientCredits,
    configure,
    consumes_credits,
)
from tallybase.testing import FakeAsyncCredits, FakeCredits, FakeLedger, Prices

PRICES: Prices = {
    ("Painter", "paint"): 5,
    ("Writer", "write"): {"call": 1, "words": Decimal("0.5")},
    ("Writer", "named"): None,
}


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger(balance=10, prices=PRICES)


@pytest.fixture
def client(ledger: FakeLedger) -> FakeCredits:
    return FakeCredits(ledger=ledger)


@pytest.fixture
def async_client(ledger: FakeLedger) -> FakeAsyncCredits:
    return FakeAsyncCredits(ledger=ledger)


def test_a_function_is_charged_before_it_runs_and_a_refusal_stops_it(
    client: FakeCredits, ledger: FakeLedger
) -> None:
    seen: list[Decimal] = []

    @consumes_credits("Painter", "paint", credits=client)
    def paint(colour: str) -> str:
        """Paint."""
        seen.append(ledger.balance)
        return colour

    assert [paint("red"), paint(colour="blue")] == ["red", "blue"]
    with pytest.raises(InsufficientCredits):
        paint("green")
    assert seen == [5, 0]
    assert (paint.__name__, paint.__doc__) == ("paint", "Paint.")


async def test_a_coroutine_is_charged_alike(async_client: FakeAsyncCredits, ledger: FakeLedger) -> None:
    seen: list[Decimal] = []

    @consumes_credits("Painter", "paint", credits=async_client)
    async def paint() -> None:
        seen.append(ledger.balance)

    await asyncio.gather(paint(), paint())
    with pytest.raises(InsufficientCredits):
        await paint()
    assert len(seen) == 2
    assert ledger.balance == 0


async def test_a_coroutine_can_use_a_sync_client_without_blocking(client: FakeCredits) -> None:
    @consumes_credits("Painter", "paint", credits=client)
    async def paint() -> str:
        return "done"

    with client.run(run_id="r"):
        assert await paint() == "done"
    assert client.ledger.spends[0].run_id == "r"


def test_a_sync_function_with_an_async_client_does_not_run(async_client: FakeAsyncCredits) -> None:
    @consumes_credits("Painter", "paint", credits=async_client)
    def paint() -> None:
        raise AssertionError("the work was done without a charge")

    with pytest.raises(ConfigurationError):
        paint()


class Writer(BaseCrew):
    """Writes words and pays for each."""

    written = 0

    @consumes_credits(quantities=lambda self, words: {"words": words})
    def write(self, words: int) -> str:
        self.written += words
        return "word " * words

    @consumes_credits(action="named", amount=lambda self, worth: worth)
    def deliver(self, worth: Decimal) -> Decimal:
        return worth


def test_a_method_finds_client_and_agent_type_in_its_object(client: FakeCredits) -> None:
    writer = Writer(client)
    writer.write(8)
    writer.deliver(Decimal("1.25"))
    assert [(spend.agent_type, spend.action, spend.amount) for spend in client.ledger.spends] == [
        ("Writer", "write", Decimal(5)),
        ("Writer", "named", Decimal("1.25")),
    ]
    with pytest.raises(InsufficientCredits):
        writer.write(100)
    assert writer.written == 8


def test_the_client_of_the_run_and_then_the_default_are_used(client: FakeCredits) -> None:
    @consumes_credits("Painter", "paint")
    def paint() -> None: ...

    with pytest.raises(ConfigurationError, match="No client"):
        paint()
    with client.run():
        paint()
    configure(client)
    try:
        paint()
    finally:
        configure(None)
    assert len(client.ledger.spends) == 2


def test_a_restarted_run_is_not_charged_twice(client: FakeCredits) -> None:
    done: list[str] = []

    @consumes_credits("Painter", "paint", credits=client)
    def paint(colour: str) -> None:
        done.append(colour)

    with client.run(run_id="poster"):
        paint("red")
    with client.run(run_id="poster"):
        paint("red")
        paint("blue")
    assert done == ["red", "red", "blue"]
    assert client.ledger.spent == 10


def test_named_steps_keep_their_key_when_the_order_changes(client: FakeCredits) -> None:
    @consumes_credits("Writer", "write", credits=client, step=str, quantities=lambda words: {"words": words})
    def write(words: int) -> None: ...

    for order in ((1, 2, 3), (3, 1, 2)):
        with client.run(run_id="book"):
            for words in order:
                write(words)
    assert client.ledger.spent == 6


def test_without_a_run_every_call_is_a_spend_of_its_own(client: FakeCredits) -> None:
    @consumes_credits("Painter", "paint", credits=client)
    def paint() -> None: ...

    paint()
    paint()
    assert len({spend.idempotency_key for spend in client.ledger.spends}) == 2


def test_when_the_server_cannot_be_reached_the_work_is_not_done(client: FakeCredits) -> None:
    @consumes_credits("Painter", "paint", credits=client)
    def paint() -> None:
        raise AssertionError("the work was done without a charge")

    client.ledger.available = False
    with pytest.raises(CreditsUnavailable):
        paint()


def words_in(text: str) -> dict[str, int]:
    return {"words": len(text.split())}


def test_what_was_used_is_charged_afterwards(client: FakeCredits) -> None:
    @consumes_credits(
        "Writer", "write", credits=client, quantities_from_result=words_in, estimate={"words": 18}
    )
    def write(text: str) -> str:
        return text

    write("one two three four")
    assert client.ledger.spends[0].amount == 3
    with pytest.raises(InsufficientCredits):
        write("the estimate of ten is checked before and refused")
    assert len(client.ledger.spends) == 1


async def test_what_was_used_is_charged_afterwards_in_coroutines_too(async_client: FakeAsyncCredits) -> None:
    @consumes_credits("Writer", "write", credits=async_client, quantities_from_result=words_in)
    async def write(text: str) -> str:
        return text

    await write("one two")
    assert async_client.ledger.spends[0].amount == 2


def test_a_result_that_does_not_say_is_charged_the_estimate_and_marked(client: FakeCredits) -> None:
    @consumes_credits(
        "Writer", "write", credits=client, quantities_from_result=lambda _: None, estimate={"words": 4}
    )
    def write() -> str:
        return ""

    write()
    assert client.ledger.spends[0].amount == 3
    assert client.ledger.spends[0].metadata == {"settled": "estimate"}


def test_work_that_fails_is_charged_the_estimate_and_marked_and_its_error_is_raised(
    client: FakeCredits,
) -> None:
    @consumes_credits(
        "Writer",
        "write",
        credits=client,
        quantities_from_result=words_in,
        estimate={"words": 4},
        metadata={"a": 1},
    )
    def write() -> str:
        raise RuntimeError("provider failed")

    with pytest.raises(RuntimeError, match="provider failed"):
        write()
    assert client.ledger.spends[0].metadata == {"a": 1, "settled": "estimate", "outcome": "error"}


def test_work_that_fails_without_an_estimate_costs_nothing(client: FakeCredits) -> None:
    @consumes_credits("Writer", "write", credits=client, quantities_from_result=words_in)
    def write() -> str:
        raise RuntimeError("provider failed")

    with pytest.raises(RuntimeError):
        write()
    assert client.ledger.spends == []


def test_a_failure_to_settle_failed_work_does_not_hide_its_error(client: FakeCredits) -> None:
    @consumes_credits(
        "Writer", "write", credits=client, quantities_from_result=words_in, estimate={"words": 4}
    )
    def write() -> str:
        client.ledger.available = False
        raise RuntimeError("provider failed")

    with pytest.raises(RuntimeError, match="provider failed") as caught:
        write()
    assert "could not be charged" in caught.value.__notes__[0]


def test_a_repeated_step_that_used_another_quantity_stands_as_first_charged(
    client: FakeCredits, caplog: pytest.LogCaptureFixture
) -> None:
    texts = iter(["one two", "one two three four", "one two three"])

    @consumes_credits("Writer", "write", credits=client, quantities_from_result=words_in)
    def write() -> str:
        return next(texts)

    with client.run(run_id="r"):
        write()
    with client.run(run_id="r"), caplog.at_level(logging.WARNING, logger="tallybase"):
        assert write() == "one two three four"
    assert client.ledger.spent == 2
    assert "that charge stands" in caplog.text


def test_a_key_reused_for_other_arguments_stops_work_that_is_charged_before(client: FakeCredits) -> None:
    @consumes_credits("Writer", "write", credits=client, quantities=lambda words: {"words": words})
    def write(words: int) -> int:
        return words

    with client.run(run_id="r"):
        write(2)
    with client.run(run_id="r"), pytest.raises(IdempotencyConflict):
        write(3)


def test_a_key_of_ones_own_that_is_reused_for_another_quantity_is_an_error(client: FakeCredits) -> None:
    @consumes_credits(
        "Writer", "write", credits=client, quantities_from_result=words_in, idempotency_key=lambda _: "fixed"
    )
    def write(text: str) -> str:
        return text

    with client.run():
        write("one")
        with pytest.raises(IdempotencyConflict):
            write("one two")


def test_a_stream_is_charged_when_the_first_item_is_asked_for(client: FakeCredits) -> None:
    @consumes_credits("Painter", "paint", credits=client)
    def paint() -> Iterator[int]:
        yield from (1, 2, 3)

    stream = paint()
    assert client.ledger.spent == 0
    assert list(stream) == [1, 2, 3]
    assert client.ledger.spent == 5


def test_a_stream_that_is_left_is_charged_what_was_metered(client: FakeCredits) -> None:
    closed: list[bool] = []

    @consumes_credits("Writer", "write", credits=client, quantities_from_result=words_in)
    def write() -> Iterator[str]:
        try:
            yield from ("one two", "three four", "five six")
        finally:
            closed.append(True)

    for text in write():
        if text == "three four":
            break
    assert closed == [True]
    assert client.ledger.spends[0].quantities == {"words": 4}
    assert client.ledger.spends[0].metadata == {}


async def test_an_async_stream_that_breaks_is_charged_what_was_metered(
    async_client: FakeAsyncCredits,
) -> None:
    @consumes_credits(
        "Writer", "write", credits=async_client, quantities_from_result=words_in, estimate={"words": 9}
    )
    async def write() -> AsyncIterator[str]:
        yield "one two"
        yield "three"
        raise ConnectionError("cut off")

    received: list[str] = []
    stream = write()
    received += [await anext(stream), await anext(stream)]
    with pytest.raises(ConnectionError):
        await anext(stream)
    assert received == ["one two", "three"]
    assert async_client.ledger.spends[0].quantities == {"words": 3}
    assert async_client.ledger.spends[0].metadata == {"outcome": "error"}


async def test_an_async_stream_is_charged_before_by_default(async_client: FakeAsyncCredits) -> None:
    @consumes_credits("Painter", "paint", credits=async_client)
    async def paint() -> AsyncIterator[int]:
        yield 1

    assert [item async for item in paint()] == [1]
    assert [item async for item in paint()] == [1]
    with pytest.raises(InsufficientCredits):
        await anext(aiter(paint()))
    assert async_client.ledger.spent == 10
