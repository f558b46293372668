"""The webhook: how often it asks the database and Stripe between a signed event and the committed grant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

import httpx

from stack.settings import REPOSITORY

from ..bench import Bench, Case
from ..results import Row, at_most
from ..tenants import make_organization, one

_WALLET = "select (billing_private.ledger_tail(%s)).balance_after"


def _run(bench: Bench) -> list[Row]:
    bench.say("the webhook's round trips")
    organization_id = make_organization(bench.connection, bench.project)
    counts = _deliver(bench, _open_checkout(bench, organization_id))
    granted = Decimal(one(bench.connection, _WALLET, organization_id) or 0)
    if counts["status"] != 200 or granted <= 0:
        raise RuntimeError(f"the event was answered {counts} and {granted} credits were granted")
    return [
        Row(f"webhook: {name}", "1", "", str(counts[key]), counts[key], at_most(1))
        for name, key in (("round trips to the database", "database"), ("reads at Stripe", "stripe"))
    ]


def _open_checkout(bench: Bench, organization_id: str) -> str:
    """Begin to buy the smallest pack, as a person does."""
    key = one(
        bench.connection, "select key from billing.credit_packages where is_active order by credits limit 1"
    )
    answer = httpx.post(
        f"{bench.project.environment['WORKERS_URL']}/workers/v1/create_checkout_session",
        json={"organization_id": organization_id, "package_key": key},
        headers={"Authorization": f"Bearer {bench.project.token}"},
        timeout=60,
    )
    return str(answer.raise_for_status().json()["session_id"])


def _deliver(bench: Bench, session_id: str) -> Any:
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "workers")])
    environment = os.environ | bench.project.environment | {"PYTHONPATH": path, "STRIPE_SECRET_KEY": ""}
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.webhook_trips", session_id],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise RuntimeError(finished.stderr)
    return json.loads(finished.stdout.splitlines()[-1])


CASE = Case(
    "webhook",
    "HTTP requests that the webhook function makes between a signed `checkout.session.completed` and "
    "the committed grant: counted, not timed. Every request to the database is one function call in "
    "one transaction.",
    _run,
)
