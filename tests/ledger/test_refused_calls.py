"""Each row of the table of refused calls, reached over HTTP: status, slug, and the details' names and types.

docs/reference/refused-calls.md lists them; tests/docs keeps that list whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import StackUnderTest

from .api import Answer, LedgerApi
from .conftest import Story, day

#: A waiter is told `busy` when the lock was not had within 2 s; a loaded machine may be late to say so.
BUSY_SECONDS = (1.9, 6.0)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and UUID(value) is not None


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _is_instant_or_never(value: object) -> bool:
    return value is None or (isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None)


Details = Mapping[str, Callable[[object], bool]]
_LIMIT: Details = {
    "limit_id": _is_id,
    "subject_type": _is_text,
    "subject_id": _is_text,
    "limit": _is_number,
    "used": _is_number,
    "required": _is_number,
    "remaining": _is_number,
    "resets_at": _is_instant_or_never,
}


@dataclass(frozen=True)
class Case:
    """A way to be refused.

    Attributes:
        status: HTTP status.
        slug: the refusal's name.
        details: what its details say, each name with what its value must be; empty: there are none.
        reach: makes the call.
    """

    status: int
    slug: str
    details: Details
    reach: Callable[[Story], Answer]


def _spend(story: Story, amount: object = 5, **arguments: object) -> Answer:
    return story.consume(amount, **arguments)


def _limited(story: Story, mode: str, window: str) -> Answer:
    story.grant(100)
    story.api.call(
        "set_credit_limit",
        subject_type="organization",
        subject_id=story.organization_id,
        amount=3,
        window=window,
        mode=mode,
        organization_id=story.organization_id,
    ).accepted()
    return _spend(story)


def _consumption(story: Story) -> dict[str, Any]:
    story.grant(100)
    receipt: dict[str, Any] = _spend(story, idempotency_key="first").accepted()
    return receipt


def _hold(story: Story, key: str = "hold") -> str:
    story.grant(100)
    return str(_take(story, 5, key).accepted()["hold_id"])


def _take(story: Story, amount: object, key: str) -> Answer:
    return story.api.call(
        "hold_credits",
        agent_type="TestAgent",
        action="test",
        amount=amount,
        organization_id=story.organization_id,
        idempotency_key=key,
    )


def _captured(story: Story) -> Answer:
    hold_id = _hold(story)
    story.api.call("capture_hold", hold_id=hold_id).accepted()
    return story.api.call("release_hold", hold_id=hold_id)


def _released(story: Story) -> Answer:
    hold_id = _hold(story)
    story.api.call("release_hold", hold_id=hold_id).accepted()
    return story.api.call("capture_hold", hold_id=hold_id)


def _expired(story: Story) -> Answer:
    hold_id = _hold(story)
    story.go_to(day(1))
    return story.api.call("capture_hold", hold_id=hold_id)


def _other_spend(story: Story) -> Answer:
    _consumption(story)
    return _spend(story, 6, idempotency_key="first")


def _spend_with_a_captures_key(story: Story) -> Answer:
    story.api.call("capture_hold", hold_id=_hold(story), amount=5, idempotency_key="first").accepted()
    return _spend(story, 5, idempotency_key="first")


def _other_hold(story: Story) -> Answer:
    _hold(story)
    return _take(story, 6, "hold")


def _grant(story: Story, amount: object, reference: str) -> Answer:
    return story.api.call(
        "grant_credits",
        organization_id=story.organization_id,
        amount=amount,
        source="promotion",
        source_reference=reference,
    )


def _other_grant(story: Story) -> Answer:
    _grant(story, 5, "first").accepted()
    return _grant(story, 6, "first")


def _other_batch(story: Story) -> Answer:
    row = {"organization_id": story.organization_id, "source": "promotion"}
    key = f"batch-{uuid4()}"
    story.api.call("grant_credits_bulk", batch_key=key, grants=[{**row, "amount": 1}]).accepted()
    return story.api.call("grant_credits_bulk", batch_key=key, grants=[{**row, "amount": 2}])


def _refund(story: Story, amount: object, key: str = "refund") -> Answer:
    transaction_id = _consumption(story)["transaction_id"]
    return story.api.call(
        "refund_consumption",
        transaction_id=transaction_id,
        amount=amount,
        reason="customer",
        idempotency_key=key,
    )


def _nobody(story: Story) -> Answer:
    return story.api.call("capture_hold", hold_id=str(uuid4()))


def _two_departments(story: Story) -> Answer:
    department = {"organization_id": story.organization_id, "name": "Marketing"}
    story.api.call("create_department", **department).accepted()
    return story.api.call("create_department", **department)


def _priced(story: Story, **arguments: object) -> Answer:
    return story.api.call(
        "consume_credits",
        agent_type="QAAgent",
        action="answer_question",
        organization_id=story.organization_id,
        **arguments,
    )


CASES = {
    "too little": Case(
        402,
        "insufficient_credits",
        {
            "required": _is_number,
            "available": _is_number,
            "shortfall": _is_number,
            "balance": _is_number,
            "held": _is_number,
            "topup_url": _is_url,
        },
        _spend,
    ),
    "hard limit of a day": Case(402, "limit_exceeded", _LIMIT, lambda story: _limited(story, "hard", "day")),
    "hard limit for ever": Case(
        402, "limit_exceeded", _LIMIT, lambda story: _limited(story, "hard", "lifetime")
    ),
    "limit that asks": Case(
        402,
        "approval_required",
        {**_LIMIT, "approval_id": _is_id},
        lambda story: _limited(story, "ask", "month"),
    ),
    "hold that is not there": Case(404, "not_found", {"what": _is_text}, _nobody),
    "key of another spend": Case(409, "idempotency_conflict", {"transaction_id": _is_id}, _other_spend),
    "key of a capture": Case(
        409, "idempotency_conflict", {"transaction_id": _is_id}, _spend_with_a_captures_key
    ),
    "key of another hold": Case(409, "idempotency_conflict", {"hold_id": _is_id}, _other_hold),
    "reference of another grant": Case(409, "idempotency_conflict", {"grant_id": _is_id}, _other_grant),
    "key of another bulk grant": Case(409, "idempotency_conflict", {"batch_key": _is_text}, _other_batch),
    "captured": Case(409, "hold_captured", {"hold_id": _is_id, "transaction_id": _is_id}, _captured),
    "released": Case(409, "hold_released", {"hold_id": _is_id}, _released),
    "expired": Case(409, "hold_expired", {"hold_id": _is_id}, _expired),
    "refund of too much": Case(
        409,
        "refund_exceeds_consumption",
        {"transaction_id": _is_id, "consumed": _is_number, "refundable": _is_number},
        lambda story: _refund(story, 6),
    ),
    "name that is taken": Case(409, "conflict", {"argument": _is_text}, _two_departments),
    "too much metadata": Case(
        413,
        "metadata_too_large",
        {"max_bytes": _is_number},
        lambda story: _spend(story, metadata={"text": "x" * 9000}),
    ),
    "action without a price": Case(
        422,
        "unknown_action",
        {"argument": _is_text, "agent_type": _is_text, "action": _is_text},
        lambda story: story.api.call(
            "consume_credits", agent_type="QAAgent", action="sing", organization_id=story.organization_id
        ),
    ),
    "amount that is none": Case(
        422, "invalid_amount", {"argument": _is_text}, lambda story: _spend(story, "NaN")
    ),
    "capture above the hold": Case(
        422,
        "invalid_amount",
        {"argument": _is_text, "max": _is_number},
        lambda story: story.api.call("capture_hold", hold_id=_hold(story), amount=6),
    ),
    "amount where there is a price": Case(
        422, "invalid_argument", {"argument": _is_text}, lambda story: _priced(story, amount=5)
    ),
    "metric without a price": Case(
        422, "invalid_argument", {"argument": _is_text}, lambda story: _priced(story, quantities={"pages": 1})
    ),
    "quantity that is none": Case(
        422,
        "invalid_argument",
        {"argument": _is_text, "metric": _is_text},
        lambda story: _priced(story, quantities={"input_tokens": -1}),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_refusal_has_its_status_slug_and_details(story: Story, case: Case) -> None:
    told = case.reach(story).refused(case.status, case.slug)
    assert set(told) == set(case.details)
    wrong = {name: told[name] for name, is_right in case.details.items() if not is_right(told[name])}
    assert wrong == {}


def test_a_refused_call_changes_nothing(story: Story) -> None:
    story.grant(3)
    before = story.entries()
    story.consume(5, idempotency_key="patient").refused(402, "insufficient_credits")
    assert story.entries() == before
    story.grant(2)
    assert story.consume(5, idempotency_key="patient").accepted()["replayed"] is False


def test_a_stranger_is_told_nothing(stack: StackUnderTest, story: Story) -> None:
    nobody = LedgerApi(stack.supabase_url, stack.publishable_key)
    arguments = {"organization_id": story.organization_id}
    assert nobody.consume(1, **arguments).refused(403, "not_authorized") == {}
    forged = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": "tb_test_0_0_0"})
    assert forged.consume(1, **arguments).refused(401, "agent_key_invalid") == {}


@pytest.mark.parametrize("reason", ["past_due", "dispute", "paused"])
def test_a_restriction_names_its_reason(
    story: Story, database: psycopg.Connection[dict[str, object]], reason: str
) -> None:
    story.grant(10)
    database.execute(
        "update billing.organizations set restricted_reason = %s where organization_id = %s",
        (reason, story.organization_id),
    )
    assert _spend(story).refused(402, "billing_restricted") == {"reason": reason}
    assert _take(story, 1, "hold").refused(402, "billing_restricted") == {"reason": reason}


@pytest.mark.parametrize("call", ["spend", "hold", "batch", "grant"])
def test_a_lock_that_is_not_had_within_two_seconds_is_busy_and_the_same_call_succeeds_later(
    story: Story, database: psycopg.Connection[dict[str, object]], call: str
) -> None:
    story.grant(10)
    calls: dict[str, Callable[[], Answer]] = {
        "spend": lambda: _spend(story, 1, idempotency_key="patient"),
        "hold": lambda: _take(story, 1, "patient"),
        "batch": lambda: story.api.call(
            "consume_credits_batch",
            events=[{"agent_type": "TestAgent", "action": "test", "amount": 1, "idempotency_key": "patient"}],
            organization_id=story.organization_id,
        ),
        "grant": lambda: _grant(story, 1, "patient"),
    }
    row = database.execute(
        "select ledger_number from billing.organizations where organization_id = %s", (story.organization_id,)
    ).fetchone()
    assert row is not None
    before = story.entries()
    with database.transaction():
        database.execute("select pg_advisory_xact_lock(%s)", (row["ledger_number"],))
        begun = time.monotonic()
        assert calls[call]().refused(503, "busy") == {}
        waited = time.monotonic() - begun
    assert BUSY_SECONDS[0] <= waited <= BUSY_SECONDS[1]
    assert story.entries() == before
    calls[call]().accepted()


def test_who_finds_the_queue_full_is_busy_at_once_and_the_same_call_succeeds_later(
    story: Story, database: psycopg.Connection[dict[str, object]]
) -> None:
    """429, not 503: at that PostgREST would drop its pool (decision 0019)."""
    story.grant(10)
    places = """
        select pg_advisory_xact_lock(o.ledger_number),
          pg_advisory_xact_lock((o.ledger_number %% 2147483647)::integer, p.place)
        from billing.organizations as o,
          generate_series(0, billing_private.setting('queue_places', '64')::integer - 1) as p (place)
        where o.organization_id = %s
    """
    before = story.entries()
    with database.transaction():
        database.execute(places, (story.organization_id,))
        assert _spend(story, 1, idempotency_key="patient").refused(429, "busy") == {}
    assert story.entries() == before
    assert not _spend(story, 1, idempotency_key="patient").accepted()["replayed"]
