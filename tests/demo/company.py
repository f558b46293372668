"""The demo's organization and its people, made anew at every run, so that the demo can be repeated."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.conftest import PASSWORD, StackUnderTest
from tests.ledger.api import Answer, LedgerApi
from tests.money.world import Workers


def plain(amount: object) -> str:
    """Write credits for people: no exponent, no trailing zeros."""
    text = format(Decimal(str(amount)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def compact(body: object) -> str:
    """Write a JSON body on one line; amounts without trailing zeros."""
    return json.dumps(_readable(body), ensure_ascii=False)


def _readable(value: Any) -> Any:
    if isinstance(value, Decimal):
        text = plain(value)
        return float(text) if "." in text else int(text)
    if isinstance(value, dict):
        return {name: _readable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return value


def signed_in(stack: StackUnderTest, email: str) -> str:
    """Sign a person in with the demo password, as an application does, and return their access token."""
    session = stack.client().auth.sign_in_with_password({"email": email, "password": PASSWORD}).session
    if session is None:
        raise RuntimeError(f"{email} has no session after signing in")
    return session.access_token


@dataclass
class Company:
    """An organization and its owner.

    Attributes:
        stack: where everything is.
        email: the owner's.
        organization_id: empty until the owner has made it.
        agent_key: empty until the owner has made one.
    """

    stack: StackUnderTest
    email: str = field(default_factory=lambda: f"owner-{secrets.token_hex(4)}@demo.test")
    organization_id: str = ""
    agent_key: str = ""
    token: str = field(default="", repr=False)

    def sign_up(self) -> None:
        """Make the owner's account and sign them in, with supabase-py."""
        self.stack.client().auth.sign_up({"email": self.email, "password": PASSWORD})
        self.token = signed_in(self.stack, self.email)

    def found(self) -> str:
        """Make the organization, as its owner; returns its name."""
        name = f"Demo {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        made = self.owner.call("create_organization", name=name).accepted()
        self.organization_id = str(made["organization_id"])
        return name

    @property
    def owner(self) -> LedgerApi:
        """The API as the owner: a user's token, under row level security."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return LedgerApi(self.stack.supabase_url, self.stack.publishable_key, headers)

    @property
    def agent(self) -> LedgerApi:
        """The API as an agent: the publishable key and the agent key."""
        headers = {"x-agent-key": self.agent_key}
        return LedgerApi(self.stack.supabase_url, self.stack.publishable_key, headers)

    @property
    def workers(self) -> Workers:
        """The workers as the owner's browser calls them."""
        return Workers(self.stack, self.token)

    @property
    def balance(self) -> Decimal:
        """Credits that the organization has now."""
        answer = self.owner.call("get_credit_balance", organization_id=self.organization_id)
        return Decimal(answer.accepted()["balance"])

    def rows(self, table: str, query: str = "") -> list[dict[str, Any]]:
        """Read a table as the owner, its own organization's rows alone."""
        path = f"{table}?organization_id=eq.{self.organization_id}{query}"
        rows: list[dict[str, Any]] = self.owner.select(path).accepted()
        return rows

    def spend(self, amount: object, idempotency_key: str) -> Answer:
        """Spend as the agent, by the action whose price the caller names."""
        return self.agent.consume(amount, idempotency_key=idempotency_key)
