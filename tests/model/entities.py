"""What the model of the ledger is made of. Sections are those of the contract (docs/concepts/ledger.md).

Nothing here knows SQL. Amounts are Decimals of six places, instants are aware datetimes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_UP, Decimal
from zoneinfo import ZoneInfo

ZERO = Decimal(0)
NEVER = datetime.max.replace(tzinfo=UTC)
ALWAYS = datetime.min.replace(tzinfo=UTC)
_MILLIONTH = Decimal("0.000001")


def round_up(exact: Decimal) -> Decimal:
    """Return the least amount of six decimals that is not below the exact one (section 1)."""
    return exact.quantize(_MILLIONTH, rounding=ROUND_UP)


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """A refused call (section 7).

    Args:
        status: HTTP status.
        slug: the name of the refusal.
        details: those that the model promises; the database may say more.
    """

    def __init__(self, status: int, slug: str, **details: object) -> None:
        super().__init__(status, slug)
        self.status = status
        self.slug = slug
        self.details: Mapping[str, object] = details

    def __repr__(self) -> str:
        return f"Refused({self.status}, {self.slug!r}, {self.details})"


@dataclass(frozen=True)
class Question:
    """A spend that a limit in mode `ask` has stopped: what an approval is about (section 5).

    Attributes:
        limit_id: the limit.
        window_start: the window that was full.
        fingerprint: the spend's key, or all that it said.
        number: how many approvals of the same spend have been used up before.
    """

    limit_id: str
    window_start: datetime
    fingerprint: tuple[object, ...]
    number: int = 0


class Parked(Refused):
    """Refused until somebody has decided."""

    def __init__(self, status: int, slug: str, question: Question | None = None, **details: object) -> None:
        super().__init__(status, slug, **details)
        self.question = question


@dataclass
class Approval:
    """A decision. `additional` widens the limit for its window; None: not used up yet."""

    is_approved: bool
    additional: Decimal | None


@dataclass(frozen=True)
class Spender:
    """Who spends on what: decides which grants and limits apply. The last three are named by limits only."""

    department: str | None
    agent_type: str
    member: str | None = None
    agent_key: str | None = None
    run: str | None = None


@dataclass
class Grant:
    """A lot of credits. `remaining` includes what holds have claimed (`held`)."""

    amount: Decimal
    effective_at: datetime
    expires_at: datetime = NEVER
    priority: int = 100
    department: str | None = None
    agent_types: tuple[str, ...] | None = None
    unit_cost: Decimal = ZERO
    remaining: Decimal = ZERO
    held: Decimal = ZERO
    is_active: bool = False
    is_over: bool = False  # expired or voided: what comes back to it is lost
    is_voided: bool = False
    id: str = ""  # the database names it

    @property
    def free(self) -> Decimal:
        """What is left and not claimed by a hold."""
        return self.remaining - self.held

    @property
    def is_spendable(self) -> bool:
        """Whether it is in force (section 3, rule 4); the ledger sets the flags at each instant."""
        return self.is_active and not self.is_over

    @property
    def is_scoped(self) -> bool:
        """Whether it is for a department or for some agent types only."""
        return self.department is not None or self.agent_types is not None

    def serves(self, spender: Spender) -> bool:
        """Whether its scope admits the spender (section 5)."""
        return self.department in (None, spender.department) and (
            self.agent_types is None or spender.agent_type in self.agent_types
        )

    @property
    def burn_by(self) -> datetime:
        """When it is expected to end."""
        return self.expires_at

    def lend(self, amount: Decimal, department: str | None) -> Grant:
        """Return the grant that a part of this one becomes in another scope (section 5)."""
        return replace(self, amount=amount, department=department, held=ZERO, id="")

    def successor(self, amount: Decimal, at: datetime, expires_at: datetime) -> Grant:
        """Return the promotional grant that takes its place after its end (section 3)."""
        return Grant(amount, at, expires_at, self.priority, self.department, self.agent_types)

    def burn_down_key(self) -> tuple[int, bool, datetime, Decimal, datetime, str]:
        """Its place in the burn-down order (section 3, rule 3)."""
        return (
            self.priority,
            not self.is_scoped,
            self.burn_by,
            self.unit_cost,
            self.effective_at,
            self.id,
        )


@dataclass
class Part:
    """A piece of a grant that a consumption took or a hold claimed; `grant` None: debt."""

    grant: Grant | None
    amount: Decimal


@dataclass
class Charge:
    """What counts against limits: when it was taken, by whom, and how much of it still stands.

    What a refund gives back is a charge below 0, taken when the consumption was; `given_back_at` is its own
    time.
    """

    at: datetime
    spender: Spender
    amount: Decimal
    given_back_at: datetime = ALWAYS

    def counts_in(self, limit: Limit, window: tuple[datetime, datetime]) -> bool:
        """Whether it stands against a limit in a window; a window that was closed got nothing back."""
        is_within = window[0] <= self.at < window[1] and self.given_back_at < window[1]
        return is_within and limit.applies_to(self.spender)


@dataclass
class Consumption:
    """A charged action, as a refund sees it. `spent_at` is when its credits were taken or claimed."""

    amount: Decimal
    parts: list[Part]
    charge: Charge
    spent_at: datetime
    refunded: Decimal = ZERO
    id: str = ""  # the transaction's


@dataclass
class Hold:
    """A reservation. `uncovered` is the part of `amount` for which the overdraft stands, not a grant."""

    amount: Decimal
    spender: Spender
    taken_at: datetime
    expires_at: datetime
    claims: list[Part]
    uncovered: Decimal
    charge: Charge
    metered: Decimal = ZERO
    status: str = "open"
    captured: Decimal | None = None
    uncollected: Decimal = ZERO
    consumption: Consumption | None = None
    price: Decimal = ZERO  # of a call, fixed when it was taken
    key: str | None = None
    request: tuple[object, ...] = ()
    id: str = ""


@dataclass(eq=False)
class Limit:
    """A cap in a window of a zone (section 5): `hard` refuses, `ask` parks, `soft` lets pass."""

    subject_type: str
    subject: str
    window: str
    amount: Decimal
    zone: str
    mode: str = "hard"
    id: str = ""

    def names(self) -> tuple[str, str, str]:
        """What it caps, and in which windows: there is one limit for each."""
        return self.subject_type, self.subject, self.window

    def applies_to(self, spender: Spender) -> bool:
        """Whether it caps this spender."""
        return self.subject_type == "organization" or getattr(spender, self.subject_type) == self.subject

    def window_at(self, at: datetime) -> tuple[datetime, datetime]:
        """Return the window [start, end) around an instant; local midnights, so a day may have 23 hours."""
        if self.window == "lifetime":
            return ALWAYS, NEVER
        zone = ZoneInfo(self.zone)
        today = at.astimezone(zone).date()
        first, after = {
            "day": (today, today + timedelta(days=1)),
            "week": (today - timedelta(days=today.weekday()), today + timedelta(days=7 - today.weekday())),
            "month": (today.replace(day=1), (today.replace(day=1) + timedelta(days=32)).replace(day=1)),
        }[self.window]
        start, end = (datetime(d.year, d.month, d.day, tzinfo=zone).astimezone(UTC) for d in (first, after))
        return start, end


@dataclass
class Receipt:
    """What a movement answers. `grants` and `limits` are compared in order; None: not promised.

    Attributes:
        amount: charged, given back, or moved.
        balance: after it.
        available: after it.
        parts: which grants gave or got how much.
        limits: what each limit has left, by limit, with the end of its window.
        request: what a replay must repeat.
        replayed: whether this is the answer to a known key.
        consumption: what was booked, for refunds.
    """

    amount: Decimal
    balance: Decimal
    available: Decimal
    parts: list[Part]
    request: tuple[object, ...] = ()
    limits: list[tuple[Limit, Decimal, datetime]] | None = None
    replayed: bool = False
    consumption: Consumption | None = field(default=None, repr=False)
