"""What must be the same in the end: ledger, payments, subscriptions, what the organization may do."""

from __future__ import annotations

from typing import Any

import psycopg

Json = dict[str, Any]

#: Grants that the ledger makes by itself are named by ids of their own; those that were paid for by Stripe's.
_REFERENCE = "case when source not in ('rollover', 'refund') then source_reference end as reference"

#: Everything that a customer or an accountant can see, without ids and without the times of our own writing.
_QUERIES = {
    "balance": "select balance::text, held::text, debt::text, available::text, is_blocked, restricted_reason "
    "from billing.credit_balances where organization_id = %(organization)s",
    # When a grant ended of which nothing is left is nobody's business any more.
    "grants": f"select source, {_REFERENCE}, amount::text, remaining::text, priority, "
    "case when remaining > 0 then expires_at end::text as expires_at "
    "from billing.credit_grants where organization_id = %(organization)s order by 1, 2, 3, 4, 5, 6",
    # What was taken back and given again meanwhile, because somebody read early, nets out.
    "movements": "select case when t.kind in ('clawback', 'reinstate') then 'reversal' else t.kind end, "
    f"source, {_REFERENCE}, sum(m.amount)::text as amount "
    "from billing.credit_transactions as t "
    "cross join lateral unnest(t.grant_ids, t.grant_amounts) as m (grant_id, amount) "
    "join billing_private.credit_grant_lots as g "
    "on g.organization_id = t.organization_id and g.id = m.grant_id "
    "where t.organization_id = %(organization)s and t.kind <> 'schedule' "
    "group by 1, 2, 3 having sum(m.amount) <> 0 order by 1, 2, 3",
    "payments": "select kind, status, amount, amount_refunded, currency, credits::text, disputed, "
    "card_last4, failure_code, stripe_payment_intent_id, stripe_charge_id, stripe_invoice_id, "
    "receipt_url is not null as receipt "
    "from billing.payments where organization_id = %(organization)s order by stripe_payment_intent_id",
    "subscriptions": "select status, plan_id::text, next_plan_id::text, current_period_start::text, "
    "current_period_end::text, trial_end::text, cancel_at::text, ends_at::text, ended_at::text, "
    "past_due_since::text, pause_behavior from billing.subscriptions "
    "where organization_id = %(organization)s order by stripe_subscription_id",
    "invoices": "select stripe_invoice_id, status, billing_reason, amount_paid, amount_remaining, total "
    "from billing.invoices where organization_id = %(organization)s order by 1",
    "checkouts": "select stripe_session_id, status from billing.checkout_sessions "
    "where organization_id = %(organization)s order by 1",
    "reversals": "select "
    "(select count(*) from billing.refunds where organization_id = %(organization)s) as refunds, "
    "(select json_agg(status order by stripe_dispute_id) from billing.disputes "
    "where organization_id = %(organization)s) as disputes",
    "restrictions": "select reason from billing_private.organization_restrictions "
    "where organization_id = %(organization)s order by 1",
    "violations": "select invariant, expected, actual from billing.verify_ledger(%(organization)s)",
}

#: In one round trip.
_ALL = "select jsonb_build_object({}) as books".format(
    ", ".join(
        f"'{name}', (select coalesce(jsonb_agg(to_jsonb(b)), '[]') from ({query}) as b)"
        for name, query in _QUERIES.items()
    )
)


def read_books(database: psycopg.Connection[Json], organization_id: str) -> Json:
    """Return the organization's books, in a form that can be compared.

    Args:
        database: a session as `postgres`.
        organization_id: whose.
    """
    row = database.execute(_ALL, {"organization": organization_id}).fetchone()
    assert row is not None
    return dict(row["books"])
