"""The places of the money tests: the workers, Stripe's hosted page as a browser uses it, its deliveries."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import stripe

from tests.conftest import StackUnderTest

CARD_PAYS = "4242424242424242"
CARD_ASKS_3DS = "4000002760003184"
CARD_DECLINED = "4000000000000002"

PACK_500 = "pack_500"
SECONDS = 30.0


@dataclass(frozen=True)
class HostedPage:
    """Stripe's hosted checkout page, driven as a browser without JavaScript would."""

    url: str
    browser: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=SECONDS))

    def open(self) -> str:
        """Open the page and return the token of its form."""
        page = self.browser.get(self.url)
        page.raise_for_status()
        return _hidden(page.text, "form_token")

    def pay(
        self, card: str, email: str = "buyer@example.com", form_token: str | None = None
    ) -> httpx.Response:
        """Fill the form in and send it; redirects are not followed.

        Args:
            card: a test card's number.
            email: of the buyer.
            form_token: of the page as it was opened before; opened now when omitted.
        """
        return self.browser.post(
            self.url,
            data={
                "form_token": form_token or self.open(),
                "email": email,
                "number": card,
                "expiry": "12 / 40",
                "cvc": "123",
                "name": "Jenny Rosen",
            },
        )

    def answer_challenge(self, challenge: httpx.Response, answer: str) -> httpx.Response:
        """Answer the bank's 3-D Secure page that `pay` was redirected to: `complete` or `fail`."""
        url = challenge.headers["location"]
        page = self.browser.get(url)
        page.raise_for_status()
        return self.browser.post(url, data={"key": _hidden(page.text, "key"), "answer": answer})


def _hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found is not None, f"no hidden field {name} in the page"
    return found.group(1)


@dataclass(frozen=True)
class Workers:
    """The workers over HTTP, as one person.

    Attributes:
        stack: where they are.
        token: the person's access token; None for nobody.
    """

    stack: StackUnderTest
    token: str | None = None

    def call(self, name: str, body: object, **headers: str) -> httpx.Response:
        """POST to an entry point."""
        return httpx.post(
            f"{self.stack.workers_url}/workers/v1/{name}",
            json=body,
            headers=self._headers(headers),
            timeout=SECONDS,
        )

    def api(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Call a path below /api."""
        headers = self._headers(arguments.pop("headers", {}))
        return httpx.request(
            method, f"{self.stack.workers_url}/api{path}", headers=headers, timeout=SECONDS, **arguments
        )

    def buy(self, organization_id: object, package_key: str = PACK_500, **more: object) -> dict[str, Any]:
        """Open a checkout and return the answer."""
        answer = self.call(
            "create_checkout_session",
            {"organization_id": str(organization_id), "package_key": package_key, **more},
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def return_page(self, session_id: str) -> httpx.Response:
        """Ask how a checkout went, as the return page does."""
        return self.call("fulfil_checkout", {"session_id": session_id})

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return headers if self.token is None else {"Authorization": f"Bearer {self.token}", **headers}


@dataclass(frozen=True)
class Deliveries:
    """Stripe's side of the webhook: events as Stripe would send them, signed with the endpoint's secret."""

    stack: StackUnderTest

    @property
    def client(self) -> stripe.StripeClient:
        """A client of the Stripe that the stack talks to."""
        return stripe.StripeClient(
            "sk_test_tests", base_addresses={"api": self.stack.stripe_twin_url}, max_network_retries=2
        )

    def event_of(self, session_id: str, event_type: str = "checkout.session.completed") -> dict[str, Any]:
        """Return the event of a session, as Stripe keeps it."""
        for event in self.client.v1.events.list({"type": event_type, "limit": 100}).auto_paging_iter():
            body = event.to_dict()
            if body["data"]["object"]["id"] == session_id:
                return dict(json.loads(json.dumps(body, default=str)))
        raise AssertionError(f"no {event_type} of {session_id}")

    def await_delivery(self, mark: str) -> None:
        """Wait until every event about something of ours has been delivered.

        Args:
            mark: an id that those events carry: of the organization or of the session.
        """
        events = [event.id for event in self.client.v1.events.list({"limit": 100}).data if mark in str(event)]
        assert events, f"Stripe has no event that names {mark}"
        deadline = time.monotonic() + SECONDS
        for event_id in events:
            while self._is_pending(event_id):
                assert time.monotonic() < deadline, f"{event_id} was not delivered"
                httpx.get(
                    f"{self.stack.stripe_twin_url}/_twin/wait", params={"seconds": 0.2}, timeout=SECONDS
                )

    def await_quiet(self, mark: str) -> None:
        """Wait until Stripe has delivered everything that it has to say about something.

        Args:
            mark: an id that those events carry, such as the customer's.
        """
        deadline = time.monotonic() + SECONDS
        with psycopg.connect(self.stack.database_url, autocommit=True) as database:
            while pending := database.execute(
                "select e.type, d.attempts, d.last_error "
                "from stripe_twin.deliveries as d join stripe_twin.events as e on e.id = d.event_id "
                "where d.state = 'pending' and e.body::text like %s",
                (f"%{mark}%",),
            ).fetchall():
                stuck = [row for row in pending if row[1] >= 4]
                assert not stuck, f"our webhook refuses {stuck}"
                assert time.monotonic() < deadline, f"Stripe still delivers {pending}"
                time.sleep(0.05)

    def _is_pending(self, event_id: str) -> bool:
        answer = httpx.get(
            f"{self.stack.stripe_twin_url}/_twin/deliveries",
            params={"event_id": event_id, "state": "pending"},
            timeout=SECONDS,
        )
        return bool(answer.json()["data"])

    def send(
        self,
        event: object,
        *,
        secret: str | None = None,
        age_seconds: int = 0,
        header: str | None = None,
        path: str = "/workers/v1/stripe_webhook",
    ) -> httpx.Response:
        """Deliver an event.

        Args:
            event: JSON, or the bytes to send.
            secret: signs it; the endpoint's own when left out.
            age_seconds: how old the signature claims to be.
            header: the signature header, instead of a right one; empty for none.
            path: which door.
        """
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        if header is None:
            header = self.signature(body, secret=secret, age_seconds=age_seconds)
        return self.send_pieces(body, header, path)

    def send_pieces(self, content: bytes | Iterator[bytes], header: str, path: str) -> httpx.Response:
        """Deliver bytes; those that come in pieces have no announced length.

        Args:
            content: the body.
            header: the signature header; empty for none.
            path: which door.
        """
        headers = [(b"Content-Type", b"application/json")]
        headers += [(b"Stripe-Signature", header.encode("latin-1"))] if header else []
        url = f"{self.stack.workers_url}{path}"
        return httpx.post(url, content=content, headers=headers, timeout=SECONDS)

    def signature(self, body: bytes, *, secret: str | None = None, age_seconds: int = 0) -> str:
        """Return a signature header, computed by Stripe's own library."""
        header: str = stripe.WebhookSignature.generate_signature_header(
            body.decode(errors="surrogateescape"),
            secret or self.stack.stripe_webhook_secret.split(",")[0].strip(),
            int(time.time()) - age_seconds,
        )
        return header


def made_up_event(event_type: str, object_id: str, **more: object) -> dict[str, Any]:
    """An event in Stripe's shape that Stripe has never sent."""
    return {
        "id": f"evt_test{secrets.token_hex(12)}",
        "object": "event",
        "api_version": stripe.api_version,
        "created": int(time.time()),
        "livemode": False,
        "type": event_type,
        "data": {"object": {"id": object_id, "object": event_type.rpartition(".")[0]}},
        **more,
    }
