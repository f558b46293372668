"""Two people change one organization at once, in a written order: each call sees how the other ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.conftest import Organization, StackUnderTest, User
from tests.tenancy.sessions import Waiting, two_sessions

Database = psycopg.Connection[dict[str, Any]]
LAST_OWNER = ("PT409", "conflict")
NOT_AUTHORIZED = ("PT403", "not_authorized")
_LEAVE = "select billing.leave_organization(%s)"
_DEMOTE = "select billing.set_member_role(%s, %s, 'member')"
_REMOVE = "select billing.remove_member(%s, %s)"
_TRANSFER = "select billing.transfer_ownership(%s, %s)"


@pytest.fixture
def pair(
    new_organization: Callable[..., Organization], new_user: Callable[[], User], database: Database
) -> tuple[Organization, User]:
    """An organization with two owners: its own, and the user that is returned."""
    organization, other = new_organization(), new_user()
    _join(database, organization.organization_id, other, "owner")
    return organization, other


def _join(database: Database, organization_id: UUID, user: User, role: str) -> None:
    statement = (
        "insert into billing.organization_members (organization_id, user_id, role) values (%s, %s, %s)"
    )
    database.execute(statement, (organization_id, user.user_id, role))


def _owners(database: Database, organization_id: UUID) -> set[UUID]:
    query = "select user_id from billing.organization_members where organization_id = %s and role = 'owner'"
    return {row["user_id"] for row in database.execute(query, (organization_id,))}


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        pytest.param(_LEAVE, _LEAVE, LAST_OWNER, id="both leave"),
        pytest.param(_DEMOTE, _DEMOTE, NOT_AUTHORIZED, id="each demotes the other"),
        pytest.param(_REMOVE, _REMOVE, NOT_AUTHORIZED, id="each removes the other"),
        pytest.param(_REMOVE, _LEAVE, ("PT404", "not_found"), id="one removes the other, who leaves"),
        pytest.param(_DEMOTE, _LEAVE, None, id="one demotes the other, who leaves"),
        pytest.param(_LEAVE, _DEMOTE, ("PT404", "not_found"), id="one leaves, the other demotes them"),
        pytest.param(_LEAVE, _REMOVE, ("PT404", "not_found"), id="one leaves, the other removes them"),
        pytest.param(_TRANSFER, _REMOVE, None, id="one hands over, the other removes them"),
        pytest.param(_REMOVE, _TRANSFER, NOT_AUTHORIZED, id="one removes the other, who hands over"),
    ],
)
def test_two_owners_act_at_once_and_one_stays(
    first: str,
    second: str,
    answer: tuple[str, str] | None,
    pair: tuple[Organization, User],
    database: Database,
    stack: StackUnderTest,
) -> None:
    organization, other = pair
    organization_id, owner_id = organization.organization_id, organization.owner.user_id

    def arguments(statement: str, colleague: UUID) -> tuple[UUID, ...]:
        return (organization_id, colleague)[: statement.count("%s")]

    with two_sessions(stack.database_url, owner_id, other.user_id) as (one, two):
        assert one.call(first, *arguments(first, other.user_id)) is None
        waiting = Waiting(database, two, second, *arguments(second, owner_id))
        one.commit()
        assert waiting.outcome() == answer
        if answer is None:
            two.commit()
    assert len(_owners(database, organization_id)) == 1


def test_two_owners_are_deleted_as_users_at_once_and_one_stays(
    pair: tuple[Organization, User], database: Database, stack: StackUnderTest
) -> None:
    organization, other = pair
    statement = "delete from auth.users where id = %s"
    with (
        psycopg.connect(stack.database_url) as one,
        ThreadPoolExecutor(max_workers=1) as pool,
        psycopg.connect(stack.database_url) as two,
    ):
        one.execute(statement, (organization.owner.user_id,))
        late = pool.submit(two.execute, statement, (other.user_id,))
        query = "select wait_event_type = 'Lock' as waits from pg_stat_activity where pid = %s"
        while not late.done():
            row = database.execute(query, (two.info.backend_pid,)).fetchone()
            if row is not None and row["waits"]:
                break
        one.commit()
        with pytest.raises(psycopg.Error) as refused:
            late.result()
        assert refused.value.sqlstate == "PT409"
        two.rollback()
    assert _owners(database, organization.organization_id) == {other.user_id}


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("select billing.create_agent_key(%s, 'a way back')", id="make a key"),
        pytest.param("select billing.invite_member(%s, 'friend@tests.test', 'admin')", id="invite a friend"),
        pytest.param("select billing.create_department(%s, 'mine')", id="make a department"),
        pytest.param("select billing.set_member_role(%s, auth.uid(), 'admin')", id="keep the role"),
    ],
)
def test_an_admin_who_is_removed_while_waiting_does_nothing_more(
    call: str,
    new_organization: Callable[..., Organization],
    new_user: Callable[[], User],
    database: Database,
    stack: StackUnderTest,
) -> None:
    organization, admin = new_organization(), new_user()
    _join(database, organization.organization_id, admin, "admin")
    with two_sessions(stack.database_url, organization.owner.user_id, admin.user_id) as (one, two):
        assert one.call(_REMOVE, organization.organization_id, admin.user_id) is None
        waiting = Waiting(database, two, call, organization.organization_id)
        one.commit()
        assert waiting.outcome() == NOT_AUTHORIZED


def test_an_invitation_that_is_accepted_twice_at_once_is_taken_once(
    new_organization: Callable[..., Organization],
    new_user: Callable[[], User],
    database: Database,
    stack: StackUnderTest,
) -> None:
    organization, guest = new_organization(), new_user()
    arguments = {
        "organization_id": str(organization.organization_id),
        "email": guest.email,
        "role": "member",
    }
    invited: Any = organization.owner.client.rpc("invite_member", arguments).execute().data
    accept = "select billing.accept_invitation(%s)"
    with two_sessions(stack.database_url, guest.user_id, guest.user_id) as (one, two):
        assert one.call(accept, invited["token"]) is None
        waiting = Waiting(database, two, accept, invited["token"])
        one.commit()
        assert waiting.outcome() == ("PT404", "not_found")


def test_a_removal_that_meets_an_acceptance_leaves_either_a_member_or_no_invitation(
    new_organization: Callable[..., Organization],
    new_user: Callable[[], User],
    database: Database,
    stack: StackUnderTest,
) -> None:
    """The admin who invited is removed while the guest accepts: the guest was invited while it was right."""
    organization, admin, guest = new_organization(), new_user(), new_user()
    _join(database, organization.organization_id, admin, "admin")
    arguments = {
        "organization_id": str(organization.organization_id),
        "email": guest.email,
        "role": "member",
    }
    invited: Any = admin.client.rpc("invite_member", arguments).execute().data
    with two_sessions(stack.database_url, guest.user_id, organization.owner.user_id) as (one, two):
        assert one.call("select billing.accept_invitation(%s)", invited["token"]) is None
        waiting = Waiting(database, two, _REMOVE, organization.organization_id, admin.user_id)
        one.commit()
        assert waiting.outcome() is None
        two.commit()
    query = "select accepted_at is not null as accepted, revoked_at from billing.invitations where id = %s"
    assert database.execute(query, (invited["invitation_id"],)).fetchone() == {
        "accepted": True,
        "revoked_at": None,
    }
