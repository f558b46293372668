"""Rows that the database's money functions answer; the SQL types of the same names are their source."""

from __future__ import annotations

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

CheckoutStatus = Literal["creating", "open", "processing", "complete", "expired", "failed"]


class Row(BaseModel):
    """Base of all rows: immutable, ignoring columns added later."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class CustomerClaim(Row):
    """`billing.customer_claim`: the organization's Stripe customer, or how to make it."""

    organization_id: uuid.UUID
    claim_id: uuid.UUID
    stripe_customer_id: str | None
    email: str | None
    name: str
    must_look_up: bool


class CheckoutPreparation(Row):
    """`billing.checkout_preparation`: the terms of our row, with which the session is opened at Stripe."""

    organization_id: uuid.UUID
    checkout_session_id: uuid.UUID
    is_reused: bool
    status: CheckoutStatus
    attempts: int
    stripe_session_id: str | None
    mode: Literal["payment", "subscription"]
    name: str
    description: str
    unit_amount: int
    currency: str
    billing_interval: Literal["month", "year"] | None
    stripe_price_id: str | None
    ui_mode: Literal["hosted_page", "embedded_page", "elements"]
    success_url: str
    cancel_url: str
    customer: CustomerClaim


class CheckoutOutcome(Row):
    """`billing.checkout_outcome`: how an attempt to buy went, by our own rows."""

    organization_id: uuid.UUID
    checkout_session_id: uuid.UUID
    stripe_session_id: str | None
    mode: str
    status: CheckoutStatus
    name: str
    credits: Decimal | None
    amount: int | None
    currency: str | None
    payment_id: uuid.UUID | None
    payment_status: str | None
    failure_code: str | None
    failure_message: str | None
    receipt_url: str | None
    grant_id: uuid.UUID | None
    completed_at: datetime | None


class EventOutcome(Row):
    """`billing.stripe_event_outcome`: what became of an event."""

    event_id: str
    status: Literal["received", "processed", "ignored", "failed", "parked"]
    is_duplicate: bool
    attempts: int
    organization_id: uuid.UUID | None
    error: str | None
