"""Subscriptions and invoices as we read them at Stripe, reduced to the facts that the database acts on.

A subscription is always read together with its newest invoices: the database lands what was paid in the order
of payment, whichever event made us look, so that late and lost events change nothing.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import stripe

from billing.stripe_facts import (
    ORGANIZATION_MARK,
    CheckoutFacts,
    Facts,
    PaymentFacts,
    id_of,
    now,
    read_checkout_session,
    uuid_or_none,
)

#: Two years of months. Who missed more invoices than that is the reconciler's to find.
NEWEST_INVOICES = 24


class InvoiceLineFacts(Facts):
    """A line of a subscription (`billing_private.invoice_line_facts`); amount is before discounts and tax."""

    stripe_line_id: str
    stripe_price_id: str | None
    is_proration: bool
    amount: int
    discount_amount: int
    quantity: int
    period_start: datetime
    period_end: datetime

    @classmethod
    def of(cls, line: dict[str, Any]) -> InvoiceLineFacts | None:
        """Read a line; None for one that belongs to no subscription.

        Args:
            line: the object.
        """
        parent = line.get("parent") or {}
        details = parent.get("subscription_item_details") or {}
        item = parent.get("invoice_item_details") or {}
        if not details and not item.get("subscription"):
            return None
        price = ((line.get("pricing") or {}).get("price_details") or {}).get("price")
        return cls(
            stripe_line_id=line["id"],
            stripe_price_id=id_of(price),
            is_proration=bool(details.get("proration") or item.get("proration")),
            amount=line["amount"],
            discount_amount=sum(part["amount"] for part in line.get("discount_amounts") or []),
            quantity=1 if line.get("quantity") is None else line["quantity"],
            period_start=_instant(line["period"]["start"]),
            period_end=_instant(line["period"]["end"]),
        )


class InvoiceFacts(Facts):
    """An invoice (`billing_private.invoice_facts`); `payment` only where it was read along."""

    stripe_invoice_id: str
    stripe_subscription_id: str | None
    stripe_customer_id: str | None
    number: str | None
    status: str
    billing_reason: str | None
    currency: str
    amount_due: int
    amount_paid: int
    amount_remaining: int
    total: int
    hosted_invoice_url: str | None
    invoice_pdf: str | None
    period_start: datetime
    period_end: datetime
    due_date: datetime | None
    made_at: datetime
    finalized_at: datetime | None
    paid_at: datetime | None
    stripe_payment_intent_id: str | None = None
    payment: PaymentFacts | None = None
    lines: list[InvoiceLineFacts]
    livemode: bool
    fetched_at: datetime

    @classmethod
    def of(
        cls,
        invoice: dict[str, Any],
        lines: list[dict[str, Any]],
        fetched_at: datetime,
        payment: PaymentFacts | None = None,
    ) -> InvoiceFacts:
        """Read an invoice.

        Args:
            invoice: the object; `payments` may be expanded.
            lines: all of its lines.
            fetched_at: when the reading began.
            payment: its PaymentIntent with the charge, if it was read.
        """
        times = invoice.get("status_transitions") or {}
        return cls(
            stripe_invoice_id=invoice["id"],
            stripe_subscription_id=subscription_of(invoice),
            stripe_customer_id=id_of(invoice.get("customer")),
            number=invoice.get("number"),
            status=invoice["status"],
            billing_reason=invoice.get("billing_reason"),
            currency=invoice["currency"],
            amount_due=invoice["amount_due"],
            amount_paid=invoice["amount_paid"],
            amount_remaining=invoice["amount_remaining"],
            total=invoice["total"],
            hosted_invoice_url=invoice.get("hosted_invoice_url"),
            invoice_pdf=invoice.get("invoice_pdf"),
            period_start=_instant(invoice["period_start"]),
            period_end=_instant(invoice["period_end"]),
            due_date=_instant_or_none(invoice.get("due_date")),
            made_at=_instant(invoice["created"]),
            finalized_at=_instant_or_none(times.get("finalized_at")),
            paid_at=_instant_or_none(times.get("paid_at")),
            stripe_payment_intent_id=_intent_of(invoice),
            payment=payment,
            lines=[facts for line in lines if (facts := InvoiceLineFacts.of(line)) is not None],
            livemode=invoice["livemode"],
            fetched_at=fetched_at,
        )


class SubscriptionFacts(Facts):
    """A subscription with its newest invoices, oldest first (`billing_private.subscription_facts`)."""

    stripe_subscription_id: str
    stripe_customer_id: str
    organization_id: uuid.UUID | None
    status: str
    stripe_price_id: str | None
    unit_amount: int | None
    currency: str
    quantity: int
    current_period_start: datetime | None
    current_period_end: datetime | None
    trial_start: datetime | None
    trial_end: datetime | None
    cancel_at: datetime | None
    cancel_at_period_end: bool
    canceled_at: datetime | None
    ended_at: datetime | None
    anchor_at: datetime | None
    pause_behavior: str | None
    pause_resumes_at: datetime | None
    card_fingerprint: str | None
    invoices: list[InvoiceFacts]
    livemode: bool
    fetched_at: datetime

    @classmethod
    def of(
        cls, subscription: dict[str, Any], invoices: list[InvoiceFacts], fetched_at: datetime
    ) -> SubscriptionFacts:
        """Read a subscription.

        The period stands on the items; a plan's subscription has one, and of several the first counts.

        Args:
            subscription: the object, with the card that pays as `default_payment_method`.
            invoices: its newest invoices, oldest first.
            fetched_at: when the reading began.
        """
        items = (subscription.get("items") or {}).get("data") or [{}]
        item, price = items[0], items[0].get("price") or {}
        pause = subscription.get("pause_collection") or {}
        return cls(
            stripe_subscription_id=subscription["id"],
            stripe_customer_id=str(id_of(subscription["customer"])),
            organization_id=uuid_or_none((subscription.get("metadata") or {}).get(ORGANIZATION_MARK)),
            status=subscription["status"],
            stripe_price_id=price.get("id"),
            unit_amount=price.get("unit_amount"),
            currency=subscription["currency"],
            quantity=item.get("quantity", 1),
            current_period_start=_instant_or_none(item.get("current_period_start")),
            current_period_end=_instant_or_none(item.get("current_period_end")),
            trial_start=_instant_or_none(subscription.get("trial_start")),
            trial_end=_instant_or_none(subscription.get("trial_end")),
            cancel_at=_instant_or_none(subscription.get("cancel_at")),
            cancel_at_period_end=bool(subscription.get("cancel_at_period_end")),
            canceled_at=_instant_or_none(subscription.get("canceled_at")),
            ended_at=_instant_or_none(subscription.get("ended_at")),
            anchor_at=_instant_or_none(subscription.get("billing_cycle_anchor")),
            pause_behavior=pause.get("behavior"),
            pause_resumes_at=_instant_or_none(pause.get("resumes_at")),
            card_fingerprint=_fingerprint(subscription),
            invoices=invoices,
            livemode=subscription["livemode"],
            fetched_at=fetched_at,
        )


def subscription_of(invoice: dict[str, Any]) -> str | None:
    """The id of an invoice's subscription, as any version of Stripe's API has it: it never changes.

    Args:
        invoice: the object, read or from an event's body.
    """
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    found = id_of(details.get("subscription")) or id_of(invoice.get("subscription"))
    return found if isinstance(found, str) else None


def read_subscription(
    client: stripe.StripeClient, subscription_id: str, invoice_id: str | None = None
) -> SubscriptionFacts:
    """Read a subscription and its newest invoices.

    Args:
        client: Stripe.
        subscription_id: which.
        invoice_id: the invoice whose payment is read along, with card and receipt.

    Raises:
        stripe.StripeError: Stripe did not answer, or does not know it.
    """
    started = now()
    subscription = client.v1.subscriptions.retrieve(
        subscription_id, {"expand": ["default_payment_method", "customer"]}
    )
    page = client.v1.invoices.list(
        {"subscription": subscription_id, "limit": NEWEST_INVOICES, "expand": ["data.payments"]}
    )
    found = {invoice.id: invoice for invoice in page.data}
    if invoice_id is not None and invoice_id not in found:
        found[invoice_id] = client.v1.invoices.retrieve(invoice_id, {"expand": ["payments"]})
    payment = None if invoice_id is None else _read_payment(client, invoice_id, started)
    oldest_first = list(found.values())[::-1]  # as Stripe lists them, newest first; made in one second, too
    oldest_first.sort(key=lambda invoice: invoice.created)
    invoices = [
        InvoiceFacts.of(
            invoice.to_dict(),
            _lines(client, invoice),
            started,
            payment if invoice.id == invoice_id else None,
        )
        for invoice in oldest_first
    ]
    return SubscriptionFacts.of(_with_card(client, subscription.to_dict()), invoices, started)


def _with_card(client: stripe.StripeClient, subscription: dict[str, Any]) -> dict[str, Any]:
    """The subscription with the card that will pay for it: after a trial, its customer's if it has none.

    By that card a second trial is recognised. One that is gone meanwhile is none.
    """
    customer = subscription.get("customer")
    settings = (customer.get("invoice_settings") or {}) if isinstance(customer, dict) else {}
    method_id = id_of(settings.get("default_payment_method"))
    if subscription.get("default_payment_method") or not subscription.get("trial_end") or not method_id:
        return subscription
    try:
        method = client.v1.payment_methods.retrieve(method_id).to_dict()
    except stripe.InvalidRequestError:
        return subscription
    return {**subscription, "default_payment_method": method}


def read_invoice(
    client: stripe.StripeClient, invoice_id: str, subscription_id: str | None = None
) -> SubscriptionFacts | InvoiceFacts:
    """Read an invoice: with its whole subscription where it has one; raises as `read_subscription`.

    Args:
        client: Stripe.
        invoice_id: which.
        subscription_id: whose it is, if that is known (it never changes); saves a call.
    """
    started = now()
    if subscription_id is not None:
        return read_subscription(client, subscription_id, invoice_id)
    invoice = client.v1.invoices.retrieve(invoice_id, {"expand": ["payments"]})
    subscription_id = subscription_of(invoice.to_dict())
    if subscription_id is not None:
        return read_subscription(client, subscription_id, invoice_id)
    return InvoiceFacts.of(invoice.to_dict(), _lines(client, invoice), started)


def read_checkout(
    client: stripe.StripeClient, session_id: str
) -> tuple[CheckoutFacts, SubscriptionFacts | None]:
    """Read a Checkout Session, and the subscription of a plan's; raises as `read_subscription`."""
    session = read_checkout_session(client, session_id)
    if session.stripe_subscription_id is None:
        return session, None
    return session, read_subscription(client, session.stripe_subscription_id, session.stripe_invoice_id)


def checkout_json(session: CheckoutFacts, subscription: SubscriptionFacts | None) -> dict[str, Any]:
    """The facts of a checkout for the database: the session's own, and its subscription's beside them."""
    return {**session.as_json(), "subscription": None if subscription is None else subscription.as_json()}


def _read_payment(client: stripe.StripeClient, invoice_id: str, started: datetime) -> PaymentFacts | None:
    """The PaymentIntent by which an invoice was paid, or is being paid; None when it costs nothing."""
    page = client.v1.invoice_payments.list(
        {"invoice": invoice_id, "limit": 10, "expand": ["data.payment.payment_intent.latest_charge"]}
    )
    payments = [payment.to_dict() for payment in page.data]
    for payment in sorted(payments, key=lambda payment: payment["status"] != "paid"):
        intent = (payment.get("payment") or {}).get("payment_intent")
        if isinstance(intent, dict):
            return PaymentFacts.of_intent(intent, started)
    return None


def _intent_of(invoice: dict[str, Any]) -> str | None:
    payments = (invoice.get("payments") or {}).get("data") or []
    for payment in sorted(payments, key=lambda payment: payment["status"] != "paid"):
        intent = id_of((payment.get("payment") or {}).get("payment_intent"))
        if isinstance(intent, str):
            return intent
    return None


def _lines(client: stripe.StripeClient, invoice: stripe.Invoice) -> list[dict[str, Any]]:
    """All lines; an invoice carries its first ones."""
    if not invoice.lines.has_more:
        return [line.to_dict() for line in invoice.lines.data]
    pages = client.v1.invoices.line_items.list(invoice.id, {"limit": 100})
    return [line.to_dict() for line in pages.auto_paging_iter()]


def _fingerprint(subscription: dict[str, Any]) -> str | None:
    method = subscription.get("default_payment_method")
    card = (method.get("card") or {}) if isinstance(method, dict) else {}
    found = card.get("fingerprint")
    return found if isinstance(found, str) else None


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _instant_or_none(seconds: int | None) -> datetime | None:
    return None if seconds is None else _instant(seconds)
