"""A spend that a limit parks: people see it by itself, and the refusal stays what the caller gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
import respx

from tallybase import ApprovalRequired, AsyncCredits, Consumption, Credits, LimitExceeded, consumes_credits
from tests.sdk.conftest import AGENT_KEY, QUICK, URL, receipt_body

APPROVAL_ID = "00000000-0001-8abc-8def-0123456789ab"
LIMIT_ID = str(uuid4())


def refusal(approval_id: str = APPROVAL_ID) -> httpx.Response:
    details = {
        "limit_id": LIMIT_ID,
        "subject_type": "department",
        "limit": 10,
        "used": 10,
        "required": 5,
        "remaining": 0,
        "approval_id": approval_id,
    }
    body = {"code": "PT402", "message": "approval_required", "details": json.dumps(details), "hint": None}
    return httpx.Response(402, json=body)


def approval_body(**fields: Any) -> dict[str, Any]:
    return {
        "id": APPROVAL_ID,
        "organization_id": str(uuid4()),
        "limit_id": LIMIT_ID,
        "status": "pending",
        "required": 5,
        "window_start": "2026-11-01T00:00:00+00:00",
        "created_at": "2026-11-23T00:00:00+00:00",
    } | fields


@pytest.fixture
def asked(server: respx.MockRouter) -> respx.Route:
    """The route by which an approval is asked for, on a server that parks every spend."""
    server.post("/consume_credits").mock(side_effect=lambda _: refusal())
    return server.post("/request_approval").respond(json=approval_body())


def bodies(route: respx.Route) -> list[dict[str, Any]]:
    return [json.loads(call.request.content) for call in route.calls]


@pytest.mark.parametrize("combine", [True, False])
def test_a_parked_spend_asks_for_its_approval_with_the_same_arguments(
    server: respx.MockRouter, asked: respx.Route, combine: bool
) -> None:
    with (
        Credits(URL, "sb_publishable_x", agent_key=AGENT_KEY, combine=combine) as client,
        pytest.raises(ApprovalRequired) as refused,
    ):
        client.consume("QAAgent", "answer_question", quantities={"call": 2}, run_id="r", metadata={"a": 1})
    assert refused.value.approval_id == APPROVAL_ID
    (spend,) = bodies(server.post("/consume_credits"))
    assert bodies(asked) == [spend]
    assert spend["idempotency_key"] == refused.value.idempotency_key


async def test_an_async_client_asks_too(asked: respx.Route) -> None:
    async with AsyncCredits(URL, "sb_publishable_x", agent_key=AGENT_KEY) as client:
        with pytest.raises(ApprovalRequired):
            await client.consume("QAAgent", "answer_question")
    assert asked.call_count == 1


def test_it_asks_once_for_each_approval(
    client: Credits, server: respx.MockRouter, asked: respx.Route
) -> None:
    for _ in range(3):
        with pytest.raises(ApprovalRequired):
            client.consume("A", "b", idempotency_key="k")
    assert asked.call_count == 1
    server.post("/consume_credits").mock(side_effect=lambda _: refusal(str(uuid4())))
    for _ in range(2):
        with pytest.raises(ApprovalRequired):
            client.consume("A", "b", idempotency_key="k")
    assert asked.call_count == 3


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("no route"), httpx.Response(500), httpx.Response(403)]
)
def test_a_failure_to_ask_never_hides_the_refusal(
    client: Credits, asked: respx.Route, failure: Exception | httpx.Response
) -> None:
    asked.mock(side_effect=[failure] * 9)
    with pytest.raises(ApprovalRequired) as refused:
        client.consume("A", "b")
    assert refused.value.approval_id == APPROVAL_ID


def test_what_could_not_be_asked_is_asked_again_next_time(client: Credits, asked: respx.Route) -> None:
    answers = [httpx.Response(500)] * QUICK.max_attempts + [httpx.Response(200, json=approval_body())]
    asked.mock(side_effect=answers)
    for _ in range(3):
        with pytest.raises(ApprovalRequired):
            client.consume("A", "b")
    assert asked.call_count == QUICK.max_attempts + 1


def test_switched_off_it_asks_for_nothing(asked: respx.Route) -> None:
    with (
        Credits(URL, "sb_publishable_x", agent_key=AGENT_KEY, request_approvals=False) as client,
        pytest.raises(ApprovalRequired),
    ):
        client.consume("A", "b")
    assert not asked.called


def test_another_refusal_asks_for_nothing(client: Credits, server: respx.MockRouter) -> None:
    asked = server.post("/request_approval").respond(json=approval_body())
    limit = {"message": "limit_exceeded", "details": json.dumps({"approval_id": APPROVAL_ID})}
    server.post("/consume_credits").respond(402, json=limit)
    with pytest.raises(LimitExceeded):
        client.consume("A", "b")
    assert not asked.called


@pytest.mark.parametrize("atomic", [True, False])
def test_a_batch_asks_for_the_event_that_was_parked(
    client: Credits, server: respx.MockRouter, atomic: bool
) -> None:
    asked = server.post("/request_approval").respond(json=approval_body())
    error = {"status": 402, "message": "approval_required", "details": {"approval_id": APPROVAL_ID}}
    rows = [
        {"index": 0, "ok": True, "receipt": receipt_body(), "error": None},
        {"index": 1, "ok": False, "receipt": None, "error": error},
    ]
    details = json.dumps({"approval_id": APPROVAL_ID, "index": 1})
    whole = httpx.Response(402, json={"message": "approval_required", "details": details})
    batch = server.post("/consume_credits_batch").mock(
        return_value=whole if atomic else httpx.Response(200, json=rows)
    )
    events = [Consumption("A", "first"), Consumption("A", "second", run_id="r")]
    if atomic:
        with pytest.raises(ApprovalRequired):
            client.consume_many(events, organization_id="o")
    else:
        refused = client.consume_many(events, organization_id="o", atomic=False)[1]
        assert isinstance(refused.error, ApprovalRequired)
    (sent,) = bodies(batch)
    assert bodies(asked) == [{**sent["events"][1], "organization_id": "o"}]


def parking_check(server: respx.MockRouter) -> None:
    limit = {"subject_type": "department", "limit": 10, "used": 10, "required": 5, "remaining": 0}
    server.post("/check_credits").respond(
        json={"allowed": False, "amount": 5, "available": 9, "reason": "approval_required", "limit": limit}
    )


def metered(client: Credits, done: list[str]) -> Callable[[], dict[str, int]]:
    @consumes_credits(
        "QAAgent",
        "answer_question",
        credits=client,
        quantities_from_result=lambda used: used,
        estimate={"t": 9},
    )
    def answer() -> dict[str, int]:
        done.append("worked")
        return {"t": 7}

    return answer


def test_metered_work_is_stopped_before_it_begins_and_its_approval_asked_for(
    client: Credits, server: respx.MockRouter, asked: respx.Route
) -> None:
    parking_check(server)
    done: list[str] = []
    with client.run(run_id="run-1"), pytest.raises(ApprovalRequired) as refused:
        metered(client, done)()
    assert refused.value.approval_id == APPROVAL_ID
    assert not done
    (request,) = bodies(asked)
    assert (request["quantities"], request["run_id"]) == ({"t": 9}, "run-1")


def test_metered_work_that_was_approved_begins(client: Credits, server: respx.MockRouter) -> None:
    parking_check(server)
    server.post("/request_approval").respond(
        409, json={"message": "conflict", "details": '{"what": "approval"}'}
    )
    spend = server.post("/consume_credits").respond(json=receipt_body())
    done: list[str] = []
    with client.run(run_id="run-1"):
        metered(client, done)()
    assert done == ["worked"]
    assert bodies(spend)[0]["quantities"] == {"t": 7}


def test_metered_work_does_not_begin_when_its_approval_cannot_be_asked_for(
    client: Credits, server: respx.MockRouter
) -> None:
    parking_check(server)
    server.post("/request_approval").respond(503)
    done: list[str] = []
    with pytest.raises(ApprovalRequired):
        metered(client, done)()
    assert not done


async def test_async_metered_work_is_stopped_and_asked_for(
    server: respx.MockRouter, asked: respx.Route
) -> None:
    parking_check(server)
    async with AsyncCredits(URL, "sb_publishable_x", agent_key=AGENT_KEY, retry=QUICK) as client:

        @consumes_credits("A", "b", credits=client, quantities_from_result=lambda used: used)
        async def work() -> dict[str, int]:
            raise AssertionError("the work must not begin")

        with pytest.raises(ApprovalRequired) as refused:
            await work()
    assert refused.value.approval_id == APPROVAL_ID
    assert asked.call_count == 1
