"""Two calls at once, in a written order: the second waits for the first, and then sees what it did.

test_locks.py asks which lock a rightful call holds when it is done; here are those whose lock such a call
does not show: functions behind the API that each take it themselves, whoever calls them, and rows. The
schema's owner calls them as their callers do. A test is named by the function whose lock it is about:
tests/security/mutation goes by that.
"""

from __future__ import annotations

import json
import time
from string import Template
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.conftest import StackUnderTest
from tests.security.cast import Cast, make_cast, speak
from tests.security.catalogue import Database
from tests.tenancy.sessions import Waiting, two_sessions

QUEUE_IS_FULL = ("PT429", "busy")
#: How long a call waits for an organization.
LOCK_SECONDS = 2.0


def _sync(function: str, kind: str, **facts: object) -> str:
    """A call of what applies Stripe's facts."""
    text = json.dumps({"livemode": False, **facts})
    return (
        f"select (billing_private.{function}(jsonb_populate_record(null::billing_private.{kind}, '{text}')))"
    )


_MEMBERS = json.dumps([{"user_id": "$owner", "role": "owner"}])
#: Function → a call of it that changes `$acme`, `$bare`, which has nothing yet, or `$mirrored`.
CHANGES = {
    "apply_reversals_of": "select billing_private.apply_reversals_of('$bare')",
    "drop_cards": "select billing_private.drop_cards('$bare', now())",
    "end_membership": (
        "delete from billing.organization_members where organization_id = '$acme' and user_id = '$member'"
    ),
    "fail_auto_topup": "select billing_private.fail_auto_topup('$acme', gen_random_uuid(), 'x', 'x')",
    "follow_default_card": "select billing_private.follow_default_card('$bare', 'pm_unknown')",
    "lift_restriction": "select billing_private.lift_restriction('$bare', 'paused')",
    "lock_organization": "select billing_private.lock_organization('$bare')",
    "lock_organizations_of_person": (
        "select billing_private.lock_organizations_of_person('$member', null) -- of $acme"
    ),
    "set_restriction": "select billing_private.set_restriction('$bare', 'paused', null)",
    "settle_organization": "select billing_private.settle_organization('$bare', now())",
    "sync_invoice": _sync("sync_invoice", "invoice_facts", stripe_customer_id="cus_$nonce"),
    "sync_payment_intent": _sync(
        "sync_payment_intent",
        "payment_facts",
        stripe_customer_id="cus_$nonce",
        organization_id="$acme",
        checkout_session_id="$checkout",
        status="canceled",
    ),
    "sync_payment_method": _sync(
        "sync_payment_method",
        "payment_method_facts",
        stripe_customer_id="cus_$nonce",
        stripe_payment_method_id="pm_$nonce",
        type="card",
        fetched_at="2026-01-01T00:00:00Z",
    ),
    "sync_reversals": _sync(
        "sync_reversals", "reversal_facts", stripe_payment_intent_id="pi_$nonce", refunds=[], disputes=[]
    ),
    "sync_subscription": _sync(
        "sync_subscription",
        "subscription_facts",
        stripe_customer_id="cus_$nonce",
        stripe_subscription_id="sub_$nonce",
        status="incomplete",
    ),
    "sync_topup": """
        select billing_private.sync_topup(jsonb_populate_record(null::billing_private.payment_facts,
          jsonb_build_object('organization_id', t.organization_id, 'topup_id', t.id,
            'stripe_customer_id', t.stripe_customer_id, 'amount', -1)))
        from billing.auto_topup_attempts as t where t.organization_id = '$acme'
    """,
    "sync_organization": f"select billing.sync_organization('$mirrored', 'Mirrored', '{_MEMBERS}')",
    "take_checkout_of": _sync("take_checkout_of", "checkout_facts", stripe_session_id="cs_$nonce"),
    "wait_for_lock": """
        select billing_private.wait_for_lock(o.ledger_number)
        from billing.organizations as o where o.organization_id = '$bare'
    """,
}
_EVENT = """'{"id": "evt_$nonce", "type": "invoice.paid", "livemode": false, "created": 1,
  "data": {"object": {"id": "in_$nonce"}}}'"""
_TAKE_EVENT = "select 1 from billing_private.stripe_events where id = 'evt_$nonce' for update"
_EVENTS = json.dumps([{"agent_type": "$agent_type", "action": "paint"}] * 2)
#: Function → a row, and a call that waits for who holds it, even where it then finds nothing to change.
ROWS = {
    "apply_reversals": (
        "select id from billing.payments where organization_id = '$acme' for update",
        "select billing_private.apply_reversals(p.organization_id, p.id)"
        " from billing.payments as p where p.organization_id = '$acme'",
    ),
    "claim_customer": (
        "select billing_private.claim_customer('$acme', 'pays@security.test', false)",
        "select billing_private.claim_customer('$acme', 'pays@security.test', false)",
    ),
    "fold_usage": (
        "select 1 from billing_private.credit_usage_watermarks where organization_id = '$acme' for update",
        "select billing_private.fold_usage('$acme')",
    ),
    "replay_stripe_events": (_TAKE_EVENT, "select billing.replay_stripe_events('evt_$nonce')"),
    "sync_topup": (
        "select id from billing.auto_topup_attempts where organization_id = '$acme' for update",
        CHANGES["sync_topup"],
    ),
    "take_stripe_event": (_TAKE_EVENT, f"select billing_private.take_stripe_event({_EVENT})"),
}
#: Spends whose terms are remembered, by the service.
SPENDS = {
    "consume_credits": "select billing.consume_credits('$agent_type', 'paint', organization_id => '$acme')",
    "consume_batch_at_once": (
        f"select billing.consume_credits_batch('{_EVENTS}', organization_id => '$acme')"
    ),
}
_LOCK = """
    select pg_advisory_xact_lock(o.ledger_number)
    from billing.organizations as o where o.organization_id = '$of'
"""


@pytest.fixture(scope="module")
def cast(owner_session: Database) -> Cast:
    """The cast, and an organization that has nothing."""
    made = make_cast(owner_session, furnished=True)
    query = "select (billing.create_organization('Bare', %s)).organization_id as id"
    row = owner_session.execute(query, (made.users["owner"],)).fetchone()
    assert row is not None
    made.ids |= {"bare": str(row["id"]), "mirrored": str(uuid4())}
    owner_session.execute(_filled(made, CHANGES["sync_organization"]).encode())
    return made


def _filled(cast: Cast, statement: str, **more: object) -> str:
    people = {name: str(user_id) for name, user_id in cast.users.items()}
    named = people | cast.ids | {"acme": str(cast.acme), "globex": str(cast.globex)}
    return Template(statement).substitute({**named, **more})


def _value(database: Database, statement: str) -> Any:
    row = database.execute(statement.encode()).fetchone()
    return None if row is None else next(iter(row.values()))


def _second(
    stack: StackUnderTest, database: Database, first: str, second: str, user_id: UUID | None = None
) -> tuple[Any, Any]:
    """Return what two calls answer, the second of which waits until the first one's transaction ends."""
    with two_sessions(stack.database_url, user_id, user_id) as (one, two):
        assert one.call(first) is None
        waiting = Waiting(database, two, second)
        one.commit()
        assert waiting.outcome() is None
        two.commit()
        return one.answer, two.answer


def _waits(stack: StackUnderTest, database: Database, held: str, call: str) -> None:
    """The call waits for what somebody holds; nothing of it stays."""
    with two_sessions(stack.database_url, None, None) as (one, two):
        assert one.call(held) is None
        waiting = Waiting(database, two, call)
        one.commit()
        waiting.outcome()


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_an_organization_waits_for_who_is_changing_it(
    name: str, cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    change = CHANGES[name]
    changed = next(word for word in ("$bare", "$mirrored", "$acme", "$nonce") if word in change)
    organization = _filled(cast, changed if changed != "$nonce" else "$acme")
    _waits(stack, owner_session, _filled(cast, _LOCK, of=organization), _filled(cast, change))


@pytest.mark.parametrize("name", ROWS)
def test_who_takes_a_row_waits_for_who_has_it(
    name: str, failed_event: str, cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    forget = "update billing_private.stripe_events set facts = null where id = %s"
    owner_session.execute(forget.encode(), (failed_event,))
    owner_session.execute(b"select billing_private.fold_usage(%s)", (cast.acme,))
    held, call = ROWS[name]
    _waits(stack, owner_session, _filled(cast, held), _filled(cast, call))


@pytest.mark.parametrize("name", SPENDS)
def test_a_spend_whose_terms_are_remembered_waits_for_the_organization(
    name: str, cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    spend = _filled(cast, SPENDS[name])
    for _ in range(2):
        with owner_session.transaction():
            speak(owner_session, cast, "service")
            owner_session.execute(spend.encode())
            speak(owner_session, cast, "")
    with two_sessions(stack.database_url, None, None) as (one, two):
        assert one.call(_filled(cast, _LOCK, of=cast.acme)) is None
        assert two.call("select set_config('role', 'service_role', true)") is None
        waiting = Waiting(owner_session, two, spend)
        one.commit()
        assert waiting.outcome() is None


def test_wait_for_lock_refuses_at_once_where_all_places_in_the_queue_are_taken(
    cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    places = """
        select pg_advisory_xact_lock((o.ledger_number % 2147483647)::integer, p.place)
        from billing.organizations as o,
          generate_series(0, billing_private.setting('queue_places', '64')::integer - 1) as p (place)
        where o.organization_id = '$bare'
    """
    with two_sessions(stack.database_url, None, None) as (one, two):
        assert one.call(_filled(cast, _LOCK, of=cast.ids["bare"])) is None
        assert one.call(_filled(cast, places)) is None
        began = time.monotonic()
        assert two.call(_filled(cast, CHANGES["wait_for_lock"])) == QUEUE_IS_FULL
        assert time.monotonic() - began < LOCK_SECONDS


def test_settle_due_organizations_leaves_alone_who_is_being_changed(
    cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    owner_session.execute(
        _filled(
            cast,
            "select billing.grant_credits('$bare', 1, 'promotion', 'short', now() + interval '1 minute')",
        ).encode()
    )
    with two_sessions(stack.database_url, None, None) as (one, two):
        assert one.call(_filled(cast, _LOCK, of=cast.ids["bare"])) is None
        due = "select (billing_private.settle_due_organizations(now() + interval '2 minutes')).failed"
        assert two.call(due) is None
        assert two.answer == 0


def test_require_role_under_lock_asks_again_who_was_removed_while_waiting(
    cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    made = _filled(cast, "select (billing.create_organization('Bare', '$owner')).organization_id")
    organization, admin = _value(owner_session, made), cast.users["stranger"]
    owner_session.execute(
        b"insert into billing.organization_members (organization_id, user_id, role) values (%s, %s, 'admin')",
        (organization, admin),
    )
    with two_sessions(stack.database_url, None, admin) as (one, two):
        assert one.call(f"select billing.remove_member('{organization}', '{admin}')") is None
        waiting = Waiting(
            owner_session, two, f"select billing.create_department('{organization}', 'Too late')"
        )
        one.commit()
        assert waiting.outcome() == ("PT403", "not_authorized")


def test_require_request_rate_has_a_persons_calls_wait_for_one_another(
    cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    create = "select (billing.create_organization('One more')).organization_id"
    _second(stack, owner_session, create, create, cast.users["former_member"])


def test_open_reconciliation_waits_for_another_that_begins(
    owner_session: Database, stack: StackUnderTest
) -> None:
    begin = "select billing_private.open_reconciliation(false, false)"
    _second(stack, owner_session, begin, begin)


def test_fold_usage_folds_no_entry_twice(cast: Cast, owner_session: Database, stack: StackUnderTest) -> None:
    fold = _filled(cast, "select billing_private.fold_usage('$globex')")
    spend = _filled(
        cast,
        "select billing.consume_credits('$agent_type', 'do', amount => 1, organization_id => '$globex')",
    )
    owner_session.execute(spend.encode())
    _, folded = _second(stack, owner_session, fold, fold)
    assert folded == 0
    broken = _filled(cast, "select * from billing.verify_ledger('$globex')")
    assert owner_session.execute(broken.encode()).fetchall() == []


def test_rebuild_usage_waits_for_a_fold_and_counts_it_once(
    cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    spoil = "update billing.credit_usage_daily set amount = amount + 1 where organization_id = '$globex'"
    owner_session.execute(_filled(cast, spoil).encode())
    paint = "select billing.consume_credits('$agent_type', 'paint', organization_id => '$globex')"
    owner_session.execute(_filled(cast, paint).encode())
    fold = _filled(cast, "select billing_private.fold_usage('$globex')")
    _second(stack, owner_session, fold, _filled(cast, "select billing_private.rebuild_usage('$globex')"))
    broken = _filled(cast, "select * from billing.verify_ledger('$globex')")
    assert owner_session.execute(broken.encode()).fetchall() == []


_NOBODYS = """'{"kind": "payment_intent", "object": {"stripe_payment_intent_id": "pi_nobody"}}'"""


@pytest.fixture
def failed_event(cast: Cast, owner_session: Database) -> str:
    """An event that could not be applied, with what was read of it, due long ago."""
    failure = f"select billing.record_stripe_event_failure({_EVENT}, 'x', null, {_NOBODYS})"
    owner_session.execute(
        b"delete from billing_private.stripe_events where id = %s", (f"evt_{cast.ids['nonce']}",)
    )
    owner_session.execute(_filled(cast, failure).encode())
    due = "update billing_private.stripe_events set next_attempt_at = '2000-01-01' where id = 'evt_$nonce'"
    owner_session.execute(_filled(cast, due).encode())
    return f"evt_{cast.ids['nonce']}"


def test_take_stripe_event_lets_one_delivery_apply_what_failed_before(
    failed_event: str, cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    process = _filled(cast, f"select (billing.process_stripe_event({_EVENT}, {_NOBODYS}, false)).attempts")
    process_again = process.replace("attempts", "is_duplicate")
    first, is_duplicate = _second(
        stack, owner_session, process.replace(_NOBODYS, "null"), process_again.replace(_NOBODYS, "null")
    )
    assert (first, is_duplicate) == (2, True)
    attempts = "select attempts from billing_private.stripe_events where id = 'evt_$nonce'"
    assert _value(owner_session, _filled(cast, attempts)) == 2


def test_retry_stripe_events_leaves_to_others_what_they_are_at(
    failed_event: str, cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    take = _filled(cast, _TAKE_EVENT)
    with two_sessions(stack.database_url, None, None) as (one, two):
        assert one.call(take) is None
        assert two.call("select set_config('lock_timeout', '1s', true)") is None
        assert two.call("select billing_private.retry_stripe_events('2000-01-02')") is None
        state = "select attempts from billing_private.stripe_events where id = 'evt_$nonce'"
        assert two.call(_filled(cast, state)) is None
        assert two.answer == 1


def test_record_customer_keeps_the_first(cast: Cast, owner_session: Database, stack: StackUnderTest) -> None:
    claim = "select billing_private.claim_customer('$bare', 'pays@security.test', false)"
    owner_session.execute(_filled(cast, claim).encode())
    record = "select billing.record_customer('$bare', 'cus_$which$bare', 'pays@security.test', 'Bare', false)"
    first, second = _second(
        stack, owner_session, _filled(cast, record, which="first_"), _filled(cast, record, which="second_")
    )
    assert first == second == f"cus_first_{cast.ids['bare']}"


def test_claim_customer_waits_for_who_is_recording_one(
    cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    organization = _filled(cast, "select (billing.create_organization('Bare', '$owner')).organization_id")
    bare = _value(owner_session, organization)
    claim = (
        f"select (billing_private.claim_customer('{bare}', 'pays@security.test', false)).stripe_customer_id"
    )
    assert _value(owner_session, claim) is None
    record = f"select billing.record_customer('{bare}', 'cus_{bare}', 'pays@security.test', 'Bare', false)"
    assert _second(stack, owner_session, record, claim) == (f"cus_{bare}", f"cus_{bare}")


def test_renew_failed_customer_claim_replaces_a_key_once(
    cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    key = "select id from billing_private.customer_claims where organization_id = '$acme'"
    renew = _filled(
        cast,
        "select billing.renew_failed_customer_claim('$acme', '$key')",
        key=_value(owner_session, _filled(cast, key)),
    )
    with two_sessions(stack.database_url, None, None) as (one, two):
        assert one.call(renew) is None
        assert one.call(_filled(cast, key)) is None
        waiting = Waiting(owner_session, two, renew)
        one.commit()
        assert waiting.outcome() is None
        two.commit()
        assert _value(owner_session, _filled(cast, key)) == one.answer


def _checkout_without_session(cast: Cast, database: Database) -> str:
    """A checkout whose session is being made at Stripe."""
    new = """
        insert into billing.checkout_sessions
          (organization_id, id, mode, status, name, package_id, created_by)
        select '$acme', gen_random_uuid(), 'payment', 'creating', 'x', p.id, '$owner'
        from billing.credit_packages as p where p.is_active limit 1
        returning id
    """
    return str(_value(database, _filled(cast, new)))


_ATTACH = "select billing.attach_checkout_session('$acme', '$mine', 'cs_$which$mine', 'https://x', now())"


def test_attach_checkout_session_keeps_the_first(
    cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    mine = _checkout_without_session(cast, owner_session)
    first, second = _second(
        stack,
        owner_session,
        _filled(cast, _ATTACH, mine=mine, which="first_"),
        _filled(cast, _ATTACH, mine=mine, which="second_"),
    )
    assert first == second == f"cs_first_{mine}"


def test_take_checkout_of_takes_no_checkout_to_which_another_session_was_attached_meanwhile(
    cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    mine = _checkout_without_session(cast, owner_session)
    take = _sync(
        "take_checkout_of",
        "checkout_facts",
        stripe_session_id="cs_second_$mine",
        organization_id="$acme",
        checkout_session_id="$mine",
        client_reference_id="$mine",
        is_payment_link=False,
        stripe_customer_id="cus_$nonce",
    )
    _, taken = _second(
        stack,
        owner_session,
        _filled(cast, _ATTACH, mine=mine, which="first_"),
        _filled(cast, f"{take}.stripe_session_id", mine=mine),
    )
    assert taken is None
    attached = f"select stripe_session_id from billing.checkout_sessions where id = '{mine}'"
    assert _value(owner_session, attached) == f"cs_first_{mine}"


def test_set_subscription_plan_keeps_what_another_edit_named(
    cast: Cast, owner_session: Database, stack: StackUnderTest
) -> None:
    edit = "select (billing.set_subscription_plan('plan_$nonce', '$terms')).name"
    _, name = _second(
        stack,
        owner_session,
        _filled(cast, edit, terms='{"name": "Renamed"}'),
        _filled(cast, edit, terms='{"sort_order": 7}'),
    )
    assert name == "Renamed"


def test_open_hold_ledger_asks_again_who_was_removed_while_waiting(
    owner_session: Database, stack: StackUnderTest
) -> None:
    cast = make_cast(owner_session)
    with two_sessions(stack.database_url, None, cast.users["admin"]) as (one, two):
        assert one.call(_filled(cast, "select billing.remove_member('$acme', '$admin')")) is None
        waiting = Waiting(owner_session, two, _filled(cast, "select billing.release_hold('$hold')"))
        one.commit()
        assert waiting.outcome() == ("PT404", "not_found")
