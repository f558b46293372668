"""What people and services do around agents: make and revoke keys, read the ledger, prove it sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tallybase._calls import Call, Number, Query, require_number, rows_of
from tallybase.client import Credits
from tallybase.errors import ConfigurationError
from tallybase.models import Approval

Scope = Literal["check", "consume", "hold", "read"]
SpendWindow = Literal["day", "week", "month", "lifetime"]
ApprovalStatus = Literal["pending", "approved", "rejected"]

#: What is read of a movement.
LEDGER_COLUMNS = (
    "sequence,created_at,id,kind,amount,balance_after,"
    "agent_type,action,run_id,agent_key_id,idempotency_key,reason"
)
_KEY_COLUMNS = (
    "key_id,name,department_id,agent_types,scopes,spend_limit,spend_window,expires_at,revoked_at,last_used_at,"
    "created_at"
)


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class AgentKey(_Row):
    """An agent key as it can be looked at: without the key itself.

    Attributes:
        key_id: names the key; part of it.
        department_id: the department that it is bound to, or None.
        agent_types: the agent types that it may act as, or None for all.
        scopes: what it may be used for.
        spend_limit: most credits in each window, or None.
        last_used_at: when it last spent, to the minute, or None.
    """

    key_id: str
    name: str
    department_id: UUID | None = None
    agent_types: tuple[str, ...] | None = None
    scopes: tuple[str, ...] = ()
    spend_limit: Decimal | None = None
    spend_window: SpendWindow = "month"
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    created_at: datetime | None = None


class CreatedAgentKey(AgentKey):
    """A new agent key.

    Attributes:
        key: the key itself. It is shown this once; only its hash is kept.
    """

    key: str = Field(repr=False)


class LedgerEntry(_Row):
    """One movement of the ledger. `amount` is signed, in credits."""

    sequence: int
    created_at: datetime
    id: UUID
    kind: str
    amount: Decimal
    balance_after: Decimal
    agent_type: str | None = None
    action: str | None = None
    run_id: str | None = None
    agent_key_id: str | None = None
    idempotency_key: str | None = None
    reason: str | None = None


class Violation(_Row):
    """A broken invariant of the ledger."""

    organization_id: UUID | None = None
    invariant: str
    expected: object = None
    actual: object = None
    details: object = None


class Management:
    """Calls for owners, admins and services, never for agents.

    Args:
        client: signed in as a person (`access_token`) or a service (secret key), with the organization named.
    """

    def __init__(self, client: Credits) -> None:
        if client.organization_id is None:
            raise ConfigurationError(
                "Name the organization: organization_id=..., or TALLYBASE_ORGANIZATION_ID."
            )
        self._client = client
        self._organization_id = str(client.organization_id)

    def create_agent_key(
        self,
        name: str,
        *,
        department_id: UUID | str | None = None,
        agent_types: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        spend_limit: Number | None = None,
        spend_window: SpendWindow = "month",
        scopes: Sequence[Scope] | None = None,
        reason: str | None = None,
    ) -> CreatedAgentKey:
        """Make an agent key. It is not repeated when the answer is lost: look for the key and revoke it then.

        Args:
            name: for people.
            department_id: what is spent with it is charged there.
            agent_types: it may act as these alone; None: as any.
            expires_at: from when on it is refused, with a zone.
            spend_limit: most credits in each window; None: no cap.
            spend_window: what the cap counts.
            scopes: it may be used for these alone; None: for everything an agent may.
            reason: for the audit log.

        Raises:
            NotAuthorized: the caller is not owner or admin.
            InvalidArgument: an argument was refused.
        """
        arguments: dict[str, object] = {"organization_id": self._organization_id, "name": name}
        optional: Mapping[str, object] = {
            "department_id": None if department_id is None else str(department_id),
            "agent_types": None if agent_types is None else list(agent_types),
            "expires_at": expires_at,
            "spend_limit": None if spend_limit is None else require_number("spend_limit", spend_limit),
            "spend_window": spend_window,
            "scopes": None if scopes is None else list(scopes),
            "reason": reason,
        }
        arguments |= {argument: value for argument, value in optional.items() if value is not None}
        call = Call("create_agent_key", arguments, CreatedAgentKey.model_validate, replayable=False)
        return self._client.perform(call)

    def rotate_agent_key(
        self, key_id: str, overlap: timedelta = timedelta(days=1), reason: str | None = None
    ) -> CreatedAgentKey:
        """Make a successor with the same rights, cap and end. Not repeated when the answer is lost.

        Args:
            key_id: the key that ends.
            overlap: how long it goes on working, at most 90 days.
            reason: for the audit log.

        Raises:
            NotAuthorized: no such key in an organization of the caller's.
            Conflict: it is revoked, or has expired.
        """
        arguments: dict[str, object] = {"key_id": key_id, "overlap": f"{overlap.total_seconds()} seconds"}
        if reason is not None:
            arguments["reason"] = reason
        call = Call("rotate_agent_key", arguments, CreatedAgentKey.model_validate, replayable=False)
        return self._client.perform(call)

    def revoke_agent_key(self, key_id: str, reason: str | None = None) -> AgentKey:
        """Revoke a key: from the answer on, every call with it is refused.

        Args:
            key_id: names the key.
            reason: for the audit log.

        Raises:
            NotAuthorized: no such key in an organization of the caller's.
        """
        arguments: dict[str, object] = {"key_id": key_id}
        if reason is not None:
            arguments["reason"] = reason
        return self._client.perform(Call("revoke_agent_key", arguments, AgentKey.model_validate))

    def agent_keys(self) -> list[AgentKey]:
        """Return the organization's keys, newest first, the revoked included."""
        return self._client.perform(
            Query(self._query("agent_keys", select=_KEY_COLUMNS, order="created_at.desc"), rows_of(AgentKey))
        )

    def approvals(self, status: ApprovalStatus | None = "pending", *, limit: int = 100) -> list[Approval]:
        """Return spends that wait for a decision, oldest first; or those decided, newest first.

        A member sees their own requests; owner, admin and billing see all.

        Args:
            status: only these; None: all, newest first.
            limit: at most so many.
        """
        filters = {
            "order": f"created_at.{'asc' if status == 'pending' else 'desc'},id.asc",
            "limit": str(limit),
        }
        if status is not None:
            filters["status"] = f"eq.{status}"
        return self._client.perform(Query(self._query("credit_approvals", **filters), rows_of(Approval)))

    def resolve_approval(
        self, approval_id: UUID | str, approve: bool, additional: Number | None = None
    ) -> Approval:
        """Decide on a spend that a limit has parked. The same decision again changes nothing.

        Args:
            approval_id: as in `ApprovalRequired.approval_id` or `approvals()`.
            approve: False: it stays refused.
            additional: credits by which the limit is wider for its window, for everybody; None: this one
                spend passes, once.

        Raises:
            NotAuthorized: the caller is not owner or admin, or it is nobody's approval.
            NotFound: the window of the limit is over, or it asks no more.
            Conflict: it was decided otherwise.
            InvalidAmount: for `additional` of 0 or less, or with a rejection.
        """
        arguments: dict[str, object] = {"id": str(approval_id), "approve": approve}
        if additional is not None:
            arguments["additional"] = require_number("additional", additional)
        return self._client.perform(Call("resolve_approval", arguments, Approval.model_validate))

    def ledger(self, limit: int = 20, *, after_sequence: int | None = None) -> list[LedgerEntry]:
        """Return movements of the ledger in their order.

        Args:
            limit: at most so many: the last ones, or the first ones after a sequence.
            after_sequence: only what came after this movement.
        """
        filters = {"select": LEDGER_COLUMNS, "limit": str(limit)}
        if after_sequence is None:
            filters["order"] = "sequence.desc"
        else:
            filters |= {"order": "sequence.asc", "sequence": f"gt.{after_sequence}"}
        query = Query(self._query("credit_transactions", **filters), rows_of(LedgerEntry))
        entries = self._client.perform(query)
        return sorted(entries, key=lambda entry: entry.sequence)

    def verify_ledger(self) -> list[Violation]:
        """Return what is broken in the organization's ledger, for a service: nothing, when all is well."""
        arguments = {"organization_id": self._organization_id}
        return self._client.perform(Call("verify_ledger", arguments, rows_of(Violation)))

    def _query(self, table: str, **filters: str) -> str:
        return f"{table}?{urlencode({'organization_id': f'eq.{self._organization_id}', **filters})}"
