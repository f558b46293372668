"""Retries: one key for all attempts, only where repeating helps, and never past the deadline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import RFC_4122

import httpx
import pytest
import respx

from tallybase import (
    AsyncCredits,
    Busy,
    Credits,
    CreditsUnavailable,
    InsufficientCredits,
    RateLimited,
    RetryPolicy,
)
from tallybase._calls import Call
from tallybase._keys import uuid7
from tallybase.testing import FakeCredits
from tests.sdk.conftest import AGENT_KEY, CUT_OFF, QUICK, URL, receipt_body

BUSY = {"code": "PT503", "message": "busy", "details": "", "hint": "Try again with the same idempotency key."}
OUTAGES: list[Callable[[], Any]] = [
    lambda: httpx.ConnectError("refused"),
    lambda: httpx.ReadTimeout("slow"),
    lambda: httpx.RemoteProtocolError("cut off"),
    lambda: httpx.Response(500, json={"code": "57014", "message": "canceling statement due to timeout"}),
    lambda: httpx.Response(400, json=CUT_OFF),
    lambda: httpx.Response(502, html="<h1>Bad gateway</h1>"),
    lambda: httpx.Response(503, json=BUSY),
    lambda: httpx.Response(429, json={"message": "rate_limited"}),
]


def keys(route: respx.Route) -> list[str]:
    """The idempotency keys of the requests."""
    return [json.loads(call.request.content)["idempotency_key"] for call in route.calls]


@pytest.mark.parametrize("outage", OUTAGES)
def test_every_attempt_of_a_spend_has_the_same_key(
    client: Credits, server: respx.MockRouter, outage: Callable[[], Any]
) -> None:
    answers = [outage(), outage(), httpx.Response(200, json=receipt_body())]
    route = server.post("/consume_credits").mock(side_effect=answers)
    client.consume("A", "b")
    assert route.call_count == 3
    assert len(set(keys(route))) == 1


async def test_the_async_client_retries_alike(server: respx.MockRouter) -> None:
    answers: list[httpx.Response | Exception] = [
        httpx.ConnectError("refused"),
        httpx.Response(503, json=BUSY),
        httpx.Response(200, json=receipt_body()),
    ]
    route = server.post("/consume_credits").mock(side_effect=answers)
    async with AsyncCredits(URL, "sb_publishable_x", agent_key=AGENT_KEY, retry=QUICK) as client:
        await client.consume("A", "b")
    assert len(keys(route)) == 3
    assert len(set(keys(route))) == 1


def test_a_lost_answer_is_replayed_and_charged_once() -> None:
    client = FakeCredits(balance=10)
    client.ledger.lose_answers(2)
    receipt = client.consume("A", "b", amount=4)
    assert receipt.replayed
    assert client.ledger.balance == 6
    assert client.ledger.requests == ["consume_credits"] * 3


def test_two_spends_have_two_keys_in_the_order_of_time(client: Credits, server: respx.MockRouter) -> None:
    route = server.post("/consume_credits").respond(json=receipt_body())
    for _ in range(50):
        client.consume("A", "b")
    assert len(set(keys(route))) == 50
    assert keys(route) == sorted(keys(route))
    assert all(key[14] == "7" for key in keys(route))


def test_keys_ascend_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    later = [uuid7() for _ in range(3)]
    assert [first, *later] == sorted([first, *later])
    assert all(key.version == 7 and key.variant == RFC_4122 for key in later)


def test_without_an_answer_the_caller_is_stopped_and_told_the_key(
    client: Credits, server: respx.MockRouter
) -> None:
    route = server.post("/consume_credits").mock(side_effect=httpx.ConnectError("refused"))
    with pytest.raises(CreditsUnavailable) as caught:
        client.consume("A", "b")
    assert route.call_count == QUICK.max_attempts
    assert caught.value.idempotency_key == keys(route)[0]


def test_busy_and_rate_limits_have_their_own_errors_at_the_end(
    client: Credits, server: respx.MockRouter
) -> None:
    server.post("/consume_credits").respond(503, json=BUSY)
    with pytest.raises(Busy):
        client.consume("A", "b")
    server.post("/consume_credits").respond(429, json=BUSY | {"code": "PT429"})
    with pytest.raises(Busy):  # the queue for the organization's lock was full
        client.consume("A", "b")
    server.post("/consume_credits").respond(429)
    with pytest.raises(RateLimited):
        client.consume("A", "b")


def test_the_server_says_how_long_to_wait(server: respx.MockRouter) -> None:
    waits: list[float] = []
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    answers = [
        httpx.Response(429, headers={"Retry-After": "3"}),
        httpx.Response(503, headers={"Retry-After": later}),
        httpx.Response(200, json=receipt_body()),
    ]
    server.post("/consume_credits").mock(side_effect=answers)
    policy = RetryPolicy(deadline=60, first_delay=0.01)
    with Credits(URL, "sb_publishable_x", retry=policy, sleep=waits.append) as client:
        client.consume("A", "b")
    assert waits[0] == 3
    assert 7 < waits[1] <= 9


def test_a_wait_past_the_deadline_is_not_begun(server: respx.MockRouter) -> None:
    waits: list[float] = []
    route = server.post("/consume_credits").respond(429, headers={"Retry-After": "60"})
    policy = RetryPolicy(deadline=5)
    with (
        Credits(URL, "sb_publishable_x", retry=policy, sleep=waits.append) as client,
        pytest.raises(RateLimited),
    ):
        client.consume("A", "b")
    assert (waits, route.call_count) == ([], 1)


def test_waits_grow_are_spread_and_are_bounded() -> None:
    policy = RetryPolicy(first_delay=0.1, longest_delay=1.0)
    assert [policy.delay(attempt, 0.0) for attempt in (1, 2, 3, 9)] == [0.05, 0.1, 0.2, 0.5]
    assert policy.delay(3, 0.999) == pytest.approx(0.4, rel=0.01)


def test_what_cannot_be_repeated_is_repeated_only_when_the_server_did_nothing(
    client: Credits, server: respx.MockRouter
) -> None:
    call = Call("create_agent_key", {}, lambda payload: payload, replayable=False)
    lost = server.post("/create_agent_key").mock(side_effect=httpx.ReadTimeout("slow"))
    with pytest.raises(CreditsUnavailable):
        client.perform(call)
    assert lost.call_count == 1
    answers = [httpx.Response(503, json=BUSY), httpx.Response(200, json={"key": "k"})]
    busy = server.post("/create_agent_key").mock(side_effect=answers)
    assert client.perform(call) == {"key": "k"}
    assert busy.call_count == 3


def test_a_refusal_inside_a_combined_call_is_not_retried() -> None:
    client = FakeCredits(balance=0)
    with pytest.raises(InsufficientCredits):
        client.consume("A", "b", amount=1)
    assert client.ledger.requests == ["consume_credits"]
