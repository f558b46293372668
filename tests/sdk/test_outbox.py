"""`on_unavailable="queue"`: a spend that cannot be booked now is kept on disk and booked once, later."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import respx

from tallybase import (
    AgentKeyInvalid,
    ConfigurationError,
    Credits,
    CreditsUnavailable,
    InsufficientCredits,
    Outbox,
    Queued,
    consumes_credits,
)
from tallybase.testing import FakeAsyncCredits, FakeCredits, FakeLedger
from tests.sdk.conftest import URL


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite")


def test_a_queued_spend_survives_the_process_and_is_booked_once(tmp_path: Path) -> None:
    ledger = FakeLedger(balance=10)
    first = FakeCredits(ledger=ledger, outbox=str(tmp_path / "outbox.sqlite"))
    ledger.available = False
    queued = first.consume("A", "b", amount=Decimal("0.1"), run_id="r", on_unavailable="queue")
    assert isinstance(queued, Queued)

    ledger.available = True
    second = FakeCredits(ledger=ledger, outbox=str(tmp_path / "outbox.sqlite"))
    (outcome,) = second.settle_outbox()
    assert outcome.unwrap().amount == Decimal("0.1")
    assert outcome.idempotency_key == queued.idempotency_key
    assert (ledger.spends[0].run_id, ledger.spends[0].idempotency_key) == ("r", queued.idempotency_key)
    assert second.settle_outbox() == []
    assert ledger.spent == Decimal("0.1")


def test_a_spend_that_was_booked_although_the_answer_was_lost_is_not_booked_again(outbox: Outbox) -> None:
    client = FakeCredits(balance=10, outbox=outbox)
    client.ledger.lose_answers(1000)
    assert isinstance(client.consume("A", "b", on_unavailable="queue"), Queued)
    client.ledger._losses = 0
    (outcome,) = client.settle_outbox()
    assert outcome.unwrap().replayed
    assert client.ledger.spent == 1


def test_a_spend_that_is_refused_later_is_kept_for_a_person(outbox: Outbox) -> None:
    client = FakeCredits(balance=10, outbox=outbox)
    client.ledger.available = False
    client.consume("A", "b", amount=11, on_unavailable="queue")
    client.consume("A", "b", amount=2, on_unavailable="queue")
    client.ledger.available = True
    refused, booked = client.settle_outbox()
    assert isinstance(refused.error, InsufficientCredits)
    assert booked.unwrap().amount == 2
    (entry,) = outbox.refused()
    assert (entry.refusal, entry.arguments["amount"]) == ("insufficient_credits", 11)
    assert outbox.waiting() == []


def test_a_refused_spend_can_wait_again(outbox: Outbox) -> None:
    client = FakeCredits(balance=1, outbox=outbox)
    outbox.add("k", {"agent_type": "A", "action": "b", "amount": 2, "idempotency_key": "k"})
    client.settle_outbox()
    assert not outbox.retry("unknown")
    client.ledger.grant(5)
    assert outbox.retry("k")
    (outcome,) = client.settle_outbox()
    assert outcome.unwrap().amount == 2


def test_a_key_that_has_ended_leaves_everything_waiting(outbox: Outbox, server: respx.MockRouter) -> None:
    server.post("/consume_credits").respond(401, json={"code": "PT401", "message": "agent_key_invalid"})
    outbox.add("k", {"agent_type": "A", "action": "b", "idempotency_key": "k"})
    client = Credits(URL, "sb_publishable_x", agent_key="tb_ended", outbox=outbox)
    with pytest.raises(AgentKeyInvalid):
        client.settle_outbox()
    client.close()
    assert [entry.idempotency_key for entry in outbox.waiting()] == ["k"]


def test_closing_tries_once(outbox: Outbox) -> None:
    client = FakeCredits(balance=10, outbox=outbox)
    client.ledger.available = False
    client.consume("A", "b", on_unavailable="queue")
    before = len(client.ledger.requests)
    client.close()
    assert len(client.ledger.requests) == before + 1


def test_nothing_is_lost_while_the_server_stays_away(outbox: Outbox) -> None:
    client = FakeCredits(balance=10, outbox=outbox)
    client.ledger.available = False
    for _ in range(3):
        client.consume("A", "b", on_unavailable="queue")
    assert client.settle_outbox() == []
    assert len(outbox.waiting()) == 3
    client.ledger.available = True
    client.close()
    assert client.ledger.spent == 3
    assert outbox.waiting() == []


def test_a_refusal_is_raised_and_not_queued(outbox: Outbox) -> None:
    client = FakeCredits(balance=0, outbox=outbox)
    with pytest.raises(InsufficientCredits):
        client.consume("A", "b", on_unavailable="queue")
    assert outbox.waiting() == []


def test_queueing_without_an_outbox_is_a_mistake_that_shows_at_once(fake_credits: FakeCredits) -> None:
    with pytest.raises(ConfigurationError, match="outbox"):
        fake_credits.consume("A", "b", on_unavailable="queue")
    assert fake_credits.ledger.requests == []


def test_a_function_may_choose_to_go_on_without_an_answer(outbox: Outbox) -> None:
    client = FakeCredits(balance=10, outbox=outbox)

    @consumes_credits("A", "optional", credits=client, on_unavailable="queue")
    def optional() -> str:
        return "done"

    @consumes_credits("A", "strict", credits=client)
    def strict() -> str:
        return "done"

    client.ledger.available = False
    assert optional() == "done"
    with pytest.raises(CreditsUnavailable):
        strict()
    assert [entry.arguments["action"] for entry in outbox.waiting()] == ["optional"]


async def test_the_async_client_queues_and_settles_alike(outbox: Outbox) -> None:
    client = FakeAsyncCredits(balance=10, outbox=outbox)
    client.ledger.available = False
    assert isinstance(await client.consume("A", "b", on_unavailable="queue"), Queued)
    client.ledger.available = True
    await client.aclose()
    assert client.ledger.spent == 1
    assert outbox.waiting() == []
