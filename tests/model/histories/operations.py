"""What is written down of a concurrent history: each call with what its caller saw, and the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg

from ..database import Row
from ..entities import Refused, Spender
from .doors import Mark
from .world import Caller, Tenant

#: What agents of a type do, and what it costs when the caller does not say (by the seed).
ACTIONS = {"TestAgent": "test", "QAAgent": "answer_question"}
QA_PRICE = Decimal(5)
#: What is read of an entry.
ENTRY = """
    id, sequence, created_at, kind, reason, amount, balance_after, held_after, debt_after, head_grant_id,
    grant_ids, grant_amounts, hold_id, source_transaction_id, idempotency_key, limits
"""


@dataclass
class Operation:
    """One call of one caller. A call whose answer was lost counts as one with its repetitions.

    Attributes:
        caller: who called.
        function: of schema `billing`, or `configure` for an operator's change of a setting.
        arguments: what was sent.
        before: the mark before it was first sent.
        after: the mark after it was answered.
        answer: the answer, or the `Refused` that it was.
        within: its exact place, for calls that write no entry.
        was_lost: whether an earlier sending of it went unanswered.
    """

    caller: Caller
    function: str
    arguments: Mapping[str, Any]
    before: Mark
    after: Mark
    answer: Any
    within: Mark | None = None
    was_lost: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether the whole call was refused."""
        return isinstance(self.answer, Refused)

    def spender(self, event: Mapping[str, Any] | None = None) -> Spender:
        """Return for whom it spends: the caller, in the department that binds them or that they name."""
        told = self.arguments if event is None else event
        return Spender(
            self.caller.department or told.get("department_id"),
            told["agent_type"],
            self.caller.user_id,
            self.caller.agent_key,
            told.get("run_id"),
        )

    def cost(self, event: Mapping[str, Any] | None = None) -> Decimal:
        """Return what it costs before rounding."""
        named = (self.arguments if event is None else event).get("amount")
        return QA_PRICE if named is None else Decimal(named)

    def static_refusal(self) -> tuple[int, str] | None:
        """Return the refusal that this caller must get whatever the ledger says, if any."""
        if not self.caller.is_member:
            return (404, "not_found") if "hold_id" in self.arguments else (403, "not_authorized")
        allowed = self.caller.agent_types
        wanted = self.arguments.get("agent_type")
        if allowed and wanted is not None and wanted not in allowed:
            return 403, "not_authorized"
        return None

    def __str__(self) -> str:
        arguments = {k: str(v) for k, v in self.arguments.items() if v is not None}
        return (
            f"{self.caller.name}: {self.function}({arguments}) between {self.before.sequence} and"
            f" {self.after.sequence}{' (answers lost)' if self.was_lost else ''} -> {self.answer!r}"
        )


@dataclass
class History:
    """All calls on one tenant."""

    tenant: Tenant
    operations: list[Operation] = field(default_factory=list)


@dataclass
class Evidence:
    """The ledger that a history left.

    Attributes:
        entries: in order of their sequence.
        hold_keys: idempotency keys of holds, by hold id.
        references: source references of grants, by grant id.
        remains: what each grant has left, and what of it is held.
        settled_at: up to when all that fell due is booked.
    """

    entries: list[Row]
    hold_keys: dict[str, str | None]
    references: dict[str, str]
    remains: dict[str, tuple[Decimal, Decimal]]
    settled_at: datetime


def gather(connection: psycopg.Connection[Row], tenant: Tenant) -> Evidence:
    """Book what has fallen due in a tenant at rest, and read its ledger."""
    organization_id = tenant.organization_id

    def rows(query: str) -> list[Row]:
        return connection.execute(query.encode(), (organization_id,)).fetchall()

    now = rows("select clock_timestamp() as now, %s::uuid")[0]["now"]
    connection.execute("select billing_private.settle_organization(%s, %s)", (organization_id, now))
    # One snapshot, and the grants as stored: the view shows them as they are when it is read, a moment later.
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        entries = rows(
            f"select {ENTRY} from billing.credit_transactions where organization_id = %s order by sequence"
        )
        holds = rows("select id, idempotency_key from billing.credit_holds where organization_id = %s")
        grants = rows(
            """
            select g.id, g.source_reference, g.held,
              case when g.id = t.head_grant_id then g.held + t.head_available else g.remaining end
                as remaining
            from billing_private.credit_grant_lots as g, billing_private.ledger_tail(g.organization_id) as t
            where g.organization_id = %s
            """
        )
    return Evidence(
        entries,
        {str(row["id"]): row["idempotency_key"] for row in holds},
        {str(row["id"]): row["source_reference"] for row in grants},
        {str(row["id"]): (row["remaining"], row["held"]) for row in grants},
        now,
    )
