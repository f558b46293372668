"""Counts what the webhook function asks of others for one signed event, and prints it as JSON.

Run as a process of its own, with the workers' environment: `python -m benchmarks.webhook_trips SESSION_ID`.
The function is the deployed one, in this process, so that its requests can be counted. The event says that a
checkout was paid. The twin would deliver the event of a real payment to the running workers, so the payment
is made up: the session is the twin's, and what differs in a paid one is put in its place.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from typing import Any

import httpx
import respx
import stripe
from flask import Request
from werkzeug.test import EnvironBuilder

from billing import http as worker_http
from billing import webhook
from billing.settings import get_settings


def main() -> None:
    """Deliver the event and print the counts."""
    session_id = sys.argv[1]
    settings = get_settings()
    stripe_url, database_url = str(settings.stripe_twin_url), str(settings.supabase_url)
    answer = httpx.get(
        f"{stripe_url}/v1/checkout/sessions/{session_id}", headers={"Authorization": "Bearer sk_test_twin"}
    )
    paid = answer.raise_for_status().json() | _payment(answer.json())
    # Counted at httpx itself: one layer deeper, a request that passes through would be seen twice.
    with respx.mock(assert_all_called=False, using="httpx") as router:
        router.get(url__startswith=f"{stripe_url}/v1/checkout/sessions/{session_id}").respond(json=paid)
        router.route(host__regex=".*").pass_through()
        response = worker_http.endpoint("stripe_webhook", webhook.receive, methods=("POST",))(
            _signed(session_id, str(settings.webhook_secrets[0]))
        )
        called = [str(call.request.url) for call in router.calls]
    print(
        json.dumps(
            {
                "status": response.status_code,
                "outcome": response.get_json(),
                "database": sum(url.startswith(database_url) for url in called),
                "stripe": sum(url.startswith(stripe_url) for url in called),
            }
        )
    )


def _payment(session: dict[str, Any]) -> dict[str, Any]:
    """What differs in a session that is paid."""
    intent = {
        "id": f"pi_{secrets.token_hex(12)}",
        "object": "payment_intent",
        "amount": session["amount_total"],
        "currency": session["currency"],
        "status": "succeeded",
        "customer": session["customer"],
        "metadata": {},
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
    }
    return {"status": "complete", "payment_status": "paid", "payment_intent": intent}


def _signed(session_id: str, secret: str) -> Request:
    event = {
        "id": f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "api_version": stripe.api_version,
        "created": int(time.time()),
        "livemode": False,
        "type": "checkout.session.completed",
        "data": {"object": {"id": session_id, "object": "checkout.session"}},
    }
    body = json.dumps(event)
    signature = stripe.WebhookSignature.generate_signature_header(body, secret)
    headers = [("Content-Type", "application/json"), ("Stripe-Signature", signature)]
    return Request(EnvironBuilder(method="POST", data=body.encode(), headers=headers).get_environ())


if __name__ == "__main__":
    main()
