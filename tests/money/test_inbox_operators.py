"""Stripe's inbox and the people who run it: alerts, retries by the job, replay by hand, other versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from postgrest.exceptions import APIError

from billing.replay import main as replay_main
from supabase import Client
from tests.conftest import StackUnderTest, User
from tests.money.conftest import Buyer
from tests.money.in_process import Process, payment_intent, process_of, refused
from tests.money.subscriber import STARTER, Subscriber, new_subscriber, subscriber
from tests.money.world import CARD_PAYS, PACK_500, SECONDS, Deliveries, HostedPage, made_up_event

__all__ = ["new_subscriber", "subscriber"]

Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def process(buyer: Buyer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """The workers in this process, as the buyer."""
    with process_of(buyer.workers.stack, buyer.workers.token, monkeypatch) as made:
        yield made


@pytest.fixture
def platform_admin(new_user: Callable[[], User], database: Database) -> User:
    """Somebody who runs the platform."""
    user = new_user()
    database.execute("insert into billing_private.platform_admins (user_id) values (%s)", (user.user_id,))
    return user


@pytest.fixture
def lost_customer(subscriber: Subscriber, database: Database) -> Iterator[dict[str, Any]]:
    """A plan was bought while its customer was not in our database; returns the event of its paid invoice."""
    session = subscriber.checkout(STARTER)
    customer_id = subscriber.customer_id
    move = "update billing.customers set stripe_customer_id = %s where stripe_customer_id = %s"
    database.execute(move, (f"{customer_id}_moved", customer_id))
    HostedPage(session["url"]).pay(CARD_PAYS)
    paid = [
        event
        for event in subscriber.deliveries.client.v1.events.list({"type": "invoice.paid", "limit": 100}).data
        if customer_id in str(event)
    ]
    event = made_up_event("invoice.paid", paid[0].data.object["id"])
    event["data"]["object"] |= {"customer": f"{customer_id}_moved"}
    yield event
    database.execute(
        "delete from stripe_twin.deliveries where event_id in "
        "(select id from stripe_twin.events where body::text like %s)",
        (f"%{customer_id}%",),
    )


def inbox(database: Database, event_id: str) -> dict[str, Any]:
    """The event as the inbox has it."""
    row = database.execute(
        "select * from billing_private.stripe_events where id = %s", (event_id,)
    ).fetchone()
    assert row is not None
    return row


def test_scenario_35_an_invoice_paid_before_its_customer_is_known_is_parked_then_applied_once(
    subscriber: Subscriber, lost_customer: dict[str, Any], database: Database, service: Client
) -> None:
    statuses = [subscriber.deliveries.send(lost_customer).status_code for _ in range(5)]
    assert statuses == [500] * 4 + [200]
    row = inbox(database, lost_customer["id"])
    assert (row["status"], row["attempts"]) == ("parked", 5)
    assert "not_found" in row["error"]
    assert row["next_attempt_at"] is not None
    alerts: Any = service.rpc("list_platform_alerts", {}).execute().data
    assert lost_customer["id"] in [alert["subject_id"] for alert in alerts]
    assert subscriber.grants() == []
    moved = subscriber.customer_id

    database.execute(
        "update billing.customers set stripe_customer_id = %s where stripe_customer_id = %s",
        (moved.removesuffix("_moved"), moved),
    )
    database.execute(
        "update billing_private.stripe_events set next_attempt_at = now() where id = %s",
        (lost_customer["id"],),
    )
    service.rpc("run_due_jobs", {}).execute()

    assert inbox(database, lost_customer["id"])["status"] == "processed"
    assert len(subscriber.subscriptions) == 1
    granted = subscriber.grants()
    for _ in range(2):
        subscriber.deliveries.send(lost_customer)
    service.rpc("run_due_jobs", {}).execute()
    assert subscriber.grants() == granted
    alerts = service.rpc("list_platform_alerts", {}).execute().data
    assert lost_customer["id"] not in [alert["subject_id"] for alert in alerts]
    assert "payment_event_delayed" in {row["kind"] for row in subscriber.books.notifications}


def test_an_older_version_of_the_event_is_understood(subscriber: Subscriber) -> None:
    """Before basil an invoice named its subscription itself; what counts is read anew either way."""
    subscriber.subscribe(STARTER)
    subscriber.renew()
    (event,) = subscriber.events("invoice.paid")[-1:]
    invoice = event["data"]["object"]
    old = {
        **made_up_event("invoice.paid", invoice["id"]),
        "api_version": "2024-06-20",
        "data": {"object": {"id": invoice["id"], "object": "invoice", "subscription": "sub_x", "paid": True}},
    }
    old["data"]["object"]["subscription"] = subscriber.subscription["stripe_subscription_id"]

    answer = subscriber.deliveries.send(old)

    assert (answer.status_code, answer.json()["status"]) == (200, "processed")
    assert subscriber.grants("subscription") == [1000]


def test_a_version_that_cannot_be_read_is_parked_and_never_half_applied(
    deliveries: Deliveries, database: Database
) -> None:
    event = made_up_event("invoice_payment.paid", "inpay_of_another_age")  # names no invoice

    statuses = [deliveries.send(event).status_code for _ in range(5)]

    assert statuses == [500] * 4 + [200]
    row = inbox(database, event["id"])
    assert row["status"] == "parked"
    assert "unreadable_object" in row["error"]
    assert row["facts"] is None


def test_a_platform_admin_sees_the_inbox_and_replays_from_it(
    platform_admin: User, buyer: Buyer, deliveries: Deliveries, database: Database, workers_as: Any
) -> None:
    session = buyer.buy()
    moved = (f"{session['session_id']}_moved", session["session_id"])
    rename = "update billing.checkout_sessions set stripe_session_id = %s where stripe_session_id = %s"
    database.execute(rename, moved)
    HostedPage(session["url"]).pay(CARD_PAYS)
    event = made_up_event("checkout.session.completed", session["session_id"])
    for _ in range(5):
        deliveries.send(event)
    listed: Any = platform_admin.client.rpc("list_stripe_events", {"status": "parked"}).execute().data
    assert event["id"] in [row["event_id"] for row in listed]
    database.execute(rename, moved[::-1])

    again: Any = platform_admin.client.rpc("replay_stripe_events", {"event_id": event["id"]}).execute().data

    assert [row["status"] for row in again] == ["processed"]
    assert buyer.books.balance == 500
    answer = workers_as(platform_admin.client).call("replay_stripe_events", {"event_ids": [event["id"]]})
    assert answer.json() == {"events": [{"event_id": event["id"], "status": "processed"}]}
    assert buyer.books.balance == 500


def test_who_runs_nothing_sees_no_inbox_and_replays_nothing(buyer: Buyer) -> None:
    for function, arguments in {
        "list_stripe_events": {},
        "replay_stripe_events": {"status": "failed"},
        "list_platform_alerts": {},
    }.items():
        with pytest.raises(APIError) as refusal:
            buyer.user.client.rpc(function, arguments).execute()
        assert (refusal.value.code, refusal.value.message) == ("PT403", "not_authorized")
    answer = buyer.workers.call("replay_stripe_events", {"status": "failed"})
    assert (answer.status_code, answer.json()["message"]) == (403, "not_authorized")


def test_the_holder_of_the_secret_key_replays_all_that_failed(
    stack: StackUnderTest, buyer: Buyer, deliveries: Deliveries, database: Database
) -> None:
    session = buyer.buy()
    event = made_up_event("checkout.session.completed", session["session_id"])
    database.execute(
        "insert into billing_private.stripe_events "
        "(id, type, livemode, status, payload, created_at, received_at) "
        "values (%s, %s, false, 'failed', %s, now(), now() + interval '1 hour')",
        (event["id"], event["type"], psycopg.types.json.Jsonb(event)),
    )

    answer = httpx.post(
        f"{stack.workers_url}/workers/v1/replay_stripe_events",
        json={"status": "failed"},
        headers={"apikey": stack.secret_key},
        timeout=SECONDS,
    )

    assert {"event_id": event["id"], "status": "processed"} in answer.json()["events"]
    assert inbox(database, event["id"])["status"] == "processed"


def test_an_operator_runs_a_failed_event_again(
    process: Process, buyer: Buyer, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"organization_id": str(buyer.organization_id), "package_key": PACK_500}
    session_id = process.call("create_checkout_session", body).get_json()["session_id"]
    process.stripe.sessions[session_id] |= {
        "status": "complete",
        "payment_status": "paid",
        "payment_intent": payment_intent(1000, "succeeded"),
    }
    event = made_up_event("checkout.session.completed", session_id)
    process.stripe.fail(f"GET /checkout/sessions/{session_id}", *[refused(503)] * 3)
    assert process.deliver(event).status_code == 500
    capsys.readouterr()

    assert replay_main([event["id"], "evt_unknown"]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert f"{event['id']}\tprocessed" in lines
    assert "evt_unknown\tnot_found" in lines
    assert buyer.books.balance == 500
