"""Money that comes back: slow and failing refunds, disputes, inquiries, fraud warnings, returned debits."""

from __future__ import annotations

from typing import Any

import pytest
import stripe
from stripe import Charge, Dispute, PaymentIntent

from tests.money.twin.shop import Shop

DAY = 24 * 3600


def paid(shop: Shop, method: str = "pm_card_visa", **more: Any) -> Charge:
    """Return the charge of a payment of $19.00."""
    intent = shop.intent(payment_method=method, confirm=True, **more)
    return shop.stripe.v1.charges.retrieve(str(intent.latest_charge))


def charge_now(shop: Shop, charge: Charge) -> Charge:
    return shop.stripe.v1.charges.retrieve(charge.id, {"expand": ["balance_transaction"]})


# ---- refunds -----------------------------------------------------------------------------------------------


def test_refunds_add_up_to_the_charge_and_no_further(shop: Shop) -> None:
    charge = paid(shop)
    refunds = shop.stripe.v1.refunds
    refunds.create({"charge": charge.id, "amount": 1000})
    refunds.create({"charge": charge.id, "amount": 500})
    with pytest.raises(stripe.InvalidRequestError, match=r"greater than unrefunded amount on charge \(400\)"):
        refunds.create({"charge": charge.id, "amount": 401})
    refunds.create({"charge": charge.id})
    whole = charge_now(shop, charge)
    assert (whole.amount_refunded, whole.refunded) == (1900, True)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        refunds.create({"charge": charge.id})
    assert refusal.value.code == "charge_already_refunded"
    totals = [event["data"]["object"]["amount_refunded"] for event in shop.events("charge.refunded")]
    assert totals == [1000, 1500, 1900]


def test_a_slow_refund_is_pending_first(shop: Shop) -> None:
    clock = shop.clock()
    charge = paid(shop, "pm_card_pendingRefund", customer=shop.customer(clock).id)
    refund = shop.stripe.v1.refunds.create({"charge": charge.id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    shop.advance(clock, clock.frozen_time + 4 * DAY)
    assert shop.stripe.v1.refunds.retrieve(refund.id).status == "succeeded"
    updated = shop.events("refund.updated")
    assert [event["data"]["previous_attributes"]["status"] for event in updated] == ["pending"]


@pytest.mark.parametrize("card", ["pm_card_refundFail", "pm_card_visa", "pm_card_pendingRefund"])
def test_a_failed_refund_gives_the_money_back_to_the_merchant(shop: Shop, card: str) -> None:
    clock = shop.clock()
    charge = paid(shop, card, customer=shop.customer(clock).id)
    refund = shop.stripe.v1.refunds.create({"charge": charge.id, "amount": 700})
    assert charge_now(shop, charge).amount_refunded == 700
    if card == "pm_card_refundFail":
        shop.advance(clock, clock.frozen_time + 4 * DAY)
    else:
        shop.control("POST", f"/refunds/{refund.id}/fail", {"reason": "lost_or_stolen_card"})
    failed = shop.stripe.v1.refunds.retrieve(
        refund.id, {"expand": ["failure_balance_transaction", "balance_transaction"]}
    )
    assert failed.status == "failed"
    assert isinstance(failed.balance_transaction, stripe.BalanceTransaction)
    assert isinstance(failed.failure_balance_transaction, stripe.BalanceTransaction)
    assert failed.balance_transaction.amount == -700
    assert failed.failure_balance_transaction.amount == 700
    assert (charge_now(shop, charge).amount_refunded, charge_now(shop, charge).refunded) == (0, False)
    types = shop.event_types()
    assert types.count("refund.failed") == 1
    assert types.count("charge.refund.updated") == 1
    again = shop.app.test_client().post(f"/_twin/refunds/{refund.id}/fail", json={})
    assert again.status_code == 400


def test_a_pending_refund_can_be_canceled_and_a_finished_one_cannot(shop: Shop) -> None:
    pending = shop.stripe.v1.refunds.create({"charge": paid(shop, "pm_card_pendingRefund").id})
    assert shop.stripe.v1.refunds.cancel(pending.id).status == "canceled"
    done = shop.stripe.v1.refunds.create({"charge": paid(shop).id})
    with pytest.raises(stripe.InvalidRequestError):
        shop.stripe.v1.refunds.cancel(done.id)


def test_what_moves_is_on_the_balance(shop: Shop) -> None:
    charge = charge_now(shop, paid(shop))
    assert isinstance(charge.balance_transaction, stripe.BalanceTransaction)
    assert (charge.balance_transaction.amount, charge.balance_transaction.fee) == (1900, 85)
    assert charge.balance_transaction.net == 1815
    shop.stripe.v1.refunds.create({"charge": charge.id, "amount": 400})
    shop.control("POST", f"/charges/{charge.id}/dispute", {"amount": 1500})
    booked = [one.amount for one in shop.stripe.v1.balance_transactions.list().data]
    assert booked == [-1500, -400, 1900]


# ---- disputes ----------------------------------------------------------------------------------------------


def disputed(shop: Shop, **body: Any) -> Dispute:
    """Return a dispute that the bank opened on a new payment."""
    charge = paid(shop, customer=shop.customer(shop.clock()).id)
    opened = shop.control("POST", f"/charges/{charge.id}/dispute", body)
    return shop.stripe.v1.disputes.retrieve(opened["id"])


def dispute_events(shop: Shop) -> list[str]:
    return [name.removeprefix("charge.dispute.") for name in shop.event_types() if ".dispute." in name]


def test_a_dispute_withdraws_the_money_and_the_fee_and_stops_refunds(shop: Shop) -> None:
    dispute = disputed(shop, reason="product_not_received")
    assert (dispute.status, dispute.reason, dispute.amount) == (
        "needs_response",
        "product_not_received",
        1900,
    )
    assert [(one.amount, one.fee) for one in dispute.balance_transactions] == [(-1900, 1500)]
    assert dispute_events(shop) == ["created", "funds_withdrawn"]
    assert shop.stripe.v1.charges.retrieve(str(dispute.charge)).disputed is True
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.stripe.v1.refunds.create({"charge": str(dispute.charge)})
    assert refusal.value.code == "charge_disputed"


def test_a_won_dispute_reinstates_exactly_what_was_withdrawn(shop: Shop) -> None:
    dispute = disputed(shop)
    evidence: Any = {"evidence": {"uncategorized_text": "winning_evidence", "customer_name": "Jenny"}}
    won = shop.stripe.v1.disputes.update(dispute.id, evidence)
    assert won.status == "won"
    assert [one.amount for one in won.balance_transactions] == [-1900, 1900]
    assert dispute_events(shop) == ["created", "funds_withdrawn", "updated", "funds_reinstated", "closed"]


@pytest.mark.parametrize("how", ["evidence", "close", "silence", "control"])
def test_a_lost_dispute_keeps_the_money(shop: Shop, how: str) -> None:
    dispute = disputed(shop)
    disputes = shop.stripe.v1.disputes
    if how == "evidence":
        disputes.update(dispute.id, {"evidence": {"uncategorized_text": "losing_evidence"}})
    elif how == "close":
        disputes.close(dispute.id)
    elif how == "silence":
        clock = shop.stripe.v1.test_helpers.test_clocks.list().data[0]
        shop.advance(clock, (dispute.evidence_details.due_by or 0) + 1)
    else:
        shop.control("POST", f"/disputes/{dispute.id}/lose", {})
    lost = disputes.retrieve(dispute.id)
    assert (lost.status, len(lost.balance_transactions)) == ("lost", 1)
    assert dispute_events(shop)[-1] == "closed"
    assert "funds_reinstated" not in dispute_events(shop)
    with pytest.raises(stripe.InvalidRequestError):
        disputes.close(dispute.id)


def test_an_inquiry_moves_no_money_and_may_be_refunded(shop: Shop) -> None:
    inquiry = disputed(shop, inquiry=True)
    assert (inquiry.status, inquiry.balance_transactions) == ("warning_needs_response", [])
    assert inquiry.is_charge_refundable is True
    shop.stripe.v1.refunds.create({"charge": str(inquiry.charge)})
    shop.control("POST", f"/disputes/{inquiry.id}/close_inquiry", {})
    closed = shop.stripe.v1.disputes.retrieve(inquiry.id)
    assert (closed.status, closed.balance_transactions) == ("warning_closed", [])
    assert dispute_events(shop) == ["created", "closed"]
    assert shop.stripe.v1.charges.retrieve(str(inquiry.charge)).disputed is False


def test_an_inquiry_may_become_a_dispute(shop: Shop) -> None:
    inquiry = disputed(shop, inquiry=True)
    grown = shop.control("POST", f"/disputes/{inquiry.id}/escalate", {})
    assert (grown["status"], grown["is_charge_refundable"]) == ("needs_response", False)
    assert dispute_events(shop) == ["created", "updated", "funds_withdrawn"]


def test_cards_that_bring_trouble_bring_it_after_they_paid(shop: Shop) -> None:
    reasons = {}
    for card in (
        "pm_card_createDispute",
        "pm_card_createDisputeProductNotReceived",
        "pm_card_createDisputeInquiry",
    ):
        charge = paid(shop, card)
        assert charge.paid
        found = shop.stripe.v1.disputes.list({"charge": charge.id}).data[0]
        reasons[card.removeprefix("pm_card_createDispute")] = (found.reason, found.status)
    assert reasons == {
        "": ("fraudulent", "needs_response"),
        "ProductNotReceived": ("product_not_received", "needs_response"),
        "Inquiry": ("fraudulent", "warning_needs_response"),
    }
    warned = paid(shop, "pm_card_createIssuerFraudRecord")
    warning = shop.stripe.v1.radar.early_fraud_warnings.list({"charge": warned.id}).data[0]
    assert (warning.actionable, warning.fraud_type) == (True, "made_with_stolen_card")


def test_a_charge_is_disputed_once_at_a_time_and_only_when_it_was_paid(shop: Shop) -> None:
    charge = paid(shop)
    client = shop.app.test_client()
    assert client.post(f"/_twin/charges/{charge.id}/dispute", json={"amount": 1901}).status_code == 400
    shop.control("POST", f"/charges/{charge.id}/dispute", {})
    assert client.post(f"/_twin/charges/{charge.id}/dispute", json={}).status_code == 400
    with pytest.raises(stripe.CardError):
        shop.intent(payment_method="pm_card_visa_chargeDeclined", confirm=True)
    failed = shop.stripe.v1.charges.list().data[0]
    assert client.post(f"/_twin/charges/{failed.id}/dispute", json={}).status_code == 400


# ---- debits that take their time ---------------------------------------------------------------------------


def debit(shop: Shop, account: str, **more: Any) -> stripe.checkout.Session:
    """Return a session whose customer chose to be debited."""
    session = shop.session(**more)
    browser = shop.browser()
    page = browser.open(f"{session.url}?method=bank")
    assert "Account number" in page.text
    fields = {"email": "jenny@example.com", "account": account, "name": "Jenny Rosen"}
    assert browser.send(page, **fields).status_code == 303
    return shop.reload(session)


@pytest.mark.parametrize(("account", "outcome"), [("000123456789", "succeeded"), ("000222222227", "failed")])
def test_a_debit_completes_the_session_unpaid_and_settles_days_later(
    shop: Shop, account: str, outcome: str
) -> None:
    clock = shop.clock()
    session = debit(shop, account, customer=shop.customer(clock).id)
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    intent = shop.stripe.v1.payment_intents.retrieve(
        str(session.payment_intent), {"expand": ["latest_charge"]}
    )
    assert intent.status == "processing"
    assert isinstance(intent.latest_charge, Charge)
    assert (intent.latest_charge.status, intent.latest_charge.paid) == ("pending", False)
    shop.advance(clock, clock.frozen_time + 4 * DAY)
    settled = shop.reload(session)
    assert settled.payment_status == ("paid" if outcome == "succeeded" else "unpaid")
    types = shop.event_types()
    assert types.count("checkout.session.completed") == 1
    assert types.count(f"checkout.session.async_payment_{outcome}") == 1
    assert types.count("payment_intent.processing") == 1
    assert types.count("charge.pending") == types.count(f"charge.{outcome}") == 1


def test_a_debited_subscription_is_active_until_the_debit_comes_back(shop: Shop) -> None:
    clock = shop.clock()
    lines = [{"price": shop.plan(4900).id, "quantity": 1}]
    account = "000222222227"
    session = debit(shop, account, mode="subscription", line_items=lines, customer=shop.customer(clock).id)
    sub = shop.stripe.v1.subscriptions.retrieve(str(session.subscription), {"expand": ["latest_invoice"]})
    assert sub.status == "active"
    assert isinstance(sub.latest_invoice, stripe.Invoice)
    assert sub.latest_invoice.status == "open"
    shop.advance(clock, clock.frozen_time + 3 * DAY)
    assert shop.stripe.v1.subscriptions.retrieve(sub.id).status == "past_due"
    assert shop.event_types().count("invoice.payment_failed") == 1


def test_a_debit_settles_when_the_control_api_says_so(shop: Shop) -> None:
    first, second = debit(shop, "000123456789"), debit(shop, "000123456789")
    shop.control("POST", f"/payment_intents/{first.payment_intent}/settle", {})
    shop.control("POST", f"/payment_intents/{second.payment_intent}/settle", {"outcome": "failed"})
    assert (shop.reload(first).payment_status, shop.reload(second).payment_status) == ("paid", "unpaid")
    again = shop.app.test_client().post(f"/_twin/payment_intents/{first.payment_intent}/settle", json={})
    assert again.status_code == 400


def test_cards_only_means_cards_only(shop: Shop) -> None:
    session = shop.session(allowed_payment_method_types=["card"])
    assert session.payment_method_types == ["card"]
    assert "bank debit" not in shop.browser().open(session.url or "").text
    with pytest.raises(stripe.InvalidRequestError, match="not allowed for this PaymentIntent"):
        shop.intent(
            payment_method="pm_usBankAccount_success", confirm=True, allowed_payment_method_types=["card"]
        )
    euro: PaymentIntent = shop.intent(currency="eur", payment_method="pm_success_at", confirm=True)
    assert euro.status == "processing"
