"""A webhook endpoint for tests: verifies each signature as a worker would, and records what came."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

SECRET = "whsec_of_the_test_endpoint"


@dataclass(frozen=True)
class Received:
    """One request: the parsed event, the raw body, the headers, and whether the signature held."""

    event: dict[str, Any]
    body: bytes
    headers: dict[str, str]
    signed: bool


class Receiver:
    """Listens on a port of its own until closed."""

    def __init__(self) -> None:
        self.secret = SECRET
        self.requests: list[Received] = []
        self._statuses: list[int] = []
        self._status = 200
        self._pause = 0.0
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/workers/v1/stripe_webhook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def forget(self) -> None:
        """Start with an empty record and a friendly answer."""
        with self._changed:
            self.requests, self._statuses, self._status, self._pause = [], [], 200, 0.0

    def answer_with(self, status: int, *, first: list[int] | None = None, after_seconds: float = 0) -> None:
        """Answer `status` from now on, after the statuses in `first`, each after a pause."""
        with self._changed:
            self._status, self._statuses, self._pause = status, list(first or []), after_seconds

    def of_type(self, event_type: str) -> list[Received]:
        """Return what came of one type of event, in the order of arrival."""
        with self._changed:
            return [request for request in self.requests if request.event["type"] == event_type]

    def wait_until(self, holds: Callable[[], bool], seconds: float = 10) -> None:
        """Wait until a condition on the record holds, or fail."""
        deadline = time.monotonic() + seconds
        while not holds():
            left = deadline - time.monotonic()
            assert left > 0, [request.event["type"] for request in self.requests]
            with self._changed:
                self._changed.wait(min(left, 0.05))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver._take(body, dict(self.headers))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        return Handler

    def _take(self, body: bytes, headers: dict[str, str]) -> int:
        try:
            stripe.Webhook.construct_event(body, headers["Stripe-Signature"], self.secret)
            signed = True
        except stripe.SignatureVerificationError:
            signed = False
        time.sleep(self._pause)
        with self._changed:
            status = self._statuses.pop(0) if self._statuses else self._status
            self.requests.append(Received(json.loads(body), body, headers, signed))
            self._changed.notify_all()
        return status if signed else 400
