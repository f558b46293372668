"""Plans and subscriptions of a story: free ones through the API, paid ones as Stripe's events book them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from .conftest import Story, day

Row = dict[str, Any]


class Catalogue:
    """Makes and edits plans, as an operator does."""

    def __init__(self, database: psycopg.Connection[Row]) -> None:
        self._database = database

    def plan(self, credits_per_period: object, **terms: object) -> str:
        """Add a plan and return its key.

        Args:
            credits_per_period: credits of each period.
            terms: further columns of subscription_plans.
        """
        key = f"plan_{secrets.token_hex(8)}"
        named = {
            "key": key,
            "name": key,
            "unit_amount": 0,
            "credits_per_period": credits_per_period,
            **terms,
        }
        columns = ", ".join(named)
        values = ", ".join(f"%({name})s" for name in named)
        self._database.execute(f"insert into billing.subscription_plans ({columns}) values ({values})", named)
        return key

    def edit(self, key: str, **terms: object) -> None:
        """Change columns of a plan."""
        changes = ", ".join(f"{name} = %({name})s" for name in terms)
        sql = f"update billing.subscription_plans set {changes} where key = %(key)s"
        self._database.execute(sql, {**terms, "key": key})


@dataclass
class PaidSubscription:
    """A subscription with a Stripe id, whose invoices and cancellations a test books as the webhook does."""

    story: Story
    database: psycopg.Connection[Row]
    subscription_id: str

    @classmethod
    def open(cls, story: Story, database: psycopg.Connection[Row], plan: str) -> PaidSubscription:
        """Insert the copy of Stripe's subscription."""
        row = database.execute(
            "insert into billing.subscriptions (organization_id, stripe_subscription_id, plan_id, status)"
            " select %s, %s, p.id, 'active' from billing.subscription_plans as p where p.key = %s"
            " returning id",
            (story.organization_id, f"sub_{secrets.token_hex(8)}", plan),
        ).fetchone()
        assert row
        return cls(story, database, str(row["id"]))

    def call(self, function: str, *arguments: object, **named: object) -> Any:
        """Call a body of billing_private with the organization and the subscription before `arguments`."""
        placeholders = ", ".join(["%s"] * (2 + len(arguments)) + [f"{name} => %s" for name in named])
        row = self.database.execute(
            f"select to_jsonb(r) as answer from billing_private.{function}({placeholders}) as r",
            (self.story.organization_id, self.subscription_id, *arguments, *named.values()),
        ).fetchone()
        return row["answer"] if row else None

    def renew(self, start: datetime, end: datetime, **named: object) -> Any:
        """Book a paid invoice for [start, end)."""
        return self.call("renew_subscription", start, end, **named)

    def ends(self, at: datetime | None) -> None:
        """Book what a cancellation (at the end, at once) or its undoing leads to."""
        self.database.execute(
            "update billing.subscriptions set ends_at = %s where id = %s", (at, self.subscription_id)
        )
        self.call("set_subscription_end", at)


def start_free(story: Story, plan: str, **arguments: object) -> Row:
    """Put the story's organization on a free plan; an anchor may be a datetime."""
    if isinstance(arguments.get("anchor"), datetime):
        arguments["anchor"] = arguments["anchor"].isoformat()  # type: ignore[attr-defined]
    answer: Row = story.api.call(
        "start_free_subscription", organization_id=story.organization_id, plan_key=plan, **arguments
    ).accepted()
    return answer


def grants(story: Story, source: str) -> list[Row]:
    """Return the story's grants of a source, oldest first."""
    rows: list[Row] = story.api.select(
        f"credit_grants?organization_id=eq.{story.organization_id}&source=eq.{source}"
        "&order=effective_at,created_at,amount.desc"
    ).accepted()
    return rows


def moved(story: Story, kind: str, reason: str | None = None) -> Any:
    """Return the sum of the ledger's entries of a kind."""
    return sum(
        entry["amount"]
        for entry in story.entries()
        if entry["kind"] == kind and reason in (None, entry["reason"])
    )


def rolled(story: Story) -> Any:
    """Return how much has rolled over so far."""
    return sum(grant["amount"] for grant in grants(story, "rollover"))


MONTH = (day(0), day(31), day(59), day(90), day(120))
