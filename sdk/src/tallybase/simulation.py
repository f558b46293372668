"""Organizations that live through days in seconds, with clocks of their own, and are proved at the end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from tallybase import _json, errors
from tallybase._answers import error_of
from tallybase._calls import Call
from tallybase._keys import new_key
from tallybase._wire import Request, TransportFailure, read
from tallybase.client import Credits
from tallybase.errors import InsufficientCredits
from tallybase.models import Consumption
from tallybase.operations import Operations
from tallybase.transport import HttpxTransport

AGENT_TYPE = "SimulatedAgent"
_ACTIONS = ("answer", "draw", "search")
_PRICE = Decimal("1.25")
_SECONDS = 30.0


class _Organization(BaseModel):
    model_config = ConfigDict(extra="ignore")
    organization_id: UUID


class _User(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: UUID


@dataclass(slots=True)
class Story:
    """What has happened to one organization. Amounts are in credits.

    Attributes:
        expected: what the balance must be: granted, less charged and expired.
        balance: what the ledger says.
        violations: broken invariants; an unexpected balance counts as one.
    """

    organization_id: UUID
    days: int = 0
    spends: int = 0
    refused: int = 0
    granted: Decimal = Decimal(0)
    charged: Decimal = Decimal(0)
    expired: Decimal = Decimal(0)
    expected: Decimal = Decimal(0)
    balance: Decimal = Decimal(0)
    violations: int = 0


class Simulation:
    """Tells so many stories of so many days, each organization under a test clock of its own.

    Every week credits are granted that last a week; every day agents spend, in a batch and by a hold.
    The same seed tells the same stories.

    Args:
        client: with the project's secret key.
        organizations: how many.
        days: how many days each.
        seed: of everything random.

    Raises:
        ConfigurationError: the client has no secret key.
    """

    def __init__(self, client: Credits, *, organizations: int, days: int, seed: int = 0) -> None:
        self._client = client
        self._operations = Operations(client)
        self._organizations = organizations
        self._days = days
        self._seed = seed
        self._name = f"Simulation {new_key()[:13]}"
        self._start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def stories(self) -> Iterator[Story]:
        """Tell the stories: yields each after every day of it, and last when it has been proved."""
        owner_id = self._make_owner()
        for number in range(self._organizations):
            chance = random.Random(f"{self._seed}:{number}")
            story = self._begin(owner_id, number)
            for day in range(self._days):
                self._live(story, day, chance)
                story.days = day + 1
                if story.days < self._days:
                    yield story
            self._prove(story)
            yield story

    def close(self) -> None:
        """Release the connections; the client stays open."""
        self._operations.close()

    def _begin(self, owner_id: UUID, number: int) -> Story:
        arguments = {"name": f"{self._name} {number + 1}", "owner_user_id": str(owner_id)}
        made = self._client.perform(
            Call("create_organization", arguments, _Organization.model_validate, replayable=False)
        )
        story = Story(made.organization_id)
        self._set_clock(story, self._start)
        for action in _ACTIONS:
            price = {
                "agent_type": AGENT_TYPE,
                "action": action,
                "credit_cost": _PRICE,
                "organization_id": str(story.organization_id),
            }
            self._client.perform(Call("set_agent_action_cost", price, _ignore))
        return story

    def _live(self, story: Story, day: int, chance: random.Random) -> None:
        now = self._start + timedelta(days=day)
        if day % 7 == 0:
            amount = chance.randint(40, 120)
            self._operations.grant(
                amount,
                organization_id=story.organization_id,
                source="promotion",
                source_reference=f"week-{day // 7}",
                expires_at=now + timedelta(days=7),
            )
            story.granted += amount
        events = [
            Consumption(AGENT_TYPE, chance.choice(_ACTIONS), run_id=f"day-{day}")
            for _ in range(chance.randint(1, 8))
        ]
        outcomes = self._client.consume_many(events, atomic=False, organization_id=story.organization_id)
        for outcome in outcomes:
            if outcome.receipt is None:
                story.refused += 1
                continue
            story.spends += 1
            story.charged += outcome.receipt.amount
        self._hold(story, chance)
        self._set_clock(story, now + timedelta(days=1))

    def _hold(self, story: Story, chance: random.Random) -> None:
        up_to, cost = chance.randint(2, 6), chance.randint(0, 2)
        hold = self._client.hold(
            AGENT_TYPE, "search", up_to=up_to, expires_in="10m", organization_id=story.organization_id
        )
        try:
            with hold:
                story.charged += hold.capture(cost).amount
                story.spends += 1
        except InsufficientCredits:
            story.refused += 1

    def _prove(self, story: Story) -> None:
        story.balance = self._client.balance(story.organization_id).balance
        story.expired = -sum(
            (
                entry.amount
                for entry in self._operations.ledger(story.organization_id)
                if entry.kind == "expire"
            ),
            Decimal(0),
        )
        story.expected = story.granted - story.charged - story.expired
        story.violations = len(self._operations.verify_ledger(story.organization_id))
        story.violations += story.balance != story.expected

    def _set_clock(self, story: Story, to: datetime) -> None:
        arguments = {"organization_id": str(story.organization_id), "to": to.isoformat()}
        self._client.perform(Call("advance_test_clock", arguments, _ignore))

    def _make_owner(self) -> UUID:
        """A person without a password, to whom the organizations belong."""
        address = f"{self._name.lower().replace(' ', '-')}@tallybase.invalid"
        transport = HttpxTransport()
        key = self._client.secret_key
        headers = {"apikey": key, "authorization": f"Bearer {key}", "content-type": "application/json"}
        body = _json.encode({"email": address, "email_confirm": True})
        try:
            reply = read(
                transport.send(
                    Request("POST", f"{self._client.url}/auth/v1/admin/users", headers, body), _SECONDS
                )
            )
        except TransportFailure as failure:
            raise errors.CreditsUnavailable(f"The project's auth did not answer: {failure}") from failure
        finally:
            transport.close()
        if not reply.ok:
            raise error_of(reply)
        return _User.model_validate(reply.payload).id


def _ignore(payload: object) -> object:
    return payload
