"""Refunds and disputes in any order: every order of readings ends where the newest one says.

A story is a pack that is bought, partly spent, refunded in parts, disputed; each change is read at
Stripe once or more. The readings are applied in a random order, the purchase's landing among them.
However they come, the balance is what was granted, less what was spent, less what the newest
reading reverses.
`TALLYBASE_REVERSAL_STORIES` and `TALLYBASE_SEED` choose how many stories, and which.
"""

from __future__ import annotations

import os
import random
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Organization

STORIES = int(os.environ.get("TALLYBASE_REVERSAL_STORIES", "40"))
SEED = int(os.environ.get("TALLYBASE_SEED", "20261123"))
CHARGED = 997
GRANTED = Decimal(500)
REFUND_STATES = ("pending", "succeeded", "failed", "canceled")
OPEN = ("needs_response", "under_review")
DISPUTE_STATES = ("warning_needs_response", "warning_closed", *OPEN, "won", "lost")


@dataclass
class Charge:
    """A charge at Stripe, as it stands.

    Attributes:
        chance: the story's randomness.
        refunds: id → amount and status.
        disputes: id → amount, what is withdrawn, and status.
    """

    chance: random.Random
    refunds: dict[str, tuple[int, str]] = field(default_factory=dict)
    disputes: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def change(self) -> None:
        """Something happens to it."""
        if self.chance.random() < 0.6:
            left = CHARGED - sum(amount for amount, status in self.refunds.values() if _stands(status))
            if self.refunds and self.chance.random() < 0.4:
                name = self.chance.choice(sorted(self.refunds))
                self.refunds[name] = (self.refunds[name][0], self.chance.choice(REFUND_STATES[1:]))
            elif left > 0:
                amount = self.chance.randint(1, left)
                self.refunds[f"re_{secrets.token_hex(8)}"] = (amount, self.chance.choice(REFUND_STATES[:2]))
            return
        name = next(iter(self.disputes), f"du_{secrets.token_hex(8)}")
        status = self.chance.choice(DISPUTE_STATES)
        holds = status in (*OPEN, "lost")
        self.disputes[name] = (CHARGED, CHARGED if holds else 0, status)

    @property
    def reversed(self) -> Decimal:
        """The credits that its totals reverse."""
        money = sum(amount for amount, status in self.refunds.values() if _stands(status))
        money += sum(withdrawn for _, withdrawn, _ in self.disputes.values())
        if money >= CHARGED:
            return GRANTED
        return (GRANTED * money / CHARGED).quantize(Decimal("0.000001"), ROUND_DOWN)

    def reading(self, at: datetime) -> dict[str, Any]:
        """What a worker reads of it at an instant."""
        return {
            "amount": CHARGED,
            "currency": "usd",
            "livemode": False,
            "fetched_at": at.isoformat(),
            "refunds": [
                {"id": name, "amount": amount, "status": status, "created_at": at.isoformat()}
                for name, (amount, status) in self.refunds.items()
            ],
            "disputes": [
                {
                    "id": name,
                    "amount": amount,
                    "withdrawn": withdrawn,
                    "status": status,
                    "created_at": at.isoformat(),
                }
                for name, (amount, withdrawn, status) in self.disputes.items()
            ],
        }


def _stands(status: str) -> bool:
    return status in ("pending", "succeeded")


@dataclass(frozen=True)
class Ledger:
    """One organization, its pack and its readings, by the procedures themselves.

    Attributes:
        database: a session as `postgres`.
        organization: the tenant.
        mark: names the purchase at Stripe.
    """

    database: psycopg.Connection[dict[str, Any]]
    organization: Organization
    mark: str

    def value(self, query: str, *arguments: object) -> Any:
        """Return the one value of a query."""
        row = self.database.execute(query.encode(), arguments).fetchone()
        assert row is not None
        return next(iter(row.values()))

    def become_customer(self) -> None:
        """The organization has a customer at Stripe."""
        self.database.execute(
            "insert into billing.customers (organization_id, stripe_customer_id) values (%s, %s)",
            (self.organization.organization_id, f"cus_{self.mark}"),
        )

    def land(self, spent: int) -> None:
        """The purchase lands, and some of it is spent before anything of it goes back."""
        grant = self.value(
            "select (billing.grant_credits(%s, %s, 'purchase', %s, unit_cost => 2)).grant_id",
            self.organization.organization_id,
            GRANTED,
            f"cs_{self.mark}",
        )
        if spent:
            self.database.execute(
                "select billing.consume_credits('TestAgent', 'test', amount => %s, organization_id => %s)",
                (spent, self.organization.organization_id),
            )
        payment = self.value(
            "insert into billing.payments (organization_id, kind, status, amount, currency, credits, "
            "grant_id, stripe_payment_intent_id, paid_at) "
            "values (%s, 'package', 'succeeded', %s, 'usd', %s, %s, %s, now()) returning id",
            self.organization.organization_id,
            CHARGED,
            GRANTED,
            grant,
            f"pi_{self.mark}",
        )
        self.database.execute(
            "select billing_private.payment_landed(%s, %s)", (self.organization.organization_id, payment)
        )

    def apply(self, reading: dict[str, Any]) -> None:
        """Apply a reading."""
        marks = {
            "stripe_payment_intent_id": f"pi_{self.mark}",
            "stripe_charge_id": f"ch_{self.mark}",
            "stripe_customer_id": f"cus_{self.mark}",
        }
        self.database.execute(
            "select billing_private.sync_reversals("
            "jsonb_populate_record(null::billing_private.reversal_facts, %s))",
            (Jsonb({**marks, **reading}),),
        )


@pytest.mark.parametrize("story", range(STORIES))
def test_every_order_of_readings_ends_where_the_last_one_says(
    story: int, database: psycopg.Connection[dict[str, Any]], bare_organization: Organization
) -> None:
    chance = random.Random(f"{SEED}:{story}")
    charge = Charge(chance)
    began = datetime.now(UTC) - timedelta(hours=1)
    readings = []
    for second in range(chance.randint(1, 6)):
        charge.change()
        readings.append(charge.reading(began + timedelta(seconds=second)))
    readings.extend(chance.choices(readings, k=chance.randint(0, 3)))
    spent = chance.choice((0, 0, 120, 500))
    ledger = Ledger(database, bare_organization, secrets.token_hex(8))
    ledger.become_customer()
    chance.shuffle(readings)
    landing = chance.randint(0, len(readings))

    for place in range(len(readings) + 1):
        if place == landing:
            ledger.land(spent if place == 0 else 0)
        if place < len(readings):
            ledger.apply(readings[place])

    organization_id = bare_organization.organization_id
    expected = GRANTED - (spent if landing == 0 else 0) - charge.reversed
    balance = ledger.value(
        "select balance from billing.credit_balances where organization_id = %s", organization_id
    )
    assert balance == expected
    standing = sum(amount for amount, status in charge.refunds.values() if _stands(status))
    assert ledger.value(
        "select amount_refunded from billing.payments where organization_id = %s", organization_id
    ) == min(standing, CHARGED)
    statuses = {status for _, _, status in charge.disputes.values()}
    is_restricted = bool(statuses & set(OPEN)) or ("lost" in statuses and expected < 0)
    assert (
        ledger.value(
            "select restricted_reason from billing.organizations where organization_id = %s", organization_id
        )
        == "dispute"
    ) == is_restricted
    broken = database.execute("select * from billing.verify_ledger(%s)", (organization_id,)).fetchall()
    assert broken == []
    rebuilt = database.execute(
        "select * from billing.rebuild_ledger(%s) where changed > 0", (organization_id,)
    ).fetchall()
    assert rebuilt == []


@pytest.fixture(scope="module")
def owner_id(secret_client: Any) -> str:
    """A user who owns the module's organizations."""
    made = secret_client.auth.admin.create_user(
        {
            "email": f"orders-{secrets.token_hex(6)}@tests.test",
            "password": secrets.token_hex(12),
            "email_confirm": True,
        }
    )
    return str(made.user.id)


@pytest.fixture
def bare_organization(
    database: psycopg.Connection[dict[str, Any]], secret_client: Any, owner_id: str
) -> Organization:
    """A fresh tenant, made without signing anybody in."""
    row = database.execute(
        "select (billing.create_organization(%s, %s)).organization_id",
        (f"Orders {secrets.token_hex(6)}", owner_id),
    ).fetchone()
    assert row is not None
    return Organization(row["organization_id"], "Orders", None, secret_client)  # type: ignore[arg-type] # nobody signs in
