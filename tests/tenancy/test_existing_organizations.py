"""An application's own teams behind the billing functions: docs/how-to/existing-organizations.md as it is.

Everything happens in one transaction, which is rolled back; people speak as PostgREST would let them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from stack.settings import REPOSITORY
from tests.conftest import StackUnderTest, User

_PAGE = REPOSITORY / "docs" / "how-to" / "existing-organizations.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)


class Application:
    """The application's database, in a transaction that never commits.

    Args:
        connection: a session as `postgres`.
    """

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self._connection = connection
        tables, self.mirror, self.fill, self.difference = _blocks("sql")
        self.run(tables)
        self.run("grant select, insert, update, delete on public.teams, public.team_members to authenticated")

    def run(self, statement: str, *arguments: object) -> list[dict[str, Any]]:
        """Run SQL as whoever speaks."""
        cursor = self._connection.execute(statement.encode(), arguments or None)
        return cursor.fetchall() if cursor.description is not None else []

    def speak(self, user_id: UUID | None) -> None:
        """Let somebody speak; None: the schema's owner."""
        claims = "" if user_id is None else json.dumps({"sub": str(user_id), "role": "authenticated"})
        role = "none" if user_id is None else "authenticated"
        self.run(
            "select set_config('request.jwt.claims', %s, true), set_config('role', %s, true)", claims, role
        )

    def commit(self) -> None:
        """What a commit would do to deferred triggers."""
        self.run("set constraints all immediate")
        self.run("set constraints all deferred")

    def refusal(self, *statements: str) -> str:
        """Return the message with which statements are refused; what they did is undone."""
        try:
            with self._connection.transaction():
                for statement in statements:
                    self.run(statement)
                self.commit()
        except psycopg.Error as error:
            return str(error.diag.message_primary)
        return ""

    def members(self, team: UUID) -> dict[UUID, str]:
        """Who is what in the organization."""
        query = "select user_id, role from billing.organization_members where organization_id = %s"
        return {row["user_id"]: row["role"] for row in self.run(query, team)}


@pytest.fixture
def application(stack: StackUnderTest) -> Iterator[Application]:
    """The page's application, without the mirror."""
    with psycopg.connect(stack.database_url, row_factory=dict_row) as connection:
        yield Application(connection)
        connection.rollback()


def test_teams_are_organizations_and_stay_so(application: Application, new_user: Callable[[], User]) -> None:
    ada, ben, cyd = (new_user().user_id for _ in range(3))
    app = application
    app.run(app.mirror)
    team = uuid4()

    app.speak(ada)
    app.run("insert into public.teams (id, name) values (%s, 'Rockets')", team)
    app.run(
        "insert into public.team_members values (%s, %s, 'admin'), (%s, %s, 'developer')",
        team,
        ada,
        team,
        ben,
    )
    app.commit()
    app.speak(None)
    assert app.members(team) == {ada: "owner", ben: "member"}

    app.run("select billing.grant_credits(%s, 100, 'promotion')", team)
    app.speak(ben)
    receipt = app.run("select (billing.consume_credits('TestAgent', 'test', amount => 5)).*")[0]
    assert receipt["organization_id"] == team
    assert app.refusal(
        "select billing.create_agent_key((select organization_id from billing.organizations), 'x')"
    ) == ("not_authorized")

    app.speak(ada)
    key = app.run("select (billing.create_agent_key(%s, 'crew')).key", team)[0]["key"]
    assert key.startswith("tb_")
    for call in (
        f"select billing.invite_member('{team}', 'a@b.test', 'member')",
        f"select billing.remove_member('{team}', '{ben}')",
        f"select billing.set_member_role('{team}', '{ben}', 'admin')",
        f"select billing.transfer_ownership('{team}', '{ben}')",
        f"select billing.leave_organization('{team}')",
    ):
        assert app.refusal(call) == "conflict", call

    app.run("update public.team_members set role = 'accountant' where user_id = %s", ben)
    app.run("insert into public.team_members values (%s, %s, 'admin')", team, cyd)
    app.run("update public.teams set name = 'Rockets & Co' where id = %s", team)
    app.commit()
    app.speak(None)
    assert app.members(team) == {ada: "owner", ben: "billing", cyd: "owner"}
    name = app.run("select name from billing.organizations where organization_id = %s", team)
    assert name == [{"name": "Rockets & Co"}]

    app.speak(ada)
    app.run("delete from public.team_members where user_id = %s", ben)
    app.commit()
    app.speak(ben)
    spend = f"select billing.consume_credits('TestAgent', 'test', amount => 5, organization_id => '{team}')"
    assert app.refusal(spend) == "not_authorized", "who left the team spends nothing more"

    app.speak(cyd)
    app.run("delete from public.team_members where user_id = %s", ada)
    app.commit()
    assert app.refusal("delete from public.team_members") == "conflict", "the last admin stays, in both"
    assert app.refusal("update public.team_members set role = 'developer'") == "conflict"
    assert app.refusal("delete from public.team_members", "delete from public.teams") != ""
    app.speak(None)
    assert app.members(team) == {cyd: "owner"}
    assert app.run(app.difference) == []
    audit = app.run(
        "select action, actor_type, actor_id, reason from billing.audit_log"
        " where organization_id = %s and subject_id = %s order by id desc limit 1",
        team,
        str(ada),
    )
    assert audit == [
        {
            "action": "sync_organization",
            "actor_type": "user",
            "actor_id": str(cyd),
            "reason": "the team was changed",
        }
    ]
    assert app.run("select * from billing.verify_ledger(%s)", team) == []


def test_teams_that_were_there_before_are_taken_over(
    application: Application, new_user: Callable[[], User]
) -> None:
    ada, ben = (new_user().user_id for _ in range(2))
    app = application
    teams = sorted((uuid4(), uuid4()))
    for team, admin in zip(teams, (ada, ben), strict=True):
        app.run("insert into public.teams (id, name) values (%s, 'Old')", team)
        app.run("insert into public.team_members values (%s, %s, 'admin')", team, admin)
    app.run(app.mirror)
    assert len(app.run(app.difference)) == 2
    app.run(app.fill)
    assert app.run(app.difference) == []
    assert [app.members(team) for team in teams] == [{ada: "owner"}, {ben: "owner"}]
    app.speak(ada)
    seen = app.run("select organization_id from billing.organizations")
    assert seen == [{"organization_id": teams[0]}], "and row level security holds between them"


def test_people_cannot_reach_the_mirror(application: Application, new_user: Callable[[], User]) -> None:
    ada = new_user().user_id
    app = application
    app.run(app.mirror)
    app.speak(ada)
    for call in (
        f"select team_billing.mirror_team('{uuid4()}')",
        f"select billing.sync_organization('{uuid4()}', 'x', '[]')",
        f"select billing_private.sync_organization('{uuid4()}', 'x', '[]', null)",
        f"select billing_private.replace_members('{uuid4()}', '[]', null)",
    ):
        assert "permission denied" in app.refusal(call), call


def test_the_call_without_triggers_does_the_same(
    stack: StackUnderTest, new_user: Callable[[], User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", stack.supabase_url)
    monkeypatch.setenv("SUPABASE_SECRET_KEY", stack.secret_key)
    ada, ben = new_user(), new_user()
    names: dict[str, Any] = {}
    (code,) = _blocks("python")
    exec(compile(code, str(_PAGE), "exec"), names)
    team = str(uuid4())
    owner = {"user_id": str(ada.user_id), "role": "owner"}
    names["mirror"](team, "Elsewhere", [owner, {"user_id": str(ben.user_id), "role": "member"}])
    names["mirror"](team, "Elsewhere", [owner])
    seen: Any = ada.client.table("organization_members").select("user_id, role").execute().data
    assert seen == [owner]
    assert ben.client.table("organizations").select("name").execute().data == []
