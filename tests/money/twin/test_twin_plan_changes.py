"""Changes of a running subscription: prorations by the second, previews, payment first, endings, pauses."""

from __future__ import annotations

from typing import Any

import pytest
import stripe
from stripe import Invoice, Subscription
from stripe.test_helpers import TestClock

from tests.money.twin.shop import Shop

DAY = 24 * 3600


class Running:
    """A subscription to a plan of $30.00 a month, on a clock that stands ten days into January's 31."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.clock: TestClock = shop.clock("2027-01-01T00:00:00+00:00")
        self.small, self.large = shop.plan(3100, "Small"), shop.plan(6200, "Large")
        self.customer = shop.customer(self.clock)
        self.sub = shop.subscribe(self.customer, self.small)
        self.item = self.sub.items.data[0].id
        self.start = self.sub.items.data[0].current_period_start
        self.end = self.sub.items.data[0].current_period_end
        shop.advance(self.clock, self.start + 10 * DAY)

    def now(self) -> Subscription:
        """Return the subscription as it is, with its latest invoice."""
        return self.shop.stripe.v1.subscriptions.retrieve(self.sub.id, {"expand": ["latest_invoice"]})

    def invoice(self) -> Invoice:
        """Return its latest invoice."""
        invoice = self.now().latest_invoice
        assert isinstance(invoice, Invoice)
        return invoice

    def change(self, price: str, **more: Any) -> Subscription:
        """Change the plan."""
        params: Any = {"items": [{"id": self.item, "price": price}], **more}
        return self.shop.stripe.v1.subscriptions.update(self.sub.id, params)


@pytest.fixture
def running(shop: Shop) -> Running:
    return Running(shop)


def amounts(invoice: Invoice) -> list[tuple[int, bool]]:
    """Return amount and proration of an invoice's lines."""
    shown = []
    for line in invoice.lines.data:
        assert line.parent is not None
        assert line.parent.subscription_item_details is not None
        shown.append((line.amount, line.parent.subscription_item_details.proration))
    return shown


def test_an_upgrade_invoiced_at_once_gives_back_and_charges_the_rest_of_the_period(running: Running) -> None:
    first = running.invoice()
    running.change(running.large.id, proration_behavior="always_invoice")
    invoice = running.invoice()
    assert (invoice.billing_reason, invoice.status, invoice.total) == ("subscription_update", "paid", 2100)
    assert amounts(invoice) == [(-2100, True), (4200, True)]
    credit, charge = invoice.lines.data
    assert credit.parent is not None
    assert credit.parent.subscription_item_details is not None
    details = credit.parent.subscription_item_details.proration_details
    assert details is not None
    assert details.credited_items is not None
    assert details.credited_items.invoice == first.id
    assert details.credited_items.invoice_line_items == [first.lines.data[0].id]
    assert (charge.period.start, charge.period.end) == (running.start + 10 * DAY, running.end)
    assert running.now().items.data[0].current_period_end == running.end


def test_prorations_wait_for_the_renewal_unless_asked(running: Running) -> None:
    before = running.invoice().id
    running.change(running.large.id)
    assert running.invoice().id == before
    pending = running.shop.stripe.v1.invoice_items.list({"customer": running.customer.id, "pending": True})
    assert sorted(item.amount for item in pending.data) == [-2100, 4200]
    running.shop.advance(running.clock, running.end + 2 * 3600)
    assert running.invoice().total == 6200 + 2100
    assert amounts(running.invoice()) == [(-2100, True), (4200, True), (6200, False)]


def test_a_second_upgrade_gives_back_what_the_first_one_charged(running: Running) -> None:
    running.change(running.large.id, proration_behavior="always_invoice")
    running.shop.advance(running.clock, running.start + 20 * DAY + 12 * 3600)
    largest = running.shop.plan(12400, "Largest")
    running.change(largest.id, proration_behavior="always_invoice")
    assert amounts(running.invoice()) == [(-2100, True), (4200, True)]


def test_without_prorations_only_the_next_period_costs_more(running: Running) -> None:
    before = running.invoice().id
    running.change(running.large.id, proration_behavior="none")
    assert running.invoice().id == before
    running.shop.advance(running.clock, running.end + 2 * 3600)
    assert amounts(running.invoice()) == [(6200, False)]


def test_a_downgrade_becomes_credit_and_pays_the_next_invoice(running: Running) -> None:
    running.change(running.large.id, proration_behavior="always_invoice")
    running.change(running.small.id, proration_behavior="always_invoice")
    invoice = running.invoice()
    assert (invoice.total, invoice.amount_due, invoice.status) == (-2100, 0, "paid")
    customers = running.shop.stripe.v1.customers
    assert customers.retrieve(running.customer.id).balance == -2100
    running.shop.advance(running.clock, running.end + 2 * 3600)
    renewal = running.invoice()
    assert (renewal.total, renewal.starting_balance, renewal.amount_due) == (3100, -2100, 1000)
    assert customers.retrieve(running.customer.id).balance == 0


def test_another_interval_or_a_new_anchor_begins_a_period_now(running: Running) -> None:
    now = running.start + 10 * DAY
    running.change(running.small.id, billing_cycle_anchor={"type": "now"})
    sub = running.now()
    assert (sub.items.data[0].current_period_start, sub.billing_cycle_anchor) == (now, now)
    assert amounts(running.invoice()) == [(-2100, True), (3100, False)]
    yearly = running.shop.plan(30000, "Yearly", "year")
    running.change(yearly.id)
    assert amounts(running.invoice()) == [(-3100, True), (30000, False)]
    assert running.invoice().status == "paid"


def test_a_preview_says_what_a_change_would_cost_and_changes_nothing(running: Running) -> None:
    invoices = running.shop.stripe.v1.invoices
    details: Any = {
        "items": [{"id": running.item, "price": running.large.id}],
        "proration_behavior": "always_invoice",
    }
    before = len(running.shop.all_events())
    preview = invoices.create_preview({"subscription": running.sub.id, "subscription_details": details})
    assert (preview.total, preview.id.startswith("upcoming_in_")) == (2100, True)
    upcoming = invoices.create_preview({"subscription": running.sub.id})
    assert (upcoming.total, upcoming.lines.data[0].period.start) == (3100, running.end)
    assert len(running.shop.all_events()) == before
    assert running.now().items.data[0].price.id == running.small.id
    assert running.shop.stripe.v1.invoice_items.list({"customer": running.customer.id}).data == []


def decline(running: Running, times: int = 9) -> None:
    """Let the customer's next charges be declined; none with `times=0`."""
    body = {"do": "decline", "times": times} if times else {}
    running.shop.control("POST", f"/customers/{running.customer.id}/next_charge", body)


def test_a_pending_update_counts_only_once_it_is_paid(running: Running) -> None:
    decline(running)
    wish: Any = {"proration_behavior": "always_invoice", "payment_behavior": "pending_if_incomplete"}
    held = running.change(running.large.id, **wish)
    assert held.pending_update is not None
    assert held.pending_update.subscription_items is not None
    assert held.pending_update.subscription_items[0].price.id == running.large.id
    assert (held.items.data[0].price.id, held.status) == (running.small.id, "active")
    decline(running, 0)
    running.shop.stripe.v1.invoices.pay(running.invoice().id)
    applied = running.now()
    assert (applied.pending_update, applied.items.data[0].price.id) == (None, running.large.id)
    assert running.shop.event_types().count("customer.subscription.pending_update_applied") == 1


def test_a_pending_update_that_is_not_paid_expires_with_its_invoice(running: Running) -> None:
    decline(running)
    wish: Any = {"proration_behavior": "always_invoice", "payment_behavior": "pending_if_incomplete"}
    running.change(running.large.id, **wish)
    held = running.invoice()
    running.shop.advance(running.clock, running.start + 11 * DAY)
    assert running.shop.stripe.v1.invoices.retrieve(held.id).status == "void"
    assert running.now().pending_update is None
    assert running.now().items.data[0].price.id == running.small.id
    assert running.shop.event_types().count("customer.subscription.pending_update_expired") == 1


def test_an_update_that_must_be_paid_leaves_nothing_when_it_is_not(running: Running) -> None:
    decline(running)
    before = running.invoice().id
    with pytest.raises(stripe.CardError):
        running.change(
            running.large.id, proration_behavior="always_invoice", payment_behavior="error_if_incomplete"
        )
    assert (running.invoice().id, running.now().items.data[0].price.id) == (before, running.small.id)


def test_an_update_that_may_fail_makes_the_subscription_past_due(running: Running) -> None:
    decline(running)
    running.change(running.large.id, proration_behavior="always_invoice")
    assert (running.now().status, running.invoice().status) == ("past_due", "open")
    decline(running, 0)
    running.shop.advance(running.clock, running.start + 14 * DAY)
    assert (running.now().status, running.invoice().status) == ("active", "paid")


def test_a_cancellation_at_the_period_s_end_can_be_undone_until_then(running: Running) -> None:
    subscriptions = running.shop.stripe.v1.subscriptions
    details: Any = {"feedback": "too_expensive", "comment": "Next year"}
    set_to_end = subscriptions.update(
        running.sub.id, {"cancel_at_period_end": True, "cancellation_details": details}
    )
    assert (set_to_end.cancel_at, set_to_end.status) == (running.end, "active")
    assert set_to_end.canceled_at == running.start + 10 * DAY
    assert set_to_end.cancellation_details is not None
    assert set_to_end.cancellation_details.feedback == "too_expensive"
    undone = subscriptions.update(running.sub.id, {"cancel_at_period_end": False})
    assert (undone.cancel_at, undone.canceled_at) == (None, None)
    subscriptions.update(running.sub.id, {"cancel_at": "max_period_end"})
    assert running.now().cancel_at_period_end is False
    running.shop.advance(running.clock, running.end + DAY)
    assert (running.now().status, running.now().ended_at) == ("canceled", running.end)
    assert len(running.shop.stripe.v1.invoices.list({"subscription": running.sub.id}).data) == 1


def test_canceling_now_with_proration_gives_the_rest_back_as_credit(running: Running) -> None:
    running.shop.stripe.v1.subscriptions.cancel(running.sub.id, {"prorate": True, "invoice_now": True})
    assert (running.now().status, running.invoice().total) == ("canceled", -2100)
    assert running.shop.stripe.v1.customers.retrieve(running.customer.id).balance == -2100


@pytest.mark.parametrize(
    ("behavior", "status"),
    [("void", "void"), ("mark_uncollectible", "uncollectible"), ("keep_as_draft", "draft")],
)
def test_paused_collection_makes_invoices_that_nobody_pays(
    running: Running, behavior: str, status: str
) -> None:
    pause: Any = {"behavior": behavior, "resumes_at": running.end + 5 * DAY}
    running.shop.stripe.v1.subscriptions.update(running.sub.id, {"pause_collection": pause})
    running.shop.advance(running.clock, running.end + 2 * 3600)
    assert (running.invoice().status, running.now().status) == (status, "active")
    running.shop.advance(running.clock, running.end + 6 * DAY)
    assert running.now().pause_collection is None


def test_a_paused_subscription_makes_no_invoices_and_resumes_with_a_new_period(running: Running) -> None:
    subscriptions = running.shop.stripe.v1.subscriptions
    assert subscriptions.pause(running.sub.id, {"type": "subscription"}).status == "paused"
    running.shop.advance(running.clock, running.end + 10 * DAY)
    assert len(running.shop.stripe.v1.invoices.list({"subscription": running.sub.id}).data) == 1
    resumed = subscriptions.resume(running.sub.id)
    assert (resumed.status, resumed.items.data[0].current_period_start) == ("active", running.end + 10 * DAY)
    assert running.invoice().status == "paid"
    types = running.shop.event_types()
    assert types.count("customer.subscription.paused") == types.count("customer.subscription.resumed") == 1


def test_items_come_change_and_go_with_prorations(running: Running) -> None:
    items = running.shop.stripe.v1.subscription_items
    seat = running.shop.plan(310, "Seat")
    added = items.create(
        {
            "subscription": running.sub.id,
            "price": seat.id,
            "quantity": 2,
            "proration_behavior": "always_invoice",
        }
    )
    assert (added.current_period_end, running.invoice().total) == (running.end, 420)
    items.update(added.id, {"quantity": 3, "proration_behavior": "always_invoice"})
    assert running.invoice().total == 210
    assert len(items.list({"subscription": running.sub.id}).data) == 2
    assert items.delete(added.id, {"proration_behavior": "none"}).deleted is True
    with pytest.raises(stripe.InvalidRequestError, match="at least one active item"):
        items.delete(running.item)
    running.shop.advance(running.clock, running.end + 2 * 3600)
    assert amounts(running.invoice()) == [(3100, False)]
