"""Automatic top-up, end to end: one charge a need, whoever asks, however often, and whatever Stripe does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.conftest import Organization
from tests.money.conftest import Buyer
from tests.money.saved_cards import CardHolder, as_operator, card_holder
from tests.money.world import Deliveries, HostedPage

ALWAYS_ASKS = "pm_card_authenticationRequired"
DECLINES = "pm_card_chargeCustomerFail"


@pytest.fixture
def holder(buyer: Buyer, deliveries: Deliveries) -> CardHolder:
    """An owner with 100 credits and a saved card, who agrees to be topped up."""
    made = card_holder(buyer, deliveries)
    made.save()
    buyer.organization.grant(100)
    return made


def fault(control: httpx.Client, **what: object) -> None:
    """Make calls that create a PaymentIntent go wrong."""
    body = {"path": "/v1/payment_intents", "method": "POST", **what}
    control.post("/api-faults", json=body).raise_for_status()


def test_scenario_40_five_parallel_spends_across_the_threshold_are_one_charge(holder: CardHolder) -> None:
    holder.agree(threshold=50, amount=100)

    def spend_and_ask(_: int) -> int:
        holder.run_down(20)
        return holder.start().status_code

    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(spend_and_ask, range(5))) == {200}

    holder.settle()
    assert holder.start().json() == {"attempts": []}
    assert len(holder.charges) == len(holder.attempts) == 1
    assert holder.buyer.books.balance == 100
    (payment,) = holder.buyer.books.payments
    assert (payment["kind"], payment["status"], payment["credits"]) == ("auto_topup", "succeeded", 100)
    assert payment["receipt_url"] is not None
    holder.buyer.books.assert_sound()


def test_scenario_41_a_deep_hole_is_filled_by_one_charge(holder: CardHolder) -> None:
    holder.buyer.organization.service.rpc(
        "adjust_credits",
        {
            "organization_id": str(holder.buyer.organization_id),
            "delta": -450,
            "reason": "a deep hole",
            "idempotency_key": "hole",
        },
    ).execute()
    holder.agree(threshold=0, amount=100)

    (attempt,) = holder.start().json()["attempts"]

    assert attempt["status"] == "succeeded"
    assert [row["credits"] for row in holder.attempts] == [400]
    assert len(holder.charges) == 1
    assert holder.buyer.books.balance == 50


def test_up_to_a_target_the_gap_is_charged_at_the_packs_price(holder: CardHolder) -> None:
    holder.agree(threshold=60, target=250)
    holder.run_down(60)

    holder.start()

    (attempt,) = holder.attempts
    assert attempt["credits"] == 210
    assert holder.buyer.books.balance == 250
    (price,) = holder.buyer.books.rows(
        "select ceil(210 * unit_amount / credits) as amount from billing.credit_packages "
        "where %s::uuid is not null and key = 'pack_100'"
    )
    assert holder.charges == [price["amount"]]


def test_an_agent_may_ask_for_its_organization_and_nobody_for_another(
    holder: CardHolder, other_organization: Organization
) -> None:
    holder.agree(threshold=100, amount=100)
    url = f"{holder.stack.workers_url}/workers/v1/start_auto_topups"
    mine = {"organization_id": str(holder.buyer.organization_id)}

    foreign = httpx.post(url, json=mine, headers={"X-Agent-Key": other_organization.agent_key}, timeout=30)
    nobody = httpx.post(url, json={}, timeout=30)
    own = httpx.post(url, json={}, headers={"X-Agent-Key": holder.buyer.organization.agent_key}, timeout=30)

    assert (foreign.status_code, nobody.status_code) == (403, 401)
    assert [attempt["status"] for attempt in own.json()["attempts"]] == ["succeeded"]
    assert holder.buyer.books.balance == 200


@pytest.fixture
def other_organization(new_organization: Any) -> Organization:
    """Another tenant."""
    made: Organization = new_organization()
    return made


def test_the_scheduler_finds_who_is_due(holder: CardHolder) -> None:
    holder.agree(threshold=100, amount=100)

    assert as_operator(holder.stack, "start_auto_topups", {"limit": 1000}).status_code == 200

    assert holder.buyer.books.balance == 200


def test_a_bank_that_wants_confirmation_calls_a_person_back_to_the_same_payment(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    holder = card_holder(buyer, deliveries)
    card = holder.save(ALWAYS_ASKS)
    holder.agree(threshold=10, amount=100)

    (attempt,) = holder.start().json()["attempts"]
    assert attempt["status"] == "needs_action"
    holder.let_time_pass()
    holder.start()
    assert len(holder.attempts) == 1, "no other attempt is made meanwhile"

    body = {"organization_id": str(buyer.organization_id)}
    action = buyer.workers.call("confirm_auto_topup", body).json()
    assert (action["status"], action["payment_method_id"]) == ("needs_action", card)
    assert action["client_secret"].startswith(action["payment_intent_id"])
    confirmed = deliveries.client.v1.payment_intents.confirm(
        action["payment_intent_id"], {"payment_method": card, "return_url": "https://app.test/"}
    )
    challenge = str(confirmed.next_action.redirect_to_url.url)  # type: ignore[union-attr] # it asks for one
    page = HostedPage(challenge)
    page.answer_challenge(httpx.Response(302, headers={"location": challenge}), "complete")

    after = buyer.workers.call("confirm_auto_topup", body).json()
    holder.settle()

    assert (after["status"], after["client_secret"]) == ("succeeded", None)
    assert buyer.books.balance == 100
    assert len(holder.charges) == 1
    kinds = [notification["kind"] for notification in buyer.books.notifications]
    assert ("auto_topup_needs_action" in kinds, "auto_topup_succeeded" in kinds) == (True, True)


def test_three_declines_in_a_row_trip_the_breaker_until_another_card_is_chosen(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    holder = card_holder(buyer, deliveries)
    holder.save(DECLINES)
    holder.agree(threshold=10, amount=100)
    for _ in range(3):
        (attempt,) = holder.start().json()["attempts"]
        assert (attempt["status"], attempt["failure_code"]) == ("failed", "generic_decline")
        assert holder.start().json() == {"attempts": []}, "not before the cool-down"
        holder.let_time_pass()
    holder.settle()
    assert holder.settings["paused_reason"] == "declined"
    assert holder.settings["consecutive_declines"] == 3, "a decline that is told twice counts once"
    assert holder.start().json() == {"attempts": []}

    def save_and_choose(token: str) -> None:
        holder.save(token)
        newest = str(holder.cards[-1]["id"])
        chosen = buyer.workers.call(
            "set_default_payment_method",
            {"organization_id": str(buyer.organization_id), "payment_method_id": newest},
        )
        assert chosen.json()["is_default"] is True

    save_and_choose(DECLINES)
    assert holder.settings["paused_reason"] == "declined", "the same card, saved anew, is no other"
    assert holder.start().json() == {"attempts": []}

    save_and_choose("pm_card_visa")
    assert [each["status"] for each in holder.start().json()["attempts"]] == ["succeeded"]
    assert buyer.books.balance == 100


def test_the_monthly_cap_is_never_passed(holder: CardHolder) -> None:
    holder.agree(threshold=1000, amount=100, monthly_cap=100_000)
    (first,) = holder.start().json()["attempts"]
    holder.agree(threshold=5000, amount=100, monthly_cap=first["amount"])
    holder.let_time_pass()

    assert holder.start().json() == {"attempts": []}

    assert len(holder.charges) == 1
    assert "auto_topup_cap_reached" in [each["kind"] for each in holder.buyer.books.notifications]


@pytest.mark.serial
@pytest.mark.parametrize(
    "what",
    [
        {"kind": "error_after", "times": 3},
        {"kind": "error_after", "times": 3, "remembered": True},
        {"kind": "cut_after", "times": 3},
        {"kind": "error_before", "times": 3},
        {"kind": "rate_limit", "times": 1},
    ],
    ids=["500 after acting", "500 remembered", "cut after acting", "500 before acting", "limited"],
)
def test_without_an_answer_the_attempt_stays_open_and_nothing_is_charged_twice(
    holder: CardHolder, trouble: httpx.Client, what: dict[str, object]
) -> None:
    holder.agree(threshold=100, amount=100)
    fault(trouble, **what)

    assert holder.start().json() == {"attempts": []}
    # Its webhook may tell us of the payment before we ask again.
    assert holder.attempts[0]["status"] in ("pending", "succeeded")

    trouble.post("/api-faults/clear", json={}).raise_for_status()
    holder.settle()
    for _ in range(2):
        holder.let_time_pass()
        holder.start()
        holder.settle()

    assert len(holder.attempts) == len(holder.charges) == 1
    assert holder.attempts[0]["status"] == "succeeded"
    assert holder.buyer.books.balance == 200


@pytest.mark.serial
def test_an_answer_that_takes_too_long_is_awaited_under_the_same_key(
    holder: CardHolder, trouble: httpx.Client
) -> None:
    holder.agree(threshold=100, amount=100)
    fault(trouble, kind="slow", seconds="11", times=1)

    holder.start()
    holder.settle()
    holder.let_time_pass()
    holder.start()

    assert len(holder.attempts) == len(holder.charges) == 1
    assert holder.buyer.books.balance == 200


def test_a_card_that_stripe_no_longer_has_fails_the_attempt(holder: CardHolder) -> None:
    holder.agree(threshold=100, amount=100)
    holder.buyer.books.database.execute(
        "update billing.payment_methods set stripe_payment_method_id = 'pm_gone' || id "
        "where organization_id = %s",
        (holder.buyer.organization_id,),
    )

    (attempt,) = holder.start().json()["attempts"]

    assert (attempt["status"], attempt["failure_code"]) == ("failed", "resource_missing")
    assert holder.settings["consecutive_declines"] == 1


def test_nobody_is_charged_without_having_agreed(holder: CardHolder) -> None:
    holder.run_down(100)

    assert holder.start().json() == {"attempts": []}

    holder.agree(threshold=100, amount=100)
    holder.buyer.user.client.rpc(
        "set_auto_topup", {"organization_id": str(holder.buyer.organization_id), "enabled": False}
    ).execute()
    assert holder.start().json() == {"attempts": []}
    assert holder.charges == []
