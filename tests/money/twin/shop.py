"""A merchant and its customers, for tests: the official library here, a browser without scripts there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import stripe
from flask import Flask
from stripe import Customer, PaymentIntent, Price, Subscription
from stripe.checkout import Session
from stripe.test_helpers import TestClock
from werkzeug.test import TestResponse

from stripe_twin.client import TwinHTTPClient

Json = dict[str, Any]
KEY = "sk_test_of_the_test_merchant"
SUCCESS_URL = "https://merchant.test/done?session={CHECKOUT_SESSION_ID}"
CANCEL_URL = "https://merchant.test/packs"
GOOD_CARD = "4242424242424242"


class RecordingClient(TwinHTTPClient):
    """The transport under test; keeps each request's verb and path and each answer's body."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self.calls: list[tuple[str, str, Json]] = []
        self.headers: dict[str, str] = {}

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **more: Any) -> Any:
        """Run the request and record it."""
        body, status, answer_headers = super().request(method, url, headers, post_data)
        self.headers = dict(answer_headers)
        self.calls.append((method.upper(), url.split("?")[0].partition("stripe.com")[2], json.loads(body)))
        return body, status, answer_headers


@dataclass
class Shop:
    """Both sides of one twin."""

    app: Flask

    @cached_property
    def transport(self) -> RecordingClient:
        """What the library sends its requests through."""
        return RecordingClient(self.app)

    @cached_property
    def stripe(self) -> stripe.StripeClient:
        """The official library, unchanged."""
        return stripe.StripeClient(KEY, http_client=self.transport)

    def raw(self, method: str, path: str, *, key: str | None = KEY, **more: Any) -> TestResponse:
        """Send a request that the library would not send, under its `Stripe-Version`."""
        headers: dict[str, str] = {"Stripe-Version": str(stripe.api_version), **more.pop("headers", {})}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return self.app.test_client().open(path, method=method, headers=headers, **more)

    def control(self, method: str, path: str, body: Json | None = None) -> Json:
        """Use the control API."""
        answer = self.app.test_client().open(f"/_twin{path}", method=method, json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.get_json())

    def wait_until_idle(self) -> None:
        """Wait until every delivery has ended."""
        state = self.control("GET", "/wait?seconds=20")
        assert state["idle"], state

    def session(self, **more: Any) -> Session:
        """Create a session for a pack of 500 credits at $19."""
        params: Any = {
            "mode": "payment",
            "success_url": SUCCESS_URL,
            "cancel_url": CANCEL_URL,
            "line_items": [pack(1900)],
            **more,
        }
        return self.stripe.v1.checkout.sessions.create(params)

    def intent(self, **more: Any) -> PaymentIntent:
        """Create a payment intent over $19."""
        params: Any = {"amount": 1900, "currency": "usd", **more}
        return self.stripe.v1.payment_intents.create(params)

    def price(self, amount: int, name: str = "Pack", **more: Any) -> Price:
        """Create a price in cents of a dollar, for a product of its own."""
        params: Any = {"currency": "usd", "unit_amount": amount, "product_data": {"name": name}, **more}
        return self.stripe.v1.prices.create(params)

    def plan(self, amount: int, name: str = "Pro", interval: str = "month", **more: Any) -> Price:
        """Create a recurring price in cents of a dollar."""
        return self.price(amount, name, recurring={"interval": interval}, **more)

    def plan_session(self, price: Price, **more: Any) -> Session:
        """Create a session that subscribes to a price."""
        return self.session(mode="subscription", line_items=[{"price": price.id, "quantity": 1}], **more)

    def clock(self, at: str = "2027-01-31T12:00:00+00:00") -> TestClock:
        """Create a test clock."""
        moment = int(datetime.fromisoformat(at).timestamp())
        return self.stripe.v1.test_helpers.test_clocks.create({"frozen_time": moment, "name": "A test"})

    def advance(self, clock: TestClock, to: int) -> None:
        """Move a clock on to a time."""
        clocks = self.stripe.v1.test_helpers.test_clocks
        assert clocks.advance(clock.id, {"frozen_time": to}).status == "advancing"
        assert clocks.retrieve(clock.id).status == "ready"

    def customer(self, clock: TestClock | None = None, card: str = "pm_card_visa", **more: Any) -> Customer:
        """Create a customer with a card that later charges use."""
        params: Any = {
            "email": "owner@acme.test",
            "payment_method": card,
            "invoice_settings": {"default_payment_method": card},
            **({"test_clock": clock.id} if clock else {}),
            **more,
        }
        return self.stripe.v1.customers.create(params)

    def subscribe(self, customer: Customer, price: Price, **more: Any) -> Subscription:
        """Subscribe a customer to a price, through the API."""
        params: Any = {"customer": customer.id, "items": [{"price": price.id}], **more}
        return self.stripe.v1.subscriptions.create(params)

    def all_events(self) -> list[Json]:
        """Return every event as the API shows it, newest first."""
        shown: list[Json] = []
        while True:
            after = f"&starting_after={shown[-1]['id']}" if shown else ""
            page = self.raw("GET", f"/v1/events?limit=100{after}").get_json()
            shown += page["data"]
            if not page["has_more"]:
                return shown

    def events(self, event_type: str) -> list[Json]:
        """Return the events of a type as the API shows them, oldest first."""
        shown = self.raw("GET", f"/v1/events?limit=100&type={event_type}").get_json()["data"]
        return list(reversed(shown))

    def reload(self, session: Session) -> Session:
        """Return the session as it is now."""
        return self.stripe.v1.checkout.sessions.retrieve(session.id)

    def browser(self) -> Browser:
        """A customer's browser."""
        return Browser(self.app)

    def event_types(self) -> list[str]:
        """Return the types of all events, oldest first."""
        events = self.stripe.v1.events.list({"limit": 100}).auto_paging_iter()
        return [str(event.type) for event in events][::-1]


def pack(amount: int, name: str = "500 credits", quantity: int = 1) -> Json:
    """Return a line item described by its price, in cents of a dollar."""
    return {
        "quantity": quantity,
        "price_data": {"currency": "usd", "unit_amount": amount, "product_data": {"name": name}},
    }


class Browser:
    """Opens the twin's pages and sends their forms, hidden fields included; follows no redirect by itself."""

    def __init__(self, app: Flask) -> None:
        self._client = app.test_client()

    def open(self, url: str) -> TestResponse:
        """Open a page of the twin."""
        return self._client.get(re.sub(r"^https?://[^/]+", "", url))

    def send(self, page: TestResponse, **fields: str) -> TestResponse:
        """Send the last form on a page, which is the one that pays."""
        actions = re.findall(r'<form method="post" action="([^"]+)"', page.text)
        assert actions, page.text
        return self.send_to(actions[-1], page, **fields)

    def send_to(self, action: str, page: TestResponse, **fields: str) -> TestResponse:
        """Send a page's form with a certain address."""
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        return self._client.post(action, data={**hidden, **fields})

    def pay(self, session: Session, number: str = GOOD_CARD, **fields: str) -> TestResponse:
        """Open a session's page, fill it in and send it."""
        return self.send(self.open(session.url or ""), **{**card(number), **fields})

    def answer_challenge(self, redirect: TestResponse, answer: str) -> TestResponse:
        """Go where a redirect leads, to a 3-D Secure page, and press `complete` or `fail` there."""
        assert redirect.status_code == 303, redirect.text
        return self.send(self.open(redirect.headers["Location"]), answer=answer)


def card(number: str) -> dict[str, str]:
    """Return the fields of a filled-in checkout page."""
    return {
        "email": "jenny@example.com",
        "number": number,
        "expiry": "12 / 34",
        "cvc": "123",
        "name": "Jenny Rosen",
    }


def problems(page: TestResponse) -> list[str]:
    """Return what a page complains about."""
    return [text.strip() for text in re.findall(r'role="alert">([^<]+)<', page.text)]
