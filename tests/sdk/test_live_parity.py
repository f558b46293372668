"""One suite for the fake ledger and the real one: what tests learn from the fake is true of the server."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tallybase import (
    Consumption,
    Credits,
    IdempotencyConflict,
    InsufficientCredits,
    InvalidAmount,
    InvalidArgument,
    MetadataTooLarge,
    NotAuthorized,
    Receipt,
    TallybaseError,
    UnknownAction,
)
from tallybase.testing import FakeCredits
from tests.conftest import Organization
from tests.sdk.conftest import PRICES

LARGEST = Decimal("99999999999999.999999")


@pytest.fixture(params=["fake", "real"])
def client(
    request: pytest.FixtureRequest,
    new_organization: Callable[..., Organization],
    live_client: Callable[..., Credits],
) -> Credits:
    """A client of an organization with 100 credits and the prices of the seed."""
    if request.param == "fake":
        return FakeCredits(balance=100, prices=PRICES)
    return live_client(new_organization(credits=100))


def test_a_fixed_price(client: Credits) -> None:
    receipt = client.consume("VisualPostCreatorAgent", "find_background_image")
    assert [receipt.amount, receipt.balance, receipt.available] == [25, 75, 75]
    assert not receipt.replayed
    (row,) = receipt.price.rows
    assert [row.credit_cost, row.quantity, row.amount] == [25, 1, 25]
    assert receipt.price.quantities == {"call": 1}
    assert [share.amount for share in receipt.grants] == [25]


def test_a_price_by_metric_is_rounded_up_once_at_the_sixth_decimal(client: Credits) -> None:
    quantities: dict[str, Decimal | int] = {"input_tokens": Decimal("0.0001"), "output_tokens": 3}
    receipt = client.consume("QAAgent", "answer_question", quantities=quantities)
    assert receipt.price.exact_amount == Decimal("5.00450005")
    assert receipt.amount == Decimal("5.004501")
    assert receipt.balance == 100 - Decimal("5.004501")
    assert {row.metric: row.amount for row in receipt.price.rows} == {
        "call": 5,
        "input_tokens": Decimal("0.00000005"),
        "output_tokens": Decimal("0.0045"),
    }


def test_several_calls_at_once(client: Credits) -> None:
    receipt = client.consume("VisualPostCreatorAgent", "find_background_image", quantities={"call": 3})
    assert receipt.amount == 75


def test_a_price_that_the_caller_names(client: Credits) -> None:
    receipt = client.consume("TestAgent", "test", amount=Decimal("0.000001"))
    assert receipt.amount == Decimal("0.000001")
    assert receipt.price.rows[0].caller_priced


def test_a_key_is_charged_once_whatever_is_left(client: Credits) -> None:
    first = client.consume("TestAgent", "test", amount=100, idempotency_key="k")
    again = client.consume("TestAgent", "test", amount=100, idempotency_key="k")
    assert again.replayed
    assert again.model_copy(update={"replayed": False}) == first
    assert client.balance().available == 0


@pytest.mark.parametrize("change", [{"amount": 2}, {"action": "other"}, {"quantities": {"call": 2}}])
def test_a_key_belongs_to_one_spend(client: Credits, change: dict[str, Any]) -> None:
    spend: dict[str, Any] = {"action": "test", "amount": 1, "idempotency_key": "k"}
    first = client.consume("TestAgent", **spend)
    with pytest.raises(IdempotencyConflict) as caught:
        client.consume("TestAgent", **(spend | change))
    assert caught.value.transaction_id == str(first.transaction_id)
    assert client.balance().available == 99


@pytest.mark.parametrize("quantities", [{"call": 1}, {"call": Decimal("1.0")}, {}])
def test_the_implied_call_said_aloud_is_the_same_spend(
    client: Credits, quantities: dict[str, Decimal | int]
) -> None:
    first = client.consume("TestAgent", "test", amount=7, idempotency_key="k")
    again = client.consume("TestAgent", "test", amount=7, quantities=quantities, idempotency_key="k")
    assert again.replayed
    assert again.transaction_id == first.transaction_id


def test_a_refusal_is_not_remembered(client: Credits) -> None:
    client.consume("TestAgent", "test", amount=90)
    with pytest.raises(InsufficientCredits):
        client.consume("TestAgent", "test", amount=11, idempotency_key="k")
    assert client.consume("TestAgent", "test", amount=10, idempotency_key="k").balance == 0


def test_a_shortage_in_numbers(client: Credits) -> None:
    with pytest.raises(InsufficientCredits) as caught:
        client.consume("TestAgent", "test", amount=Decimal("100.000001"))
    error = caught.value
    assert [error.required, error.available, error.shortfall, error.balance, error.held] == [
        Decimal("100.000001"),
        100,
        Decimal("0.000001"),
        100,
        0,
    ]
    assert error.topup_url
    assert client.balance().available == 100


def test_the_largest_amount_is_exact(client: Credits) -> None:
    with pytest.raises(InsufficientCredits) as caught:
        client.consume("TestAgent", "test", amount=LARGEST)
    assert [caught.value.required, caught.value.shortfall] == [LARGEST, LARGEST - 100]


REFUSED: list[tuple[dict[str, Any], type[TallybaseError]]] = [
    ({"action": "unheard_of"}, UnknownAction),
    ({"agent_type": "QAAgent", "action": "answer_question", "quantities": {"pages": 1}}, InvalidArgument),
    ({"agent_type": "QAAgent", "action": "answer_question", "quantities": {"call": -1}}, InvalidArgument),
    ({"agent_type": "QAAgent", "action": "answer_question", "amount": 5}, InvalidArgument),
    ({}, InvalidAmount),
    ({"amount": 0}, InvalidAmount),
    ({"amount": -5}, InvalidAmount),
    ({"amount": 10**14}, InvalidAmount),
    ({"amount": 1, "idempotency_key": ""}, InvalidArgument),
    ({"amount": 1, "idempotency_key": "k" * 256}, InvalidArgument),
    ({"amount": 1, "idempotency_key": "a\nb"}, InvalidArgument),
    ({"amount": 1, "run_id": " "}, InvalidArgument),
    ({"amount": 1, "action": ""}, InvalidArgument),
    ({"amount": 1, "metadata": {"text": "x" * 9000}}, MetadataTooLarge),
    ({"amount": 1, "organization_id": "00000000-0000-4000-8000-000000000000"}, NotAuthorized),
]


@pytest.mark.parametrize(("options", "kind"), REFUSED)
def test_what_is_refused_is_refused_alike_and_costs_nothing(
    client: Credits, options: dict[str, Any], kind: type[TallybaseError]
) -> None:
    spend = {"agent_type": "TestAgent", "action": "test"} | options
    with pytest.raises(TallybaseError) as caught:
        client.consume(**spend)
    assert type(caught.value) is kind
    assert client.balance().available == 100


def test_a_check_costs_nothing_and_says_what_would_happen(client: Credits) -> None:
    fine = client.check("QAAgent", "answer_question", quantities={"input_tokens": 1000})
    assert [fine.allowed, fine.amount, fine.available, fine.reason] == [True, Decimal("5.5"), 100, None]
    dear = client.check("TestAgent", "test", amount=101)
    assert [dear.allowed, dear.amount, dear.available, dear.reason] == [
        False,
        101,
        100,
        "insufficient_credits",
    ]
    with pytest.raises(UnknownAction):
        client.check("TestAgent", "unheard_of")
    assert client.balance().available == 100


def test_a_batch_gives_each_event_its_own_answer(client: Credits) -> None:
    outcomes = client.consume_many(
        [
            Consumption("TestAgent", "test", amount=60, idempotency_key="one"),
            Consumption("TestAgent", "test", amount=60),
            Consumption("TestAgent", "unheard_of"),
            Consumption("TestAgent", "test", amount=60, idempotency_key="one"),
            Consumption("TestAgent", "test", amount=40),
        ],
        atomic=False,
    )
    assert [type(outcome.error or outcome.receipt) for outcome in outcomes] == [
        Receipt,
        InsufficientCredits,
        UnknownAction,
        Receipt,
        Receipt,
    ]
    assert outcomes[3].unwrap().replayed
    assert outcomes[4].unwrap().balance == 0
    assert isinstance(outcomes[1].error, InsufficientCredits)
    assert outcomes[1].error.shortfall == 20


def test_an_atomic_batch_is_all_or_nothing(client: Credits) -> None:
    events = [Consumption("TestAgent", "test", amount=60), Consumption("TestAgent", "test", amount=60)]
    with pytest.raises(InsufficientCredits) as caught:
        client.consume_many(events)
    assert caught.value.details["index"] == 1
    assert client.balance().available == 100


def test_a_balance(client: Credits) -> None:
    client.consume("TestAgent", "test", amount=Decimal("99.5"))
    wallet = client.balance()
    assert [wallet.balance, wallet.held, wallet.available, wallet.debt] == [
        Decimal("0.5"),
        0,
        Decimal("0.5"),
        0,
    ]
    assert wallet.restricted_reason is None
    assert not wallet.is_blocked
