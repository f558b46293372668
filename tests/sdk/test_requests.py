"""What goes over the wire: exact numbers, the right headers, no secrets where people look."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest
import respx

from tallybase import Consumption, Credits, InvalidAmount, InvalidArgument, NotAuthorized, TallybaseError
from tallybase.errors import ConfigurationError, UnexpectedAnswer
from tests.sdk.conftest import AGENT_KEY, URL, receipt_body


def sent(route: respx.Route, number: int = -1) -> dict[str, Any]:
    """The body of a request, numbers with a fraction as Decimals."""
    body: dict[str, Any] = json.loads(route.calls[number].request.content, parse_float=Decimal)
    return body


def test_a_decimal_is_sent_with_all_its_digits_and_as_a_number(
    client: Credits, server: respx.MockRouter
) -> None:
    route = server.post("/consume_credits").respond(json=receipt_body())
    client.consume("A", "b", amount=Decimal("12345678901234.123456"), quantities={"t": Decimal("0.1")})
    assert b'"amount":12345678901234.123456' in route.calls[0].request.content
    assert sent(route)["quantities"] == {"t": Decimal("0.1")}


def test_amounts_come_back_exactly(client: Credits, server: respx.MockRouter) -> None:
    body = json.dumps(receipt_body(amount=1, balance=2)).replace(
        '"balance": 2', '"balance": 99999999999999.999999'
    )
    server.post("/consume_credits").respond(content=body.encode())
    receipt = client.consume("A", "b")
    assert receipt.balance == Decimal("99999999999999.999999")
    assert isinstance(receipt.amount, Decimal)


@pytest.mark.parametrize("amount", [1.5, True, "5", Decimal("NaN"), Decimal("Infinity")])
def test_an_amount_that_is_not_exact_is_refused_before_anything_is_sent(
    client: Credits, server: respx.MockRouter, amount: Any
) -> None:
    route = server.post("/consume_credits").respond(json=receipt_body())
    with pytest.raises(InvalidAmount):
        client.consume("A", "b", amount=amount)
    with pytest.raises(InvalidAmount):
        client.consume("A", "b", quantities={"tokens": amount})
    assert not route.called


def test_an_agent_is_named_by_its_key_and_the_publishable_key(
    client: Credits, server: respx.MockRouter
) -> None:
    route = server.post("/consume_credits").respond(json=receipt_body())
    client.consume("A", "b")
    headers = route.calls[0].request.headers
    assert headers["x-agent-key"] == AGENT_KEY
    assert headers["apikey"] == "sb_publishable_x"
    assert headers["content-profile"] == "billing"
    assert "authorization" not in headers


def test_a_member_is_named_by_their_token(server: respx.MockRouter) -> None:
    route = server.post("/get_credit_balance").respond(
        json={"organization_id": receipt_body()["organization_id"], "balance": 1, "available": 1}
    )
    with Credits(URL, "sb_publishable_x", access_token="token", organization_id="o") as member:
        assert member.balance().available == 1
    assert route.calls[0].request.headers["authorization"] == "Bearer token"
    assert sent(route) == {"organization_id": "o"}


def test_arguments_that_are_not_given_are_not_sent(client: Credits, server: respx.MockRouter) -> None:
    route = server.post("/consume_credits").respond(json=receipt_body())
    client.consume("A", "b")
    assert sent(route).keys() == {"agent_type", "action", "idempotency_key"}


def test_what_json_cannot_carry_is_refused_before_anything_is_sent(
    client: Credits, server: respx.MockRouter
) -> None:
    route = server.post("/consume_credits").respond(json=receipt_body())
    for unfit in (object(), "\ud800"):
        with pytest.raises(InvalidArgument):
            client.consume("A", "b", metadata={"unfit": unfit})
    assert not route.called


def test_no_key_appears_in_what_people_read(client: Credits, server: respx.MockRouter) -> None:
    server.post("/consume_credits").mock(side_effect=httpx.ConnectError(f"no route for {AGENT_KEY}"))
    with pytest.raises(TallybaseError) as caught:
        client.consume("A", "b")
    cause = caught.value.__cause__
    texts = [
        repr(client),
        str(caught.value),
        caught.value.hint,
        repr(caught.value),
        str(cause),
        repr(client._endpoint),
    ]
    assert not [text for text in texts if AGENT_KEY in text or "sb_publishable_x" in text]


def test_an_answer_without_a_receipt_counts_as_not_paid(client: Credits, server: respx.MockRouter) -> None:
    bodies: list[Any] = [{}, [], None, {"ok": True}, receipt_body(amount="lots")]
    for body in bodies:
        server.post("/consume_credits").respond(json=body)
        with pytest.raises(UnexpectedAnswer):
            client.consume("A", "b")


def test_an_agent_never_goes_with_a_secret_key() -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        Credits(URL, "sb_secret_x", agent_key=AGENT_KEY)


def test_a_client_is_made_from_the_environment(server: respx.MockRouter) -> None:
    environment = {
        "TALLYBASE_URL": URL,
        "TALLYBASE_KEY": "sb_publishable_x",
        "TALLYBASE_AGENT_KEY": AGENT_KEY,
    }
    route = server.post("/consume_credits").respond(json=receipt_body())
    with Credits.from_env(environment) as made:
        made.consume("A", "b")
    assert route.calls[0].request.headers["x-agent-key"] == AGENT_KEY
    with pytest.raises(ConfigurationError, match="TALLYBASE_KEY"):
        Credits.from_env({"TALLYBASE_URL": URL})


def test_a_closed_client_does_not_spend(client: Credits, server: respx.MockRouter) -> None:
    route = server.post("/consume_credits").respond(json=receipt_body())
    client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        client.consume("A", "b")
    assert not route.called


def test_a_batch_holds_one_to_a_thousand_spends(client: Credits) -> None:
    for count in (0, 1001):
        with pytest.raises(InvalidArgument):
            client.consume_many([Consumption("A", "b")] * count)


def test_a_gateway_that_refuses_the_key_is_not_mistaken_for_a_refused_spend(
    client: Credits, server: respx.MockRouter
) -> None:
    server.post("/consume_credits").respond(401, json={"message": "Invalid API key"})
    with pytest.raises(NotAuthorized, match="Invalid API key"):
        client.consume("A", "b")
