"""What an operator does, with the secret key: Stripe's events, catalogue, reconciliation, proofs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tallybase import _json, errors
from tallybase._answers import error_of
from tallybase._calls import Call, Number, Query, require_number, rows_of
from tallybase._keys import new_key
from tallybase._wire import Request, TransportFailure, read
from tallybase.client import Credits
from tallybase.management import LEDGER_COLUMNS, LedgerEntry, Violation
from tallybase.transport import HttpxTransport, Transport

#: Where the workers are, when they are not behind the gateway of the project.
WORKERS_URL = "TALLYBASE_WORKERS_URL"

#: A reconciliation looks at a month of Stripe's objects.
_TIME_LIMIT_SECONDS = 300.0

EventStatus = Literal["received", "processed", "ignored", "failed", "parked"]

M = TypeVar("M", bound=BaseModel)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StripeEvent(_Answer):
    """An event of Stripe's as the inbox keeps it, without its body."""

    event_id: str
    type: str
    status: str
    attempts: int
    error: str | None = None
    object_id: str | None = None
    organization_id: UUID | None = None
    next_attempt_at: datetime | None = None
    received_at: datetime | None = None


class ReplayedEvent(_Answer):
    """What became of an event that was run again: its status, or the slug of the refusal."""

    event_id: str
    status: str


class CatalogueChange(_Answer):
    """One difference between our plans and packs and Stripe's products and prices."""

    subject_type: str
    key: str
    action: str
    stripe_id: str | None = None
    before: Mapping[str, Any] = Field(default_factory=dict)
    after: Mapping[str, Any] = Field(default_factory=dict)


class CatalogueSync(_Answer):
    """What a synchronization has done, or would do."""

    dry_run: bool
    livemode: bool
    changes: tuple[CatalogueChange, ...]


class Reconciliation(_Answer):
    """What a reconciliation found.

    Attributes:
        missed: events that Stripe could not deliver and that had not been applied.
        applied: of those, how many are done with now.
        failed: of those, how many failed again.
        compared: objects compared, by kind; empty when nothing was compared.
        differing: differences found now.
        open: differences that stand.
    """

    missed: int = 0
    applied: int = 0
    failed: int = 0
    compared: Mapping[str, int] = Field(default_factory=dict)
    differing: int = 0
    open: int = 0


class MoneyCheck(_Answer):
    """One line of the go-live checklist: ok, warning or problem."""

    verdict: Literal["ok", "warning", "problem"]
    subject: str
    finding: str


class GrantReceipt(_Answer):
    """What a grant booked, or has booked before. Amounts are in credits; expires_at is None for never."""

    grant_id: UUID
    transaction_id: UUID | None = None
    organization_id: UUID
    amount: Decimal
    balance: Decimal
    available: Decimal
    replayed: bool
    effective_at: datetime
    expires_at: datetime | None = None
    created_at: datetime


class Rebuilt(_Answer):
    """How many derived rows of a kind were wrong and were put right."""

    organization_id: UUID
    kind: str
    changed: int


class _Events(_Answer):
    events: tuple[ReplayedEvent, ...]


class _Checks(_Answer):
    lines: tuple[MoneyCheck, ...]


class Operations:
    """Calls for whoever runs the installation.

    Args:
        client: with the project's secret key.
        workers_url: where the workers are; default: TALLYBASE_WORKERS_URL, or the project's gateway.
        transport: how requests to the workers travel; default: a connection of its own.

    Raises:
        ConfigurationError: the client has no secret key.
    """

    def __init__(
        self, client: Credits, *, workers_url: str | None = None, transport: Transport | None = None
    ) -> None:
        if not client.is_service:
            raise errors.ConfigurationError("This takes the project's secret key in TALLYBASE_KEY.")
        self._client = client
        self._workers_url = (workers_url or os.environ.get(WORKERS_URL) or client.url).rstrip("/")
        self._transport = transport or HttpxTransport()
        self._owns_transport = transport is None

    def close(self) -> None:
        """Release the connection to the workers; the client stays open."""
        if self._owns_transport:
            self._transport.close()

    def events(self, status: EventStatus | None = None, limit: int = 100) -> list[StripeEvent]:
        """Return Stripe's latest events, newest first.

        Args:
            status: only these.
            limit: at most so many.
        """
        arguments = {"status": status, "limit": limit} if status else {"limit": limit}
        return self._client.perform(Call("list_stripe_events", arguments, rows_of(StripeEvent)))

    def replay(
        self, event_ids: list[str] | None = None, status: Literal["failed", "parked"] | None = None
    ) -> list[ReplayedEvent]:
        """Run events again, each read anew at Stripe; nothing is granted twice.

        Args:
            event_ids: these; or
            status: up to 100 of this status, oldest first.
        """
        body: Mapping[str, object] = {"status": status} if event_ids is None else {"event_ids": event_ids}
        return list(self._call("replay_stripe_events", body, _Events).events)

    def sync_catalogue(self, *, dry_run: bool) -> CatalogueSync:
        """Bring Stripe's products and prices in line with plans and packs, or say what that would take."""
        return self._call("sync_catalogue", {"dry_run": dry_run}, CatalogueSync)

    def reconcile(self, *, compare: bool | None = None) -> Reconciliation:
        """Catch up with events that were lost, and report where Stripe and our rows differ.

        Args:
            compare: compare objects, or do not; None: once a day.
        """
        body: Mapping[str, object] = {} if compare is None else {"comparison": compare}
        return self._call("reconcile_stripe", body, Reconciliation)

    def money_checks(self) -> list[MoneyCheck]:
        """Return the checklist of what is set for money."""
        return list(self._call("check_money_settings", {}, _Checks).lines)

    def grant(
        self,
        amount: Number,
        *,
        organization_id: UUID | str | None,
        source: str,
        source_reference: str | None = None,
        expires_at: datetime | None = None,
        effective_at: datetime | None = None,
        department_id: UUID | str | None = None,
        agent_types: Sequence[str] | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> GrantReceipt:
        """Grant credits once under a source and a reference.

        Args:
            amount: credits.
            organization_id: whose.
            source: purchase, trial, promotion, referral, adjustment, ...
            source_reference: names it for ever; None: a new name.
            expires_at: from when on it is lost, with a zone; None: never.
            effective_at: from when on it can be spent; None: now.
            department_id: spendable by this department alone.
            agent_types: spendable as these alone.
            metadata: kept with it.

        Raises:
            IdempotencyConflict: the reference was used for another amount.
            InvalidAmount, InvalidArgument, NotFound: it cannot be granted.
        """
        if organization_id is None:
            raise errors.ConfigurationError(
                "Name the organization: --organization, or TALLYBASE_ORGANIZATION_ID."
            )
        arguments: dict[str, object] = {
            "organization_id": str(organization_id),
            "amount": require_number("amount", amount),
            "source": source,
            "source_reference": source_reference or new_key(),
        }
        optional: Mapping[str, object] = {
            "expires_at": expires_at,
            "effective_at": effective_at,
            "department_id": None if department_id is None else str(department_id),
            "agent_types": None if agent_types is None else list(agent_types),
            "metadata": None if metadata is None else dict(metadata),
        }
        arguments |= {name: value for name, value in optional.items() if value is not None}
        return self._client.perform(Call("grant_credits", arguments, GrantReceipt.model_validate))

    def ledger(self, organization_id: UUID | str) -> list[LedgerEntry]:
        """Return all movements of an organization's ledger, in their order."""
        entries: list[LedgerEntry] = []
        while True:
            last = entries[-1].sequence if entries else 0
            query = (
                f"credit_transactions?organization_id=eq.{organization_id}&select={LEDGER_COLUMNS}"
                f"&order=sequence.asc&limit=1000&sequence=gt.{last}"
            )
            page = self._client.perform(Query(query, rows_of(LedgerEntry)))
            entries += page
            if not page:
                return entries

    def verify_ledger(self, organization_id: UUID | str | None = None) -> list[Violation]:
        """Return what is broken: in one organization's ledger, or in all."""
        arguments = {} if organization_id is None else {"organization_id": str(organization_id)}
        return self._client.perform(Call("verify_ledger", arguments, rows_of(Violation)))

    def rebuild_ledger(self, organization_id: UUID | str | None = None) -> list[Rebuilt]:
        """Put derived rows (grants, counters of limits, usage) right from the ledger's entries."""
        arguments = {} if organization_id is None else {"organization_id": str(organization_id)}
        return self._client.perform(Call("rebuild_ledger", arguments, rows_of(Rebuilt)))

    def _call(self, name: str, body: Mapping[str, object], model: type[M]) -> M:
        url = f"{self._workers_url}/workers/v1/{name}"
        headers = {"apikey": self._client.secret_key, "content-type": "application/json"}
        try:
            reply = read(
                self._transport.send(
                    Request("POST", url, headers, _json.encode(dict(body))), _TIME_LIMIT_SECONDS
                )
            )
        except TransportFailure as failure:
            raise errors.CreditsUnavailable(f"The worker {name} did not answer: {failure}") from failure
        if not reply.ok:
            raise error_of(reply)
        try:
            return model.model_validate(reply.payload)
        except ValueError as error:
            raise errors.UnexpectedAnswer(status=reply.status, hint=name) from error
