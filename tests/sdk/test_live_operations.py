"""The operator's commands and those of the Stripe twin, against the running stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import stripe

from supabase import Client
from tests.conftest import Organization, StackUnderTest
from tests.sdk.test_live_cli import Run, printed, runner


@pytest.fixture
def twin(stack: StackUnderTest) -> Run:
    """Runs the command line against the stack's twin."""
    return runner({"STRIPE_TWIN_URL": stack.stripe_twin_url}, stack)


@pytest.fixture
def operator(stack: StackUnderTest) -> Run:
    """Runs the command line with the secret key."""
    return runner({"TALLYBASE_KEY": stack.secret_key, "TALLYBASE_WORKERS_URL": stack.workers_url}, stack)


@pytest.fixture
def merchant(stack: StackUnderTest) -> stripe.StripeClient:
    """Stripe's own library on the twin."""
    return stripe.StripeClient("sk_test_any", base_addresses={"api": stack.stripe_twin_url})


@pytest.fixture
def customer(merchant: stripe.StripeClient) -> str:
    """A customer with a card that pays."""
    made = merchant.v1.customers.create({"name": "Jenny Rosen"})
    method = merchant.v1.payment_methods.attach("pm_card_visa", {"customer": made.id})
    merchant.v1.customers.update(made.id, {"invoice_settings": {"default_payment_method": method.id}})
    return made.id


@pytest.fixture
def charge(merchant: stripe.StripeClient, customer: str) -> str:
    """A charge of 10.00."""
    return charged(merchant, customer)


def charged(merchant: stripe.StripeClient, customer: str) -> str:
    (method,) = merchant.v1.payment_methods.list({"customer": customer}).data
    intent = merchant.v1.payment_intents.create(
        {
            "amount": 1000,
            "currency": "usd",
            "customer": customer,
            "payment_method": method.id,
            "off_session": True,
            "confirm": True,
        }
    )
    return str(intent.latest_charge)


def test_a_charge_is_refunded_and_the_refund_comes_back(
    twin: Run, merchant: stripe.StripeClient, charge: str
) -> None:
    refund = printed(twin("twin", "refund", charge, "--amount", "250", "--json"))
    assert merchant.v1.charges.retrieve(charge).amount_refunded == 250
    assert "failed" in twin("twin", "fail-refund", refund["id"]).stdout
    assert merchant.v1.refunds.retrieve(refund["id"]).status == "failed"


def test_a_dispute_is_opened_and_won_and_another_lost(
    twin: Run, merchant: stripe.StripeClient, customer: str
) -> None:
    for outcome, status in (("win", "won"), ("lose", "lost")):
        dispute = printed(twin("twin", "dispute", "open", charged(merchant, customer), "--json"))
        assert twin("twin", "dispute", outcome, dispute["id"]).exit_code == 0
        assert merchant.v1.disputes.retrieve(dispute["id"]).status == status


def test_the_next_charge_is_declined_or_asks_for_3ds(
    twin: Run, merchant: stripe.StripeClient, customer: str
) -> None:
    assert twin("twin", "decline-next", customer, "--code", "lost_card").exit_code == 0
    with pytest.raises(stripe.CardError) as declined:
        charged(merchant, customer)
    assert (declined.value.error.decline_code if declined.value.error else None) == "lost_card"
    assert charged(merchant, customer).startswith("ch_")
    assert twin("twin", "require-3ds", customer).exit_code == 0
    with pytest.raises(stripe.CardError) as asked:
        charged(merchant, customer)
    assert asked.value.code == "authentication_required"


def test_time_is_moved_on_and_a_plan_renews(twin: Run, merchant: stripe.StripeClient, customer: str) -> None:
    price = merchant.v1.prices.create(
        {
            "currency": "usd",
            "unit_amount": 1900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Plan"},
        }
    )
    plan = merchant.v1.subscriptions.create({"customer": customer, "items": [{"price": price.id}]})
    first = plan["items"].data[0].current_period_end
    assert "active" in twin("twin", "renew", plan.id).stdout
    second = merchant.v1.subscriptions.retrieve(plan.id)["items"].data[0].current_period_end
    assert second > first
    moved = printed(twin("twin", "advance", customer, "--months", "2", "--json"))
    assert moved["now"] > second
    assert twin("twin", "advance", customer).exit_code == 2, "how far?"


def test_deliveries_are_sent_again_and_misbehave_on_demand(
    twin: Run, stack: StackUnderTest, charge: str, merchant: stripe.StripeClient
) -> None:
    event = merchant.v1.events.list({"limit": 1}).data[0].id
    assert "3 on their way" in twin("twin", "resend", event, "--times", "3").stdout
    faults = f"{stack.stripe_twin_url}/_twin/faults"
    try:
        assert twin("twin", "shuffle", "--seconds", "0.5").exit_code == 0
        assert httpx.get(faults, timeout=30).json()["shuffle_seconds"] == 0.5
        assert twin("twin", "drop", "--attempts", "2").exit_code == 0
        both = httpx.get(faults, timeout=30).json()
        assert (both["shuffle_seconds"], both["drop_attempts"]) == (0.5, 2)
    finally:
        assert "well-behaved" in twin("twin", "behave").stdout
    assert not any(httpx.get(faults, timeout=30).json().values())


def test_the_twin_says_what_it_refuses_and_the_real_stripe_is_never_called(twin: Run) -> None:
    unknown = twin("twin", "refund", "ch_unknown")
    assert unknown.exit_code == 1
    assert "ch_unknown" in unknown.stderr
    refused = twin("twin", "refund", "ch_1", STRIPE_TWIN_URL="https://api.stripe.com")
    assert refused.exit_code == 1
    assert "this machine" in refused.stderr


@pytest.mark.serial  # packs have prices at Stripe after it, which other tests do not expect
@pytest.mark.timeout(600)  # it syncs whatever plans and packs all tests before it have left
def test_the_catalogue_is_compared_and_synchronized(operator: Run) -> None:
    would = printed(operator("catalogue", "sync", "--dry-run", "--json"))
    assert would["dry_run"] is True
    done = printed(operator("catalogue", "sync", "--json"))
    assert len(done["changes"]) >= len(would["changes"])
    said = operator("catalogue", "sync", "--dry-run").stdout
    assert "in line" in said or "story_" in said  # another test's plans may come and go meanwhile


def test_events_are_listed_and_run_again(
    operator: Run, stack: StackUnderTest, charge: str, secret_client: Client
) -> None:
    httpx.get(f"{stack.stripe_twin_url}/_twin/wait", params={"seconds": 20}, timeout=60)
    listed: list[dict[str, Any]] = printed(operator("events", "list", "-n", "5", "--json"))
    assert listed
    event = next(event for event in listed if event["status"] in ("processed", "ignored"))
    assert event["event_id"] in operator("events", "list").stdout
    replayed = printed(operator("events", "replay", event["event_id"], "--json"))
    assert [(one["event_id"], one["status"]) for one in replayed] == [(event["event_id"], event["status"])]
    assert operator("events", "list", "--status", "nonsense").exit_code == 2


def test_stripe_is_reconciled_without_comparing(operator: Run) -> None:
    found = operator("reconcile", "--no-compare", "--json")
    assert '"missed":' in found.stdout, found.output
    assert '"compared":{}' in found.stdout


def test_a_ledger_is_verified_and_rebuilt(
    operator: Run, new_organization: Callable[..., Organization]
) -> None:
    organization = new_organization(10)
    named = ("--organization", str(organization.organization_id))
    assert "All invariants hold" in operator("ledger", "verify", *named).stdout
    assert "Nothing was wrong" in operator("ledger", "rebuild", *named).stdout


def test_the_doctor_asks_the_workers_about_money(
    operator: Run, new_organization: Callable[..., Organization]
) -> None:
    organization_id = str(new_organization().organization_id)
    findings = operator("doctor", "--json", TALLYBASE_ORGANIZATION_ID=organization_id)
    assert '"check":"money: Mode"' in findings.stdout
    assert '"check":"money: Webhook secret","state":"ok"' in findings.stdout
    unreachable = operator(
        "doctor", TALLYBASE_ORGANIZATION_ID=organization_id, TALLYBASE_WORKERS_URL="http://127.0.0.1:9"
    )
    assert "TALLYBASE_WORKERS_URL" in unreachable.stdout


def test_the_doctor_needs_no_organization_for_what_is_set_for_money(operator: Run) -> None:
    found = json.loads(operator("doctor", "--json").stdout)
    findings = {finding["check"]: finding["state"] for finding in found}
    assert findings["settings"] == findings["connection"] == "ok"
    assert findings["balance"] == findings["ledger"] == "skipped"
    assert findings["money: Webhook secret"] == "ok"


@pytest.mark.parametrize(
    "command", [("events", "list"), ("catalogue", "sync", "--yes"), ("reconcile",), ("ledger", "verify")]
)
def test_an_agent_is_no_operator(
    stack: StackUnderTest, new_organization: Callable[..., Organization], command: tuple[str, ...]
) -> None:
    organization = new_organization()
    agent = {"TALLYBASE_KEY": stack.publishable_key, "TALLYBASE_AGENT_KEY": organization.agent_key}
    refused = runner(agent, stack)(*command)
    assert refused.exit_code == 1
    assert "secret key" in refused.stderr
