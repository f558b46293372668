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
    billing_interval: Literal["day", "week", "month", "year"] | None
    stripe_price_id: str | None
    plan_id: uuid.UUID | None
    trial_days: int
    superseded_session_ids: list[str] | None
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


class PlanChange(Row):
    """`billing.plan_change`: how Stripe is asked to change a plan."""

    organization_id: uuid.UUID
    subscription_id: uuid.UUID
    stripe_subscription_id: str
    plan_id: uuid.UUID
    name: str
    mode: Literal["prorate_delta", "full_restart", "next_period"]
    unit_amount: int
    currency: str
    billing_interval: Literal["day", "week", "month", "year"]
    stripe_price_id: str | None


class SubscriptionHandle(Row):
    """`billing.subscription_handle`: the organization's subscription at Stripe, about to be changed."""

    organization_id: uuid.UUID
    subscription_id: uuid.UUID
    stripe_subscription_id: str
    stripe_customer_id: str
    plan_id: uuid.UUID | None
    status: str
    current_period_end: datetime | None
    ends_at: datetime | None
    pause_behavior: str | None


class EventOutcome(Row):
    """`billing.stripe_event_outcome`: what became of an event."""

    event_id: str
    status: Literal["received", "processed", "ignored", "failed", "parked"]
    is_duplicate: bool
    attempts: int
    organization_id: uuid.UUID | None
    error: str | None
