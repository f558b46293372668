"""The matrix of Stripe's events: which ones do something here, and what. Everything else is only stored.

`docs/reference/webhook-events.md` says the same for people; a test keeps the two equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import stripe

from billing.stripe_facts import (
    Facts,
    FactsKind,
    read_charge,
    read_checkout_session,
    read_customer,
    read_payment_intent,
)

Reader = Callable[[stripe.StripeClient, str], Facts]


@dataclass(frozen=True)
class Rule:
    """What an event makes us do.

    Attributes:
        kind: which facts are handed to the database.
        read: reads the event's object at Stripe by its id.
        effect: the consequence, in one sentence, as the documentation has it.
    """

    kind: FactsKind
    read: Reader
    effect: str


def _checkout(effect: str) -> Rule:
    return Rule("checkout_session", read_checkout_session, effect)


def _intent(effect: str) -> Rule:
    return Rule("payment_intent", read_payment_intent, effect)


def _charge(effect: str) -> Rule:
    return Rule("charge", read_charge, effect)


def _customer(effect: str) -> Rule:
    return Rule("customer", read_customer, effect)


RULES: dict[str, Rule] = {
    "checkout.session.completed": _checkout(
        "Fulfils the checkout. Paid: books the payment and grants the credits. Unpaid: it is processing."
    ),
    "checkout.session.async_payment_succeeded": _checkout(
        "Fulfils the checkout whose money took its time: books the payment and grants the credits once."
    ),
    "checkout.session.async_payment_failed": _checkout(
        "Marks the payment and the checkout as failed and tells the organization. Nothing is granted."
    ),
    "checkout.session.expired": _checkout("Closes the checkout; nobody paid in time."),
    "payment_intent.requires_action": _intent("Shows the payment as waiting for the customer (3-D Secure)."),
    "payment_intent.processing": _intent("Shows the payment as processing."),
    "payment_intent.payment_failed": _intent(
        "Shows the payment as failed, with the reason, and tells the organization."
    ),
    "payment_intent.canceled": _intent("Shows a payment that had begun as canceled."),
    "payment_intent.succeeded": _intent(
        "Nothing of its own: a checkout's payment is fulfilled through its session."
    ),
    "charge.succeeded": _charge("Adds card and receipt to the payment."),
    "charge.updated": _charge("Adds card and receipt to the payment."),
    "charge.failed": _charge("Adds the card to the payment that failed."),
    "charge.refunded": _charge("Brings the amount given back on the payment up to date."),
    "customer.created": _customer(
        "Copies e-mail, name, currency and default card of the organization's customer."
    ),
    "customer.updated": _customer(
        "Copies e-mail, name, currency and default card of the organization's customer."
    ),
    "customer.deleted": _customer(
        "Marks the customer as deleted; the next checkout makes another. The ledger stays."
    ),
}
