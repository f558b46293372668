"""The webhook takes nothing that Stripe did not sign for us just now; what it refuses leaves no trace."""

from __future__ import annotations

import json
import time
from typing import Any

import psycopg
import pytest
from stripe import WebhookSignature

from tests.money.world import Deliveries, made_up_event

DOORS = ("/workers/v1/stripe_webhook", "/api/billing/stripe/webhook")


@pytest.fixture
def event() -> dict[str, Any]:
    """A harmless event that is only stored."""
    return made_up_event("topup.created", "tu_made_up")


def is_stored(database: psycopg.Connection[dict[str, Any]], event: dict[str, Any]) -> bool:
    """Whether the inbox has the event."""
    rows = database.execute("select 1 from billing_private.stripe_events where id = %s", (event["id"],))
    return rows.fetchone() is not None


@pytest.mark.parametrize("path", DOORS)
def test_a_signed_event_is_stored_through_either_door(
    deliveries: Deliveries, database: psycopg.Connection[dict[str, Any]], event: dict[str, Any], path: str
) -> None:
    answer = deliveries.send(event, path=path)

    assert answer.status_code == 200
    assert answer.json() == {"received": True, "status": "ignored", "is_duplicate": False}
    assert is_stored(database, event)


# On a busy machine the delivery itself takes seconds: 270 is old enough and still arrives in time.
@pytest.mark.parametrize("age_seconds", [270, -299])
def test_a_signature_within_five_minutes_is_taken(
    deliveries: Deliveries, event: dict[str, Any], age_seconds: int
) -> None:
    assert deliveries.send(event, age_seconds=age_seconds).status_code == 200


def test_either_of_two_signatures_is_enough(deliveries: Deliveries, event: dict[str, Any]) -> None:
    body = json.dumps(event).encode()
    right = deliveries.signature(body)
    other = deliveries.signature(body, secret="whsec_other").partition(",")[2]

    assert (
        deliveries.send(
            body, header=f"{right.partition(',')[0]},{other},{right.partition(',')[2]}"
        ).status_code
        == 200
    )


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize(
    "attack",
    [
        "unsigned",
        "altered",
        "other secret",
        "301 s old",
        "a day ahead",
        "v0 only",
        "no timestamp",
        "nonsense",
        "two wrong",
        "beyond ASCII",
    ],
)
def test_an_attack_on_the_signature_is_400_and_stores_nothing(
    deliveries: Deliveries,
    database: psycopg.Connection[dict[str, Any]],
    event: dict[str, Any],
    attack: str,
    path: str,
) -> None:
    body = json.dumps(event).encode()
    signature = deliveries.signature(body)
    sent, header = {
        "unsigned": (body, ""),
        "altered": (body.replace(b"tu_made_up", b"tu_tampered"), signature),
        "other secret": (body, deliveries.signature(body, secret="whsec_of_somebody_else")),
        "301 s old": (body, deliveries.signature(body, age_seconds=301)),
        "a day ahead": (body, deliveries.signature(body, age_seconds=-86_400)),
        "v0 only": (body, signature.replace("v1=", "v0=")),
        "no timestamp": (body, signature.partition(",")[2]),
        "nonsense": (body, "t=yesterday,v1=0"),
        "beyond ASCII": (body, signature.replace("v1=", "v1=é")),
        "two wrong": (body, f"t={int(time.time())},v1={'0' * 64},v1={'f' * 64}"),
    }[attack]

    answer = deliveries.send(sent, header=header, path=path)

    assert (answer.status_code, answer.json()["message"]) == (400, "invalid_signature")
    assert not is_stored(database, event)


def test_a_later_timestamp_cannot_refresh_an_old_signature(
    deliveries: Deliveries, event: dict[str, Any]
) -> None:
    body = json.dumps(event).encode()
    old = deliveries.signature(body, age_seconds=4000)
    now = f"t={int(time.time())}"

    for header in (f"{old},{now}", f"{now},{old.partition(',')[2]}"):
        assert deliveries.send(body, header=header).status_code == 400


def _envelope(**wrong: object) -> bytes:
    """An event with something wrong about its envelope."""
    return json.dumps(made_up_event("topup.created", "tu_made_up") | wrong).encode()


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        (b'{"id": "\xff\xfe"}', "invalid_signature"),
        (b"not json at all", "invalid_event"),
        (b"[]", "invalid_event"),
        (b"{}", "invalid_event"),
        (b'{"id": "evt_1", "object": "v2.core.event", "type": "v1.charge.succeeded"}', "invalid_event"),
        (b'{"amount": NaN}', "invalid_event"),
        (b"", "invalid_event"),
        (b'{"id": "evt_deep", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_event"),
        (_envelope(created=10**18), "invalid_event"),
        (_envelope(created=-1), "invalid_event"),
        (_envelope(created="1790000000"), "invalid_event"),
        (_envelope(livemode="false"), "invalid_event"),
        (_envelope(data=None), "invalid_event"),
    ],
    ids=[
        "not UTF-8",
        "not JSON",
        "a list",
        "no event",
        "a thin event",
        "NaN",
        "empty",
        "nested too deeply",
        "made after all time",
        "made before all time",
        "made at a text",
        "of a mode in words",
        "about nothing",
    ],
)
def test_a_signed_body_that_is_no_event_is_400(deliveries: Deliveries, body: bytes, slug: str) -> None:
    answer = deliveries.send(body, header=_sign(deliveries, body))

    assert (answer.status_code, answer.json()["message"]) == (400, slug)


def _sign(deliveries: Deliveries, body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError:
        return str(WebhookSignature.generate_signature_header("{}", deliveries.stack.stripe_webhook_secret))
    return deliveries.signature(body)


@pytest.mark.parametrize("path", DOORS)
def test_five_megabytes_are_413_even_when_signed(
    deliveries: Deliveries, event: dict[str, Any], path: str
) -> None:
    body = json.dumps({**event, "padding": "x" * 5_000_000}).encode()

    answer = deliveries.send(body, path=path)

    assert (answer.status_code, answer.json()["message"]) == (413, "body_too_large")


@pytest.mark.parametrize("path", DOORS)
def test_a_body_of_unannounced_length_is_taken_up_to_the_limit_and_refused_above(
    deliveries: Deliveries, event: dict[str, Any], path: str
) -> None:
    small = json.dumps(event).encode()
    large = json.dumps({**event, "padding": "x" * 5_000_000}).encode()

    for body, status in ((small, 200), (large, 413)):
        pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
        answer = deliveries.send_pieces(pieces, deliveries.signature(body), path)
        assert answer.status_code == status, answer.text


def test_an_event_of_the_other_mode_is_parked_and_answered(
    deliveries: Deliveries, database: psycopg.Connection[dict[str, Any]]
) -> None:
    event = made_up_event("checkout.session.completed", "cs_live_of_another_installation", livemode=True)

    answer = deliveries.send(event)

    assert (answer.status_code, answer.json()["status"]) == (200, "parked")
    row = database.execute(
        "select * from billing_private.stripe_events where id = %s", (event["id"],)
    ).fetchone()
    assert row is not None
    assert row["error"].startswith("foreign_livemode")
