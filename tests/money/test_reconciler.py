"""The reconciler: lost events are caught up with, differences are reported and never mended by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb

from tests.money.conftest import Buyer
from tests.money.money_back import buy_and_pay
from tests.money.saved_cards import as_operator
from tests.money.world import CARD_PAYS, Deliveries, HostedPage

pytestmark = pytest.mark.serial


@pytest.fixture
def lost_deliveries(deliveries: Deliveries) -> Iterator[None]:
    """Nothing that happens at Stripe reaches us during the test."""
    twin = f"{deliveries.stack.stripe_twin_url}/_twin"
    httpx.post(f"{twin}/faults", json={"delay_seconds": 3600}).raise_for_status()
    yield
    httpx.post(f"{twin}/faults", json={}).raise_for_status()
    httpx.post(f"{twin}/deliveries/retry", json={}).raise_for_status()


def reconcile(deliveries: Deliveries, **body: object) -> dict[str, Any]:
    """Run the reconciler as the scheduler does."""
    answer = as_operator(deliveries.stack, "reconcile_stripe", {"limit": 10_000, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def reports(buyer: Buyer) -> list[dict[str, Any]]:
    """What is reported of the organization, as its owner reads it."""
    found: Any = (
        buyer.user.client.table("reconciliation_reports")
        .select("*")
        .eq("organization_id", str(buyer.organization_id))
        .execute()
        .data
    )
    return list(found)


def test_a_purchase_whose_events_were_lost_is_caught_up_with_once(
    buyer: Buyer, deliveries: Deliveries, lost_deliveries: None
) -> None:
    session = buyer.buy()
    HostedPage(session["url"]).pay(CARD_PAYS)
    assert buyer.books.balance == 0

    first = reconcile(deliveries, comparison=False)

    assert first["missed"] > 0
    assert first["applied"] == first["missed"]
    assert buyer.books.balance == 500
    second = reconcile(deliveries, comparison=False)
    assert second["missed"] == 0
    assert buyer.books.balance == 500
    assert len(buyer.books.payments) == 1


def test_a_refund_that_nobody_told_us_of_is_caught_up_with(buyer: Buyer, deliveries: Deliveries) -> None:
    pack = buy_and_pay(buyer, deliveries)
    twin = f"{deliveries.stack.stripe_twin_url}/_twin"
    httpx.post(f"{twin}/faults", json={"delay_seconds": 3600}).raise_for_status()
    try:
        pack.client.v1.refunds.create({"charge": pack.charge_id, "amount": 500})
        assert buyer.books.balance == 500
        reconcile(deliveries, comparison=False)
    finally:
        httpx.post(f"{twin}/faults", json={}).raise_for_status()

    assert buyer.books.balance == 250


def test_a_difference_is_reported_to_the_organization_and_grants_nothing(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    pack = buy_and_pay(buyer, deliveries)
    pack.refund(100)
    rows = buyer.books
    before = rows.balance
    rows.database.execute(
        "update billing.refunds set status = 'pending' where organization_id = %s", (buyer.organization_id,)
    )

    result = reconcile(deliveries, comparison=True)

    assert set(result["compared"]) == {"checkout_session", "refund", "dispute", "invoice", "subscription"}
    (report,) = reports(buyer)
    assert (report["kind"], report["problem"], report["settled_at"]) == ("refund", "different", None)
    assert (report["ours"]["status"], report["stripes"]["status"]) == ("pending", "succeeded")
    assert rows.balance == before
    assert rows.rows("select status from billing.refunds where organization_id = %s") == [
        {"status": "pending"}
    ]

    rows.database.execute(
        "update billing.refunds set status = 'succeeded' where organization_id = %s", (buyer.organization_id,)
    )
    reconcile(deliveries, comparison=True)
    (report,) = reports(buyer)
    assert report["settled_at"] is not None


def test_a_paid_session_that_we_hold_for_open_is_reported(
    buyer: Buyer, deliveries: Deliveries, lost_deliveries: None
) -> None:
    session = buyer.buy()
    HostedPage(session["url"]).pay(CARD_PAYS)
    buyer.books.database.execute(
        "insert into billing_private.stripe_events (id, type, livemode, status, payload, created_at) "
        "select e ->> 'id', e ->> 'type', false, 'parked', e, now() from jsonb_array_elements(%s) as e",
        (Jsonb([deliveries.event_of(session["session_id"])]),),
    )

    reconcile(deliveries, comparison=True)

    found = {report["stripe_object_id"]: report for report in reports(buyer)}
    report = found[session["session_id"]]
    assert (report["ours"], report["stripes"]) == (
        {"status": "open", "is_paid": False},
        {"status": "complete", "is_paid": True},
    )
    assert buyer.books.balance == 0


def test_the_daily_comparison_runs_once_a_day(deliveries: Deliveries) -> None:
    reconcile(deliveries, comparison=True)

    assert reconcile(deliveries)["compared"] == {}
