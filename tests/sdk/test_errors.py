"""The error table of the API, as exceptions; and their texts, which a person must be able to act on."""

from __future__ import annotations

import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
import respx

import tallybase
from tallybase import Credits, InsufficientCredits, LimitExceeded, TallybaseError
from tests.sdk.conftest import receipt_body

SHORTAGE = {
    "required": 25,
    "available": 4.5,
    "shortfall": 20.5,
    "balance": 10,
    "held": 5.5,
    "topup_url": "https://t.test/",
}
CAP = {
    "limit_id": "11111111-1111-4111-8111-111111111111",
    "subject_type": "department",
    "subject_id": "d",
    "limit": 100,
    "used": 90,
    "required": 25,
    "remaining": 10,
    "resets_at": "2026-12-01T00:00:00+00:00",
}
TABLE: list[tuple[int, str, dict[str, Any] | None, type[TallybaseError]]] = [
    (401, "agent_key_invalid", None, tallybase.AgentKeyInvalid),
    (402, "insufficient_credits", SHORTAGE, tallybase.InsufficientCredits),
    (402, "limit_exceeded", CAP, tallybase.LimitExceeded),
    (402, "approval_required", CAP | {"approval_id": "a"}, tallybase.ApprovalRequired),
    (402, "billing_restricted", {"reason": "past_due"}, tallybase.BillingRestricted),
    (403, "not_authorized", None, tallybase.NotAuthorized),
    (404, "not_found", {"what": "organization"}, tallybase.NotFound),
    (409, "idempotency_conflict", {"transaction_id": "t"}, tallybase.IdempotencyConflict),
    (413, "metadata_too_large", {"max_bytes": 8192}, tallybase.MetadataTooLarge),
    (422, "unknown_action", {"argument": "action"}, tallybase.UnknownAction),
    (422, "invalid_amount", {"argument": "amount"}, tallybase.InvalidAmount),
    (422, "invalid_argument", {"argument": "run_id"}, tallybase.InvalidArgument),
]


def body(status: int, slug: str, details: dict[str, Any] | None, hint: str = "") -> dict[str, Any]:
    """The body of a refusal, as PostgREST writes it."""
    return {
        "code": f"PT{status}",
        "message": slug,
        "details": json.dumps(details) if details else "",
        "hint": hint,
    }


@pytest.mark.parametrize(("status", "slug", "details", "kind"), TABLE)
def test_every_slug_is_an_exception_of_its_own_and_is_not_retried(
    client: Credits,
    server: respx.MockRouter,
    status: int,
    slug: str,
    details: dict[str, Any] | None,
    kind: type[TallybaseError],
) -> None:
    route = server.post("/consume_credits").respond(status, json=body(status, slug, details))
    server.post("/request_approval").respond(403)
    with pytest.raises(TallybaseError) as caught:
        client.consume("A", "b", idempotency_key="k")
    assert type(caught.value) is kind
    assert caught.value.slug == slug
    assert caught.value.status == status
    assert caught.value.idempotency_key == "k"
    assert route.call_count == 1


def test_a_shortage_says_how_much_is_missing_and_where_to_buy(
    client: Credits, server: respx.MockRouter
) -> None:
    server.post("/consume_credits").respond(402, json=body(402, "insufficient_credits", SHORTAGE))
    with pytest.raises(InsufficientCredits) as caught:
        client.consume("A", "b")
    error = caught.value
    assert (error.required, error.available, error.shortfall) == (
        Decimal(25),
        Decimal("4.5"),
        Decimal("20.5"),
    )
    assert (error.balance, error.held, error.topup_url) == (Decimal(10), Decimal("5.5"), "https://t.test/")
    assert "25 needed, 4.5 available, 20.5 missing" in str(error)
    assert "https://t.test/" in str(error)


def test_a_limit_says_which_one_and_when_it_ends(client: Credits, server: respx.MockRouter) -> None:
    server.post("/consume_credits").respond(402, json=body(402, "limit_exceeded", CAP))
    with pytest.raises(LimitExceeded) as caught:
        client.consume("A", "b")
    error = caught.value
    assert [error.limit, error.used, error.required, error.remaining] == [100, 90, 25, 10]
    assert error.resets_at is not None
    assert error.resets_at.isoformat() == "2026-12-01T00:00:00+00:00"
    assert "100 credits on this department" in str(error)
    assert "2026-12-01" in str(error)


def test_a_hint_of_the_server_is_passed_on(client: Credits, server: respx.MockRouter) -> None:
    refused = body(422, "invalid_argument", {"argument": "organization_id"}, "name one of your organizations")
    server.post("/consume_credits").respond(422, json=refused)
    with pytest.raises(tallybase.InvalidArgument, match="organization_id: name one of your organizations"):
        client.consume("A", "b")


@pytest.mark.parametrize("status", [300, 405, 418, 402, 409])
def test_an_unknown_refusal_stops_the_caller_too(
    client: Credits, server: respx.MockRouter, status: int
) -> None:
    server.post("/consume_credits").respond(status, json={"code": "X", "message": "something_new"})
    with pytest.raises(TallybaseError) as caught:
        client.consume("A", "b")
    assert caught.value.slug == "something_new"
    assert caught.value.status == status


def test_details_of_another_shape_still_stop_the_caller(client: Credits, server: respx.MockRouter) -> None:
    server.post("/consume_credits").respond(402, json=body(402, "insufficient_credits", {"required": "many"}))
    with pytest.raises(tallybase.UnexpectedAnswer):
        client.consume("A", "b")


def test_errors_survive_pickling_as_task_queues_do_it() -> None:
    error = InsufficientCredits(status=402, details=SHORTAGE)
    error.idempotency_key = "k"
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert (copy.shortfall, copy.topup_url, copy.idempotency_key) == (error.shortfall, error.topup_url, "k")


def test_each_event_of_a_batch_has_its_own_receipt_or_refusal(
    client: Credits, server: respx.MockRouter
) -> None:
    refusal = {"status": 402, "message": "insufficient_credits", "details": SHORTAGE, "hint": None}
    rows = [
        {"index": 1, "ok": False, "receipt": None, "error": refusal},
        {"index": 0, "ok": True, "receipt": receipt_body(amount=7), "error": None},
    ]
    server.post("/consume_credits_batch").respond(json=rows)
    first, second = client.consume_many([tallybase.Consumption("A", "b")] * 2, atomic=False)
    assert first.unwrap().amount == 7
    assert isinstance(second.error, InsufficientCredits)
    assert second.error.shortfall == Decimal("20.5")
    with pytest.raises(InsufficientCredits):
        second.unwrap()
