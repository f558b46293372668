"""Very many open grants of one organization, written as `grant_credits` would write them, only faster."""

from __future__ import annotations

from typing import Any

import psycopg

_LOTS = """
insert into billing_private.credit_grant_lots (
  organization_id, source, source_reference, amount, remaining, effective_at, expires_at, activated_at,
  created_at, transaction_id
)
select
  o.organization_id, 'adjustment', 'many-' || lpad(i::text, 10, '0'), %(amount)s, %(amount)s, w.now,
  w.now + interval '1 year' + i * interval '1 second', w.now, w.now,
  billing_private.transaction_id(o.ledger_number, t.sequence + i)
from billing.organizations as o
cross join billing_private.ledger_tail(o.organization_id) as t
cross join (select clock_timestamp() as now) as w
cross join generate_series(1, %(count)s::bigint) as i
where o.organization_id = %(organization_id)s
"""
_ENTRIES = """
insert into billing.credit_transactions (
  organization_id, sequence, created_at, turn_at, id, has_scoped_grants, kind, amount, balance_after,
  grant_ids, grant_amounts, reason, metadata
)
select
  g.organization_id, billing_private.transaction_sequence(g.transaction_id), g.created_at, '-infinity',
  g.transaction_id, false, 'grant', g.amount, sum(g.amount) over (order by g.source_reference),
  array[g.id], array[g.amount::numeric], g.source, '{}'
from billing_private.credit_grant_lots as g
where g.organization_id = %(organization_id)s
order by g.source_reference
"""


def write_grants(connection: psycopg.Connection[Any], organization_id: str, count: int, amount: int) -> None:
    """Give a new organization so many grants, each with an expiry of its own, a year ahead.

    Args:
        connection: of the schema's owner, in autocommit.
        organization_id: of an organization without a ledger entry.
        count: how many grants.
        amount: credits of each.
    """
    values = {"organization_id": organization_id, "count": count, "amount": amount}
    with connection.transaction():
        connection.execute(_LOTS, values)
        connection.execute(_ENTRIES, values)
    connection.execute("analyze billing_private.credit_grant_lots")
