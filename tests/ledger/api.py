"""A thin client of the ledger's RPCs over plain HTTP, with exact decimals and typed answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx


@dataclass(frozen=True)
class Answer:
    """One HTTP answer.

    Attributes:
        status: HTTP status.
        body: parsed JSON, numbers with a point as Decimal.
    """

    status: int
    body: Any

    @property
    def slug(self) -> str:
        """The refusal's slug."""
        return str(self.body["message"])

    @property
    def details(self) -> dict[str, Any]:
        """The refusal's details, parsed."""
        parsed: dict[str, Any] = json.loads(self.body["details"], parse_float=Decimal)
        return parsed

    def refused(self, status: int, slug: str) -> dict[str, Any]:
        """Assert that this is that refusal and return its details (empty when it has none)."""
        assert (self.status, self.body.get("message")) == (status, slug), self
        return self.details if self.body["details"] else {}

    def accepted(self) -> Any:
        """Assert success and return the body."""
        assert self.status == 200, self
        return self.body


class _ExactEncoder(json.JSONEncoder):
    def default(self, value: Any) -> Any:
        return str(value) if isinstance(value, Decimal | UUID) else super().default(value)


class LedgerApi:
    """Calls RPCs of schema `billing` as one principal; safe to share between threads."""

    def __init__(self, supabase_url: str, api_key: str, headers: Mapping[str, str] | None = None) -> None:
        self._client = httpx.Client(
            base_url=f"{supabase_url}/rest/v1",
            headers={
                "apikey": api_key,
                "Accept-Profile": "billing",
                "Content-Profile": "billing",
                "Content-Type": "application/json",
                **(headers or {}),
            },
            timeout=60,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=64),
        )

    def call(self, function: str, **arguments: object) -> Answer:
        """Call an RPC by POST; Decimals and UUIDs travel as text."""
        body = json.dumps(arguments, cls=_ExactEncoder)
        response = self._client.post(f"/rpc/{function}", content=body)
        return Answer(
            response.status_code, json.loads(response.text, parse_float=Decimal) if response.text else None
        )

    def select(self, path: str) -> Answer:
        """GET a table or view with a PostgREST query."""
        response = self._client.get(f"/{path}")
        return Answer(response.status_code, json.loads(response.text, parse_float=Decimal))

    def consume(self, amount: object, **arguments: object) -> Answer:
        """Spend an amount as the caller-priced TestAgent.test."""
        return self.call("consume_credits", agent_type="TestAgent", action="test", amount=amount, **arguments)


def in_parallel(count: int, call: Any) -> list[Answer]:
    """Run `call(index)` on so many threads at once and return the answers by index."""
    with ThreadPoolExecutor(max_workers=count) as pool:
        return list(pool.map(call, range(count)))
