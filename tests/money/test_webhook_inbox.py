"""Stripe's inbox: an event's record and its effect appear together or not at all; failures come again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from supabase import Client
from tests.conftest import StackUnderTest
from tests.money.conftest import Buyer
from tests.money.world import CARD_PAYS, Deliveries, HostedPage, made_up_event

Database = psycopg.Connection[dict[str, Any]]


@contextmanager
def organization_locked(stack: StackUnderTest, organization_id: UUID) -> Iterator[Database]:
    """Hold the organization's lock, so that whoever applies something to it has to wait."""
    with psycopg.connect(stack.database_url, row_factory=dict_row) as session:
        session.execute(
            "select pg_advisory_xact_lock(ledger_number) from billing.organizations "
            "where organization_id = %s",
            (organization_id,),
        )
        yield session


def inbox_row(database: Database, event_id: str) -> dict[str, Any] | None:
    """The event as the inbox has it."""
    return database.execute(
        "select * from billing_private.stripe_events where id = %s", (event_id,)
    ).fetchone()


def paid_elsewhere(buyer: Buyer, deliveries: Deliveries) -> tuple[str, dict[str, Any]]:
    """A session paid while our database could not take the news: returns its id and the event."""
    session = buyer.buy()
    stack = deliveries.stack
    with organization_locked(stack, buyer.organization_id):
        HostedPage(session["url"]).pay(CARD_PAYS)
    return session["session_id"], deliveries.event_of(session["session_id"])


def test_an_event_that_could_not_be_applied_is_recorded_as_failed_and_granted_when_it_comes_again(
    buyer: Buyer, deliveries: Deliveries, database: Database
) -> None:
    session = buyer.buy()
    event = made_up_event("checkout.session.completed", session["session_id"])
    with organization_locked(deliveries.stack, buyer.organization_id):
        answer = deliveries.send(event)
    assert (answer.status_code, answer.json()["message"]) == (500, "event_not_applied")
    row = inbox_row(database, event["id"])
    assert row is not None
    assert (row["status"], row["attempts"]) == ("failed", 1)
    assert "busy" in row["error"]
    assert buyer.books.payments == []

    again = deliveries.send(event)

    assert (again.status_code, again.json()["status"], again.json()["is_duplicate"]) == (
        200,
        "processed",
        False,
    )
    row = inbox_row(database, event["id"])
    assert row is not None
    assert (row["status"], row["organization_id"], row["error"]) == ("processed", buyer.organization_id, None)


def test_scenario_34_a_completed_checkout_delivered_three_times_two_of_them_together_grants_once(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    session_id, event = paid_elsewhere(buyer, deliveries)
    event = {**event, "id": made_up_event("x", "x")["id"]}  # as a second endpoint would have it

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: deliveries.send(event), range(2)))
    answers.append(deliveries.send(event))

    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["is_duplicate"] for answer in answers) == [False, True, True]
    assert buyer.books.balance == 500
    assert len(buyer.books.grants) == len(buyer.books.payments) == 1
    assert buyer.workers.return_page(session_id).json()["status"] == "complete"
    buyer.books.assert_sound()


def test_scenario_36_a_crash_between_insert_and_apply_leaves_nothing_and_the_redelivery_grants_once(
    buyer: Buyer, deliveries: Deliveries, database: Database
) -> None:
    session_id, event = paid_elsewhere(buyer, deliveries)
    event = {**event, "id": made_up_event("x", "x")["id"]}  # as a second endpoint would have it
    with organization_locked(deliveries.stack, buyer.organization_id) as lock, ThreadPoolExecutor(1) as pool:
        delivery = pool.submit(deliveries.send, event)
        victim = backend_waiting_for_the_lock(lock)
        assert inbox_row(database, event["id"]) is None  # inserted, and not yet true for anybody else
        database.execute("select pg_terminate_backend(%s)", (victim,))
        answer = delivery.result()
    assert answer.status_code == 500

    answers = [deliveries.send(event) for _ in range(2)]

    assert [a.json()["status"] for a in answers] == ["processed", "processed"]
    assert [a.json()["is_duplicate"] for a in answers] == [False, True]
    assert buyer.books.balance == 500
    assert len(buyer.books.grants) == len(buyer.books.payments) == 1
    assert buyer.workers.return_page(session_id).json()["status"] == "complete"
    buyer.books.assert_sound()


def backend_waiting_for_the_lock(lock: Database) -> int:
    """The process id of the first database session that waits for a lock which `lock` holds.

    From `pg_locks`: the rows of `pg_stat_activity` stay in a transaction as it first read them, and a session
    that connects later would never be seen.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        row = lock.execute(
            "select pid from pg_locks"
            " where not granted and pg_backend_pid() = any(pg_blocking_pids(pid)) limit 1"
        ).fetchone()
        if row is not None:
            return int(row["pid"])
        threading.Event().wait(0.02)
    raise AssertionError("nobody waits for the lock")


def test_a_session_with_our_mark_that_we_do_not_know_is_tried_again_and_then_parked(
    buyer: Buyer, deliveries: Deliveries, database: Database
) -> None:
    session = buyer.buy()
    database.execute(
        "update billing.checkout_sessions set stripe_session_id = %s where stripe_session_id = %s",
        (f"{session['session_id']}_moved", session["session_id"]),
    )
    HostedPage(session["url"]).pay(CARD_PAYS)
    event = made_up_event("checkout.session.completed", session["session_id"])

    statuses = [deliveries.send(event).status_code for _ in range(5)]

    assert statuses == [500, 500, 500, 500, 200]
    row = inbox_row(database, event["id"])
    assert row is not None
    assert (row["status"], row["attempts"]) == ("parked", 5)
    assert buyer.books.grants == []


def test_a_parked_event_is_applied_once_its_session_is_known(
    buyer: Buyer, deliveries: Deliveries, database: Database, service: Client
) -> None:
    session = buyer.buy()
    moved = (f"{session['session_id']}_moved", session["session_id"])
    database.execute(
        "update billing.checkout_sessions set stripe_session_id = %s where stripe_session_id = %s", moved
    )
    HostedPage(session["url"]).pay(CARD_PAYS)
    event = made_up_event("checkout.session.completed", session["session_id"])
    for _ in range(5):
        deliveries.send(event)
    listed: Any = service.rpc("list_stripe_events", {"status": "parked"}).execute().data
    assert event["id"] in [row["event_id"] for row in listed]
    database.execute(
        "update billing.checkout_sessions set stripe_session_id = %s where stripe_session_id = %s",
        moved[::-1],
    )

    payload: Any = service.rpc("reopen_stripe_event", {"event_id": event["id"]}).execute().data
    answer = deliveries.send(payload)

    assert answer.json()["status"] == "processed"
    assert buyer.books.balance == 500


def test_what_stripe_says_must_be_what_we_sold(
    buyer: Buyer, deliveries: Deliveries, database: Database
) -> None:
    session = buyer.buy()
    database.execute(
        "update billing.checkout_sessions set unit_amount = 999999, credits = 999999 "
        "where stripe_session_id = %s",
        (session["session_id"],),
    )
    HostedPage(session["url"]).pay(CARD_PAYS)

    event = made_up_event("checkout.session.completed", session["session_id"])
    answer = deliveries.send(event)

    assert answer.status_code == 500
    row = inbox_row(database, event["id"])
    assert row is not None
    assert "checkout_mismatch" in row["error"]
    assert "amount_subtotal" in row["error"]
    assert buyer.books.grants == []


def test_another_products_session_is_stored_and_left_alone(
    deliveries: Deliveries, database: Database
) -> None:
    session = deliveries.client.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "success_url": "https://example.com/",
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {"currency": "usd", "unit_amount": 700, "product_data": {"name": "Mug"}},
                }
            ],
        }
    )
    assert session.url is not None
    HostedPage(session.url).pay(CARD_PAYS)

    answer = deliveries.send(made_up_event("checkout.session.completed", session.id))

    assert (answer.status_code, answer.json()["status"]) == (200, "ignored")


def test_the_buyers_marks_on_a_session_of_their_own_open_no_door(
    buyer: Buyer, new_buyer: Callable[[], Buyer], deliveries: Deliveries
) -> None:
    """A cheap session that names somebody's expensive checkout buys nothing."""
    expensive = buyer.buy(package_key="pack_10000")
    (checkout,) = buyer.books.checkouts
    forged = deliveries.client.v1.checkout.sessions.create(
        {
            "mode": "payment",
            "success_url": "https://example.com/",
            "client_reference_id": str(checkout["id"]),
            "metadata": {
                "organization_id": str(buyer.organization_id),
                "checkout_session_id": str(checkout["id"]),
            },
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {"currency": "usd", "unit_amount": 100, "product_data": {"name": "x"}},
                }
            ],
        }
    )
    assert forged.url is not None
    HostedPage(forged.url).pay(CARD_PAYS)

    answer = deliveries.send(made_up_event("checkout.session.completed", forged.id))

    assert answer.status_code == 500
    assert buyer.books.grants == []
    assert buyer.workers.return_page(expensive["session_id"]).json()["status"] == "open"


def test_a_customer_changed_at_stripe_is_copied_and_a_deleted_one_replaced(
    buyer: Buyer, deliveries: Deliveries
) -> None:
    buyer.buy()
    (customer,) = buyer.books.rows("select * from billing.customers where organization_id = %s")
    deliveries.client.v1.customers.update(customer["stripe_customer_id"], {"email": "accounts@buyer.test"})
    deliveries.await_delivery(customer["stripe_customer_id"])
    (customer,) = buyer.books.rows("select * from billing.customers where organization_id = %s")
    assert customer["email"] == "accounts@buyer.test"

    deliveries.client.v1.customers.delete(customer["stripe_customer_id"])
    deliveries.await_delivery(customer["stripe_customer_id"])
    (gone,) = buyer.books.rows("select * from billing.customers where organization_id = %s")
    assert gone["deleted_at"] is not None
    session = buyer.buy(package_key="pack_100")

    (made,) = buyer.books.rows("select * from billing.customers where organization_id = %s")
    assert made["stripe_customer_id"] != customer["stripe_customer_id"]
    assert made["deleted_at"] is None
    HostedPage(session["url"]).pay(CARD_PAYS)
    assert buyer.workers.return_page(session["session_id"]).json()["status"] == "complete"
    assert buyer.books.balance == 100


@pytest.mark.parametrize(
    "function", ["process_stripe_event", "fulfil_checkout", "prepare_checkout", "record_customer"]
)
def test_only_the_service_may_call_the_workers_functions(buyer: Buyer, anon: Client, function: str) -> None:
    from postgrest.exceptions import APIError

    arguments: dict[str, dict[str, Any]] = {
        "process_stripe_event": {"event": made_up_event("a.b", "c"), "facts": None, "livemode": False},
        "fulfil_checkout": {"facts": {}},
        "prepare_checkout": dict.fromkeys(
            [
                "organization_id",
                "user_id",
                "email",
                "livemode",
                "package_id",
                "package_key",
                "plan_id",
                "ui_mode",
                "success_url",
                "cancel_url",
            ]
        ),
        "record_customer": dict.fromkeys(
            ["organization_id", "stripe_customer_id", "email", "name", "livemode"]
        ),
    }
    for client in (anon, buyer.user.client):
        with pytest.raises(APIError) as refusal:
            client.rpc(function, arguments[function]).execute()
        assert refusal.value.code == "42501"
