"""Who feels the outcome of a payment: the checkout session or the invoice that an intent belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from stripe_twin.resources.checkout_payment import after_challenge
from stripe_twin.resources.collection import lock_invoice, settle
from stripe_twin.resources.payments import Outcome, answer_challenge
from stripe_twin.resources.setups import answer_setup_challenge
from stripe_twin.unit import Record, UnitOfWork


@dataclass
class Owned:
    """An intent with everything that its outcome changes, all of it locked."""

    intent: Record
    session: Record | None = None
    subscription: Record | None = None
    invoice: Record | None = None


def kind_of(intent_id: str) -> str:
    """Return the kind of intent that an id names."""
    return "setup_intent" if intent_id.startswith("seti_") else "payment_intent"


def intent_named(unit: UnitOfWork, intent_id: str) -> Record:
    """Return a payment or setup intent.

    Raises:
        StripeError: 404 when there is none.
    """
    return unit.get(kind_of(intent_id), intent_id)


def lock_owned(unit: UnitOfWork, intent_id: str) -> Owned:
    """Lock an intent and what it belongs to, in the order in which everyone locks.

    Raises:
        StripeError: 404 when there is none.
    """
    hidden = intent_named(unit, intent_id).hidden
    session = subscription = invoice = None
    if hidden.get("session"):
        session = unit.get("checkout.session", hidden["session"], lock=True)
    if hidden.get("invoice"):
        subscription, invoice = lock_invoice(unit, hidden["invoice"])
    return Owned(unit.get(kind_of(intent_id), intent_id, lock=True), session, subscription, invoice)


def tell_owner(unit: UnitOfWork, owned: Owned, outcome: Outcome) -> None:
    """Let the invoice of an intent, if it has one, feel how an attempt ended."""
    if owned.invoice is not None and owned.invoice.data["status"] == "open":
        settle(unit, owned.subscription, owned.invoice, outcome)


def answer(unit: UnitOfWork, owned: Owned, *, passed: bool) -> None:
    """Go on after a 3-D Secure challenge that the customer passed or failed."""
    if owned.session is not None and owned.session.data["status"] == "open":
        after_challenge(unit, owned.session, owned.intent, passed=passed)
    elif owned.intent.data["object"] == "setup_intent":
        answer_setup_challenge(unit, owned.intent, passed=passed)
    else:
        tell_owner(unit, owned, answer_challenge(unit, owned.intent, passed=passed))
