"""The control API does what a person does in the dashboard, and lets calls and deliveries misbehave."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
import stripe
from stripe import WebhookSignature

from stripe_twin import dashboard
from stripe_twin.deliveries import sign
from stripe_twin.renderings import VERSIONS, render
from tests.money.twin.receiver import Receiver
from tests.money.twin.shop import KEY, Shop

NEW_SECRET = "whsec_after_the_roll"


def no_retry(shop: Shop, retries: int = 0) -> stripe.StripeClient:
    return stripe.StripeClient(KEY, http_client=shop.transport, max_network_retries=retries)


# ---- faults of API calls -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "error", "acts"),
    [
        ("error_before", stripe.APIError, False),
        ("error_after", stripe.APIError, True),
        ("cut_before", stripe.APIConnectionError, False),
        ("cut_after", stripe.APIConnectionError, True),
        ("rate_limit", stripe.RateLimitError, False),
        ("lock_timeout", stripe.RateLimitError, False),
    ],
)
def test_a_fault_meets_one_call_and_acts_or_not(
    shop: Shop, kind: str, error: type[stripe.StripeError], acts: bool
) -> None:
    shop.control("POST", "/api-faults", {"kind": kind, "path": "/v1/customers*", "method": "POST"})
    client = no_retry(shop)
    client.v1.products.create({"name": "Not met"})
    with pytest.raises(error):
        client.v1.customers.create({"email": "a@acme.test"})
    assert len(client.v1.customers.list().data) == int(acts)
    client.v1.customers.create({"email": "b@acme.test"})
    assert shop.control("GET", "/api-faults")["data"] == []


@pytest.mark.parametrize("kind", ["error_after", "cut_after"])
def test_a_lost_answer_is_found_again_under_its_idempotency_key(shop: Shop, kind: str) -> None:
    shop.control("POST", "/api-faults", {"kind": kind, "method": "POST"})
    made = no_retry(shop, retries=2).v1.customers.create({"email": "a@acme.test"}, {"idempotency_key": "k"})
    assert [one.id for one in shop.stripe.v1.customers.list().data] == [made.id]
    assert shop.transport.headers is not None


def test_a_failure_that_stripe_remembers_is_replayed(shop: Shop) -> None:
    shop.control("POST", "/api-faults", {"kind": "error_after", "method": "POST", "remembered": True})
    client = no_retry(shop)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            client.v1.customers.create({"email": "a@acme.test"}, {"idempotency_key": "k"})
    assert len(client.v1.customers.list().data) == 1


def test_faults_are_counted_skipped_and_ended(shop: Shop) -> None:
    shop.control("POST", "/api-faults", {"kind": "rate_limit", "path": "/v1/products", "times": 2, "skip": 1})
    client = no_retry(shop)
    outcomes = []
    for _ in range(4):
        try:
            client.v1.products.create({"name": "x"})
            outcomes.append("made")
        except stripe.RateLimitError:
            outcomes.append("refused")
    assert outcomes == ["made", "refused", "refused", "made"]
    shop.control("POST", "/api-faults", {"kind": "error_before", "times": 99})
    shop.control("POST", "/api-faults/clear")
    client.v1.products.create({"name": "x"})


def test_a_slow_call_answers_late_and_well(shop: Shop) -> None:
    shop.control("POST", "/api-faults", {"kind": "slow", "seconds": "0.3"})
    began = time.monotonic()
    shop.stripe.v1.customers.create({})
    assert time.monotonic() - began >= 0.3


def test_a_cut_connection_is_cut_on_the_wire_too(environment: dict[str, str]) -> None:
    import httpx

    from tests.money.twin.server import Server

    server = Server(environment)
    try:
        httpx.post(f"{server.url}/_twin/api-faults", json={"kind": "cut_after", "method": "POST"})
        client = stripe.StripeClient(KEY, base_addresses={"api": server.url}, max_network_retries=0)
        with pytest.raises(stripe.APIConnectionError):
            client.v1.customers.create({"email": "a@acme.test"})
        assert len(client.v1.customers.list().data) == 1
    finally:
        server.stop()


@pytest.mark.parametrize(
    "body", [{}, {"kind": "earthquake"}, {"kind": "slow", "seconds": -1}, {"kind": "slow", "x": 1}]
)
def test_unknown_api_faults_are_refused(shop: Shop, body: dict[str, Any]) -> None:
    assert shop.app.test_client().post("/_twin/api-faults", json=body).status_code == 422


# ---- secrets and versions ----------------------------------------------------------------------------------


def test_a_rolled_secret_and_the_old_one_sign_together_until_the_old_one_ends(
    shop: Shop, receiver: Receiver
) -> None:
    try:
        body = {"secret": NEW_SECRET, "old_signs_for_seconds": 3600}
        shop.control("POST", "/webhook_endpoints/we_twindefault/roll_secret", body)
        shop.stripe.v1.customers.create({"email": "a@acme.test"})
        shop.wait_until_idle()
        both = receiver.of_type("customer.created")[0]
        assert both.signed
        header = both.headers["Stripe-Signature"]
        assert header.count("v1=") == 2
        assert WebhookSignature.verify_header(both.body.decode(), header, NEW_SECRET)
        receiver.secret, kept = NEW_SECRET, receiver.secret
        shop.control(
            "POST",
            "/webhook_endpoints/we_twindefault/roll_secret",
            {"secret": NEW_SECRET, "old_signs_for_seconds": 0},
        )
        shop.stripe.v1.products.create({"name": "x"})
        shop.wait_until_idle()
        assert receiver.of_type("product.created")[0].headers["Stripe-Signature"].count("v1=") == 1
    finally:
        receiver.secret = kept
        shop.control(
            "POST",
            "/webhook_endpoints/we_twindefault/roll_secret",
            {"secret": kept, "old_signs_for_seconds": 0},
        )


def test_two_signatures_share_one_time() -> None:
    header = sign("{}", ["whsec_one", "whsec_two"])
    assert [part.partition("=")[0] for part in header.split(",")] == ["t", "v1", "v1"]
    for secret in ("whsec_one", "whsec_two"):
        assert WebhookSignature.verify_header("{}", header, secret)


def test_events_are_rendered_as_older_versions_had_them(shop: Shop, receiver: Receiver) -> None:
    shop.control("POST", "/faults", {"api_version": "2024-06-20"})
    session = shop.plan_session(shop.plan(4900))
    shop.browser().pay(session)
    shop.wait_until_idle()
    sub = receiver.of_type("customer.subscription.created")[0].event
    assert sub["api_version"] == "2024-06-20"
    shown = sub["data"]["object"]
    assert shown["current_period_end"] > shown["current_period_start"]
    assert "current_period_end" not in shown["items"]["data"][0]
    assert "billing_mode" not in shown
    invoice = receiver.of_type("invoice.paid")[0].event["data"]["object"]
    assert (invoice["subscription"], invoice["paid"]) == (shown["id"], True)
    assert "parent" not in invoice
    line = invoice["lines"]["data"][0]
    assert (line["price"]["id"], line["proration"]) == (shown["items"]["data"][0]["price"]["id"], False)
    done = receiver.of_type("checkout.session.completed")[0].event["data"]["object"]
    assert done["ui_mode"] == "hosted"
    current = shop.events("checkout.session.completed")[0]
    assert current["data"]["object"]["ui_mode"] == "hosted_page"


def test_an_endpoint_gets_the_version_it_was_made_with(shop: Shop, receiver: Receiver) -> None:
    made = shop.stripe.v1.webhook_endpoints.create(
        {"url": receiver.url, "enabled_events": ["product.created"], "api_version": "2025-09-30.clover"}
    )
    shop.stripe.v1.products.create({"name": "x"})
    shop.wait_until_idle()
    versions = {request.event["api_version"] for request in receiver.of_type("product.created")}
    assert versions == {"2025-09-30.clover", str(stripe.api_version)}
    shop.stripe.v1.webhook_endpoints.delete(made.id)


def test_the_own_version_is_rendered_unchanged(shop: Shop) -> None:
    shop.subscribe(shop.customer(), shop.plan(4900))
    for event in shop.all_events():
        again = render({**event, "data": {**event["data"]}}, VERSIONS[-1])
        assert again == event


# ---- the dashboard -----------------------------------------------------------------------------------------


def test_a_charge_refunded_in_the_dashboard_is_an_event_without_a_request(shop: Shop) -> None:
    charge = str(shop.intent(payment_method="pm_card_visa", confirm=True).latest_charge)
    refund = shop.control("POST", f"/charges/{charge}/refund", {"amount": 900, "reason": "duplicate"})
    assert (refund["amount"], refund["reason"], refund["status"]) == (900, "duplicate", "succeeded")
    assert shop.events("refund.created")[0]["request"] == {"id": None, "idempotency_key": None}


def test_the_next_charges_of_a_customer_meet_what_was_said_and_no_more(shop: Shop) -> None:
    customer = shop.customer()
    method = shop.stripe.v1.payment_methods.list({"customer": customer.id}).data[0].id

    def charge() -> str:
        off: Any = {
            "customer": customer.id,
            "payment_method": method,
            "confirm": "true",
            "off_session": "true",
        }
        answer = shop.raw("POST", "/v1/payment_intents", data={"amount": 1900, "currency": "usd", **off})
        body = answer.get_json()
        return str(body["error"]["decline_code"] if "error" in body else body["status"])

    path = f"/customers/{customer.id}/next_charge"
    shop.control("POST", path, {"do": "decline", "decline_code": "lost_card", "times": 2})
    assert [charge() for _ in range(3)] == ["lost_card", "lost_card", "succeeded"]
    shop.control("POST", path, {"do": "authenticate"})
    assert [charge() for _ in range(2)] == ["authentication_required", "succeeded"]
    shop.control("POST", path, {"do": "decline", "times": 5})
    shop.control("POST", path, {})
    assert charge() == "succeeded"


def test_a_bank_that_replaces_a_card_says_so(shop: Shop) -> None:
    customer = shop.customer()
    method = shop.stripe.v1.payment_methods.list({"customer": customer.id}).data[0]
    shop.control(
        "POST", f"/payment_methods/{method.id}/renew", {"exp_month": 7, "exp_year": 2040, "last4": "1881"}
    )
    renewed = shop.stripe.v1.payment_methods.retrieve(method.id).card
    assert renewed is not None
    assert (renewed.exp_month, renewed.exp_year, renewed.last4) == (7, 2040, "1881")
    assert len(shop.events("payment_method.automatically_updated")) == 1


def test_a_session_is_paid_without_a_browser(shop: Shop) -> None:
    path = "/checkout/sessions/{}/pay"
    paid = shop.control("POST", path.format(shop.session().id), {"card": "4000002760003184"})
    assert (paid["status"], paid["payment_status"]) == ("complete", "paid")
    plan = shop.control("POST", path.format(shop.plan_session(shop.plan(4900)).id), {})
    assert plan["subscription"].startswith("sub_")
    client = shop.app.test_client()
    refused = client.post("/_twin" + path.format(shop.session().id), json={"card": "4000000000009995"})
    assert (refused.status_code, refused.get_json()["error"]["message"]) == (
        402,
        "Your card has insufficient funds.",
    )
    assert shop.event_types().count("payment_intent.payment_failed") == 1
    again = client.post("/_twin" + path.format(paid["id"]), json={})
    assert again.status_code == 400


def test_a_price_that_was_used_stays(shop: Shop) -> None:
    unused, used = shop.plan(900), shop.plan(1900)
    shop.subscribe(shop.customer(), used)
    shop.control("POST", f"/prices/{unused.id}/delete", {})
    assert len(shop.events("price.deleted")) == 1
    assert shop.app.test_client().post(f"/_twin/prices/{used.id}/delete", json={}).status_code == 400


@pytest.mark.parametrize("action", dashboard.ACTIONS, ids=lambda action: action.name)
def test_every_action_refuses_unknown_words_and_unknown_objects(shop: Shop, action: dashboard.Action) -> None:
    import re

    path = "/_twin" + re.sub(r"<\w+>", "x_none", action.path)
    client = shop.app.test_client()
    assert client.post(path, json={"surprise": 1}).status_code == 422
    assert client.post(path, json={}).status_code == 404
    before = len(shop.all_events())
    assert before == 0


def test_the_tax_rate_and_the_retries_are_settings_with_bounds(shop: Shop) -> None:
    assert shop.control("GET", "/preferences")["retry_after_days"] == [3, 5, 7]
    shop.control("POST", "/preferences", {"tax_percent": "7.5"})
    assert Decimal(shop.control("GET", "/preferences")["tax_percent"]) == Decimal("7.5")
    refused = shop.app.test_client().post("/_twin/preferences", json={"tax_percent": 101})
    assert refused.status_code == 422
