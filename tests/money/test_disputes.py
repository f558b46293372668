"""Disputes, end to end: credits follow the money, and the right to spend follows the dispute."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from postgrest.exceptions import APIError
from psycopg.types.json import Jsonb

from tests.money.conftest import Buyer
from tests.money.money_back import (
    CARD_ASKED_ABOUT,
    CARD_DISPUTED,
    CARD_WARNED_OF,
    PaidPack,
    buy_and_pay,
    spend,
)
from tests.money.world import Deliveries

WINNING = "winning_evidence"
LOSING = "losing_evidence"


def restricted_reason(buyer: Buyer) -> str | None:
    """Why the organization may not spend."""
    rows = buyer.books.rows("select restricted_reason from billing.organizations where organization_id = %s")
    return rows[0]["restricted_reason"]  # type: ignore[no-any-return] # a row of the database


def dispute_row(buyer: Buyer) -> dict[str, Any]:
    """Our row of the organization's one dispute."""
    (row,) = buyer.books.rows("select * from billing.disputes where organization_id = %s")
    return row


def disputed_pack(buyer: Buyer, deliveries: Deliveries) -> PaidPack:
    """A pack whose card's owner disputes it at once."""
    return buy_and_pay(buyer, deliveries, CARD_DISPUTED)


def test_scenario_38_what_a_dispute_takes_comes_back_when_it_is_won(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    pack = disputed_pack(buyer, deliveries)
    assert buyer.books.balance == 0
    assert restricted_reason(buyer) == "dispute"
    assert (dispute_row(buyer)["withdrawn"], pack.payment["disputed"]) == (1000, True)

    pack.answer(WINNING)

    assert buyer.books.balance == 500
    assert restricted_reason(buyer) is None
    assert (dispute_row(buyer)["status"], dispute_row(buyer)["withdrawn"]) == ("won", 0)
    assert sum(pack.entries("clawback") + pack.entries("reinstate")) == 0
    kinds = [notification["kind"] for notification in buyer.books.notifications]
    assert ("dispute_opened" in kinds, "dispute_won" in kinds) == (True, True)
    buyer.books.assert_sound()


def read_again(buyer: Buyer, refunds: list[dict[str, Any]], disputes: list[dict[str, Any]]) -> None:
    """Apply another reading of the organization's one charge that something went back of."""
    buyer.books.database.execute(
        "select billing_private.sync_reversals(jsonb_populate_record(null::billing_private.reversal_facts, "
        "to_jsonb(c) || jsonb_build_object('amount', c.charged, 'currency', 'usd', "
        "'fetched_at', clock_timestamp(),"
        " 'refunds', %s::jsonb, 'disputes', %s::jsonb))) "
        "from billing_private.charge_reversals as c where c.organization_id = %s",
        (Jsonb(refunds), Jsonb(disputes), buyer.organization_id),
    )


def seen(object_id: str, amount: int, status: str, **more: int) -> dict[str, Any]:
    """A refund or dispute in a reading."""
    return {"id": object_id, "amount": amount, "status": status, "created_at": "2026-01-01T00:00:00Z", **more}


def test_a_lost_dispute_takes_the_credits_of_its_own_charge_alone(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    first = buy_and_pay(buyer, deliveries)
    spend(buyer, 100)
    first.refund(100)
    assert buyer.books.balance == 350

    pack = disputed_pack(buyer, deliveries)
    pack.answer(LOSING)

    assert dispute_row(buyer)["status"] == "lost"
    assert buyer.books.balance == 350
    assert restricted_reason(buyer) is None, "nothing is owed"
    buyer.books.assert_sound()


def test_scenario_39_who_spent_before_a_lost_dispute_owes_and_may_not_spend_until_a_purchase_pays_for_it(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    pack = disputed_pack(buyer, deliveries)
    pack.answer(WINNING)
    spend(buyer, 50)
    read_again(buyer, [], [seen("du_later", 1000, "lost", withdrawn=1000)])
    assert buyer.books.balance == -50
    with pytest.raises(APIError) as refused:
        spend(buyer, 1)
    assert refused.value.message == "billing_restricted"

    buy_and_pay(buyer, deliveries)

    assert buyer.books.balance == 450
    assert restricted_reason(buyer) is None
    spend(buyer, 1)
    buyer.books.assert_sound()


def test_an_inquiry_moves_nothing_and_restricts_nobody(buyer: Buyer, deliveries: Deliveries) -> None:
    pack = buy_and_pay(buyer, deliveries, CARD_ASKED_ABOUT)

    assert buyer.books.balance == 500
    assert restricted_reason(buyer) is None
    assert (dispute_row(buyer)["status"], pack.payment["disputed"]) == ("warning_needs_response", False)
    assert "dispute_inquiry" in [notification["kind"] for notification in buyer.books.notifications]

    pack.answer(WINNING)

    assert dispute_row(buyer)["status"] == "warning_closed"
    assert buyer.books.balance == 500
    assert pack.entries("clawback") == []


def test_a_refund_and_a_dispute_of_one_charge_take_its_credits_once(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    pack = disputed_pack(buyer, deliveries)
    dispute = seen(pack.dispute().id, 1000, "needs_response", withdrawn=1000)

    read_again(buyer, [seen("re_beside", 400, "succeeded")], [dispute])

    assert pack.entries("clawback") == [Decimal(-500)]
    assert buyer.books.balance == 0


def test_a_fraud_warning_is_told_to_those_who_run_the_platform(buyer: Buyer, deliveries: Deliveries) -> None:
    pack = buy_and_pay(buyer, deliveries, CARD_WARNED_OF)

    alerts = buyer.books.rows(
        "select kind, severity, details from billing_private.platform_alerts where organization_id = %s"
    )
    assert [(alert["kind"], alert["severity"]) for alert in alerts] == [("fraud_warning", "critical")]
    assert alerts[0]["details"]["stripe_charge_id"] == pack.charge_id
    assert buyer.books.balance == 500
