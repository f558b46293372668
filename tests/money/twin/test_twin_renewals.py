"""Time passes as at Stripe: renewals, notices, failed renewals, retries, and the clocks that move it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import stripe
from stripe import Invoice

from stripe_twin.app import twin_of
from stripe_twin.periods import add_intervals, period_at, unused_part
from stripe_twin.timers import set_timer
from tests.money.twin.shop import Shop

DAY = 24 * 3600
HOUR = 3600


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "expected"),
    [
        ("2027-01-31", "month", 1, "2027-02-28"),
        ("2027-01-31", "month", 2, "2027-03-31"),
        ("2028-01-31", "month", 1, "2028-02-29"),
        ("2028-02-29", "year", 1, "2029-02-28"),
        ("2027-12-15", "month", 1, "2028-01-15"),
        ("2027-01-15", "week", 2, "2027-01-29"),
        ("2027-03-27", "day", 2, "2027-03-29"),
    ],
)
def test_periods_end_where_the_calendar_says(anchor: str, interval: str, count: int, expected: str) -> None:
    assert add_intervals(at(anchor), interval, count) == at(expected)


def test_a_period_is_found_from_its_anchor_however_far_away() -> None:
    monthly = {"interval": "month", "interval_count": 1}
    assert period_at(at("2027-01-31"), monthly, at("2027-02-28")) == (at("2027-02-28"), at("2027-03-31"))
    assert period_at(at("2027-01-31"), monthly, at("2027-02-27")) == (at("2027-01-31"), at("2027-02-28"))
    assert period_at(at("2027-06-15"), monthly, at("2027-06-01")) == (at("2027-05-15"), at("2027-06-15"))


def test_an_unused_part_is_counted_by_the_second() -> None:
    start, end = at("2027-01-01"), at("2027-01-31")
    assert unused_part(3000, start, end, start) == 3000
    assert unused_part(3000, start, end, end) == 0
    assert unused_part(3000, start, end, start + 10 * DAY) == 2000
    assert unused_part(30 * DAY, start, end, start + 1) == 30 * DAY - 1


def test_three_renewals_pay_for_the_next_period_and_name_the_last(shop: Shop) -> None:
    clock = shop.clock("2027-01-31T12:00:00+00:00")
    customer = shop.customer(clock)
    sub = shop.subscribe(customer, shop.plan(4900))
    shop.advance(clock, at("2027-04-30T14:00:00"))
    invoices = list(reversed(shop.stripe.v1.invoices.list({"subscription": sub.id}).data))
    shown = [
        (
            one.billing_reason,
            one.status,
            one.period_end,
            one.lines.data[0].period.start,
            one.lines.data[0].period.end,
        )
        for one in invoices
    ]
    ends = [at(f"2027-{day}T12:00:00") for day in ("01-31", "02-28", "03-31", "04-30", "05-31")]
    assert shown == [
        ("subscription_create", "paid", ends[0], ends[0], ends[1]),
        ("subscription_cycle", "paid", ends[1], ends[1], ends[2]),
        ("subscription_cycle", "paid", ends[2], ends[2], ends[3]),
        ("subscription_cycle", "paid", ends[3], ends[3], ends[4]),
    ]
    assert [one.number for one in invoices] == [f"{customer.invoice_prefix}-{n:04}" for n in (1, 2, 3, 4)]
    assert all(not one.lines.data[0].parent.subscription_item_details.proration for one in invoices)  # type: ignore[union-attr]
    paid = shop.events("invoice.paid")
    assert [event["created"] for event in paid][1:] == [end + HOUR for end in ends[1:4]]


def test_a_renewal_s_invoice_is_a_draft_for_an_hour(shop: Shop) -> None:
    clock = shop.clock()
    sub = shop.subscribe(shop.customer(clock), shop.plan(4900))
    end = sub.items.data[0].current_period_end
    shop.advance(clock, end)
    draft = shop.stripe.v1.invoices.list({"subscription": sub.id}).data[0]
    assert (draft.status, draft.number, draft.automatically_finalizes_at) == ("draft", None, end + HOUR)
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).items.data[0].current_period_start == end
    shop.advance(clock, end + HOUR)
    assert shop.stripe.v1.invoices.retrieve(draft.id).status == "paid"


def test_upcoming_is_announced_a_week_before_and_leaves_no_invoice(shop: Shop) -> None:
    clock = shop.clock()
    sub = shop.subscribe(shop.customer(clock), shop.plan(4900))
    end = sub.items.data[0].current_period_end
    shop.advance(clock, end - 6 * DAY)
    announced = shop.events("invoice.upcoming")
    assert len(announced) == 1
    assert announced[0]["data"]["object"]["id"].startswith("upcoming_in_")
    assert announced[0]["data"]["object"]["total"] == 4900
    assert len(shop.stripe.v1.invoices.list({"subscription": sub.id}).data) == 1


def test_a_failed_renewal_is_tried_again_and_a_payment_lifts_it_once(shop: Shop) -> None:
    clock = shop.clock()
    customer = shop.customer(clock)
    sub = shop.subscribe(customer, shop.plan(4900))
    shop.control(
        "POST",
        f"/customers/{customer.id}/next_charge",
        {"do": "decline", "decline_code": "insufficient_funds", "times": 2},
    )
    end = sub.items.data[0].current_period_end
    shop.advance(clock, end + 2 * HOUR)
    late = shop.stripe.v1.subscriptions.retrieve(sub.id, {"expand": ["latest_invoice"]})
    assert late.status == "past_due"
    assert isinstance(late.latest_invoice, Invoice)
    assert (late.latest_invoice.status, late.latest_invoice.attempt_count) == ("open", 1)
    assert late.latest_invoice.next_payment_attempt == end + HOUR + 3 * DAY
    assert shop.stripe.v1.customers.retrieve(customer.id).delinquent is True
    shop.advance(clock, end + 4 * DAY)
    assert shop.stripe.v1.invoices.retrieve(late.latest_invoice.id).attempt_count == 2
    shop.advance(clock, end + 10 * DAY)
    lifted = shop.stripe.v1.subscriptions.retrieve(sub.id)
    assert (lifted.status, lifted.items.data[0].current_period_start) == ("active", end)
    assert shop.stripe.v1.customers.retrieve(customer.id).delinquent is False
    paid = [event["data"]["object"]["id"] for event in shop.events("invoice.paid")]
    assert paid.count(late.latest_invoice.id) == 1
    assert len(shop.events("invoice.payment_failed")) == 2


@pytest.mark.parametrize("end", ["cancel", "unpaid", "past_due"])
def test_when_the_retries_are_used_up_the_merchant_s_setting_decides(shop: Shop, end: str) -> None:
    shop.control("POST", "/preferences", {"retry_after_days": [1, 2], "after_last_retry": end})
    clock = shop.clock()
    sub = shop.subscribe(shop.customer(clock), shop.plan(4900))
    assert isinstance(sub.customer, str)
    shop.control("POST", f"/customers/{sub.customer}/next_charge", {"do": "decline", "times": 9})
    shop.advance(clock, sub.items.data[0].current_period_end + 5 * DAY)
    over = shop.stripe.v1.subscriptions.retrieve(sub.id, {"expand": ["latest_invoice"]})
    assert over.status == ("canceled" if end == "cancel" else end)
    assert isinstance(over.latest_invoice, Invoice)
    assert (over.latest_invoice.status, over.latest_invoice.attempt_count) == ("open", 3)
    assert over.latest_invoice.next_payment_attempt is None
    if end == "cancel":
        assert over.cancellation_details is not None
        assert over.cancellation_details.reason == "payment_failed"
        assert over.latest_invoice.auto_advance is False
        return
    shop.control("POST", f"/customers/{sub.customer}/next_charge", {})
    shop.stripe.v1.invoices.pay(over.latest_invoice.id)
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).status == "active"


def test_an_unpaid_subscription_makes_drafts_that_wait(shop: Shop) -> None:
    shop.control("POST", "/preferences", {"retry_after_days": [], "after_last_retry": "unpaid"})
    clock = shop.clock()
    sub = shop.subscribe(shop.customer(clock), shop.plan(4900))
    shop.control("POST", f"/customers/{sub.customer}/next_charge", {"do": "decline", "times": 1})
    shop.advance(clock, sub.items.data[0].current_period_end + 40 * DAY)
    newest = shop.stripe.v1.invoices.list({"subscription": sub.id}).data[0]
    assert (newest.status, newest.auto_advance) == ("draft", False)
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).status == "unpaid"


def test_a_bank_that_asks_while_the_customer_is_away_is_answered_on_the_hosted_invoice(shop: Shop) -> None:
    clock = shop.clock()
    customer = shop.customer(clock)
    sub = shop.subscribe(customer, shop.plan(4900))
    shop.control("POST", f"/customers/{customer.id}/next_charge", {"do": "authenticate"})
    shop.advance(clock, sub.items.data[0].current_period_end + 2 * HOUR)
    waiting = shop.stripe.v1.invoices.list({"subscription": sub.id}).data[0]
    types = shop.event_types()
    assert "invoice.payment_action_required" in types
    assert types.count("payment_intent.requires_action") == 1
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).status == "past_due"
    browser = shop.browser()
    page = browser.open(waiting.hosted_invoice_url or "")
    link = page.text.split('data-testid="confirm"')[0].rpartition('href="')[2].partition('"')[0]
    back = browser.send(browser.open(link.replace("&amp;", "&")), answer="complete")
    assert back.headers["Location"].startswith(waiting.hosted_invoice_url or "")
    assert shop.stripe.v1.invoices.retrieve(waiting.id).status == "paid"
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).status == "active"


def test_a_customer_without_a_clock_is_moved_on_by_the_control_api_alone(shop: Shop) -> None:
    mine, other = shop.customer(), shop.customer(email="other@acme.test")
    sub = shop.subscribe(mine, shop.plan(4900))
    untouched = shop.subscribe(other, shop.plan(4900))
    renewed = shop.control("POST", f"/subscriptions/{sub.id}/renew", {})
    end = sub.items.data[0].current_period_end
    assert renewed["items"]["data"][0]["current_period_start"] == end
    assert shop.stripe.v1.invoices.list({"subscription": sub.id}).data[0].status == "paid"
    assert len(shop.stripe.v1.invoices.list({"subscription": untouched.id}).data) == 1
    made = shop.stripe.v1.payment_intents.create({"amount": 900, "currency": "usd", "customer": mine.id})
    assert made.created >= end
    here = shop.stripe.v1.payment_intents.create({"amount": 900, "currency": "usd", "customer": other.id})
    assert here.created < end


def test_what_is_due_by_the_time_of_day_happens_by_itself_and_one_failure_holds_up_nobody(shop: Shop) -> None:
    first, second = (shop.subscribe(shop.customer(), shop.plan(4900)) for _ in range(2))
    with twin_of(shop.app).unit() as unit:
        unit.connection.execute("update timers set due_at = 1 where kind = 'subscription_trial_will_end'")
        set_timer(unit, "sub_of_nobody", "subscription_ends", 1, None)
        for sub in (first, second):
            record = unit.get("subscription", sub.id, lock=True)
            record.data["cancel_at"] = unit.now - 5
            unit.save(record)
            set_timer(unit, sub.id, "subscription_ends", unit.now - 5, str(sub.customer))
    twin_of(shop.app).run_due_timers()
    ended = [shop.stripe.v1.subscriptions.retrieve(sub.id).status for sub in (first, second)]
    assert ended == ["canceled", "canceled"]


@pytest.mark.parametrize(("step", "says"), [(0, "forward"), (-5, "forward"), (3 * 366 * DAY, "two years")])
def test_a_clock_moves_forward_and_at_most_two_years(shop: Shop, step: int, says: str) -> None:
    clock = shop.clock()
    with pytest.raises(stripe.InvalidRequestError, match=says):
        shop.stripe.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": clock.frozen_time + step})


def test_everything_of_a_clock_s_customer_happens_at_the_clock_s_time(shop: Shop) -> None:
    clock = shop.clock("2030-05-01T00:00:00+00:00")
    session = shop.session(customer=shop.customer(clock).id)
    assert session.created == clock.frozen_time
    shop.browser().pay(session)
    done = shop.events("checkout.session.completed")[0]
    assert done["created"] == clock.frozen_time
    open_one = shop.session(customer=done["data"]["object"]["customer"])
    shop.advance(clock, clock.frozen_time + DAY)
    assert shop.reload(open_one).status == "expired"


def test_a_deleted_clock_takes_its_customers_along(shop: Shop) -> None:
    clock = shop.clock()
    sub = shop.subscribe(shop.customer(clock), shop.plan(4900))
    shop.stripe.v1.test_helpers.test_clocks.delete(clock.id)
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).status == "canceled"
    assert shop.stripe.v1.customers.retrieve(str(sub.customer)).deleted is True
