"""Scenarios C of the design: parallel spends, keys, and the wire that breaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Organization, StackUnderTest, User

from .api import LedgerApi, in_parallel


@pytest.fixture
def organization(new_organization: Callable[..., Organization], service_api: LedgerApi) -> Organization:
    return new_organization()


def _prove(api: LedgerApi, organization: Organization, balance: object) -> None:
    organization_id = str(organization.organization_id)
    assert api.call("get_credit_balance", organization_id=organization_id).accepted()["balance"] == balance
    assert api.call("verify_ledger", organization_id=organization_id).accepted() == []


def test_c19_fifty_parallel_spends_of_one_from_ten_charge_ten(
    service_api: LedgerApi, organization: Organization
) -> None:
    organization.grant(10)
    organization_id = str(organization.organization_id)
    answers = in_parallel(
        50, lambda i: service_api.consume(1, organization_id=organization_id, idempotency_key=f"spend-{i}")
    )
    assert Counter(answer.status for answer in answers) == {200: 10, 402: 40}
    assert {answer.slug for answer in answers if answer.status == 402} == {"insufficient_credits"}
    rows = service_api.select(
        f"credit_usage?select=transaction_id&organization_id=eq.{organization_id}"
    ).accepted()
    assert len(rows) == 10
    _prove(service_api, organization, 0)


def test_c20_five_parallel_spends_of_the_last_credit_charge_one(
    service_api: LedgerApi, organization: Organization
) -> None:
    organization.grant(1)
    answers = in_parallel(
        5, lambda _: service_api.consume(1, organization_id=str(organization.organization_id))
    )
    assert Counter(answer.status for answer in answers) == {200: 1, 402: 4}
    _prove(service_api, organization, 0)


def test_c21_c22_one_key_charges_once_and_every_caller_has_the_receipt(
    service_api: LedgerApi, organization: Organization
) -> None:
    organization.grant(100)
    arguments = {"organization_id": str(organization.organization_id), "idempotency_key": "run-7"}
    receipts = [
        answer.accepted() for answer in in_parallel(20, lambda _: service_api.consume(7, **arguments))
    ]
    assert Counter(receipt.pop("replayed") for receipt in receipts) == {False: 1, True: 19}
    assert all(receipt == receipts[0] for receipt in receipts)
    details = service_api.consume(8, **arguments).refused(409, "idempotency_conflict")
    assert details["transaction_id"] == receipts[0]["transaction_id"]
    _prove(service_api, organization, 93)


def test_c23_keys_of_two_organizations_never_meet(
    service_api: LedgerApi, new_organization: Callable[..., Organization]
) -> None:
    both = [new_organization(credits=50), new_organization(credits=50)]
    for organization in both:
        receipt = service_api.consume(
            10, organization_id=str(organization.organization_id), idempotency_key="run-1"
        ).accepted()
        assert not receipt["replayed"]
    for organization in both:
        _prove(service_api, organization, 40)


def test_a_key_is_answered_before_the_balance_is_looked_at(
    service_api: LedgerApi, organization: Organization
) -> None:
    organization.grant(5)
    arguments = {"organization_id": str(organization.organization_id), "idempotency_key": "last"}
    service_api.consume(5, **arguments).accepted()
    assert service_api.consume(5, **arguments).accepted()["replayed"]


def test_a_refusal_is_not_remembered(service_api: LedgerApi, organization: Organization) -> None:
    arguments = {"organization_id": str(organization.organization_id), "idempotency_key": "early"}
    service_api.consume(5, **arguments).refused(402, "insufficient_credits")
    organization.grant(5)
    assert not service_api.consume(5, **arguments).accepted()["replayed"]


@pytest.mark.parametrize(
    "change",
    [{"amount": 6}, {"run_id": "other", "amount": 6}, {"quantities": {"call": 2}}],
    ids=["amount", "amount-and-run", "quantities"],
)
def test_a_key_with_another_request_is_a_conflict(
    service_api: LedgerApi, organization: Organization, change: dict[str, object]
) -> None:
    organization.grant(50)
    request: dict[str, object] = {
        "agent_type": "TestAgent",
        "action": "test",
        "amount": 5,
        "organization_id": str(organization.organization_id),
        "idempotency_key": "k",
    }
    service_api.call("consume_credits", **request).accepted()
    service_api.call("consume_credits", **{**request, **change}).refused(409, "idempotency_conflict")
    _prove(service_api, organization, 45)


def test_parallel_grants_of_one_reference_grant_once(
    service_api: LedgerApi, organization: Organization
) -> None:
    arguments = {
        "organization_id": str(organization.organization_id),
        "amount": 100,
        "source": "purchase",
        "source_reference": "cs_test_1",
    }
    receipts = [
        answer.accepted()
        for answer in in_parallel(10, lambda _: service_api.call("grant_credits", **arguments))
    ]
    assert Counter(receipt["replayed"] for receipt in receipts) == {False: 1, True: 9}
    assert len({receipt["grant_id"] for receipt in receipts}) == 1
    _prove(service_api, organization, 100)


def test_mixed_parallel_spends_of_many_lots_add_up(
    service_api: LedgerApi, organization: Organization
) -> None:
    for _ in range(10):
        organization.grant(10)
    organization_id = str(organization.organization_id)
    answers = in_parallel(
        32,
        lambda i: service_api.consume(
            (i % 5) + 1, organization_id=organization_id, idempotency_key=f"mixed-{i}"
        ),
    )
    charged = sum(answer.body["amount"] for answer in answers if answer.status == 200)
    assert {answer.status for answer in answers} <= {200, 402}
    _prove(service_api, organization, 100 - charged)


def test_an_agent_whose_key_is_revoked_spends_no_more(
    stack: StackUnderTest, service_api: LedgerApi, organization: Organization
) -> None:
    organization.grant(1000)
    agent = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": organization.agent_key})
    agent.consume(1).accepted()
    key_id = organization.agent_key.split("_")[2]

    def call(index: int) -> object:
        if index == 10:
            return service_api.call("revoke_agent_key", key_id=key_id)
        return agent.consume(1)

    in_parallel(20, call)
    before = service_api.call(
        "get_credit_balance", organization_id=str(organization.organization_id)
    ).accepted()
    agent.consume(1).refused(401, "agent_key_invalid")
    _prove(service_api, organization, before["balance"])


def test_the_implied_call_may_be_said(service_api: LedgerApi, organization: Organization) -> None:
    organization.grant(100)
    spend = {"agent_type": "TestAgent", "action": "test", "organization_id": organization.organization_id}
    first = service_api.call("consume_credits", **spend, amount=7, idempotency_key="said").accepted()
    for quantities in ({"call": 1}, {"call": 1.0}, {}, None):
        again = service_api.call(
            "consume_credits", **spend, amount=7, idempotency_key="said", quantities=quantities
        ).accepted()
        assert {**again, "replayed": False} == first
    service_api.call(
        "consume_credits", **spend, amount=7, idempotency_key="said", quantities={"call": 2}
    ).refused(409, "idempotency_conflict")
    taken = service_api.call("hold_credits", **spend, amount=5, idempotency_key="held").accepted()
    again = service_api.call(
        "hold_credits", **spend, amount=5, idempotency_key="held", quantities={"call": 1}
    ).accepted()
    assert again["hold_id"] == taken["hold_id"]
    _prove(service_api, organization, 93)


def test_a_key_replays_after_its_caller_was_moved_to_another_department(
    service_api: LedgerApi, organization: Organization, new_user: Callable[[], User], stack: StackUnderTest
) -> None:
    organization.grant(100)
    owner, member = organization.owner.client, new_user()
    named = {"organization_id": str(organization.organization_id)}

    def department(name: str) -> str:
        made: Any = owner.rpc("create_department", {**named, "name": name}).execute().data
        return str(made["id"])

    member_of = {**named, "role": "member", "department_id": department("One")}
    invitation: Any = owner.rpc("invite_member", {**member_of, "email": member.email}).execute().data
    member.client.rpc("accept_invitation", {"token": invitation["token"]}).execute()
    token = member.client.auth.get_session().access_token  # type: ignore[union-attr]
    spender = LedgerApi(stack.supabase_url, stack.publishable_key, {"Authorization": f"Bearer {token}"})
    spend = {"agent_type": "TestAgent", "action": "test", "amount": 1, "idempotency_key": "moved"}
    hold = {**spend, "idempotency_key": "held"}
    first = spender.call("consume_credits", **spend).accepted()
    taken = spender.call("hold_credits", **hold).accepted()

    moved = {**named, "user_id": str(member.user_id), "role": "member", "department_id": department("Other")}
    owner.rpc("set_member_role", moved).execute()
    again = spender.call("consume_credits", **spend).accepted()
    assert again == {**first, "replayed": True}
    (row,) = spender.call("consume_credits_batch", events=[spend]).accepted()
    assert row["receipt"] == again
    assert spender.call("hold_credits", **hold).accepted()["hold_id"] == taken["hold_id"]

    # Another caller who is bound to another department means another charge by the same key.
    key: Any = owner.rpc(
        "create_agent_key", {**named, "name": "Agent", "department_id": moved["department_id"]}
    ).execute()
    agent = LedgerApi(stack.supabase_url, stack.publishable_key, {"x-agent-key": key.data["key"]})
    agent.call("consume_credits", **spend).refused(409, "idempotency_conflict")
    agent.call("hold_credits", **hold).refused(409, "idempotency_conflict")
    _prove(service_api, organization, 99)
