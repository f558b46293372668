"""The customers' stories: what they do at Stripe, and where they have spent credits of ours meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tests.money.confluence.shop_floor import PRO, STARTER, Customer

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
Story = Callable[[Customer], None]


def a_pack(customer: Customer) -> None:
    customer.buy(package_key="pack_500")


def a_pack_by_a_method_that_settles_later(customer: Customer) -> None:
    customer.buy(package_key="pack_500", card="000123456789")
    customer.wait(4 * DAY)


def a_pack_whose_debit_is_refused_in_the_end(customer: Customer) -> None:
    customer.buy(package_key="pack_500", card="000222222227")
    customer.wait(4 * DAY)


def a_plan_with_a_trial(customer: Customer) -> None:
    customer.subscribe(STARTER)
    customer.renew()


def three_renewals(customer: Customer) -> None:
    customer.subscribe(STARTER)
    for _ in range(4):
        customer.renew()


def upgrade_and_downgrade(customer: Customer) -> None:
    customer.subscribe(STARTER)
    customer.renew()
    customer.wait(10 * DAY)
    customer.change_plan(PRO)
    customer.wait(2 * DAY)
    customer.change_plan(STARTER)
    customer.wait(2 * DAY)
    customer.change_plan(PRO)


def an_upgrade_that_restarts_the_period(customer: Customer) -> None:
    customer.subscribe(STARTER)
    customer.renew()
    customer.wait(10 * DAY)
    customer.change_plan(PRO, billing_cycle_anchor={"type": "now"})


def an_upgrade_before_the_renewal_is_collected(customer: Customer) -> None:
    customer.subscribe(STARTER)
    customer.renew()
    customer.renew(after=10 * MINUTE)
    customer.change_plan(PRO)
    customer.wait(3 * HOUR)


def a_restart_before_the_renewal_is_collected(customer: Customer) -> None:
    customer.subscribe(STARTER)
    customer.renew()
    customer.renew(after=10 * MINUTE)
    customer.change_plan(PRO, billing_cycle_anchor={"type": "now"})
    customer.wait(3 * HOUR)


def a_partial_and_then_a_full_refund(customer: Customer) -> None:
    customer.buy(package_key="pack_500")
    charge = customer.charge_id()
    customer.control(f"/charges/{charge}/refund", {"amount": 300})
    customer.wait(DAY)
    customer.control(f"/charges/{charge}/refund", {})


def a_refund_that_fails(customer: Customer) -> None:
    customer.buy(package_key="pack_500")
    customer.control(f"/charges/{customer.charge_id()}/refund", {})
    (refund,) = customer.shop.stripe.v1.refunds.list({"charge": customer.charge_id()}).data
    customer.wait(DAY)
    customer.control(f"/refunds/{refund.id}/fail", {"reason": "expired_or_canceled_card"})


def a_dispute_that_is_won(customer: Customer) -> None:
    customer.buy(package_key="pack_500")
    customer.control(f"/charges/{customer.charge_id()}/dispute", {"reason": "fraudulent"})
    customer.wait(DAY)
    customer.control(f"/disputes/{customer.dispute_id()}/win", {})


def a_dispute_that_is_lost_after_spending(customer: Customer) -> None:
    customer.buy(package_key="pack_500")
    customer.spend(450)
    customer.control(f"/charges/{customer.charge_id()}/dispute", {"reason": "fraudulent"})
    customer.wait(DAY)
    customer.control(f"/disputes/{customer.dispute_id()}/lose", {})


def a_refund_and_a_dispute(customer: Customer) -> None:
    customer.buy(package_key="pack_500")
    customer.control(f"/charges/{customer.charge_id()}/refund", {"amount": 400})
    customer.wait(DAY)
    customer.control(f"/charges/{customer.charge_id()}/dispute", {"reason": "fraudulent", "amount": 600})
    customer.wait(DAY)
    customer.control(f"/disputes/{customer.dispute_id()}/lose", {})


def an_automatic_topup_that_the_bank_wants_confirmed(customer: Customer) -> None:
    customer.top_up_with_3ds()


def past_due_and_recovery(customer: Customer) -> None:
    customer.subscribe(STARTER)
    customer.renew()
    customer.decline_next()
    customer.renew()
    customer.wait(DAY)
    customer.pay_open_invoice()


def a_cancellation_with_an_open_invoice(customer: Customer) -> None:
    customer.buy(package_key="pack_100")
    customer.subscribe(STARTER)
    customer.renew()
    customer.decline_next()
    customer.renew()
    customer.cancel()


def a_renewal_that_is_refunded_by_halves(customer: Customer) -> None:
    customer.subscribe(STARTER)
    customer.renew()
    customer.renew()
    charge = customer.charge_id()
    customer.control(f"/charges/{charge}/refund", {"amount": 950})
    customer.wait(DAY)
    customer.control(f"/charges/{charge}/refund", {})


def an_upgrade_that_is_refunded(customer: Customer) -> None:
    customer.subscribe(STARTER)
    customer.renew()
    customer.wait(10 * DAY)
    customer.change_plan(PRO)
    customer.control(f"/charges/{customer.charge_id()}/refund", {})


def a_disputed_renewal_that_is_won(customer: Customer) -> None:
    customer.subscribe(PRO)
    customer.renew()
    customer.control(f"/charges/{customer.charge_id()}/dispute", {"reason": "subscription_canceled"})
    customer.wait(DAY)
    customer.control(f"/disputes/{customer.dispute_id()}/win", {})


def a_cancellation_that_is_undone_and_then_made(customer: Customer) -> None:
    customer.subscribe(STARTER)
    customer.renew()
    customer.change(cancel_at_period_end=True)
    customer.wait(DAY)
    customer.change(cancel_at_period_end=False)
    customer.renew()
    customer.change(cancel_at_period_end=True)
    customer.renew()


def a_pause_of_collection(customer: Customer) -> None:
    customer.subscribe(STARTER)
    customer.renew()
    customer.change(pause_collection={"behavior": "void"})
    customer.renew()
    customer.change(pause_collection="")
    customer.renew()


STORIES: dict[str, Story] = {
    story.__name__: story
    for story in (
        a_pack,
        a_pack_by_a_method_that_settles_later,
        a_pack_whose_debit_is_refused_in_the_end,
        a_plan_with_a_trial,
        three_renewals,
        upgrade_and_downgrade,
        an_upgrade_that_restarts_the_period,
        an_upgrade_before_the_renewal_is_collected,
        a_restart_before_the_renewal_is_collected,
        a_partial_and_then_a_full_refund,
        a_refund_that_fails,
        a_dispute_that_is_won,
        a_dispute_that_is_lost_after_spending,
        a_refund_and_a_dispute,
        an_automatic_topup_that_the_bank_wants_confirmed,
        past_due_and_recovery,
        a_cancellation_with_an_open_invoice,
        a_renewal_that_is_refunded_by_halves,
        an_upgrade_that_is_refunded,
        a_disputed_renewal_that_is_won,
        a_cancellation_that_is_undone_and_then_made,
        a_pause_of_collection,
    )
}
