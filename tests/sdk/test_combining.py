"""Concurrent spends travel together, and every caller still has its own receipt or refusal."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import uuid4

import pytest

from tallybase import InsufficientCredits, InvalidArgument, Receipt, TallybaseError
from tallybase._combine import MAX_COMBINED, AsyncCombiner, Combiner, Event
from tallybase._wire import Reply, Request, Response, TransportFailure
from tallybase.client import Credits
from tallybase.testing import FakeAsyncCredits, FakeCredits, FakeLedger
from tallybase.testing.clients import FakeTransport
from tests.sdk.conftest import CUT_OFF, wait_until

WAIT = 10.0


class Gate(FakeTransport):
    """A transport that keeps the first request waiting until it is let go, so that others queue up."""

    def __init__(self, ledger: FakeLedger) -> None:
        super().__init__(ledger)
        self.arrived = threading.Event()
        self.opened = threading.Event()
        self._lock = threading.Lock()
        self._first = True

    def send(self, request: Request, time_limit: float) -> Response:
        with self._lock:
            first, self._first = self._first, False
        if first:
            self.arrived.set()
            assert self.opened.wait(WAIT)
        return super().send(request, time_limit)


def spend_behind(
    gate: Gate, client: Credits, spends: list[Callable[[], Receipt]]
) -> list[Receipt | TallybaseError]:
    """Start one spend, let the others queue up behind it, let it go; return what the others got."""

    def outcome(spend: Callable[[], Receipt]) -> Receipt | TallybaseError:
        try:
            return spend()
        except TallybaseError as error:
            return error

    with ThreadPoolExecutor(len(spends) + 1) as pool:
        first = pool.submit(client.consume, "A", "first")
        assert gate.arrived.wait(WAIT)
        others = [pool.submit(outcome, spend) for spend in spends]
        lane = client._combiner._lanes[None] if client._combiner else None
        assert lane is not None
        wait_until(lambda: len(lane._waiting) == len(spends))
        gate.opened.set()
        first.result(WAIT)
        return [other.result(WAIT) for other in others]


@pytest.fixture
def gated() -> tuple[Gate, Credits, FakeLedger]:
    """A client behind a gate, and its ledger with 10 credits."""
    ledger = FakeLedger(balance=10)
    gate = Gate(ledger)
    return gate, Credits("https://x.test", "sb_publishable_x", transport=gate, sleep=lambda _: None), ledger


def test_spends_that_wait_leave_as_one_batch(gated: tuple[Gate, Credits, FakeLedger]) -> None:
    gate, client, ledger = gated
    receipts = spend_behind(gate, client, [lambda: client.consume("A", "b", amount=Decimal("0.5"))] * 8)
    assert ledger.requests == ["consume_credits", "consume_credits_batch"]
    assert all(isinstance(receipt, Receipt) and receipt.amount == Decimal("0.5") for receipt in receipts)
    assert len({receipt.transaction_id for receipt in receipts if isinstance(receipt, Receipt)}) == 8
    assert ledger.balance == 5


def test_a_refused_spend_does_not_take_the_others_down(gated: tuple[Gate, Credits, FakeLedger]) -> None:
    gate, client, ledger = gated
    dear, unknown, fair = spend_behind(
        gate,
        client,
        [
            lambda: client.consume("A", "b", amount=1000),
            lambda: client.consume("A", "b", quantities={"tokens": 1}),
            lambda: client.consume("A", "b", amount=2),
        ],
    )
    assert isinstance(dear, InsufficientCredits)
    assert isinstance(unknown, InvalidArgument)
    assert isinstance(fair, Receipt)
    assert ledger.balance == 7


def test_a_batch_that_is_refused_as_a_whole_is_sent_one_by_one(
    gated: tuple[Gate, Credits, FakeLedger],
) -> None:
    gate, client, ledger = gated
    stranger = str(uuid4())
    answer = ledger.answer

    def without_batches(function: str, arguments: Event) -> tuple[int, object]:
        if function == "consume_credits_batch":
            ledger.requests.append(function)
            return 400, {"code": "22P05", "message": "unsupported Unicode escape sequence"}
        return answer(function, arguments)

    ledger.answer = without_batches  # type: ignore[method-assign]
    receipts = spend_behind(gate, client, [lambda: client.consume("A", stranger)] * 3)
    assert all(isinstance(receipt, Receipt) for receipt in receipts)
    assert ledger.requests == ["consume_credits", "consume_credits_batch", *["consume_credits"] * 3]


def test_a_lost_batch_is_repeated_with_the_same_keys(gated: tuple[Gate, Credits, FakeLedger]) -> None:
    gate, client, ledger = gated
    answer = ledger.answer

    def losing(function: str, arguments: Event) -> tuple[int, object]:
        if function == "consume_credits_batch" and ledger.requests == ["consume_credits"]:
            ledger.lose_answers(1)
        return answer(function, arguments)

    ledger.answer = losing  # type: ignore[method-assign]
    receipts = spend_behind(gate, client, [lambda: client.consume("A", "b")] * 4)
    assert all(isinstance(receipt, Receipt) and receipt.replayed for receipt in receipts)
    assert ledger.spent == 5


def test_a_busy_batch_is_busy_for_each_of_its_callers(gated: tuple[Gate, Credits, FakeLedger]) -> None:
    gate, client, ledger = gated
    answer = ledger.answer

    def busy_once(function: str, arguments: Event) -> tuple[int, object]:
        if ledger.requests == ["consume_credits"]:
            ledger.requests.append("busy")
            return 503, {"code": "PT503", "message": "busy", "details": "", "hint": ""}
        return answer(function, arguments)

    ledger.answer = busy_once  # type: ignore[method-assign]
    receipts = spend_behind(gate, client, [lambda: client.consume("A", "b")] * 3)
    assert all(isinstance(receipt, Receipt) and not receipt.replayed for receipt in receipts)
    assert ledger.spent == 4


def test_callers_of_two_organizations_do_not_meet() -> None:
    sent: list[tuple[str, Event]] = []
    released = threading.Event()
    arrived = threading.Barrier(3)

    def send(function: str, arguments: Event, time_limit: float) -> Reply:
        sent.append((function, arguments))
        arrived.wait(WAIT)
        assert released.wait(WAIT)
        return Reply(200, {})

    combiner = Combiner(send)
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(combiner.submit, {"organization_id": name}, WAIT) for name in ("one", "two")]
        arrived.wait(WAIT)  # both are in flight at once
        released.set()
        assert all(future.result(WAIT).status == 200 for future in futures)  # type: ignore[union-attr]
    assert {function for function, _ in sent} == {"consume_credits"}


def test_a_batch_is_never_larger_than_allowed() -> None:
    sizes: list[int] = []
    arrived, opened = threading.Event(), threading.Event()

    def send(function: str, arguments: Event, time_limit: float) -> Reply:
        events = arguments.get("events", [None])
        assert isinstance(events, list)
        sizes.append(len(events))
        arrived.set()
        assert opened.wait(WAIT)
        return Reply(200, [{"index": i, "ok": True, "receipt": {}} for i in range(len(events))])

    combiner = Combiner(send)
    count = MAX_COMBINED + 20
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(combiner.submit, {}, WAIT)]
        assert arrived.wait(WAIT)
        futures += [pool.submit(combiner.submit, {}, WAIT) for _ in range(count - 1)]
        wait_until(lambda: len(combiner._lanes[None]._waiting) == count - 1)
        opened.set()
        assert all(isinstance(future.result(WAIT), Reply) for future in futures)
    assert sizes == [1, MAX_COMBINED, 19]


@pytest.mark.parametrize("status", [400, 503])
def test_a_batch_that_the_server_failed_at_is_not_sent_one_by_one(status: int) -> None:
    functions: list[str] = []
    arrived, opened = threading.Event(), threading.Event()

    def send(function: str, arguments: Event, time_limit: float) -> Reply:
        functions.append(function)
        arrived.set()
        assert opened.wait(WAIT)
        return Reply(status, CUT_OFF)

    combiner = Combiner(send)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(combiner.submit, {}, WAIT)]
        assert arrived.wait(WAIT)
        futures += [pool.submit(combiner.submit, {}, WAIT) for _ in range(3)]
        wait_until(lambda: len(combiner._lanes[None]._waiting) == 3)
        opened.set()
        answers = [future.result(WAIT) for future in futures]
    assert functions == ["consume_credits", "consume_credits_batch"]
    assert all(isinstance(answer, Reply) and answer.status == status for answer in answers)


def test_a_caller_that_breaks_off_leaves_the_lane_working() -> None:
    calls: list[str] = []

    def send(function: str, arguments: Event, time_limit: float) -> Reply:
        calls.append(function)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return Reply(200, {})

    combiner = Combiner(send)
    with pytest.raises(KeyboardInterrupt):
        combiner.submit({}, WAIT)
    assert combiner.submit({}, WAIT) == Reply(200, {})


def test_a_caller_waits_no_longer_than_its_time_limit() -> None:
    opened, arrived = threading.Event(), threading.Event()

    def send(function: str, arguments: Event, time_limit: float) -> Reply:
        arrived.set()
        assert opened.wait(WAIT)
        return Reply(200, {})

    combiner = Combiner(send)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(combiner.submit, {}, WAIT)
        assert arrived.wait(WAIT)
        assert isinstance(combiner.submit({}, 0.01), TransportFailure)
        opened.set()
        assert first.result(WAIT) == Reply(200, {})
    assert combiner.submit({}, WAIT) == Reply(200, {})


def test_a_request_has_the_time_of_its_most_patient_caller() -> None:
    limits: list[float] = []
    arrived, opened = threading.Event(), threading.Event()

    def send(function: str, arguments: Event, time_limit: float) -> Reply:
        limits.append(time_limit)
        arrived.set()
        assert opened.wait(WAIT)
        events = arguments.get("events", [None])
        assert isinstance(events, list)
        return Reply(200, [{"index": i, "ok": True, "receipt": {}} for i in range(len(events))])

    combiner = Combiner(send)
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(combiner.submit, {}, 1.0)]
        assert arrived.wait(WAIT)
        futures.append(pool.submit(combiner.submit, {}, 2.0))
        wait_until(lambda: len(combiner._lanes[None]._waiting) == 1)
        futures.append(pool.submit(combiner.submit, {}, 3.0))
        wait_until(lambda: len(combiner._lanes[None]._waiting) == 2)
        opened.set()
        assert all(isinstance(future.result(WAIT), Reply) for future in futures)
    assert limits == [1.0, 3.0]


async def test_an_async_caller_does_not_wait_for_ever() -> None:
    async def send(function: str, arguments: Event, time_limit: float) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    combiner = AsyncCombiner(send)
    assert isinstance(await combiner.submit({}, 0.01), TransportFailure)
    for flight in combiner._flights.values():
        flight.cancel()
    await combiner.aclose()


async def test_async_spends_that_wait_leave_as_one_batch() -> None:
    client = FakeAsyncCredits(balance=100)
    receipts = await asyncio.gather(*(client.consume("A", "b") for _ in range(50)))
    assert len({receipt.transaction_id for receipt in receipts}) == 50
    assert client.ledger.balance == 50
    assert len(client.ledger.requests) < 10
    await client.aclose()


async def test_a_cancelled_task_does_not_take_the_others_down() -> None:
    arrived, opened = asyncio.Event(), asyncio.Event()
    sizes: list[int] = []

    async def send(function: str, arguments: Event, time_limit: float) -> Reply:
        events = arguments.get("events", [None])
        assert isinstance(events, list)
        sizes.append(len(events))
        arrived.set()
        await opened.wait()
        return Reply(200, [{"index": i, "ok": True, "receipt": {}} for i in range(len(events))])

    combiner = AsyncCombiner(send)
    leader = asyncio.create_task(combiner.submit({}, WAIT))
    await arrived.wait()
    waiting = [asyncio.create_task(combiner.submit({}, WAIT)) for _ in range(4)]
    await asyncio.sleep(0)
    leader.cancel()
    waiting[0].cancel()
    await asyncio.sleep(0)
    opened.set()
    answers = await asyncio.gather(*waiting[1:])
    assert all(isinstance(answer, Reply) for answer in answers)
    assert sizes == [1, 3]


def test_combining_can_be_turned_off() -> None:
    client = FakeCredits(balance=100, combine=False)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.consume("A", "b"), range(20)))
    assert client.ledger.requests == ["consume_credits"] * 20
