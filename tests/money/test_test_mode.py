"""The same flow at the twin and, with STRIPE_SECRET_KEY=sk_test_…, at Stripe's own test mode.

Nothing is delivered here: the events are listed at Stripe and run through the webhook's own ingest, so that
no public address is needed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import stripe
from pydantic import SecretStr

from billing import database, doctor, http, plan_prices, stripe_client, webhook
from billing.events import RULES
from billing.settings import get_settings
from tests.conftest import Organization, StackUnderTest
from tests.money.conftest import Books
from tests.money.world import Deliveries

TEST_KEY = os.environ.get("STRIPE_SECRET_KEY", "")
Database = psycopg.Connection[dict[str, Any]]


@pytest.fixture(
    params=[
        "twin",
        pytest.param(
            "stripe",
            marks=pytest.mark.skipif(
                not TEST_KEY.startswith("sk_test_"),
                reason="needs STRIPE_SECRET_KEY=sk_test_… (Stripe's test mode)",
            ),
        ),
    ]
)
def client(
    request: pytest.FixtureRequest, stack: StackUnderTest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[stripe.StripeClient]:
    """Stripe, and the workers' code in this process set up to talk to it."""
    environment = {
        "SUPABASE_URL": stack.supabase_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SUPABASE_SECRET_KEY": stack.secret_key,
        "FRONTEND_URL": stack.frontend_url,
        "STRIPE_WEBHOOK_SECRET": "whsec_not_used_here",
    }
    if request.param == "twin":
        environment |= {"STRIPE_TWIN_URL": stack.stripe_twin_url, "STRIPE_SECRET_KEY": ""}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield Deliveries(stack).client if request.param == "twin" else stripe_client.get_client()
    get_settings.cache_clear()


class Flow:
    """A customer on a test clock, whose events are taken in by hand.

    Args:
        client: Stripe.
        organization: who subscribes.
        books: what our database says of it.
    """

    def __init__(self, client: stripe.StripeClient, organization: Organization, books: Books) -> None:
        self.v1, self.client = client.v1, client
        self._since = int(time.time()) - 60  # not more: at the twin, all other tests' events are read, too
        self.organization, self.books = organization, books
        self.now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
        self.clock = self.v1.test_helpers.test_clocks.create({"frozen_time": int(self.now.timestamp())})
        customer = self.v1.customers.create(
            {
                "email": organization.owner.email,
                "test_clock": self.clock.id,
                "payment_method": "pm_card_visa",
            }
        )
        self.customer_id = customer.id
        card = self.v1.customers.payment_methods.list(customer.id).data[0].id
        self.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card}})
        self._done: set[str] = set()

    def become_known(self) -> None:
        """Record the customer, as the first checkout does."""
        service = self.organization.service
        organization = {"organization_id": str(self.organization.organization_id), "livemode": False}
        person = {"user_id": str(self.organization.owner.user_id), "email": None}
        service.rpc("open_customer", organization | person).execute()
        customer = {"stripe_customer_id": self.customer_id, "email": None, "name": "Test mode"}
        service.rpc("record_customer", organization | customer).execute()

    def advance(self, to: datetime) -> None:
        """Let time pass here and at Stripe."""
        self.now = to
        arguments = {"organization_id": str(self.organization.organization_id), "to": to.isoformat()}
        self.organization.service.rpc("advance_test_clock", arguments).execute()
        clocks = self.v1.test_helpers.test_clocks
        clocks.advance(self.clock.id, {"frozen_time": int(to.timestamp())})
        deadline = time.monotonic() + 120
        while clocks.retrieve(self.clock.id).status != "ready":
            assert time.monotonic() < deadline, "the test clock did not arrive"
            time.sleep(1)

    def take_in(self) -> set[str]:
        """Run what Stripe has to say about the customer through the webhook's ingest; returns the types."""
        types = set()
        for event in self.v1.events.list({"limit": 100, "created": {"gte": self._since}}).auto_paging_iter():
            body = json.loads(json.dumps(event.to_dict(), default=str))
            if event.id in self._done or self.customer_id not in json.dumps(body) or event.type not in RULES:
                continue
            webhook.ingest(body)
            self._done.add(event.id)
            types.add(str(event.type))
        return types


@pytest.fixture
def flow(client: stripe.StripeClient, new_organization: Any, database: Database) -> Iterator[Flow]:
    """Such a customer; their clock, and all that hangs on it, is deleted in the end."""
    organization = new_organization()
    made = Flow(client, organization, Books(database, organization.organization_id))
    made.become_known()
    yield made
    made.v1.test_helpers.test_clocks.delete(made.clock.id)


def test_a_plan_is_paid_renewed_with_rollover_refunded_and_cancelled(flow: Flow, database: Database) -> None:
    plan = database.execute(
        "insert into billing.subscription_plans "
        "(key, name, unit_amount, credits_per_period, rollover_cap, is_active) "
        "values ('flow_' || substr(md5(random()::text), 1, 12), 'Flow', 2000, 1000, 250, false) returning id"
    ).fetchone()
    assert plan is not None
    price = plan_prices.ensure(flow.client, plan["id"], "Flow", 2000, "usd", "month")
    subscription = flow.v1.subscriptions.create({"customer": flow.customer_id, "items": [{"price": price}]})
    assert {"customer.subscription.created", "invoice.paid"} <= flow.take_in()
    assert flow.books.balance == 1000
    (row,) = flow.books.rows("select * from billing.subscriptions where organization_id = %s")
    assert row["status"] == "active"

    flow.advance(row["current_period_end"] + timedelta(hours=3))
    assert "invoice.paid" in flow.take_in()
    assert flow.books.balance == 250 + 1000

    payment = flow.books.payments[-1]
    assert (payment["status"], payment["amount"], payment["card_last4"]) == ("succeeded", 2000, "4242")
    flow.v1.refunds.create({"payment_intent": payment["stripe_payment_intent_id"], "amount": 1000})
    flow.take_in()
    assert flow.books.balance == 250 + 500

    flow.v1.subscriptions.cancel(subscription.id)
    flow.take_in()
    (row,) = flow.books.rows("select * from billing.subscriptions where organization_id = %s")
    assert row["status"] == "canceled"
    assert flow.books.balance == 0
    flow.books.assert_sound()


def test_the_doctor_finds_no_problem_in_what_is_set_up(client: stripe.StripeClient) -> None:
    lines = doctor.examine()

    assert {line.subject for line in lines} >= {"Mode", "Webhook secret", "Account", "Customer portal"}
    assert {line.subject for line in lines} >= {"Reconciler", "Automatic top-ups"}
    if not TEST_KEY:
        assert [line.verdict for line in lines if line.subject.startswith("Endpoint ")] == ["ok"]
        assert "Deliveries" in {line.subject for line in lines}
    at_twin = [line for line in lines if line.verdict == "problem"]
    assert at_twin == [] or TEST_KEY  # an account of one's own may lack an endpoint; the twin lacks nothing


def test_the_doctor_names_what_is_missing(
    client: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "")
    get_settings.cache_clear()

    assert ("problem", "Webhook secret") in [(line.verdict, line.subject) for line in doctor.examine()]


def test_the_doctor_sees_that_an_endpoint_is_deaf_or_somebody_elses(
    stack: StackUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endpoint(url: str) -> SimpleNamespace:
        known = {"status": "enabled", "api_version": stripe.api_version, "enabled_events": ["*"]}
        return SimpleNamespace(url=url, **known)

    monkeypatch.setattr(http, "entry_points", lambda: ("api",))
    ours = f"{stack.workers_url}/workers/v1/stripe_webhook"
    elsewhere = f"{stack.workers_url}/api/health"
    for urls, verdicts in (
        ([ours], ["ok", "ok"]),
        ([ours, elsewhere], ["ok", "ok", "warning", "ok"]),
        ([elsewhere, "http://127.0.0.1:1/"], ["ok", "ok", "warning", "warning", "problem"]),
    ):
        found = SimpleNamespace(data=[endpoint(url) for url in urls])
        at_stripe = SimpleNamespace(
            v1=SimpleNamespace(webhook_endpoints=SimpleNamespace(list=lambda _, found=found: found))
        )
        monkeypatch.setattr(doctor, "get_client", lambda there=at_stripe: there)

        assert [line.verdict for line in doctor._endpoints()] == verdicts


def test_the_doctor_names_the_functions_that_are_not_deployed(
    stack: StackUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = f"{stack.workers_url}/workers/v1"
    deployed = ("stripe_webhook", "api", "fulfil_checkout")
    for names, found in (
        (deployed, ("ok", "all 3 stand beside the webhook")),
        (("exchange_agent_key", *deployed, "no_such_function"), ("warning", "no_such_function")),
    ):
        monkeypatch.setattr(http, "entry_points", lambda names=names: names)
        (line,) = doctor._functions(base)
        assert line.verdict == found[0]
        assert line.finding.endswith(found[1]) or line.finding.endswith(f": {found[1]}.")
    assert [line.verdict for line in doctor._functions("http://127.0.0.1:1")] == ["warning"]


@pytest.mark.parametrize(
    ("last", "due", "verdicts"),
    [
        (None, [], ["warning", "ok"]),
        (datetime.now(UTC) - timedelta(hours=1), [], ["warning", "ok"]),
        (datetime.now(UTC) - timedelta(minutes=15), ["an organization"], ["ok", "warning"]),
    ],
)
def test_the_doctor_sees_that_nothing_calls_what_must_be_called(
    monkeypatch: pytest.MonkeyPatch, last: datetime | None, due: list[str], verdicts: list[str]
) -> None:
    told = {"last_reconciliation": None if last is None else last.isoformat(), "due_auto_topups": due}
    monkeypatch.setattr(database, "call", lambda function, _: told[function])

    assert [line.verdict for line in doctor._scheduler(get_settings())] == verdicts


@pytest.mark.parametrize(
    ("name", "icon", "verdict"),
    [("Acme", "file_1", "ok"), ("Acme", None, "warning"), (None, None, "warning")],
)
def test_the_doctor_looks_at_who_people_see_charging_them(
    monkeypatch: pytest.MonkeyPatch, name: str | None, icon: str | None, verdict: str
) -> None:
    shown = {"dashboard": {"display_name": name}, "branding": {"icon": icon, "logo": None}}
    account = stripe.Account.construct_from({"charges_enabled": True, "settings": shown}, "sk_test_x")
    at_stripe = SimpleNamespace(
        v1=SimpleNamespace(accounts=SimpleNamespace(retrieve_current=lambda: account))
    )
    monkeypatch.setattr(doctor, "get_client", lambda: at_stripe)
    settings = get_settings().model_copy(update={"stripe_secret_key": SecretStr("sk_test_x")})

    assert [line.verdict for line in doctor._account(settings)] == ["ok", verdict]
