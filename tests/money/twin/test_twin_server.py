"""The twin as a process of its own: on a port, killed and started again, and never beside a live key."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from stripe_twin.database import Database
from stripe_twin.settings import StripeKeyRefusedError, TwinSettings, refuse_stripe_key
from tests.money.twin.receiver import SECRET, Receiver
from tests.money.twin.server import Server, free_port


@pytest.fixture
def listening() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def server(environment: dict[str, str], listening: Receiver) -> Iterator[Server]:
    workers_url = listening.url.removesuffix("/workers/v1/stripe_webhook")
    running = Server(
        {**environment, "WORKERS_URL": workers_url, "STRIPE_WEBHOOK_SECRET": f"{SECRET},whsec_older"}
    )
    yield running
    running.stop()


def test_the_library_talks_to_it_over_http_and_the_workers_hear_of_it(
    server: Server, listening: Receiver
) -> None:
    params: Any = {"email": "http@acme.test", "metadata": {"organization_id": "1"}}
    customer = server.client.v1.customers.create(params, {"idempotency_key": secrets.token_hex(4)})
    assert server.client.v1.customers.retrieve(customer.id).email == "http@acme.test"
    listening.wait_until(lambda: len(listening.of_type("customer.created")) == 1)
    assert listening.requests[0].signed


def test_killed_and_started_again_it_knows_everything_and_delivers_what_was_left(
    server: Server, listening: Receiver
) -> None:
    listening.answer_with(500)
    customer = server.client.v1.customers.create({"email": "kept@acme.test"})
    listening.wait_until(
        lambda: any(one.event["data"]["object"]["id"] == customer.id for one in listening.requests)
    )
    server.kill()
    listening.forget()
    server.start()
    assert server.client.v1.customers.retrieve(customer.id).email == "kept@acme.test"
    listening.wait_until(
        lambda: any(one.event["data"]["object"]["id"] == customer.id for one in listening.requests)
    )
    state = httpx.get(f"{server.url}/_twin/wait?seconds=10", timeout=15).json()
    assert state["idle"]


def test_a_reset_of_the_database_under_it_is_healed(
    server: Server, environment: dict[str, str], database_url: str
) -> None:
    server.client.v1.customers.create({"email": "gone@acme.test"})
    with psycopg.connect(database_url) as connection:
        schema = sql.Identifier(environment["STRIPE_TWIN_SCHEMA"])
        connection.execute(sql.SQL("drop schema {} cascade").format(schema))
    assert server.client.v1.customers.list().data == []
    assert [one.id for one in server.client.v1.webhook_endpoints.list().data] == ["we_twindefault"]


def test_it_stops_in_good_order_when_asked(environment: dict[str, str]) -> None:
    running = Server(environment)
    assert running.client.v1.webhook_endpoints.list().data is not None
    assert running.stop() == 0


@pytest.mark.parametrize("key", ["sk_live_51abc", "rk_live_51abc", "sk_test_51abc"])
def test_it_refuses_to_start_beside_any_stripe_key_and_does_not_print_it(
    environment: dict[str, str], key: str
) -> None:
    command = [sys.executable, "-m", "stripe_twin", "--port", str(free_port())]
    ended = subprocess.run(
        command,
        env={**environment, "STRIPE_SECRET_KEY": key},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert "STRIPE_SECRET_KEY" in ended.stderr
    assert "51abc" not in ended.stderr + ended.stdout


def test_an_empty_key_is_no_key() -> None:
    for key in (None, "", "  "):
        refuse_stripe_key(key)
    with pytest.raises(StripeKeyRefusedError, match="live key"):
        refuse_stripe_key(" sk_live_x")


def test_without_a_database_it_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="DATABASE_URL"):
        TwinSettings.from_environment({})


def test_whatever_rights_others_got_in_its_schema_are_taken_back_at_the_next_start(
    environment: dict[str, str], database_url: str
) -> None:
    schema = environment["STRIPE_TWIN_SCHEMA"]
    database = Database(database_url, schema, pool_size=1)
    database.apply_schema()
    with psycopg.connect(database_url) as connection:
        for what in ("usage on schema {}", "select on all tables in schema {}"):
            statement = sql.SQL("grant " + what + " to public").format(sql.Identifier(schema))
            connection.execute(statement)
        assert rights_of_others(connection, schema) == {"schema", "objects", "events", "deliveries", *REST}
        connection.commit()
        database.apply_schema()
        assert rights_of_others(connection, schema) == set()


REST = ("idempotency_keys", "faults", "api_faults", "preferences", "timers")


def rights_of_others(connection: psycopg.Connection[Any], schema: str) -> set[str]:
    """Return what in a schema anybody but its owner has a right to."""
    rows = connection.execute(
        """
        select 'schema' from pg_namespace n, aclexplode(n.nspacl) a
        where n.nspname = %(schema)s and a.grantee <> n.nspowner
        union
        select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) a
        where n.nspname = %(schema)s and a.grantee <> c.relowner
        """,
        {"schema": schema},
    ).fetchall()
    return {row[0] for row in rows}
