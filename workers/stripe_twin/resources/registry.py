"""Loads every resource, so that its calls are in the table of operations."""

from __future__ import annotations

from stripe_twin.resources import (
    charges,
    checkout_sessions,
    customers,
    events,
    payment_intents,
    payment_methods,
    portal_sessions,
    prices,
    products,
    refunds,
    webhook_endpoints,
)

RESOURCES = (
    charges,
    checkout_sessions,
    customers,
    events,
    payment_intents,
    payment_methods,
    portal_sessions,
    prices,
    products,
    refunds,
    webhook_endpoints,
)
