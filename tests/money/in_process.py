"""The workers inside the test's process; the test plays Stripe through the real library's HTTP client."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import respx
import stripe
from flask import Request, Response
from werkzeug.test import EnvironBuilder

from billing import checkout, fulfilment, http, portal, webhook
from billing.settings import get_settings
from tests.conftest import StackUnderTest

WEBHOOK_SECRET = "whsec_in_process"
STRIPE = "https://api.stripe.com/v1"

_ENTRY_POINTS = {
    "create_checkout_session": http.endpoint("checkout", checkout.create, methods=("POST",)),
    "create_portal_session": http.endpoint("portal", portal.create, methods=("POST",)),
    "fulfil_checkout": http.endpoint("fulfil", fulfilment.fulfil, methods=("POST",)),
    "stripe_webhook": http.endpoint("webhook", webhook.receive, methods=("POST",)),
}


@dataclass
class PlayedStripe:
    """Stripe as the test wants it to be: it remembers what it was asked and answers as it is told.

    Attributes:
        router: answers at api.stripe.com; everything else passes through.
        sessions: Checkout Sessions that exist, by id; tests change them.
        customers: customers that exist, by id.
        failures: method and path → answers (or exceptions) given before the right ones. `acts` is done first.
        requests: method, path, parameters and idempotency key of every call.
    """

    router: respx.MockRouter
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    customers: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, list[httpx.Response | Exception]] = field(default_factory=dict)
    acts_before_failing: bool = False
    requests: list[tuple[str, dict[str, str], str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.router.route(host="127.0.0.1").pass_through()
        self.router.route(url__startswith=STRIPE).mock(side_effect=self._answer)

    def fail(self, call: str, *answers: httpx.Response | Exception, acts: bool = False) -> None:
        """Answer the next calls badly.

        Args:
            call: such as `POST /customers`.
            answers: one for each attempt.
            acts: whether Stripe does what it was asked all the same.
        """
        self.failures[call] = list(answers)
        self.acts_before_failing = acts

    def calls(self, call: str) -> list[tuple[dict[str, str], str | None]]:
        """Parameters and idempotency key of every such call."""
        return [(parameters, key) for made, parameters, key in self.requests if made == call]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/v1")
        parameters = dict(parse_qsl(request.content.decode())) | dict(request.url.params)
        call = f"{request.method} {path}"
        self.requests.append((call, parameters, request.headers.get("Idempotency-Key")))
        pending = self.failures.get(call, [])
        if pending:
            if self.acts_before_failing and len(pending) == 1:
                self._act(request.method, path, parameters)
            failure = pending.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        return self._act(request.method, path, parameters)

    def _act(self, method: str, path: str, parameters: dict[str, str]) -> httpx.Response:
        kind = path.split("/")[1] if not path.startswith("/checkout") else "sessions"
        if method == "POST" and path == "/customers":
            return self._add(self.customers, self._name("cus"), self._customer(parameters))
        if method == "POST" and path == "/checkout/sessions":
            name = self._name("cs_test")
            return self._add(self.sessions, name, self._session(name, parameters))
        if method == "POST" and path == "/billing_portal/sessions":
            return httpx.Response(
                200, json={"id": "bps_1", "object": "billing_portal.session", "url": "https://b"}
            )
        objects = self.sessions if kind == "sessions" else self.customers
        if method == "GET" and path in ("/customers", "/checkout/sessions"):
            page = {"object": "list", "data": list(objects.values()), "has_more": False, "url": path}
            return httpx.Response(200, json=page)
        found = objects.get(path.rpartition("/")[2])
        return httpx.Response(200, json=found) if found is not None else missing("id")

    @staticmethod
    def _name(prefix: str) -> str:
        """An id of its own: the database is shared by all tests."""
        return f"{prefix}_{secrets.token_hex(8)}"

    def _add(self, objects: dict[str, dict[str, Any]], name: str, made: dict[str, Any]) -> httpx.Response:
        objects[name] = {"id": name, "livemode": False, **made}
        return httpx.Response(200, json=objects[name])

    def _customer(self, parameters: dict[str, str]) -> dict[str, Any]:
        return {
            "object": "customer",
            "email": parameters.get("email"),
            "name": parameters.get("name"),
            "metadata": _nested(parameters, "metadata"),
        }

    def _session(self, name: str, parameters: dict[str, str]) -> dict[str, Any]:
        amount = int(parameters["line_items[0][price_data][unit_amount]"])
        return {
            "object": "checkout.session",
            "mode": parameters["mode"],
            "status": "open",
            "payment_status": "unpaid",
            "customer": parameters["customer"],
            "client_reference_id": parameters["client_reference_id"],
            "metadata": _nested(parameters, "metadata"),
            "currency": parameters["line_items[0][price_data][currency]"],
            "amount_subtotal": amount,
            "amount_total": amount,
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "payment_intent": None,
            "payment_link": None,
            "allow_promotion_codes": parameters.get("allow_promotion_codes") == "true" or None,
            "url": f"https://checkout.stripe.com/c/pay/{name}",
            "expires_at": int(time.time()) + 86_400,
        }


def _nested(parameters: dict[str, str], name: str) -> dict[str, str]:
    prefix = f"{name}["
    return {key[len(prefix) : -1]: value for key, value in parameters.items() if key.startswith(prefix)}


def refused(status: int, code: str | None = None, param: str | None = None) -> httpx.Response:
    """An error in Stripe's shape."""
    kind = "invalid_request_error" if status in (400, 404) else "api_error"
    error = {"type": kind, "message": "made up", "code": code, "param": param}
    return httpx.Response(status, json={"error": error})


def missing(param: str) -> httpx.Response:
    """What Stripe answers about an object that it does not have."""
    return refused(404 if param == "id" else 400, "resource_missing", param)


def payment_intent(amount: int, status: str, **more: object) -> dict[str, Any]:
    """A PaymentIntent as it stands, expanded, in a session."""
    return {
        "id": f"pi_{secrets.token_hex(8)}",
        "object": "payment_intent",
        "amount": amount,
        "currency": "usd",
        "status": status,
        "customer": None,
        "metadata": {},
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        **more,
    }


@dataclass(frozen=True)
class Process:
    """The entry points, called without a server.

    Attributes:
        stripe: the Stripe that they talk to.
        token: access token of the person who calls; None for nobody.
    """

    stripe: PlayedStripe
    token: str | None

    def call(self, entry_point: str, body: object) -> Response:
        """POST JSON to an entry point."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return self._post(entry_point, json.dumps(body).encode(), headers)

    def deliver(self, event: dict[str, Any]) -> Response:
        """Deliver a signed event."""
        body = json.dumps(event).encode()
        signature = stripe.WebhookSignature.generate_signature_header(body.decode(), WEBHOOK_SECRET)
        return self._post("stripe_webhook", body, {"Stripe-Signature": signature})

    def _post(self, entry_point: str, body: bytes, headers: dict[str, str]) -> Response:
        sent = [("Content-Type", "application/json"), *headers.items()]
        builder = EnvironBuilder(method="POST", data=body, headers=sent)
        return _ENTRY_POINTS[entry_point](Request(builder.get_environ()))


@contextmanager
def process_of(
    stack: StackUnderTest, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Process]:
    """Run the workers in this process, in test mode, against a played Stripe."""
    environment = {
        "SUPABASE_URL": stack.supabase_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SUPABASE_SECRET_KEY": stack.secret_key,
        "FRONTEND_URL": stack.frontend_url,
        "STRIPE_SECRET_KEY": f"sk_test_{secrets.token_hex(8)}",
        "STRIPE_WEBHOOK_SECRET": f" {WEBHOOK_SECRET}\n, whsec_the_one_before",
        "STRIPE_PUBLISHABLE_KEY": "",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    try:
        with respx.mock(assert_all_called=False) as router:
            yield Process(PlayedStripe(router), token)
    finally:
        get_settings.cache_clear()
