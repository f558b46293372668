"""What the billing API answers, as frozen models. Amounts are Decimals in credits, times carry a zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tallybase.errors import TallybaseError


class _Answer(BaseModel):
    """Frozen; fields that a newer server adds are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class PriceRow(_Answer):
    """One line of a price: quantity times credits for one unit of a metric."""

    price_id: int
    metric: str
    credit_cost: Decimal
    quantity: Decimal
    amount: Decimal
    caller_priced: bool = False
    effective_from: datetime | None = None


class Price(_Answer):
    """How an amount came about.

    Attributes:
        rows: the versions of the prices that were used.
        quantities: what was counted, by metric; `call` is implied.
        exact_amount: before rounding up at the sixth decimal.
    """

    rows: tuple[PriceRow, ...] = ()
    quantities: Mapping[str, Decimal] = Field(default_factory=dict)
    exact_amount: Decimal = Decimal(0)


class GrantShare(_Answer):
    """What one grant paid of a spend."""

    grant_id: UUID
    amount: Decimal


class LimitState(_Answer):
    """What a limit has left after a spend; `resets_at` is None for a lifetime limit."""

    limit_id: UUID
    subject: str | None = None
    remaining: Decimal | None = None
    resets_at: datetime | None = None


class Receipt(_Answer):
    """Proof of one spend, with all that is needed to explain and recompute it.

    Attributes:
        amount: what was charged.
        balance: what the organization had after it.
        available: the balance without what holds have reserved.
        replayed: True when the key had been charged before and this is the first receipt again.
    """

    transaction_id: UUID
    organization_id: UUID
    amount: Decimal
    balance: Decimal
    available: Decimal
    replayed: bool = False
    price: Price = Price()
    grants: tuple[GrantShare, ...] = ()
    limits: tuple[LimitState, ...] = ()
    created_at: datetime


class Quote(_Answer):
    """What a spend would cost, and whether it would be allowed now. True in a condition when it is allowed.

    Attributes:
        allowed: whether `consume` with the same arguments would succeed now.
        amount: what it would cost, or None when it has no price.
        available: what can be spent now, or None when the caller may not know.
        reason: slug of the refusal, or None.
        limit: the limit that would refuse, or None.
        topup_url: where a person can buy credits, when the server says it.
    """

    allowed: bool
    amount: Decimal | None = None
    available: Decimal | None = None
    reason: str | None = None
    limit: Mapping[str, object] | None = None
    topup_url: str | None = None

    def __bool__(self) -> bool:
        return self.allowed


class PendingGrant(_Answer):
    """Credits that become spendable in the future."""

    grant_id: UUID
    effective_at: datetime
    amount: Decimal


class ExpiringCredits(_Answer):
    """Credits that end at an instant if they are not spent before."""

    expires_at: datetime
    amount: Decimal


class Balance(_Answer):
    """What an organization has.

    Attributes:
        balance: remaining credits of all active grants minus debt.
        held: reserved by open holds.
        available: balance - held.
        debt: what the next grant repays first.
        pending: credits of grants that are not yet in force.
        restricted_reason: `past_due`, `dispute`, `paused` or None.
        is_blocked: True when nothing can be spent at all.
        as_of: the instant for which this is true.
    """

    organization_id: UUID
    balance: Decimal
    held: Decimal = Decimal(0)
    available: Decimal
    debt: Decimal = Decimal(0)
    pending: Decimal = Decimal(0)
    pending_grants: tuple[PendingGrant, ...] = ()
    expiring: tuple[ExpiringCredits, ...] = ()
    restricted_reason: str | None = None
    is_blocked: bool = False
    as_of: datetime | None = None


class HoldState(_Answer):
    """A hold as the ledger has it. Amounts are in credits.

    Attributes:
        hold_id: names it.
        status: `open`, `captured`, `released` or `expired`.
        amount: what it reserves, or reserved.
        metered: what has been reported; charged if the hold expires.
        captured_amount: what was charged in the end, or None while it is open.
        uncollected_amount: what a capture above the hold could not collect.
        transaction_id: the charge, or None.
        expires_at: when it ends by itself.
    """

    hold_id: UUID
    organization_id: UUID
    status: Literal["open", "captured", "released", "expired"]
    amount: Decimal
    metered: Decimal = Decimal(0)
    captured_amount: Decimal | None = None
    uncollected_amount: Decimal = Decimal(0)
    transaction_id: UUID | None = None
    balance: Decimal
    available: Decimal
    replayed: bool = False
    expires_at: datetime
    created_at: datetime


class Approval(_Answer):
    """A spend that a limit has parked until a person decides.

    Attributes:
        id: names it; `ApprovalRequired.approval_id` of the refused spend.
        limit_id: the limit that asks.
        status: `pending`, `approved` or `rejected`.
        required: credits that the spend needs, or None when it was decided before anybody asked.
        additional: credits by which the limit is wider for its window; None: not decided, or approved for
            this one spend, which has not been made yet.
        window_start: first instant of the limit's window.
        idempotency_key: under which the spend may be made after the approval.
        user_id: the member who asked, if it was a member.
        agent_key_id: the agent key that asked, if it was an agent.
        resolved_by: who decided, or None.
        resolved_at: when, or None.
    """

    id: UUID
    organization_id: UUID
    limit_id: UUID
    status: Literal["pending", "approved", "rejected"]
    required: Decimal | None = None
    additional: Decimal | None = None
    window_start: datetime
    idempotency_key: str | None = None
    agent_type: str | None = None
    action: str | None = None
    department_id: UUID | None = None
    user_id: UUID | None = None
    agent_key_id: str | None = None
    run_id: str | None = None
    resolved_by: UUID | None = None
    resolved_at: datetime | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Consumption:
    """One spend to be made, as `consume_many` takes them. The arguments are those of `Credits.consume`."""

    agent_type: str
    action: str
    quantities: Mapping[str, Decimal | int] | None = None
    amount: Decimal | int | None = None
    department_id: UUID | str | None = None
    run_id: str | None = None
    idempotency_key: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event of a batch: a receipt or the refusal.

    Attributes:
        index: position of the event in the batch, from 0.
        idempotency_key: the key it was sent with.
        receipt: the receipt, or None when it was refused.
        error: the refusal, or None when it was charged.
    """

    index: int
    idempotency_key: str
    receipt: Receipt | None = None
    error: TallybaseError | None = None

    def unwrap(self) -> Receipt:
        """Return the receipt, or raise the refusal."""
        if self.receipt is not None:
            return self.receipt
        raise (
            self.error if self.error is not None else TallybaseError("This event of the batch has no answer.")
        )


@dataclass(frozen=True, slots=True)
class Queued:
    """A spend that could not be booked now and waits in the local outbox (`on_unavailable="queue"`).

    Attributes:
        idempotency_key: the key under which it will be charged once.
        reason: why it was not booked at once.
    """

    idempotency_key: str
    reason: str
    replayed: Literal[False] = False
