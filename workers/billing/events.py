"""The matrix of Stripe's events: which ones do something here, and what. Everything else is only stored.

`docs/reference/webhook-events.md` says the same for people; a test keeps the two equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import stripe

from billing.catalogue_facts import read_price, read_product
from billing.payment_method_facts import read_payment_method, read_setup_intent
from billing.reversal_facts import read_fraud_warning, read_reversals
from billing.stripe_facts import (
    Facts,
    FactsKind,
    id_of,
    read_charge,
    read_customer,
    read_payment_intent,
)
from billing.subscription_facts import (
    InvoiceFacts,
    checkout_json,
    read_checkout,
    read_invoice,
    read_subscription,
    subscription_of,
)


@dataclass(frozen=True)
class Reading:
    """What was read at Stripe for an event.

    Attributes:
        kind: which facts these are; the database applies them by it.
        object: the facts as JSON.
    """

    kind: FactsKind
    object: dict[str, Any]


#: Reads at Stripe what an event is about. It is given the event's own snapshot of the object, of which only
#: ids that never change may be used. None: nothing is there to be read, the event is only stored.
Reader = Callable[[stripe.StripeClient, dict[str, Any]], Reading | None]


@dataclass(frozen=True)
class Rule:
    """What an event makes us do.

    Attributes:
        reads: what is read at Stripe, as the documentation has it.
        read: reads it.
        effect: the consequence, in one sentence, as the documentation has it.
        notice: what the organization's people are told, as a kind of notification; None for nothing.
    """

    reads: str
    read: Reader
    effect: str
    notice: str | None = None


def by_id(kind: FactsKind, read: Callable[[stripe.StripeClient, str], Facts]) -> Reader:
    """Return a reader of the event's own object by its id.

    Args:
        kind: the facts' kind.
        read: reads the object at Stripe.
    """
    return lambda client, snapshot: Reading(kind, read(client, snapshot["id"]).as_json())


def _read_checkout(client: stripe.StripeClient, snapshot: dict[str, Any]) -> Reading:
    return Reading("checkout_session", checkout_json(*read_checkout(client, snapshot["id"])))


def _read_subscription(client: stripe.StripeClient, snapshot: dict[str, Any]) -> Reading:
    return Reading("subscription", read_subscription(client, snapshot["id"]).as_json())


def _invoice(client: stripe.StripeClient, invoice_id: str, subscription_id: str | None) -> Reading:
    facts = read_invoice(client, invoice_id, subscription_id)
    return Reading("invoice" if isinstance(facts, InvoiceFacts) else "subscription", facts.as_json())


def _read_invoice(client: stripe.StripeClient, snapshot: dict[str, Any]) -> Reading:
    return _invoice(client, snapshot["id"], subscription_of(snapshot))


def _read_invoice_of_part(client: stripe.StripeClient, snapshot: dict[str, Any]) -> Reading:
    """The invoice of a payment or of a credit note."""
    return _invoice(client, id_of(snapshot["invoice"]), None)


def _read_upcoming(client: stripe.StripeClient, snapshot: dict[str, Any]) -> Reading | None:
    subscription_id = subscription_of(snapshot)
    if subscription_id is None:
        return None
    return Reading("subscription", read_subscription(client, subscription_id).as_json())


def _read_reversals(client: stripe.StripeClient, snapshot: dict[str, Any]) -> Reading | None:
    """The charge of a refund or a dispute, or a charge itself."""
    charge_id = snapshot["id"] if snapshot["object"] == "charge" else id_of(snapshot.get("charge"))
    if charge_id is None:
        # Some refunds name the payment alone.
        intent_id = id_of(snapshot["payment_intent"])
        charge_id = intent_id and id_of(client.v1.payment_intents.retrieve(intent_id).latest_charge)
    if charge_id is None:
        return None
    return Reading("reversals", read_reversals(client, charge_id).as_json())


def _reversal(effect: str) -> Rule:
    return Rule("charge, refunds, disputes, invoice", _read_reversals, effect)


def _payment_method(effect: str) -> Rule:
    return Rule("payment_method", by_id("payment_method", read_payment_method), effect)


def _setup_intent(effect: str) -> Rule:
    return Rule("setup_intent", by_id("setup_intent", read_setup_intent), effect)


def _product(effect: str) -> Rule:
    return Rule("product", by_id("catalogue_object", read_product), effect)


def _price(effect: str) -> Rule:
    return Rule("price", by_id("catalogue_object", read_price), effect)


def _checkout(effect: str) -> Rule:
    return Rule("session, subscription", _read_checkout, effect)


def _intent(effect: str) -> Rule:
    return Rule("payment_intent", by_id("payment_intent", read_payment_intent), effect)


def _charge(effect: str) -> Rule:
    return Rule("charge", by_id("charge", read_charge), effect)


def _customer(effect: str) -> Rule:
    return Rule("customer", by_id("customer", read_customer), effect)


def _subscription(effect: str, notice: str | None = None) -> Rule:
    return Rule("subscription, invoices", _read_subscription, effect, notice)


def _of_invoice(effect: str, notice: str | None = None) -> Rule:
    return Rule("subscription, invoices, payment", _read_invoice, effect, notice)


RULES: dict[str, Rule] = {
    "checkout.session.completed": _checkout(
        "Fulfils the checkout. A pack that is paid: books the payment and grants the credits; unpaid: it is "
        "processing. A plan: copies the subscription and grants what its invoice paid."
    ),
    "checkout.session.async_payment_succeeded": _checkout(
        "Fulfils the checkout whose money took its time: books the payment and grants the credits once."
    ),
    "checkout.session.async_payment_failed": _checkout(
        "Marks the payment and the checkout as failed and tells the organization. Nothing is granted."
    ),
    "checkout.session.expired": _checkout("Closes the checkout; nobody paid in time."),
    "payment_intent.requires_action": _intent(
        "Shows the payment as waiting for the customer (3-D Secure); an automatic top-up asks people back."
    ),
    "payment_intent.processing": _intent("Shows the payment as processing."),
    "payment_intent.payment_failed": _intent(
        "Shows the payment as failed, with the reason, and tells the organization. Three automatic top-ups "
        "that fail in a row pause them."
    ),
    "payment_intent.canceled": _intent("Shows a payment that had begun as canceled."),
    "payment_intent.succeeded": _intent(
        "Grants the credits of an automatic top-up, once. A checkout's payment is fulfilled through its "
        "session."
    ),
    "charge.succeeded": _charge("Adds card and receipt to the payment."),
    "charge.updated": _charge("Adds card and receipt to the payment."),
    "charge.failed": _charge("Adds the card to the payment that failed."),
    "charge.refunded": _reversal("The same as refund.created; whichever comes first."),
    "refund.created": _reversal(
        "Takes back the share of the payment's credits that was refunded, from its own grant; what is spent "
        "becomes debt."
    ),
    "refund.updated": _reversal("The same; a refund that was canceled gives its credits back."),
    "refund.failed": _reversal("Gives back exactly what the refund took, and tells the organization."),
    "charge.dispute.created": _reversal(
        "Restricts spending and pauses automatic top-up while the dispute is open; an inquiry is only told."
    ),
    "charge.dispute.updated": _reversal("Copies the dispute; the restriction follows its state."),
    "charge.dispute.funds_withdrawn": _reversal(
        "Takes the credits of what the bank withdrew, as a refund does, and never twice for one charge."
    ),
    "charge.dispute.funds_reinstated": _reversal("Gives back exactly what the dispute took."),
    "charge.dispute.closed": _reversal(
        "Won: lifts the restriction. Lost: lifts it once the balance is not below 0; automatic top-up is "
        "switched off."
    ),
    "radar.early_fraud_warning.created": Rule(
        "early_fraud_warning, charge",
        by_id("fraud_warning", read_fraud_warning),
        "Tells those who run the platform, and pauses automatic top-up until somebody agrees to it anew.",
    ),
    "payment_method.attached": _payment_method("Copies the card; the first one becomes the default."),
    "payment_method.updated": _payment_method("Copies the card."),
    "payment_method.automatically_updated": _payment_method(
        "Copies the card that its network has renewed, with its new expiry."
    ),
    "payment_method.detached": _payment_method(
        "Marks the card as removed; without a default card automatic top-up rests."
    ),
    "setup_intent.succeeded": _setup_intent("Copies the card that was saved."),
    "setup_intent.setup_failed": _setup_intent("Tells the organization that a card could not be saved."),
    "product.created": _product("Changes nothing: a product counts from when the sync has recorded it."),
    "product.updated": _product("Stops using a product that was archived; the next sync restores it."),
    "product.deleted": _product("Stops using the product; the next sync makes another."),
    "price.created": _price(
        "Changes nothing: a price counts from when a checkout or the sync has recorded it."
    ),
    "price.updated": _price("Stops using a price that was archived; the next sync makes another."),
    "price.deleted": _price("Stops using the price; the next sync makes another."),
    "customer.created": _customer(
        "Copies e-mail, name, currency and default card of the organization's customer."
    ),
    "customer.updated": _customer(
        "Copies e-mail, name, currency and default card of the organization's customer."
    ),
    "customer.deleted": _customer(
        "Marks the customer as deleted; the next checkout makes another. The ledger stays."
    ),
    "invoice.created": _of_invoice("Copies the invoice."),
    "invoice.finalized": _of_invoice("Copies the invoice, now with a number, a page and a PDF."),
    "invoice.finalization_failed": _of_invoice(
        "Copies the invoice, and tells organization and platform: usually an address is missing for tax.",
        "invoice_finalization_failed",
    ),
    "invoice.paid": _of_invoice(
        "The only event that grants a plan's credits: each paid line once, for the line's period. "
        "Books the payment, copies invoice and subscription, lifts what was restricted because of it."
    ),
    "invoice.payment_failed": _of_invoice(
        "Shows the payment as failed and the subscription as past due; the plan's grace days begin. "
        "Nothing is taken back.",
        "invoice_payment_failed",
    ),
    "invoice.payment_action_required": _of_invoice(
        "Tells the organization that the bank wants a confirmation, with a link to the invoice's page.",
        "invoice_action_required",
    ),
    "invoice.updated": _of_invoice("Copies the invoice."),
    "invoice.voided": _of_invoice("Copies the invoice: nothing is owed any more. Nothing is granted."),
    "invoice.marked_uncollectible": _of_invoice(
        "Copies the invoice: the money is given up. Nothing is granted."
    ),
    "invoice.overdue": _of_invoice("Tells the organization.", "invoice_overdue"),
    "invoice.upcoming": Rule(
        "subscription, invoices",
        _read_upcoming,
        "Tells the organization that its plan renews soon.",
        "renewal_upcoming",
    ),
    "credit_note.created": Rule(
        "subscription, invoices, payment",
        _read_invoice_of_part,
        "Copies the invoice that it corrects. Takes no credits: money that goes back does so by a refund, "
        "which has its own event; what is credited to the customer's balance pays a later invoice.",
    ),
    "credit_note.voided": Rule(
        "subscription, invoices, payment", _read_invoice_of_part, "Copies the invoice that it had corrected."
    ),
    "invoice_payment.paid": Rule(
        "subscription, invoices, payment",
        _read_invoice_of_part,
        "Ties the payment to its invoice; the same as invoice.paid, whichever comes first.",
    ),
    "customer.subscription.created": _subscription("Copies the subscription; it replaces a free plan."),
    "customer.subscription.updated": _subscription(
        "Copies the subscription: plan, period, planned end and its undoing, paused collection, past due. "
        "The plan's credits end with it."
    ),
    "customer.subscription.deleted": _subscription(
        "Copies the subscription: it has ended. What is left of the plan's credits ends; purchased ones stay."
    ),
    "customer.subscription.paused": _subscription(
        "Copies the subscription: a trial ended without a card, or it was paused. "
        "Spending is refused until it resumes."
    ),
    "customer.subscription.resumed": _subscription("Copies the subscription; spending is allowed again."),
    "customer.subscription.trial_will_end": _subscription(
        "Tells the organization that its trial ends in three days.", "trial_will_end"
    ),
    "customer.subscription.pending_update_applied": _subscription(
        "Copies the subscription: the change of plan that waited for its payment is made."
    ),
    "customer.subscription.pending_update_expired": _subscription(
        "Copies the subscription: the change of plan was not paid in time and is off.", "plan_change_expired"
    ),
}
