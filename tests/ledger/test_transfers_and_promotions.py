"""Credits between scopes, to many organizations at once, and by code."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Organization

from .api import Answer, LedgerApi, in_parallel
from .conftest import Story, day


@pytest.fixture
def departments(story: Story) -> tuple[str, str]:
    names = ("Sales", "Support")
    made = [
        story.api.call("create_department", organization_id=story.organization_id, name=name).accepted()["id"]
        for name in names
    ]
    return str(made[0]), str(made[1])


def _transfer(story: Story, source: str | None, target: str | None, amount: object, key: str = "t") -> Answer:
    return story.api.call(
        "transfer_credits",
        from_department_id=source,
        to_department_id=target,
        amount=amount,
        idempotency_key=key,
    )


def test_a_departments_grant_is_spent_by_that_department_alone(
    story: Story, departments: tuple[str, str]
) -> None:
    sales, support = departments
    story.grant(10, department_id=sales)
    story.consume(1, department_id=support).refused(402, "insufficient_credits")
    story.consume(1).refused(402, "insufficient_credits")
    assert story.consume(10, department_id=sales).accepted()["balance"] == 0


def test_a_transfer_moves_credits_with_expiry_and_cost(story: Story, departments: tuple[str, str]) -> None:
    sales, support = departments
    pool = story.grant(100, source="purchase", unit_cost="0.02", expires_at=day(9))
    first = _transfer(story, None, sales, 30).accepted()
    assert _transfer(story, None, sales, 30).accepted() == {**first, "replayed": True}
    _transfer(story, None, sales, 31).refused(409, "idempotency_conflict")
    assert (first["balance"], story.left(pool)) == (100, 70)
    (row,) = story.api.select(f"credit_grants?department_id=eq.{sales}").accepted()
    assert (row["remaining"], str(row["unit_cost"]), row["parent_grant_id"]) == (30, "0.02", pool)
    assert row["expires_at"] == "2031-01-10T00:00:00+00:00"
    _transfer(story, sales, support, 10, key="onward").accepted()
    story.consume(20, department_id=sales).accepted()
    story.consume(75, department_id=support).accepted()
    assert _transfer(story, sales, None, 1, key="back").refused(402, "insufficient_credits")["available"] == 0
    lent = [entry["metadata"] for entry in story.entries() if entry["kind"] == "transfer"]
    assert [(item["from_department_id"], item["to_department_id"], item["amount"]) for item in lent] == [
        (None, sales, 30),
        (sales, support, 10),
    ]


def test_held_credits_are_not_transferred(story: Story, departments: tuple[str, str]) -> None:
    story.grant(10)
    story.api.call(
        "hold_credits", agent_type="TestAgent", action="test", amount=8, organization_id=story.organization_id
    ).accepted()
    details = _transfer(story, None, departments[0], 5).refused(402, "insufficient_credits")
    assert details["available"] == 2


def test_bulk_grants_are_all_or_nothing_and_name_the_bad_row(
    service_api: LedgerApi, new_organization: Callable[..., Organization]
) -> None:
    ids = [str(new_organization().organization_id) for _ in range(3)]
    rows: list[dict[str, Any]] = [
        {"organization_id": organization_id, "amount": 10 + place, "source": "promotion"}
        for place, organization_id in enumerate(ids * 2)
    ]
    key = f"batch-{secrets.token_hex(6)}"
    bad = [*rows[:4], {**rows[4], "amount": -1}, rows[5]]
    assert (
        service_api.call("grant_credits_bulk", batch_key=key, grants=bad).refused(422, "invalid_amount")[
            "row"
        ]
        == 4
    )
    balances = service_api.select(f"credit_balances?organization_id=in.({','.join(ids)})&select=balance")
    assert {row["balance"] for row in balances.accepted()} == {0}
    first = service_api.call("grant_credits_bulk", batch_key=key, grants=rows).accepted()
    assert (first["grant_count"], first["total_amount"], first["replayed"]) == (6, 75, False)
    again = service_api.call("grant_credits_bulk", batch_key=key, grants=rows).accepted()
    assert again == {**first, "replayed": True}
    service_api.call("grant_credits_bulk", batch_key=key, grants=rows[:5]).refused(
        409, "idempotency_conflict"
    )
    balances = service_api.select(f"credit_balances?organization_id=in.({','.join(ids)})&select=balance")
    assert sorted(row["balance"] for row in balances.accepted()) == [23, 25, 27]


def test_bulk_grants_in_opposite_orders_do_not_deadlock(
    service_api: LedgerApi, new_organization: Callable[..., Organization]
) -> None:
    ids = [str(new_organization().organization_id) for _ in range(4)]

    def grant(place: int) -> Answer:
        rows = [
            {"organization_id": which, "amount": 1, "source": "promotion"}
            for which in ids[:: 1 if place % 2 else -1]
        ]
        return service_api.call("grant_credits_bulk", batch_key=f"b-{secrets.token_hex(8)}", grants=rows)

    assert {answer.status for answer in in_parallel(8, grant)} == {200}


def test_e47_a_code_is_redeemed_so_many_times_and_once_each(
    service_api: LedgerApi, new_organization: Callable[..., Organization]
) -> None:
    code = f"WELCOME-{secrets.token_hex(4).upper()}"
    terms = {"code": code, "credits": 50, "max_redemptions": 8}
    service_api.call("create_promotion_code", **terms).accepted()
    ids = [str(new_organization().organization_id) for _ in range(12)]
    callers = [*ids, ids[0]]
    answers = in_parallel(
        len(callers),
        lambda i: service_api.call("redeem_promotion_code", code=code.lower(), organization_id=callers[i]),
    )
    granted = {answer.body["organization_id"] for answer in answers if answer.status == 200}
    assert len(granted) == 8
    assert {answer.status for answer in answers} == {200, 404}
    balances = service_api.select(
        f"credit_balances?organization_id=in.({','.join(ids)})&select=balance"
    ).accepted()
    assert sorted(row["balance"] for row in balances) == [0] * 4 + [50] * 8
    assert service_api.call("create_promotion_code", **terms).accepted()["redeemed_count"] == 8


def test_an_ended_code_is_not_found(story: Story) -> None:
    code = f"END-{secrets.token_hex(4)}"
    story.api.call(
        "create_promotion_code", code=code, credits=5, ends_at=day(2).isoformat(), credit_expiry="3 days"
    ).accepted()
    story.go_to(day(2))
    story.api.call("redeem_promotion_code", code=code, organization_id=story.organization_id).refused(
        404, "not_found"
    )
    story.api.call("redeem_promotion_code", code="NEVER-WAS", organization_id=story.organization_id).refused(
        404, "not_found"
    )
