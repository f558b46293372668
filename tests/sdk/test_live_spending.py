"""Agents against the running stack: many at once, keys that are revoked, runs that begin again."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from decimal import Decimal
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import httpx
import pytest

from supabase import Client
from tallybase import (
    AgentKeyInvalid,
    AsyncCredits,
    Credits,
    InsufficientCredits,
    LimitExceeded,
    NotAuthorized,
    Receipt,
    TallybaseError,
    consumes_credits,
)
from tallybase.agents import QAAgent, VisualPostCreatorAgent
from tallybase.transport import HttpxTransport
from tests.conftest import Organization, StackUnderTest

EXAMPLE = Path(__file__).resolve().parents[2] / "sdk" / "examples" / "two_agents.py"

LiveClient = Callable[..., Credits]
NewOrganization = Callable[..., Organization]


def in_parallel(count: int, spend: Callable[[int], Receipt]) -> list[Receipt | TallybaseError]:
    """Spend from so many threads at once."""

    def outcome(number: int) -> Receipt | TallybaseError:
        try:
            return spend(number)
        except TallybaseError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(outcome, range(count)))


def assert_ledger_is_sound(service: Client, organization: Organization) -> None:
    """Assert that no invariant of the ledger is broken."""
    found = service.rpc("verify_ledger", {"organization_id": str(organization.organization_id)}).execute()
    assert found.data == []


@pytest.mark.parametrize("combine", [True, False])
def test_fifty_parallel_spends_of_1_from_10_give_10_receipts_and_40_refusals(
    new_organization: NewOrganization, live_client: LiveClient, service: Client, combine: bool
) -> None:
    organization = new_organization(credits=10)
    client = live_client(organization, combine=combine)
    outcomes = in_parallel(50, lambda _: client.consume("TestAgent", "test", amount=1))
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    refusals = [outcome for outcome in outcomes if isinstance(outcome, InsufficientCredits)]
    assert (len(receipts), len(refusals)) == (10, 40)
    assert sorted(receipt.balance for receipt in receipts) == list(range(10))
    assert client.balance().available == 0
    assert_ledger_is_sound(service, organization)


@pytest.mark.parametrize("combine", [True, False])
def test_the_same_key_twenty_times_in_parallel_is_one_charge_and_20_equal_receipts(
    new_organization: NewOrganization, live_client: LiveClient, service: Client, combine: bool
) -> None:
    organization = new_organization(credits=10)
    client = live_client(organization, combine=combine)
    outcomes = in_parallel(20, lambda _: client.consume("TestAgent", "test", amount=1, idempotency_key="one"))
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    assert len(receipts) == 20
    assert sum(not receipt.replayed for receipt in receipts) == 1
    assert (
        len({receipt.model_copy(update={"replayed": False}).model_dump_json() for receipt in receipts}) == 1
    )
    assert client.balance().available == 9
    assert_ledger_is_sound(service, organization)


async def test_two_hundred_tasks_share_one_ledger_and_each_has_its_receipt(
    stack: StackUnderTest, new_organization: NewOrganization, service: Client
) -> None:
    organization = await asyncio.to_thread(new_organization, credits=150)
    refused = 0
    ids: set[object] = set()
    async with AsyncCredits(
        stack.supabase_url, stack.publishable_key, agent_key=organization.agent_key
    ) as client:

        async def spend() -> None:
            nonlocal refused
            try:
                ids.add((await client.consume("TestAgent", "test", amount=1)).transaction_id)
            except InsufficientCredits:
                refused += 1

        await asyncio.gather(*(spend() for _ in range(200)))
        assert (await client.balance()).available == 0
    assert (len(ids), refused) == (150, 50)
    await asyncio.to_thread(assert_ledger_is_sound, service, organization)


def test_a_refusal_of_the_database_stops_the_paid_call(
    new_organization: NewOrganization, live_client: LiveClient
) -> None:
    client = live_client(new_organization(credits=30))
    images: list[str] = []

    @consumes_credits("VisualPostCreatorAgent", "find_background_image", credits=client)
    def ask_provider() -> None:
        images.append("asked")

    ask_provider()
    with pytest.raises(InsufficientCredits) as caught:
        ask_provider()
    assert images == ["asked"]
    assert [caught.value.required, caught.value.available, caught.value.shortfall] == [25, 5, 20]
    assert "topup" in (caught.value.topup_url or "")


def test_a_revoked_key_is_refused_at_once_and_says_no_more_than_an_unknown_one(
    new_organization: NewOrganization, live_client: LiveClient
) -> None:
    organization = new_organization(credits=10)
    client = live_client(organization)
    client.consume("TestAgent", "test", amount=1)
    key_id = organization.agent_key.split("_")[2]
    organization.owner.client.rpc("revoke_agent_key", {"key_id": key_id}).execute()
    with pytest.raises(AgentKeyInvalid) as revoked:
        client.consume("TestAgent", "test", amount=1)
    with pytest.raises(AgentKeyInvalid) as unknown:
        live_client(organization, "tb_test_0123456789abcdef_" + "0" * 64 + "_00000000").balance()
    assert str(revoked.value) == str(unknown.value)
    assert organization.agent_key not in repr(revoked.value)


def test_a_run_that_begins_again_in_another_process_is_charged_once(
    new_organization: NewOrganization, live_client: LiveClient, service: Client
) -> None:
    organization = new_organization(credits=100)

    def work(steps: int) -> Decimal:
        client = live_client(organization)
        designer, helper = VisualPostCreatorAgent(client), QAAgent(client)
        with client.run(run_id="poster-7") as run:
            for _ in range(steps):
                designer.find_background_image("Autumn")
                helper.answer_question("What does a refused action cost?")
            return run.spent

    died = work(1)
    repeated = work(2)
    assert repeated == 2 * died
    usage = service.table("credit_usage").select("run_id, idempotency_key")
    rows: Any = usage.eq("organization_id", str(organization.organization_id)).execute().data
    assert [row["run_id"] for row in rows] == ["poster-7"] * 4
    assert sorted(row["idempotency_key"] for row in rows) == [
        "poster-7:QAAgent.answer_question:1",
        "poster-7:QAAgent.answer_question:2",
        "poster-7:VisualPostCreatorAgent.find_background_image:1",
        "poster-7:VisualPostCreatorAgent.find_background_image:2",
    ]
    assert live_client(organization).balance().available == 100 - repeated


class Losing(httpx.HTTPTransport):
    """A network that carries the first requests and loses their answers."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.losses = losses

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if self.losses:
            self.losses -= 1
            response.read()
            response.close()
            raise httpx.ReadError("connection reset by peer")
        return response


def test_a_lost_answer_of_the_database_is_replayed(
    new_organization: NewOrganization, live_client: LiveClient, service: Client
) -> None:
    organization = new_organization(credits=10)
    with httpx.Client(transport=Losing(2)) as network:
        client = live_client(organization, transport=HttpxTransport(network))
        receipt = client.consume("TestAgent", "test", amount=3)
        assert receipt.replayed
        assert [receipt.amount, client.balance().available] == [3, 7]
    assert_ledger_is_sound(service, organization)


def test_a_key_with_a_cap_is_refused_with_the_limit_and_when_it_ends(
    new_organization: NewOrganization, live_client: LiveClient
) -> None:
    organization = new_organization(credits=100)
    arguments = {
        "organization_id": str(organization.organization_id),
        "name": "capped",
        "spend_limit": 5,
        "spend_window": "day",
        "agent_types": ["TestAgent"],
    }
    created: Any = organization.owner.client.rpc("create_agent_key", arguments).execute().data
    client = live_client(organization, created["key"])
    receipt = client.consume("TestAgent", "test", amount=4)
    assert [limit.remaining for limit in receipt.limits] == [1]
    with pytest.raises(LimitExceeded) as caught:
        client.consume("TestAgent", "test", amount=2)
    error = caught.value
    assert (error.subject_type, error.subject_id) == ("agent_key", created["key_id"])
    assert [error.limit, error.used, error.required, error.remaining] == [5, 4, 2, 1]
    assert error.resets_at is not None
    assert not client.check("TestAgent", "test", amount=2)
    with pytest.raises(NotAuthorized):
        client.consume("QAAgent", "answer_question")


def test_a_member_and_a_service_spend_through_the_same_client(
    stack: StackUnderTest, new_organization: NewOrganization
) -> None:
    organization = new_organization(credits=10)
    session = organization.owner.client.auth.get_session()
    assert session is not None
    token = session.access_token
    with Credits(stack.supabase_url, stack.publishable_key, access_token=token) as member:
        assert member.consume("TestAgent", "test", amount=1).balance == 9
    with Credits(
        stack.supabase_url, stack.secret_key, organization_id=organization.organization_id
    ) as service:
        assert service.consume("TestAgent", "test", amount=1).balance == 8


def test_the_example_runs_until_the_refusal_and_shows_where_to_top_up(
    stack: StackUnderTest, new_organization: NewOrganization, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = new_organization(credits=85)
    monkeypatch.setenv("TALLYBASE_URL", stack.supabase_url)
    monkeypatch.setenv("TALLYBASE_KEY", stack.publishable_key)
    monkeypatch.setenv("TALLYBASE_AGENT_KEY", organization.agent_key)
    spec = spec_from_file_location("two_agents", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "two_agents", example)
    spec.loader.exec_module(example)
    output = io.StringIO()
    with redirect_stdout(output):
        assert example.main([]) == 0
    text = output.getvalue()
    assert "Balance at the start: 85 credits" in text
    assert text.count("VisualPostCreatorAgent paid 25 credits") == 2
    assert (
        "Refused (insufficient_credits): Not enough credits: 25 needed, 24.8 available, 0.2 missing." in text
    )
    assert f"/organizations/{organization.organization_id}/billing" in text.split("Top up here: ")[1]


def test_what_a_meter_has_is_booked_when_the_process_ends_without_closing_it(
    new_organization: NewOrganization, live_client: LiveClient, service: Client, stack: StackUnderTest
) -> None:
    organization = new_organization(credits=5000)
    program = """
from tallybase import Credits
meter = Credits.from_env().meter()
for number in range(2500):
    meter.record("TestAgent", "test", amount=1, idempotency_key=f"line-{number}")
    meter.record("TestAgent", "test", amount=1, idempotency_key=f"line-{number}")
"""
    environment = {
        "TALLYBASE_URL": stack.supabase_url,
        "TALLYBASE_KEY": stack.publishable_key,
        "TALLYBASE_AGENT_KEY": organization.agent_key,
    }
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert live_client(organization).balance().available == 2500
    assert_ledger_is_sound(service, organization)
