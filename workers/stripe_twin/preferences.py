"""What a merchant sets in Stripe's dashboard: how failed renewals are tried again, and the rate of tax."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field

from stripe_twin.unit import UnitOfWork


class Preferences(BaseModel):
    """The settings of the account.

    Attributes:
        retry_after_days: Pauses between the attempts to collect a renewal that failed.
        after_last_retry: What becomes of the subscription when they are used up.
        tax_percent: Rate of the automatic tax.
        upcoming_days: How long before a renewal `invoice.upcoming` is sent; 0 for never.
        finalize_after_seconds: How long a renewal's invoice stays a draft.
        settle_after_seconds: How long payments that take their time, and their refunds, take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    retry_after_days: tuple[int, ...] = Field(default=(3, 5, 7), max_length=8)
    after_last_retry: Literal["cancel", "unpaid", "past_due"] = "cancel"
    tax_percent: Decimal = Field(default=Decimal(20), ge=0, le=100)
    upcoming_days: int = Field(default=7, ge=0, le=45)
    finalize_after_seconds: int = Field(default=3600, ge=0, le=72 * 3600)
    settle_after_seconds: int = Field(default=3 * 24 * 3600, ge=0)


def read_preferences(unit: UnitOfWork) -> Preferences:
    """Return the settings in force."""
    row = unit.connection.execute("select settings from preferences").fetchone()
    return Preferences() if row is None else Preferences.model_validate(row["settings"])


def write_preferences(unit: UnitOfWork, preferences: Preferences) -> None:
    """Switch to exactly these settings."""
    unit.connection.execute(
        "insert into preferences (settings) values (%s) "
        "on conflict (only_row) do update set settings = excluded.settings",
        (Jsonb(preferences.model_dump(mode="json")),),
    )
