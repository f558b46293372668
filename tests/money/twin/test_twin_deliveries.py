"""Events reach webhook endpoints signed and at least once, however the network behaves."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
import stripe

from stripe_twin.app import create_app, twin_of
from stripe_twin.settings import TwinSettings
from tests.money.twin.receiver import SECRET, Receiver
from tests.money.twin.shop import Shop


def new_customer(shop: Shop) -> str:
    return shop.stripe.v1.customers.create({"email": "a@acme.test"}).id


def events_of(shop: Shop, **params: Any) -> list[stripe.Event]:
    return shop.stripe.v1.events.list(params).data  # type: ignore[arg-type]


def test_a_delivery_is_signed_and_carries_the_event_as_the_api_shows_it(
    shop: Shop, receiver: Receiver
) -> None:
    customer = new_customer(shop)
    shop.wait_until_idle()
    [request] = receiver.of_type("customer.created")
    event = stripe.Webhook.construct_event(request.body, request.headers["Stripe-Signature"], SECRET)
    assert event.data.object["id"] == customer
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert request.event["api_version"] == stripe.api_version
    assert request.event["request"]["id"].startswith("req_")
    shown = shop.raw("GET", f"/v1/events/{event.id}").get_json()
    assert {**request.event, "pending_webhooks": 0} == shown
    assert request.event["pending_webhooks"] == 1


def test_a_failed_delivery_is_tried_again_until_it_is_taken(shop: Shop, receiver: Receiver) -> None:
    receiver.answer_with(200, first=[500, 302, 404])
    new_customer(shop)
    receiver.wait_until(lambda: len(receiver.requests) == 4)
    shop.wait_until_idle()
    assert len({request.event["id"] for request in receiver.requests}) == 1
    [delivery] = shop.control("GET", "/deliveries")["data"]
    assert (delivery["state"], delivery["attempts"], delivery["last_status"]) == ("delivered", 4, 200)


def test_pauses_grow_and_in_the_end_the_delivery_has_failed(shop: Shop, receiver: Receiver) -> None:
    receiver.answer_with(500)
    started = time.monotonic()
    new_customer(shop)
    shop.wait_until_idle()
    assert time.monotonic() - started >= 0.75
    assert len(receiver.requests) == 5
    assert [d["state"] for d in shop.control("GET", "/deliveries?state=failed")["data"]] == ["failed"]
    assert len(events_of(shop, delivery_success=False)) == 1
    assert events_of(shop, delivery_success=True) == []


def test_events_are_listed_by_success_type_and_pattern(shop: Shop, receiver: Receiver) -> None:
    shop.stripe.v1.products.create({"name": "Pack"})
    shop.wait_until_idle()
    receiver.answer_with(500)
    new_customer(shop)
    receiver.wait_until(lambda: len(receiver.of_type("customer.created")) == 1)
    pending = events_of(shop, delivery_success=False)
    assert [event.type for event in pending] == ["customer.created"]
    assert pending[0].pending_webhooks == 1
    assert [event.type for event in events_of(shop, delivery_success=True)] == ["product.created"]
    assert [event.type for event in events_of(shop, types=["product.created", "price.created"])] == [
        "product.created"
    ]
    assert [event.type for event in events_of(shop, type="customer.*")] == ["customer.created"]
    assert events_of(shop, type="customer_created") == []


def test_an_endpoint_gets_the_events_that_it_asked_for_while_it_is_enabled(
    shop: Shop, receiver: Receiver
) -> None:
    second = Receiver()
    endpoints = shop.stripe.v1.webhook_endpoints
    made = endpoints.create({"url": second.url, "enabled_events": ["product.created"]})
    assert made.secret is not None
    second.secret = made.secret
    try:
        new_customer(shop)
        shop.stripe.v1.products.create({"name": "One"})
        shop.wait_until_idle()
        assert [(one.event["type"], one.signed) for one in second.requests] == [("product.created", True)]
        endpoints.update(made.id, {"disabled": True})
        shop.stripe.v1.products.create({"name": "Two"})
        shop.wait_until_idle()
        assert len(second.requests) == 1
        assert len(receiver.of_type("product.created")) == 2
    finally:
        endpoints.delete(made.id)
        second.close()


def test_a_deleted_endpoint_gets_nothing_more_and_leaves_nothing_pending(shop: Shop) -> None:
    endpoints = shop.stripe.v1.webhook_endpoints
    made = endpoints.create({"url": "http://127.0.0.1:9/closed", "enabled_events": ["*"]})
    new_customer(shop)
    endpoints.delete(made.id)
    shop.wait_until_idle()
    assert {d["state"] for d in shop.control("GET", "/deliveries")["data"]} == {"delivered", "canceled"}
    assert [endpoint.id for endpoint in endpoints.list().data] == ["we_twindefault"]


def test_an_event_can_be_sent_again_many_times_at_once(shop: Shop, receiver: Receiver) -> None:
    new_customer(shop)
    shop.wait_until_idle()
    event_id = receiver.requests[0].event["id"]
    receiver.forget()
    shop.control("POST", f"/events/{event_id}/resend", {"times": 5})
    shop.wait_until_idle()
    assert [request.event["id"] for request in receiver.requests] == [event_id] * 5


def test_duplicates_on_demand(shop: Shop, receiver: Receiver) -> None:
    shop.control("POST", "/faults", {"duplicates": 2})
    new_customer(shop)
    shop.wait_until_idle()
    assert Counter(request.event["id"] for request in receiver.requests).most_common(1)[0][1] == 3


def test_lost_and_wrongly_signed_attempts_on_demand_are_made_good(shop: Shop, receiver: Receiver) -> None:
    shop.control("POST", "/faults", {"drop_attempts": 1, "wrong_secret_attempts": 2})
    new_customer(shop)
    shop.wait_until_idle()
    assert [request.signed for request in receiver.requests] == [False, True]
    [delivery] = shop.control("GET", "/deliveries")["data"]
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 3)


def test_delays_and_shuffling_on_demand_change_when_and_in_which_order(
    shop: Shop, receiver: Receiver
) -> None:
    shop.control("POST", "/faults", {"delay_seconds": 0.3, "shuffle_seconds": 0.6})
    started = time.monotonic()
    made = [new_customer(shop) for _ in range(12)]
    shop.wait_until_idle()
    assert time.monotonic() - started >= 0.3
    arrived = [request.event["data"]["object"]["id"] for request in receiver.requests]
    assert sorted(arrived) == sorted(made)
    assert arrived != made


@pytest.mark.parametrize("body", [{"drop": 1}, {"duplicates": -1}, {"duplicates": "many"}])
def test_unknown_faults_are_refused(shop: Shop, body: dict[str, Any]) -> None:
    assert shop.app.test_client().post("/_twin/faults", json=body).status_code == 422
    assert set(shop.control("GET", "/faults").values()) == {0, None}


def test_the_control_api_answers_local_callers_only(shop: Shop) -> None:
    client = shop.app.test_client()
    remote: Any = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.get("/_twin/deliveries", environ_overrides=remote).status_code == 403
    assert client.get("/_twin/deliveries", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 403
    assert client.post("/_twin/reset", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post("/_twin/faults", data={"duplicates": "1"}).status_code == 415


def test_an_event_is_written_with_its_cause_or_not_at_all(shop: Shop) -> None:
    def fail_after_the_event() -> None:
        with twin_of(shop.app).unit() as unit:
            unit.emit("customer.created", {"id": "cus_lost", "object": "customer"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_the_event()
    assert shop.event_types() == []
    assert shop.control("GET", "/deliveries")["data"] == []


def test_what_a_dead_loop_had_claimed_is_delivered_by_the_next(
    shop: Shop, receiver: Receiver, settings: TwinSettings
) -> None:
    new_customer(shop)
    shop.wait_until_idle()
    receiver.forget()
    with twin_of(shop.app).unit() as unit:
        unit.connection.execute(
            "update deliveries set state = 'pending', due_at = now(), claimed_until = now() + interval "
            "'1 second'"
        )
    assert receiver.requests == []
    receiver.wait_until(lambda: len(receiver.requests) == 1)
    shop.wait_until_idle()


def test_two_loops_share_the_work_and_send_nothing_twice(
    shop: Shop, receiver: Receiver, settings: TwinSettings
) -> None:
    other = create_app(settings)
    try:
        for _ in range(20):
            new_customer(shop)
        shop.wait_until_idle()
    finally:
        twin_of(other).stop()
    assert Counter(request.event["id"] for request in receiver.requests).most_common(1)[0][1] == 1
    assert len(receiver.requests) == 20
