"""A person is erased: no table keeps their name or address, they may nothing more, the ledger stays."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from supabase import AuthError, Client
from tests.conftest import StackUnderTest
from tests.security.cast import make_cast
from tests.security.catalogue import Database
from tests.security.conftest import CallersOf

_TEXTS = """
select c.oid::regclass::text as name from pg_class as c
where c.relkind in ('r', 'p') and not c.relispartition
  and c.relnamespace in ('billing'::regnamespace, 'billing_private'::regnamespace)
"""


def _places(database: Database, text: str) -> list[str]:
    """Every table of the product in a row of which a text stands."""
    tables = [row["name"] for row in database.execute(_TEXTS)]
    query = "select count(*) as n from {} as t where t::text ilike %s"
    found = []
    for table in tables:
        row = database.execute(query.format(table).encode(), (f"%{text}%",)).fetchone()
        if row is not None and row["n"]:
            found.append(table)
    return found


def test_nothing_by_which_a_person_is_known_is_left(
    owner_session: Database, callers_of: CallersOf, stack: StackUnderTest, secret_client: Client
) -> None:
    cast = make_cast(owner_session)
    callers = callers_of(cast)
    name, member = f"ada-{secrets.token_hex(6)}", str(cast.users["member"])
    address = f"{name}@security.test"
    owner_session.execute("update auth.users set email = %s where id = %s", (address, member))
    wish = {"organization_id": cast.globex, "email": address.upper(), "role": "member"}
    invitation = callers["stranger"].call("invite_member", wish)
    assert invitation.status == 200
    owner_session.execute(
        "insert into billing.notification_channels (organization_id, kind, target) values (%s, 'email', %s)",
        (cast.acme, address),
    )
    owner_session.execute(
        "insert into billing.customers (organization_id, stripe_customer_id, email, name) "
        "values (%s, 'cus_' || md5(%s), %s, %s)",
        (cast.acme, name, address, name),
    )
    paid = {"object": {"customer": "cus_1", "customer_details": {"email": address.title(), "name": name}}}
    owner_session.execute(
        "insert into billing_private.stripe_events (id, type, livemode, status, payload, created_at) "
        "values ('evt_' || md5(%s), 'checkout.session.completed', false, 'processed', %s, now())",
        (name, Jsonb({"id": "evt_1", "data": paid, "list": [1, "a", None]})),
    )
    entries = (
        "select t.user_id, t::text from billing.credit_transactions as t "
        "where t.organization_id = %s order by t.sequence"
    )
    before = owner_session.execute(entries, (cast.acme,)).fetchall()
    assert any(str(entry["user_id"]) == member for entry in before)
    assert _places(owner_session, name) != []

    erased = callers["service"].call("erase_user", {"user_id": member, "reason": "as they asked"})
    assert erased.body == {"memberships": 1, "invitations": 1, "channels": 1, "customers": 1}
    assert _places(owner_session, name) == []
    event: Any = owner_session.execute(
        "select payload from billing_private.stripe_events where id = 'evt_' || md5(%s)", (name,)
    ).fetchone()
    kept = {"object": {"customer": "cus_1", "customer_details": None}}
    assert event["payload"] == {"id": "evt_1", "data": kept, "list": [1, "a", None]}
    balance = callers["member"].call("get_credit_balance", {"organization_id": cast.acme})
    assert balance.slug == "not_authorized"
    assert callers["member"].get("credit_usage").body == []
    taken = callers["member"].call("accept_invitation", {"token": invitation.body["token"]})
    assert taken.slug == "not_found"
    again = callers["service"].call("erase_user", {"user_id": member})
    assert set(again.body.values()) == {0}

    secret_client.auth.admin.delete_user(member)
    assert callers["service"].call("erase_user", {"user_id": member}).slug == "not_found"
    assert owner_session.execute(entries, (cast.acme,)).fetchall() == before
    assert owner_session.execute("select * from billing.verify_ledger(%s)", (cast.acme,)).fetchall() == []
    log = (
        "select actor_type, subject_type, before is not null as had, after is not null as has "
        "from billing.audit_log where reason = 'as they asked' and organization_id = %s order by id"
    )
    assert [tuple(row.values()) for row in owner_session.execute(log, (cast.acme,))] == [
        ("service", "member", True, False),
        ("service", "notification_channel", True, False),
        ("service", "customer", False, True),
    ]
    assert [tuple(row.values()) for row in owner_session.execute(log, (cast.globex,))] == [
        ("service", "invitation", True, True)
    ]


def test_an_address_that_has_no_account_is_erased_too(owner_session: Database, callers_of: CallersOf) -> None:
    cast = make_cast(owner_session)
    callers = callers_of(cast)
    name = f"grace-{secrets.token_hex(6)}"
    wish = {"organization_id": cast.acme, "email": f"{name}@security.test", "role": "member"}
    assert callers["owner"].call("invite_member", wish).status == 200
    assert _places(owner_session, name) != []
    question = {"email": f"{name.upper()}@Security.test", "reason": "as they asked"}
    erased = callers["service"].call("erase_address", question)
    assert erased.body == {"memberships": 0, "invitations": 1, "channels": 0, "customers": 0}
    assert _places(owner_session, name) == []
    log = "select * from billing.audit_log where action = 'erase_address' and organization_id = %s"
    row: Any = owner_session.execute(log, (cast.acme,)).fetchone()
    assert (row["actor_type"], row["subject_type"], row["reason"]) == (
        "service",
        "invitation",
        "as they asked",
    )
    assert callers["owner"].call("erase_address", question).slug == "42501"


def test_an_account_that_the_auth_server_deletes_takes_its_memberships_along(
    owner_session: Database, callers_of: CallersOf, secret_client: Client
) -> None:
    cast = make_cast(owner_session)
    caller, member = callers_of(cast)["billing"], str(cast.users["billing"])
    assert len(caller.get("organizations").body) == 1
    secret_client.auth.admin.delete_user(member)
    assert caller.get("organizations").body == []
    log = "select * from billing.audit_log where action = 'delete_user' and organization_id = %s"
    row: Any = owner_session.execute(log, (cast.acme,)).fetchone()
    assert (row["actor_type"], row["subject_id"]) == ("service", member)
    with pytest.raises(AuthError):
        secret_client.auth.admin.delete_user(str(cast.users["owner"]))
    assert len(callers_of(cast)["owner"].get("organizations").body) == 1


def test_the_last_owner_of_an_organization_is_not_erased(
    owner_session: Database, callers_of: CallersOf
) -> None:
    cast = make_cast(owner_session)
    callers = callers_of(cast)
    owner = str(cast.users["owner"])
    refused = callers["service"].call("erase_user", {"user_id": owner})
    assert (refused.status, refused.slug) == (409, "conflict")
    assert len(callers["owner"].get("organizations").body) == 1
    heir = {"organization_id": cast.acme, "user_id": cast.users["admin"], "role": "owner"}
    assert callers["owner"].call("set_member_role", heir).status == 200
    assert callers["service"].call("erase_user", {"user_id": owner}).body["memberships"] == 1


def test_nobody_but_the_service_erases(owner_session: Database, callers_of: CallersOf) -> None:
    cast = make_cast(owner_session)
    for name, caller in callers_of(cast).items():
        if name != "service":
            answer = caller.call("erase_user", {"user_id": cast.users["member"]})
            assert answer.slug == "42501", name
