"""What the tests of the SDK share: clients with and without a server, and answers of a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import respx

from tallybase import Credits, RetryPolicy
from tallybase.testing import Prices
from tallybase.testing.plugin import fake_async_credits, fake_credits
from tests.conftest import Organization, StackUnderTest

__all__ = ["fake_async_credits", "fake_credits"]

URL = "https://billing.test"
AGENT_KEY = "tb_test_0123456789abcdef_secret_checksum"

#: The prices of the example agents, as supabase/seed.sql has them.
PRICES: Prices = {
    ("VisualPostCreatorAgent", "find_background_image"): 25,
    ("QAAgent", "answer_question"): {
        "call": 5,
        "input_tokens": Decimal("0.0005"),
        "output_tokens": Decimal("0.0015"),
    },
    ("TestAgent", "test"): None,
}

#: The body of PostgREST's 400 when its connection to the database breaks during the COMMIT.
CUT_OFF = {"code": "", "details": None, "hint": None, "message": ""}

#: Waits take no time in unit tests, but attempts are counted.
QUICK = RetryPolicy(deadline=60, first_delay=0.001, longest_delay=0.001, max_attempts=4)


def receipt_body(**fields: Any) -> dict[str, Any]:
    """The body of a receipt; fields replace the defaults."""
    return {
        "transaction_id": str(uuid4()),
        "organization_id": str(uuid4()),
        "amount": 5,
        "balance": 95,
        "available": 95,
        "replayed": False,
        "price": {"rows": [], "quantities": {"call": 1}, "exact_amount": 5},
        "grants": [],
        "limits": [],
        "created_at": "2026-11-23T00:00:00+00:00",
    } | fields


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that gives no signal, such as a thread having joined a queue."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    """A server that answers what a test says."""
    with respx.mock(base_url=f"{URL}/rest/v1/rpc", assert_all_called=False) as router:
        yield router


@pytest.fixture
def client(server: respx.MockRouter) -> Iterator[Credits]:
    """A client of that server, which does not wait between attempts."""
    with Credits(URL, "sb_publishable_x", agent_key=AGENT_KEY, retry=QUICK, sleep=lambda _: None) as made:
        yield made


@pytest.fixture
def live_client(stack: StackUnderTest) -> Iterator[Callable[..., Credits]]:
    """Returns a function: organization → client of the running stack, with a key of an agent."""
    made: list[Credits] = []

    def create(organization: Organization, agent_key: str | None = None, **keywords: Any) -> Credits:
        key = agent_key or organization.agent_key
        made.append(Credits(stack.supabase_url, stack.publishable_key, agent_key=key, **keywords))
        return made[-1]

    yield create
    for each in made:
        each.close()
