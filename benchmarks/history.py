"""A ledger with a past: very many consumptions of one organization, written as the spend would write them.

For benchmarks and tests at scale. Every invariant of the ledger holds of what is written, as `verify_ledger`
says; it is only faster than spending, because it takes no lock for each entry and asks for no price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

_ENTRIES_A_STATEMENT = 250_000
_SPARE_CREDITS = 1_000_000_000

# Entry i of n is dated evenly between the ends; what it is about follows from hashes of i, so that a history
# is the same each time. The running balance starts from the tail; one grant pays for all.
_WRITE = """
insert into billing.credit_transactions (
  organization_id, sequence, created_at, turn_at, id, head_grant_id, department_id, user_id,
  has_scoped_grants, kind, amount, balance_after, held_after, debt_after, head_available, requested_amount,
  agent_type, action, run_id, idempotency_key, price_ids, metadata
)
select
  %(organization_id)s, %(tail)s + e.i, %(since)s::timestamptz + (%(done)s + e.i) * %(step)s::interval,
  'infinity',
  (lpad(to_hex(%(ledger_number)s::bigint), 12, '0') || '8000'
    || to_hex((%(tail)s + e.i) | (-9223372036854775808)))::uuid,
  %(grant_id)s,
  (%(departments)s::uuid[])[1 + e.department %% nullif(cardinality(%(departments)s::uuid[]), 0)],
  null, false, 'consume', -e.amount, %(balance)s - e.spent, 0, 0, %(balance)s - e.spent, e.amount,
  (%(agent_types)s::text[])[1 + e.department %% cardinality(%(agent_types)s::text[])], 'test',
  'run-' || ((%(done)s + e.i) / %(entries_a_run)s), 'history-' || lpad((%(done)s + e.i)::text, 10, '0'),
  %(price_ids)s,
  jsonb_build_object(
    'model', (%(models)s::text[])[1 + abs(hashint8(e.i + 3)::bigint) %% cardinality(%(models)s::text[])])
from (
  select i, amount, department, sum(amount) over (order by i) as spent
  from (
    select i, 0.01 + (abs(hashint8(i + %(done)s)::bigint) %% 1000)::numeric / 100 as amount,
      abs(hashint8((i + %(done)s) / %(entries_a_run)s)::bigint) %% 1000000 as department
    from generate_series(1, %(count)s::bigint) as i
  ) as amounts
) as e
order by e.i
"""


@dataclass(frozen=True)
class Shape:
    """What a history is about.

    Attributes:
        departments: of the organization; runs are spread over them evenly. None: none is charged.
        agent_types: names of agents; each department works with one of them, which does `test`.
        models: `metadata.model`.
        entries_a_run: so many consecutive spends are one run.
    """

    departments: Sequence[UUID] = ()
    agent_types: Sequence[str] = ("TestAgent", "Researcher", "Writer", "Painter")
    models: Sequence[str] = ("model-a", "model-b", "model-c")
    entries_a_run: int = field(default=20)


def write_history(
    connection: psycopg.Connection[Any],
    organization_id: UUID | str,
    entries: int,
    since: datetime,
    until: datetime,
    shape: Shape | None = None,
    *,
    analyze: bool = True,
) -> None:
    """Give a new organization one grant and so many consumptions, dated evenly in [since, until).

    Usage is left unfolded; `run_due_jobs` or `billing_private.fold_usage` folds it.

    Args:
        connection: of the schema's owner, in autocommit.
        organization_id: of an organization without a ledger entry or test clock.
        entries: how many consumptions.
        since: date of the grant, and where consumptions begin.
        until: in the past, and after `since`.
        shape: what the consumptions are about.
        analyze: whether the planner is told at once, as autovacuum would tell it; takes seconds.

    Raises:
        ValueError: the dates are not in order, or not past.
    """
    if not since < until <= datetime.now(UTC):
        raise ValueError("since < until <= now")
    shape = shape or Shape()
    connection.execute("select billing.advance_test_clock(%s, %s)", (organization_id, since))
    connection.execute(
        "select billing.grant_credits(%s, %s, 'adjustment', 'history')", (organization_id, _SPARE_CREDITS)
    )
    connection.execute(
        "update billing.organizations set test_clock = null where organization_id = %s", (organization_id,)
    )
    step = timedelta(microseconds=(until - since) // timedelta(microseconds=1) // (entries + 1))
    done = 0
    while done < entries:
        count = min(_ENTRIES_A_STATEMENT, entries - done)
        _write_some(connection, organization_id, count, done, since, step, shape)
        done += count
    connection.execute(
        "insert into billing_private.credit_usage_active (organization_id) values (%s)"
        " on conflict do nothing",
        (organization_id,),
    )
    if analyze:
        connection.execute("analyze billing.credit_transactions")


def _write_some(
    connection: psycopg.Connection[Any],
    organization_id: UUID | str,
    count: int,
    done: int,
    since: datetime,
    step: timedelta,
    shape: Shape,
) -> None:
    tail = connection.execute(
        """
        select t.sequence, t.balance_after, o.ledger_number, g.id, array(
          select c.id from billing.agent_action_costs as c
          where c.agent_type = 'TestAgent' and c.action = 'test' and c.organization_id is null
        )
        from billing.organizations as o
        cross join billing_private.ledger_tail(o.organization_id) as t
        inner join billing_private.credit_grant_lots as g
          on g.organization_id = o.organization_id and g.source_reference = 'history'
        where o.organization_id = %s
        """,
        (organization_id,),
    )
    tail.row_factory = psycopg.rows.tuple_row
    row = tail.fetchone()
    assert row is not None
    connection.execute(
        _WRITE,
        {
            "organization_id": organization_id,
            "tail": row[0],
            "balance": row[1],
            "ledger_number": row[2],
            "grant_id": row[3],
            "price_ids": row[4],
            "since": since,
            "step": step,
            "done": done,
            "count": count,
            "departments": list(shape.departments),
            "agent_types": list(shape.agent_types),
            "models": list(shape.models),
            "entries_a_run": shape.entries_a_run,
        },
    )
