"""The plain REST paths: right for people and agents, and with a status and a JSON body for everybody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest

from billing import rest
from billing.errors import DatabaseUnavailableError
from supabase import Client
from tests.conftest import StackUnderTest
from tests.money.conftest import Buyer
from tests.money.in_process import process_of
from tests.money.world import Workers

USE = {"amount": 5, "agent_type": "TestAgent", "action": "test"}


@pytest.fixture
def funded(buyer: Buyer) -> Buyer:
    """A buyer whose organization has 100 credits."""
    buyer.organization.grant(100)
    return buyer


def exact(answer: httpx.Response) -> Any:
    """Read a body without a float in it."""
    return json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)


def test_the_balance_is_answered_to_a_person_and_to_an_agent(funded: Buyer) -> None:
    key = funded.organization.agent_key
    nobody = Workers(funded.workers.stack)

    answers = [
        funded.workers.api("GET", "/credits/balance"),
        nobody.api("GET", "/credits/balance", headers={"Authorization": f"Bearer {key}"}),
        nobody.api("GET", "/credits/balance", headers={"x-agent-key": key}),
    ]

    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert exact(answer)["available"] == 100
        assert exact(answer)["organization_id"] == str(funded.organization_id)


def test_a_use_of_credits_answers_the_receipt_and_charges_once_a_key(funded: Buyer) -> None:
    first = funded.workers.api("POST", "/credits/use", json={**USE, "idempotency_key": "job-1"})
    again = funded.workers.api("POST", "/credits/use", json=USE, headers={"Idempotency-Key": "job-1"})

    assert (first.status_code, again.status_code) == (200, 200), first.text
    assert exact(first)["amount"] == 5
    assert exact(first)["available"] == 95
    assert (first.json()["replayed"], again.json()["replayed"]) == (False, True)
    assert first.json()["transaction_id"] == again.json()["transaction_id"]
    assert funded.books.balance == 95


def test_an_agent_spends_with_its_key_either_way(funded: Buyer) -> None:
    key = funded.organization.agent_key
    nobody = Workers(funded.workers.stack)

    for headers in ({"Authorization": f"Bearer {key}"}, {"x-agent-key": key}):
        assert nobody.api("POST", "/credits/use", json=USE, headers=headers).status_code == 200

    assert funded.books.balance == 90


@pytest.mark.parametrize("amount", ["0.000001", "12.345678", "99.999999"])
def test_amounts_pass_exactly_in_both_directions(funded: Buyer, amount: str) -> None:
    body = f'{{"amount": {amount}, "agent_type": "TestAgent", "action": "test"}}'

    answer = funded.workers.api(
        "POST", "/credits/use", content=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 200, answer.text
    assert exact(answer)["amount"] == Decimal(amount)
    assert exact(answer)["balance"] == 100 - Decimal(amount)
    assert funded.books.balance == 100 - Decimal(amount)


def test_parallel_uses_never_pass_the_balance(buyer: Buyer) -> None:
    buyer.organization.grant(10)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: buyer.workers.api("POST", "/credits/use", json={**USE, "amount": 1}), range(16)
            )
        )

    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [402] * 6
    assert buyer.books.balance == 0
    buyer.books.assert_sound()


def test_an_unaffordable_use_is_402_with_what_is_missing_as_numbers(buyer: Buyer) -> None:
    buyer.organization.grant("2.5")

    answer = buyer.workers.api("POST", "/credits/use", json=USE)

    assert answer.status_code == 402
    body = exact(answer)
    assert (body["code"], body["message"]) == ("PT402", "insufficient_credits")
    assert {name: body["details"][name] for name in ("required", "available", "shortfall")} == {
        "required": 5,
        "available": Decimal("2.5"),
        "shortfall": Decimal("2.5"),
    }
    assert body["details"]["topup_url"].startswith("http")


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"action": "no_such_action"}, 422, "unknown_action"),
        ({"amount": -5}, 422, "invalid_amount"),
        ({"amount": 0}, 422, "invalid_amount"),
        ({"amount": "NaN"}, 422, "invalid_amount"),
        ({"amount": "Infinity"}, 422, "invalid_amount"),
        ({"amount": True}, 422, "invalid_amount"),
        ({"amount": "five"}, 422, "invalid_amount"),
        ({"amount": None}, 422, "invalid_amount"),
        ({"agent_type": None}, 422, "invalid_argument"),
        ({"agent_type": ""}, 422, "invalid_argument"),
        ({"organization_id": "mine"}, 422, "invalid_argument"),
        ({"organization_id": str(uuid4())}, 403, "not_authorized"),
        ({"price": 0}, 422, "invalid_argument"),
        ({"created_at": "2020-01-01T00:00:00Z"}, 422, "invalid_argument"),
        ({"idempotency_key": ""}, 422, "invalid_argument"),
        ({"idempotency_key": "k" * 10_000}, 422, "invalid_argument"),
        ({"metadata": {"note": "x" * 9000}}, 413, "metadata_too_large"),
        ({"metadata": []}, 422, "invalid_argument"),
        ({"quantities": {"call": -1}}, 422, None),
        ({"quantities": {"call": "many"}}, 422, "invalid_argument"),
    ],
)
def test_a_wrong_use_is_refused_and_charges_nothing(
    refused_buyer: Buyer, change: dict[str, Any], status: int, slug: str | None
) -> None:
    answer = refused_buyer.workers.api("POST", "/credits/use", json={**USE, **change})

    assert answer.status_code == status, answer.text
    assert slug in (None, answer.json()["message"])
    assert set(answer.json()) == {"code", "message", "details", "hint"}
    assert isinstance(answer.json()["details"], dict)
    assert refused_buyer.books.balance == 100


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "1e-400", "1e999999999", "123456789012345678901234567890"]
)
def test_a_number_beyond_all_bounds_is_422(funded: Buyer, number: str) -> None:
    for body in (
        f'{{"amount": {number}, "agent_type": "TestAgent", "action": "test"}}',
        f'{{"amount": 1, "agent_type": "TestAgent", "action": "test", "metadata": {{"n": {number}}}}}',
    ):
        answer = funded.workers.api(
            "POST", "/credits/use", content=body, headers={"Content-Type": "application/json"}
        )
        if "metadata" not in body or number == "1e999999999":
            assert answer.status_code == 422, answer.text
        assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    ("content", "content_type", "status", "slug"),
    [
        (b"amount=5", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"{}", None, 415, "unsupported_media_type"),
        (b"{", "application/json", 422, "invalid_argument"),
        (b'{"amount": NaN}', "application/json", 422, "invalid_argument"),
        (b'{"action": "\xff"}', "application/json", 422, "invalid_argument"),
        (b"[]", "application/json", 422, "invalid_argument"),
        (b"null", "application/json", 422, "invalid_argument"),
        (b"{}", "application/json", 422, "invalid_argument"),
        (b'{"metadata": "' + b"x" * 70_000 + b'"}', "application/json", 413, "body_too_large"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    refused_buyer: Buyer, content: bytes, content_type: str | None, status: int, slug: str
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}

    answer = refused_buyer.workers.api("POST", "/credits/use", content=content, headers=headers)

    assert (answer.status_code, answer.json()["message"]) == (status, slug)


def test_two_different_keys_in_header_and_body_are_422(refused_buyer: Buyer) -> None:
    answer = refused_buyer.workers.api(
        "POST", "/credits/use", json={**USE, "idempotency_key": "a"}, headers={"Idempotency-Key": "b"}
    )

    assert (answer.status_code, answer.json()["details"]) == (422, {"argument": "idempotency_key"})


def test_a_key_used_for_another_request_is_409(funded: Buyer) -> None:
    funded.workers.api("POST", "/credits/use", json={**USE, "idempotency_key": "job"})

    answer = funded.workers.api("POST", "/credits/use", json={**USE, "amount": 6, "idempotency_key": "job"})

    assert (answer.status_code, answer.json()["message"]) == (409, "idempotency_conflict")
    assert funded.books.balance == 95


@pytest.mark.parametrize(("method", "path"), [("GET", "/credits/balance"), ("POST", "/credits/use")])
@pytest.mark.parametrize(
    ("credential", "slug"),
    [(None, "not_authenticated"), ("nonsense", "not_authenticated"), ("tb_test_0_0_0", "agent_key_invalid")],
)
def test_without_a_credential_that_counts_it_is_401(
    stack: StackUnderTest, method: str, path: str, credential: str | None, slug: str
) -> None:
    headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}

    answer = Workers(stack).api(method, path, headers=headers, **({"json": USE} if method == "POST" else {}))

    assert (answer.status_code, answer.json()["message"]) == (401, slug)


def test_a_secret_key_is_no_credential_here(refused_buyer: Buyer) -> None:
    """The workers never lend their own power, and give none to keys that belong to servers."""
    stack = refused_buyer.workers.stack

    for key in (stack.secret_key, stack.publishable_key):
        answer = Workers(stack, key).api(
            "GET", f"/credits/balance?organization_id={refused_buyer.organization_id}"
        )
        assert answer.status_code == 401


def test_a_revoked_key_is_401(funded: Buyer) -> None:
    key = funded.organization.agent_key
    funded.user.client.rpc("revoke_agent_key", {"key_id": key.split("_")[2]}).execute()

    answer = Workers(funded.workers.stack, key).api("POST", "/credits/use", json=USE)

    assert (answer.status_code, answer.json()["message"]) == (401, "agent_key_invalid")


def test_a_strangers_balance_is_refused_like_one_that_does_not_exist(
    funded: Buyer, new_buyer: Callable[[], Buyer]
) -> None:
    stranger = new_buyer().workers

    foreign = stranger.api("GET", f"/credits/balance?organization_id={funded.organization_id}")
    unknown = stranger.api("GET", f"/credits/balance?organization_id={uuid4()}")

    assert foreign.status_code == unknown.status_code == 403
    assert foreign.json() == unknown.json()


def test_everybody_sees_plans_and_packs_and_no_stripe_ids(stack: StackUnderTest) -> None:
    answer = Workers(stack).api("GET", "/billing/plans")

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=60"
    catalogue = exact(answer)
    ours = ["free", "starter", "pro", "business"]  # other tests have plans of their own
    assert [plan["key"] for plan in catalogue["plans"] if plan["key"] in ours] == ours
    packs = {pack["key"]: pack for pack in catalogue["packages"]}
    assert packs["pack_500"]["credits"] == 500
    assert packs["pack_500"]["unit_amount"] == 1000
    assert "stripe" not in answer.text.lower()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/credits/balance", "GET"),
        ("GET", "/credits/use", "POST"),
        ("DELETE", "/billing/plans", "GET"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_is_right(
    stack: StackUnderTest, method: str, path: str, allowed: str
) -> None:
    answer = Workers(stack).api(method, path)

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert answer.json()["message"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["", "/", "/credits", "/credits/balance/x", "/admin"])
def test_an_unknown_path_is_404_with_a_body(stack: StackUnderTest, path: str) -> None:
    answer = Workers(stack).api("GET", path)

    assert (answer.status_code, answer.json()["message"]) == (404, "not_found")


def test_the_api_is_there_under_the_gateway_too(stack: StackUnderTest, anon: Client) -> None:
    answer = httpx.get(f"{stack.supabase_url}/workers/v1/api/billing/plans")

    assert answer.status_code == 200
    assert len(answer.json()["packages"]) >= 4


def test_the_openapi_document_describes_every_path(stack: StackUnderTest) -> None:
    from billing.api import ROUTES

    document = Workers(stack).api("GET", "/openapi.json").json()

    assert document["openapi"].startswith("3.1")
    described = {
        (path, method.upper()) for path, operations in document["paths"].items() for method in operations
    }
    assert described == {(f"/api{path}", method) for path, methods in ROUTES.items() for method in methods}
    names = set(document["components"]["schemas"])
    for reference in _references(document):
        assert reference.rpartition("/")[2] in names


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []


def test_a_request_id_comes_back(stack: StackUnderTest) -> None:
    named = Workers(stack).api("GET", "/health", headers={"X-Request-Id": "my-request-0001"})
    unsafe = Workers(stack).api("GET", "/health", headers={"X-Request-Id": "<script>"})

    assert named.headers["x-request-id"] == "my-request-0001"
    assert unsafe.headers["x-request-id"] != "<script>"
    assert named.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "answer", [(400, {"code": "", "message": ""}), (503, {"code": "PGRST001", "message": "-"})]
)
def test_a_spend_whose_outcome_the_database_does_not_tell_may_be_sent_again(
    stack: StackUnderTest, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, dict[str, str]]
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(answer[0], json=answer[1]))
    monkeypatch.setattr(rest, "_client", lambda: httpx.Client(transport=transport))
    with process_of(stack, None, monkeypatch), pytest.raises(DatabaseUnavailableError) as refused:
        rest.call_function("consume_credits", USE, {"x-agent-key": "tb_test_x"})
    assert (refused.value.status, refused.value.slug) == (503, "database_unavailable")
    assert "same idempotency key" in refused.value.hint
