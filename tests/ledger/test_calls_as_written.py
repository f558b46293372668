"""The calls as the contract writes them: argument order, GETs, implied arguments, receipts that stay."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Organization, StackUnderTest

from .api import LedgerApi
from .conftest import Story, day


def _without_replayed(receipt: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in receipt.items() if name != "replayed"}


def test_a_quote_with_quantities_can_be_a_get(story: Story) -> None:
    story.grant(10)
    query = urlencode(
        {
            "agent_type": "QAAgent",
            "action": "answer_question",
            "quantities": json.dumps({"input_tokens": 1200, "output_tokens": 80}),
            "metadata": json.dumps({"model": "stub"}),
            "organization_id": story.organization_id,
        }
    )
    quote = story.api.select(f"rpc/check_credits?{query}").accepted()
    assert (quote["allowed"], str(quote["amount"])) == (True, "5.720000")


@pytest.mark.parametrize("quantities", ["no json", "5", "[]"])
def test_text_that_holds_no_quantities_is_refused_by_name(story: Story, quantities: str) -> None:
    answer = story.api.call(
        "check_credits",
        agent_type="QAAgent",
        action="answer_question",
        quantities=quantities,
        organization_id=story.organization_id,
    )
    assert answer.refused(422, "invalid_argument")["argument"] == "quantities"


def test_the_implied_call_said_aloud_is_the_same_request(story: Story) -> None:
    story.grant(100)
    spend: dict[str, Any] = {
        "agent_type": "QAAgent",
        "action": "answer_question",
        "organization_id": story.organization_id,
        "idempotency_key": "said",
    }
    first = story.api.call("consume_credits", **spend, quantities={"input_tokens": 10}).accepted()
    again = story.api.call(
        "consume_credits", **spend, quantities={"input_tokens": 10.0, "call": 1}
    ).accepted()
    assert again == {**first, "replayed": True}
    story.api.call("consume_credits", **spend, quantities={"input_tokens": 10, "call": 2}).refused(
        409, "idempotency_conflict"
    )


def test_a_refund_takes_its_arguments_in_the_order_written(
    story: Story, database: psycopg.Connection[Any]
) -> None:
    story.grant(10)
    spent = story.consume(4).accepted()
    database.execute("""select set_config('request.jwt.claims', '{"role": "service_role"}', false)""")
    row = database.execute(
        "select (billing.refund_consumption(%s, null, 'customer', 'in order')).amount as back",
        (spent["transaction_id"],),
    ).fetchone()
    assert row is not None
    assert row["back"] == 4


@pytest.mark.parametrize("missing", ["reason", "idempotency_key"])
def test_a_refund_without_reason_or_key_is_refused_by_name(story: Story, missing: str) -> None:
    story.grant(10)
    refund: dict[str, Any] = {
        "transaction_id": story.consume(4).accepted()["transaction_id"],
        "reason": "customer",
        "idempotency_key": "r",
    }
    del refund[missing]
    assert story.api.call("refund_consumption", **refund).refused(422, "invalid_argument") == {
        "argument": missing
    }


def test_corrections_are_explained_as_they_were_answered(story: Story) -> None:
    story.grant(10)
    department = story.api.call(
        "create_department", organization_id=story.organization_id, name="Research"
    ).accepted()["id"]
    spent = story.consume(4).accepted()
    answered = [
        story.api.call(
            "refund_consumption",
            transaction_id=spent["transaction_id"],
            reason="customer",
            idempotency_key="r",
        ).accepted(),
        story.api.call(
            "adjust_credits",
            organization_id=story.organization_id,
            delta=-1,
            reason="counted again",
            idempotency_key="a",
        ).accepted(),
        story.api.call(
            "transfer_credits",
            from_department_id=None,
            to_department_id=department,
            amount=2,
            idempotency_key="t",
        ).accepted(),
    ]
    story.consume(1).accepted()
    for receipt in answered:
        explained = story.api.call("explain_transaction", transaction_id=receipt["transaction_id"]).accepted()
        assert _without_replayed(explained) == _without_replayed(receipt)


def test_a_grant_answered_again_says_what_it_said(story: Story) -> None:
    terms: dict[str, Any] = {
        "organization_id": story.organization_id,
        "amount": 7,
        "source": "purchase",
        "source_reference": "order-1",
    }
    first = story.api.call("grant_credits", **terms).accepted()
    over: dict[str, Any] = {
        **terms,
        "source_reference": "over",
        "effective_at": day(-2).isoformat(),
        "expires_at": day(-1).isoformat(),
    }
    lost = story.api.call("grant_credits", **over).accepted()
    assert lost["balance"] == 7
    story.consume(3).accepted()
    assert story.api.call("grant_credits", **terms).accepted() == {**first, "replayed": True}
    assert story.api.call("grant_credits", **over).accepted() == {**lost, "replayed": True}


def test_a_voided_grant_answered_again_says_what_it_said(story: Story) -> None:
    grant_id = story.grant(7)
    first = story.api.call("void_grant", grant_id=grant_id, reason="by mistake").accepted()
    story.grant(5)
    again = story.api.call("void_grant", grant_id=grant_id, reason="by mistake").accepted()
    assert again == {**first, "replayed": True}


@pytest.mark.parametrize(
    "bad",
    [
        {"source": "gift"},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "no time"},
        {"unit_cost": -1},
        {"agent_types": []},
        {"department_id": str(uuid4())},
        {"metadata": {"long": "x" * 9000}},
        {"source_reference": "taken"},
        {"colour": "red"},
        {"amount": 0},
    ],
    ids=lambda bad: next(iter(bad)),
)
def test_a_bulk_grant_names_the_first_bad_row_whatever_is_wrong_with_it(
    service_api: LedgerApi, new_organization: Callable[..., Organization], bad: dict[str, Any]
) -> None:
    ids = [str(new_organization().organization_id) for _ in range(2)]
    service_api.call(
        "grant_credits", organization_id=ids[1], amount=1, source="promotion", source_reference="taken"
    ).accepted()
    good = {"organization_id": ids[0], "amount": 2, "source": "promotion"}
    # The row with the later lock key comes first, and a row that no grant can be comes last.
    rows = [
        {**good, "organization_id": ids[1]},
        {**good, "organization_id": ids[1], **bad},
        good,
        {"amount": "x"},
    ]
    answer = service_api.call("grant_credits_bulk", batch_key=f"first-{secrets.token_hex(6)}", grants=rows)
    assert 400 <= answer.status < 500, answer
    assert answer.details["row"] == 1


@pytest.mark.parametrize(("short", "whole"), [("agent", "agent_type"), ("key", "agent_key")])
def test_a_limits_subject_may_be_called_by_its_short_name(story: Story, short: str, whole: str) -> None:
    subject = "TestAgent"
    if whole == "agent_key":
        subject = story.api.call(
            "create_agent_key", organization_id=story.organization_id, name="short"
        ).accepted()["key_id"]
    terms = {"subject_id": subject, "amount": 5, "window": "day", "organization_id": story.organization_id}
    first = story.api.call("set_credit_limit", subject_type=whole, **terms).accepted()
    again = story.api.call("set_credit_limit", subject_type=short, **terms).accepted()
    assert (again["id"], again["subject_type"]) == (first["id"], whole)


@pytest.mark.parametrize("instant", ["infinity", "-infinity"])
def test_an_instant_is_finite(story: Story, instant: str) -> None:
    balance = story.api.call("get_credit_balance", organization_id=story.organization_id, as_of=instant)
    assert balance.refused(422, "invalid_argument") == {"argument": "as_of"}
    grant = story.api.call(
        "grant_credits",
        organization_id=story.organization_id,
        amount=1,
        source="promotion",
        effective_at=instant,
    )
    assert grant.refused(422, "invalid_argument") == {"argument": "effective_at"}


def test_an_organizations_own_clock_ends_its_keys_and_begins_its_prices(
    story: Story, stack: StackUnderTest
) -> None:
    story.grant(100)
    key: dict[str, Any] = {"organization_id": story.organization_id, "name": "dated"}
    created = story.api.call("create_agent_key", **key, expires_at=day(3).isoformat()).accepted()
    agent = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": created["key"]})
    price: dict[str, Any] = {
        "agent_type": "DatedAgent",
        "action": "work",
        "organization_id": story.organization_id,
    }
    work: dict[str, Any] = {"agent_type": "DatedAgent", "action": "work"}
    story.api.call("set_agent_action_cost", **price, credit_cost=1).accepted()
    first = agent.call("consume_credits", **work, idempotency_key="first").accepted()
    story.go_to(day(1))
    story.api.call("set_agent_action_cost", **price, credit_cost=2).accepted()
    assert [first["amount"], agent.call("consume_credits", **work).accepted()["amount"]] == [1, 2]
    rotated = story.api.call("rotate_agent_key", key_id=created["key_id"], overlap="1 day").accepted()
    successor = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": rotated["key"]})
    story.go_to(day(2) - timedelta(microseconds=1))
    agent.call("consume_credits", **work).accepted()
    story.go_to(day(2))
    agent.call("consume_credits", **work).refused(401, "agent_key_invalid")
    successor.call("consume_credits", **work).accepted()
    story.go_to(day(3))
    successor.call("consume_credits", **work).refused(401, "agent_key_invalid")
    past = story.api.call("create_agent_key", **key, expires_at=day(2).isoformat())
    assert past.refused(422, "invalid_argument") == {"argument": "expires_at"}
