"""Every way in which the billing API says no, as exceptions with texts for those who operate agents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class TallybaseError(Exception):
    """Base of all errors of this package. The text never holds a key.

    Args:
        message: text for people; empty: the text of the class, written from the details.
        slug: short name of the refusal, when it is not the class's own.
        status: HTTP status of the answer, or None when there was none.
        details: what the server said in machine-readable form.
        hint: the server's advice in plain words.

    Attributes:
        slug: short name of the refusal (`insufficient_credits`), stable across versions.
        status: HTTP status of the answer, or None when there was none.
        details: what the server said in machine-readable form; amounts are Decimals.
        hint: the server's advice in plain words, or an empty string.
        idempotency_key: key of the spend that failed, or None; repeating that spend with it is safe.
    """

    default_slug: ClassVar[str] = "error"
    default_text: ClassVar[str] = "The billing call failed."

    def __init__(
        self,
        message: str = "",
        *,
        slug: str | None = None,
        status: int | None = None,
        details: Mapping[str, object] | None = None,
        hint: str = "",
    ) -> None:
        self.slug = slug or self.default_slug
        self.status = status
        self.details: Mapping[str, object] = details or {}
        self.hint = hint
        self.idempotency_key: str | None = None
        self._read(self.details)
        super().__init__(message or self._text())

    def _read(self, details: Mapping[str, object]) -> None:
        """Set the attributes of the class from the details. Raises ValidationError when they do not fit."""

    def _text(self) -> str:
        return f"{self.default_text} ({self.hint})" if self.hint else self.default_text


class ConfigurationError(TallybaseError):
    """The client was set up wrongly: a variable is missing, a sync function was given an async client."""

    default_slug = "configuration"
    default_text = "The billing client is not set up."


class UnexpectedAnswer(TallybaseError):
    """The server answered something that this package does not know. Nothing is assumed to be paid."""

    default_slug = "unexpected_answer"
    default_text = "The billing server gave an answer that is not understood."


class CreditsUnavailable(TallybaseError):
    """No usable answer came within the deadline, so the work must not go on.

    Whether the spend was booked is unknown; repeating it with `idempotency_key` charges at most once.
    """

    default_slug = "unavailable"
    default_text = "The billing server could not be reached. Whether the credits were charged is not known."


class Busy(CreditsUnavailable):
    """The organization's ledger was locked for too long. Nothing was booked."""

    default_slug = "busy"
    default_text = "The organization's ledger is busy. Nothing was charged; try again."


class RateLimited(CreditsUnavailable):
    """The server asks to slow down. Nothing was booked."""

    default_slug = "rate_limited"
    default_text = "The billing server asks to slow down. Nothing was charged; try again later."


class SpendRefused(TallybaseError):
    """The spend is refused for lack of credits or of permission to use them (HTTP 402)."""

    default_slug = "spend_refused"
    default_text = "The spend is refused. Nothing was charged."


class _Details(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Shortage(_Details):
    required: Decimal = Decimal(0)
    available: Decimal = Decimal(0)
    shortfall: Decimal = Decimal(0)
    balance: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    topup_url: str | None = None


class InsufficientCredits(SpendRefused):
    """The organization has too few credits for this spend. All amounts are in credits.

    Attributes:
        required: what the spend costs.
        available: what can be spent now.
        shortfall: required - available.
        balance: what the organization has, including what holds have reserved.
        held: what holds have reserved.
        topup_url: where a person can buy credits, or None.
    """

    default_slug = "insufficient_credits"

    def _read(self, details: Mapping[str, object]) -> None:
        shortage = _Shortage.model_validate(details)
        self.required = shortage.required
        self.available = shortage.available
        self.shortfall = shortage.shortfall
        self.balance = shortage.balance
        self.held = shortage.held
        self.topup_url = shortage.topup_url

    def _text(self) -> str:
        text = (
            f"Not enough credits: {plain(self.required)} needed, {plain(self.available)} available, "
            f"{plain(self.shortfall)} missing. Nothing was charged."
        )
        return text + (f" Top up at {self.topup_url}" if self.topup_url else "")


class _Cap(_Details):
    limit_id: str | None = None
    subject_type: str = "subject"
    subject_id: str = ""
    limit: Decimal = Decimal(0)
    used: Decimal = Decimal(0)
    required: Decimal = Decimal(0)
    remaining: Decimal = Decimal(0)
    resets_at: datetime | None = None
    approval_id: str | None = None


class LimitExceeded(SpendRefused):
    """A cap on the organization, department, member, agent, key or run would be passed.

    All amounts are in credits.

    Attributes:
        limit_id: the limit, or None for the budget of a run in this process.
        subject_type: what is capped (`department`, `agent_key`, `run`, ...).
        subject_id: which one.
        limit: the cap.
        used: what has been used of it in the current window.
        required: what the spend needs.
        remaining: what is left in the current window.
        resets_at: when the window ends, or None for a cap that does not reset.
        approval_id: what an administrator approves or refuses, or None.
    """

    default_slug = "limit_exceeded"

    def _read(self, details: Mapping[str, object]) -> None:
        cap = _Cap.model_validate(details)
        self.limit_id = cap.limit_id
        self.subject_type = cap.subject_type
        self.subject_id = cap.subject_id
        self.limit = cap.limit
        self.used = cap.used
        self.required = cap.required
        self.remaining = cap.remaining
        self.resets_at = cap.resets_at
        self.approval_id = cap.approval_id

    def _text(self) -> str:
        subject = self.subject_type.replace("_", " ")
        text = (
            f"The limit of {plain(self.limit)} credits on this {subject} would be passed: "
            f"{plain(self.used)} used, {plain(self.required)} needed, "
            f"{plain(self.remaining)} left. Nothing was charged."
        )
        return text + (f" The limit resets at {self.resets_at.isoformat()}." if self.resets_at else "")


class RunBudgetExceeded(LimitExceeded):
    """The budget given to `credits.run(budget=...)` would be passed; the database was not asked to charge."""


class ApprovalRequired(LimitExceeded):
    """The limit asks a person first. Nothing was charged; after approval the same key succeeds."""

    default_slug = "approval_required"

    def _text(self) -> str:
        return (
            f"An administrator must approve this spend: {plain(self.required)} credits needed, "
            f"{plain(self.remaining)} left of the limit on this "
            f"{self.subject_type.replace('_', ' ')}. Approval: {self.approval_id}."
        )


class BillingRestricted(SpendRefused):
    """The organization may not spend at the moment.

    Attributes:
        reason: `past_due`, `dispute` or `paused`.
    """

    default_slug = "billing_restricted"

    def _read(self, details: Mapping[str, object]) -> None:
        self.reason = str(details.get("reason", ""))

    def _text(self) -> str:
        reason = self.reason.replace("_", " ") or "no reason given"
        return f"Spending is restricted for this organization ({reason}). Nothing was charged."


class AgentKeyInvalid(TallybaseError):
    """The agent key is unknown, mistyped, revoked or expired; the server does not say which."""

    default_slug = "agent_key_invalid"
    default_text = "The agent key is not valid: unknown, mistyped, revoked or expired."


class NotAuthorized(TallybaseError):
    """The caller may not do this, or the organization does not exist; the server does not say which."""

    default_slug = "not_authorized"
    default_text = "Not allowed with these credentials, or the organization does not exist."


class NotFound(TallybaseError):
    """What was named does not exist."""

    default_slug = "not_found"
    default_text = "What was named does not exist."


class Conflict(TallybaseError):
    """The call contradicts what was booked before."""

    default_slug = "conflict"
    default_text = "The call contradicts what was booked before."


class IdempotencyConflict(Conflict):
    """The idempotency key was used before for another amount, action, quantities or department.

    Attributes:
        transaction_id: the transaction that was booked under the key first, or None when the server did not
            say.
    """

    default_slug = "idempotency_conflict"
    default_text = "The idempotency key was already used for a different spend. Nothing more was charged."

    def _read(self, details: Mapping[str, object]) -> None:
        transaction_id = details.get("transaction_id")
        self.transaction_id = None if transaction_id is None else str(transaction_id)


class HoldResolved(Conflict):
    """The hold is no longer open; how it ended is the class.

    Attributes:
        hold_id: which hold, or None when the server did not say.
        transaction_id: what was charged for it, or None when nothing was.
    """

    default_slug = "hold_resolved"
    default_text = "The hold is no longer open."

    def _read(self, details: Mapping[str, object]) -> None:
        hold_id, transaction_id = details.get("hold_id"), details.get("transaction_id")
        self.hold_id = None if hold_id is None else str(hold_id)
        self.transaction_id = None if transaction_id is None else str(transaction_id)


class HoldCaptured(HoldResolved):
    """The hold was charged before."""

    default_slug = "hold_captured"
    default_text = "The hold was charged before. Nothing more was charged."


class HoldReleased(HoldResolved):
    """The hold was given back before."""

    default_slug = "hold_released"
    default_text = "The hold was released before. Nothing was charged."


class HoldExpired(HoldResolved):
    """The hold's time ran out: what was metered has been charged, the rest given back."""

    default_slug = "hold_expired"
    default_text = "The hold has expired: what was metered was charged, the rest was released."


class MetadataTooLarge(TallybaseError):
    """The metadata is larger than the ledger keeps (`details["max_bytes"]`)."""

    default_slug = "metadata_too_large"
    default_text = "The metadata is too large."


class InvalidArgument(TallybaseError):
    """An argument was refused.

    Attributes:
        argument: which one, or None when the server did not say.
    """

    default_slug = "invalid_argument"
    default_text = "An argument was refused."

    def _read(self, details: Mapping[str, object]) -> None:
        argument = details.get("argument")
        self.argument = None if argument is None else str(argument)

    def _text(self) -> str:
        said = self.hint or self.default_text
        if not self.argument or said.startswith(f"{self.argument} "):
            return said
        return f"{self.argument}: {said}"


class InvalidAmount(InvalidArgument):
    """An amount was refused: not finite, negative, zero or too large."""

    default_slug = "invalid_amount"
    default_text = "The amount was refused."


class UnknownAction(InvalidArgument):
    """No price is in force for this agent type and action."""

    default_slug = "unknown_action"

    def _text(self) -> str:
        named = f"{self.details.get('agent_type', '?')}.{self.details.get('action', '?')}"
        return f"No price is in force for {named}. Nothing was charged."


def plain(amount: Decimal) -> str:
    """Write an amount for people: no exponent, no trailing zeros."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
