"""Who takes part in a concurrent history: tenants, their people and agents, and what is known of each."""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

from ..database import Row

DEPARTMENTS = ("Marketing", "Research")
RECENT = 60


@dataclass(frozen=True)
class Caller:
    """Somebody who calls, as PostgREST would present them to the database.

    Attributes:
        name: for messages.
        role: the database role.
        claims: of the verified token.
        headers: of the request.
        department: to which they are bound.
        user_id: of a member.
        agent_key: the root of an agent's key.
        agent_types: the only ones for which the key may spend; empty: all.
        is_member: whether the tenant knows them at all.
    """

    name: str
    role: str
    claims: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    department: str | None = None
    user_id: str | None = None
    agent_key: str | None = None
    agent_types: tuple[str, ...] = ()
    is_member: bool = True

    @property
    def is_agent(self) -> bool:
        """Whether an agent's key says who they are."""
        return self.role == "anon"

    def owns(self, hold: TakenHold) -> bool:
        """Whether they may resolve a hold (section 4): their own; as owner or service any of the tenant's."""
        if self.role == "service_role" or self.name == "owner":
            return True
        if self.is_agent:
            return self.agent_key == hold.agent_key
        return self.is_member and self.user_id is not None and self.user_id == hold.user_id


SERVICE = Caller("service", "service_role", {"role": "service_role"})


@dataclass(frozen=True)
class TakenHold:
    """A hold that somebody was told of."""

    hold_id: str
    user_id: str | None
    agent_key: str | None


@dataclass
class Tenant:
    """An organization under load. What the callers learn is shared between their threads."""

    organization_id: str
    ledger_number: int
    departments: tuple[str, ...]
    callers: tuple[Caller, ...]
    over_capture_policy: str
    overdraft_limit: int
    holds: deque[TakenHold] = field(default_factory=lambda: deque(maxlen=RECENT))
    consumptions: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    grants: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    calls: int = 0
    spent: Decimal = Decimal(0)

    def caller(self, name: str) -> Caller:
        """Return a caller by name."""
        return next(c for c in self.callers if c.name == name)


@dataclass(frozen=True)
class People:
    """The persons that belong to every tenant, and one who belongs to none; user id by part."""

    owner: UUID
    member: UUID
    bound: UUID
    outsider: UUID

    def caller(self, part: str, department: str | None = None) -> Caller:
        """Return the person as a caller."""
        user_id = str(getattr(self, part))
        claims = {"sub": user_id, "role": "authenticated"}
        return Caller(part, "authenticated", claims, {}, department, user_id, is_member=part != "outsider")


def make_tenant(connection: psycopg.Connection[Row], people: People, number: int) -> Tenant:
    """Make an organization with two departments, three members and three agent keys.

    Args:
        connection: as `postgres`, in autocommit.
        people: its members.
        number: decides how it treats captures above their hold.
    """
    name = f"History {secrets.token_hex(6)}"
    made = _one(connection, "billing.create_organization(%s, %s)", name, people.owner)
    organization_id = str(made["organization_id"])
    departments = tuple(
        str(_one(connection, "billing.create_department(%s, %s)", organization_id, name)["id"])
        for name in DEPARTMENTS
    )
    for user_id, department in ((people.member, None), (people.bound, departments[0])):
        connection.execute(
            "insert into billing.organization_members (organization_id, user_id, role, department_id)"
            " values (%s, %s, 'member', %s)",
            (organization_id, user_id, department),
        )
    policy = ("deny", "up_to_available", "allow_debt")[number % 3]
    overdraft = (0, 0, 5, 20)[number % 4]
    connection.execute(
        "update billing.organizations set over_capture_policy = %s, overdraft_limit = %s"
        " where organization_id = %s",
        (policy, overdraft, organization_id),
    )
    callers = (
        SERVICE,
        people.caller("owner"),
        people.caller("member"),
        people.caller("bound", departments[0]),
        people.caller("outsider"),
        _agent(connection, organization_id, "free", None, ()),
        _agent(connection, organization_id, "tied", departments[1], ()),
        _agent(connection, organization_id, "typed", None, ("TestAgent",)),
    )
    row = _one(connection, "billing.organizations where organization_id = %s", organization_id)
    return Tenant(organization_id, row["ledger_number"], departments, callers, policy, overdraft)


def _agent(
    connection: psycopg.Connection[Row],
    organization_id: str,
    name: str,
    department: str | None,
    agent_types: tuple[str, ...],
) -> Caller:
    call = "billing.create_agent_key(%s, %s, %s, %s)"
    made = _one(connection, call, organization_id, name, department, list(agent_types) or None)
    headers = {"x-agent-key": made["key"]}
    return Caller(
        f"agent {name}", "anon", {"role": "anon"}, headers, department, None, made["key_id"], agent_types
    )


def _one(connection: psycopg.Connection[Row], source: str, *values: object) -> dict[str, Any]:
    row = connection.execute(f"select * from {source}".encode(), values).fetchone()
    assert row is not None
    return row


def as_json(value: Mapping[str, Any]) -> str:
    """Write JSON in which amounts are exact: Decimals travel as text."""
    return json.dumps(value, default=str)
