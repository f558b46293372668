"""A cast with what a rightful call refers to: an invitation, a code, a pack, an event."""

from __future__ import annotations

import json
import re

from tests.security.cast import Cast, make_cast
from tests.security.catalogue import Database
from tests.security.matrix import FunctionRule


def prepared_cast(database: Database, rule: FunctionRule) -> Cast:
    """Return a new cast with what the rule's call refers to."""
    needed = set(re.findall(r"{(\w+)}", json.dumps(rule.arguments)))
    cast = make_cast(database, furnished=bool(needed & {"checkout", "nonce"}))
    for name in needed & set(_PREPARATIONS):
        parameters = {"acme": cast.acme, "stranger": cast.users["stranger"]}
        row = database.execute(_PREPARATIONS[name], parameters).fetchone()
        assert row is not None
        cast.ids[name] = str(row["id"])
    return cast


_PREPARATIONS = {
    "asking_run": """
        select l.subject_id as id
        from billing.set_credit_limit('run', 'asks', 0, 'lifetime', 'ask', organization_id => %(acme)s) as l
    """,
    "approval": """
        select billing_private.approval_id(o.ledger_number, l.id, '-infinity', 'call:') as id
        from billing.organizations as o,
          billing.set_credit_limit('run', 'asks', 0, 'lifetime', 'ask', organization_id => %(acme)s) as l
        where o.organization_id = %(acme)s
    """,
    "invitation_token": """
        select i.token as id
        from auth.users as u, billing.invite_member(%(acme)s, u.email, 'member') as i
        where u.id = %(stranger)s
    """,
    "invitation": """
        select i.invitation_id as id
        from billing.invite_member(%(acme)s, 'waits@security.test', 'member') as i
    """,
    "promotion_code": """
        select (billing.create_promotion_code('CODE-' || upper(md5(%(acme)s::text)), 5)).code as id
    """,
    "free_organization": """
        select (billing.start_free_subscription(%(acme)s, plan_key => 'free')).organization_id as id
    """,
    "package": "select id from billing.credit_packages where is_active limit 1",
    "event": """
        select (billing.record_stripe_event_failure(
          jsonb_build_object('id', 'evt_' || md5(%(acme)s::text), 'type', 'x', 'livemode', false,
            'created', 1),
          'x', 9)).event_id as id
    """,
}

#: What it can prepare: names in `arguments` of the matrix.
PREPARED = frozenset(_PREPARATIONS)
