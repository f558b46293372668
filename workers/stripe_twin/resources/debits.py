"""Debits from bank accounts: what their arrival, or their return, does to the checkout or invoice they pay.

Source: https://docs.stripe.com/payments/checkout/fulfill-orders#delayed-notification
"""

from __future__ import annotations

from stripe_twin import cards
from stripe_twin.errors import unexpected_state
from stripe_twin.resources.checkout_completion import after_debit
from stripe_twin.resources.owners import Owned, lock_owned, tell_owner
from stripe_twin.resources.payments import settle_debit
from stripe_twin.resources.verdicts import decline_of
from stripe_twin.shapes import Json
from stripe_twin.timers import timer
from stripe_twin.unit import UnitOfWork


@timer("payment_settles")
def settle_in_time(unit: UnitOfWork, intent_id: str) -> None:
    """Let a debit arrive, or come back, as its test account has it."""
    owned = lock_owned(unit, intent_id)
    if owned.intent.data["status"] == "processing":
        method = unit.get("payment_method", owned.intent.data["payment_method"])
        _settle(unit, owned, decline_of(method))


def settle_now(unit: UnitOfWork, intent_id: str, decline: cards.Decline | None) -> Json:
    """End the way of a debit at once, as the control API asks.

    Raises:
        StripeError: 404 when there is no such intent, 400 when it is not on its way.
    """
    owned = lock_owned(unit, intent_id)
    if owned.intent.data["status"] != "processing":
        raise unexpected_state(
            f"This PaymentIntent's status is {owned.intent.data['status']}, not processing.",
            "payment_intent_unexpected_state",
        )
    _settle(unit, owned, decline)
    return owned.intent.data


def _settle(unit: UnitOfWork, owned: Owned, decline: cards.Decline | None) -> None:
    outcome = settle_debit(unit, owned.intent, decline=decline)
    tell_owner(unit, owned, outcome)
    if owned.session is not None:
        after_debit(unit, owned.session, owned.intent, arrived=outcome.kind == "succeeded")
