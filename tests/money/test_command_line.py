"""Stripe's own command line judges the twin: what it triggers happens, is delivered, and does its work.

`stripe trigger EVENT` runs scripts that Stripe wrote against Stripe. A script that fails, or after which its
event is missing, shows the twin to be wrong. The scripts make objects of nobody's, so our books must not
move; two of them are pointed at an organization's own objects, and there they must.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psycopg
import pytest
import stripe

from billing.events import RULES
from stack.install import INSTALL_DIR, install_npm_project
from tests.conftest import StackUnderTest
from tests.money.conftest import Buyer
from tests.money.world import CARD_PAYS, SECONDS, Deliveries, HostedPage

pytestmark = [pytest.mark.serial, pytest.mark.timeout(300)]

PROJECT = "tests/money/command_line"
PROGRAM = Path(__file__).parent / "command_line/node_modules/@stripe/cli-linux-x64/bin/stripe"
KEY = "sk_test_commandline"
#: Events that we act on and the command line cannot trigger, and why.
NOT_TRIGGERED = {
    "charge.dispute.funds_reinstated": "no script wins a dispute",
    "charge.dispute.funds_withdrawn": "its disputes are inquiries, which move no money",
    "charge.updated": "no script of this name; it comes with every charge",
    "customer.subscription.pending_update_applied": "no script",
    "customer.subscription.pending_update_expired": "no script",
    "customer.subscription.resumed": "no script",
    "invoice.finalization_failed": "no script",
    "invoice.overdue": "no script",
    "invoice.upcoming": "no script",
    "invoice_payment.paid": "no script of this name; it comes with every paid invoice",
    "payment_method.automatically_updated": "no script: a card network decides",
    "price.deleted": "no script: the API deletes no price",
    "radar.early_fraud_warning.created": "no script: a bank decides",
    "refund.created": "no script of this name; it comes with charge.refunded",
    "refund.failed": "no script: a bank decides",
    "refund.updated": "no script of this name; it comes with a slow refund",
}
TRIGGERED = sorted(RULES.keys() - NOT_TRIGGERED.keys())
#: A bank decides about these some days later; here it decides at once.
SETTLED_BY_BANK = {
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
}
_BOOKS = (
    # What Stripe can bring or take: the jobs book what falls due of other tests' organizations meanwhile.
    "billing.credit_transactions where kind in ('grant', 'void', 'clawback', 'reinstate')",
    "billing.customers",
    "billing.refunds",
    "billing.disputes",
    "billing.payments",
    "billing.invoices",
    "billing.subscriptions",
    "billing.checkout_sessions",
    "billing.payment_methods",
    "billing.notifications",
)


@dataclass(frozen=True)
class CommandLine:
    """The command line in a home folder of its own.

    Attributes:
        stripe_url: the Stripe that it talks to.
        home: where it may write.
    """

    stripe_url: str
    home: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        environment = {"HOME": str(self.home), "STRIPE_CLI_TELEMETRY_OPTOUT": "1", "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [str(PROGRAM), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def trigger(self, event_type: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script of an event."""
        where = ("--api-key", KEY, "--api-base", self.stripe_url)
        return self.run("trigger", event_type, *where, *arguments)


@pytest.fixture
def command_line(stack: StackUnderTest, tmp_path: Path) -> CommandLine:
    """The command line, installed."""
    with (INSTALL_DIR / "command-line.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install_npm_project(PROJECT, report=print)
    return CommandLine(stack.stripe_twin_url, tmp_path)


def events_since(client: stripe.StripeClient, last: str | None) -> list[stripe.Event]:
    """Return the events after one, oldest first."""
    params: Any = {"limit": 100} | ({"ending_before": last} if last else {})
    return list(client.v1.events.list(params).auto_paging_iter())


def last_event(client: stripe.StripeClient) -> str | None:
    """Return the id of the newest event."""
    newest = client.v1.events.list({"limit": 1}).data
    return newest[0].id if newest else None


def settle_debits(stack: StackUnderTest, events: list[stripe.Event], outcome: str) -> None:
    """Let the bank decide about the debits that were begun."""
    for event in events:
        if event.type == "payment_intent.processing":
            intent = event.data.object["id"]
            url = f"{stack.stripe_twin_url}/_twin/payment_intents/{intent}/settle"
            httpx.post(url, json={"outcome": outcome}, timeout=SECONDS).raise_for_status()


def await_event(
    stack: StackUnderTest, client: stripe.StripeClient, last: str | None, event_type: str
) -> list[stripe.Event]:
    """Return the events after one, as soon as one of a type is among them; a notice comes a moment later."""
    deadline = time.monotonic() + SECONDS
    events = events_since(client, last)
    while event_type not in {event.type for event in events}:
        assert time.monotonic() < deadline, [event.type for event in events]
        httpx.get(f"{stack.stripe_twin_url}/_twin/wait", params={"seconds": 0.2}, timeout=SECONDS)
        events = events_since(client, last)
    return events


def inbox_of(database: psycopg.Connection[dict[str, Any]], events: list[stripe.Event]) -> dict[str, str]:
    """Return event id → what became of it in our inbox."""
    rows = database.execute(
        "select id, status from billing_private.stripe_events where id = any(%s)",
        ([event.id for event in events],),
    ).fetchall()
    return {row["id"]: row["status"] for row in rows}


def books(database: psycopg.Connection[dict[str, Any]]) -> dict[str, int]:
    """Return how many rows there are in each of our tables."""
    counts = {}
    for table in _BOOKS:
        row = database.execute(f"select count(*) as n from {table}").fetchone()
        assert row is not None
        counts[table] = int(row["n"])
    return counts


def test_each_event_that_we_act_on_is_triggered_or_has_its_reason(command_line: CommandLine) -> None:
    offered = set(command_line.run("trigger", "--help").stdout.split())

    assert offered & RULES.keys() == set(TRIGGERED)
    assert NOT_TRIGGERED.keys() <= RULES.keys()


@pytest.mark.parametrize("event_type", TRIGGERED)
def test_what_the_command_line_triggers_happens_is_delivered_and_moves_nobodys_books(
    command_line: CommandLine,
    deliveries: Deliveries,
    database: psycopg.Connection[dict[str, Any]],
    event_type: str,
) -> None:
    client = deliveries.client
    last, before = last_event(client), books(database)

    done = command_line.trigger(event_type)

    assert done.returncode == 0, done.stdout + done.stderr
    if event_type in SETTLED_BY_BANK:
        outcome = "failed" if event_type.endswith("failed") else "succeeded"
        settle_debits(deliveries.stack, events_since(client, last), outcome)
    events = await_event(deliveries.stack, client, last, event_type)
    for event in events:
        deliveries.await_quiet(event.id)
    handled = [event for event in events if event.type in RULES]
    assert inbox_of(database, handled) == {event.id: "ignored" for event in handled}
    assert books(database) == before


def test_a_refund_by_the_command_line_takes_the_credits_back(
    command_line: CommandLine, buyer: Buyer, deliveries: Deliveries
) -> None:
    session = buyer.buy()
    HostedPage(session["url"]).pay(CARD_PAYS)
    deliveries.await_delivery(session["session_id"])
    (payment,) = buyer.books.payments
    assert buyer.books.balance == 500

    done = command_line.trigger(
        "charge.refunded",
        "--skip",
        "payment_intent",
        "--override",
        f"refund:payment_intent={payment['stripe_payment_intent_id']}",
    )

    assert done.returncode == 0, done.stdout + done.stderr
    deliveries.await_quiet(payment["stripe_payment_intent_id"])
    assert buyer.books.balance == 0
    (refunded,) = buyer.books.payments
    assert refunded["status"] == "refunded"
    buyer.books.assert_sound()


def test_a_card_that_the_command_line_saves_for_our_customer_is_ours(
    command_line: CommandLine, buyer: Buyer, deliveries: Deliveries
) -> None:
    buyer.buy()
    (row,) = buyer.books.rows("select stripe_customer_id from billing.customers where organization_id = %s")
    customer = row["stripe_customer_id"]

    done = command_line.trigger(
        "payment_method.attached",
        "--skip",
        "customer",
        "--override",
        f"payment_method_attach:customer={customer}",
    )

    assert done.returncode == 0, done.stdout + done.stderr
    deliveries.await_quiet(customer)
    query = "select last4, is_default from billing.payment_methods where organization_id = %s"
    assert buyer.books.rows(query) == [{"last4": "4242", "is_default": True}]


class Harming(BaseHTTPRequestHandler):
    """Stands before the twin and harms what it answers; `harm` and `stripe_url` are set on a subclass."""

    stripe_url: str
    harm: Callable[[str, Any], None]

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kept = {
            name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers
        }
        url = f"{self.stripe_url}{self.path}"
        answer = httpx.request(self.command, url, content=body, headers=kept, timeout=SECONDS)
        value = answer.json()
        type(self).harm(self.path, value)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    do_GET = _forward  # noqa: N815 - the library's names
    do_POST = _forward  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def unharmed(_path: str, _value: Any) -> None:
    """Leave the answer as it is."""


def without_session_id(path: str, value: Any) -> None:
    """A checkout session that does not say its id."""
    if path == "/v1/checkout/sessions":
        del value["id"]


def with_renamed_method_id(path: str, value: Any) -> None:
    """A payment method whose id has another name."""
    if path == "/v1/payment_methods":
        value["identifier"] = value.pop("id")


@pytest.mark.parametrize(
    ("harm", "is_red"), [(unharmed, False), (without_session_id, True), (with_renamed_method_id, True)]
)
def test_a_wrong_field_in_the_twin_turns_the_command_line_red(
    command_line: CommandLine, harm: Callable[[str, Any], None], is_red: bool
) -> None:
    values = {"stripe_url": command_line.stripe_url, "harm": staticmethod(harm)}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Harm", (Harming,), values))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        before = CommandLine(f"http://127.0.0.1:{server.server_port}", command_line.home)
        done = before.trigger("checkout.session.completed")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert (done.returncode != 0) is is_red, done.stdout + done.stderr
