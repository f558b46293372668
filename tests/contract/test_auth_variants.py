"""The auth stand-in under other settings of config.toml than this project's own.

These run the server inside the test, on the database of the running local stack.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
import pytest
from psycopg import sql

from stack.auth.app import create_app
from stack.settings import StackSettings
from tests.contract.conftest import Database
from tests.contract.mailbox import Mailbox
from tests.contract.target import PASSWORD, Json, new_email

SIGN_IN = "/token?grant_type=password"


def settings_with(email: Json | None = None, **auth: Any) -> StackSettings:
    """The running instance's settings with keys of `[auth]` and `[auth.email]` changed."""
    settings = StackSettings.load()
    current = settings.project.auth
    changed_email = current.email.model_copy(update=email or {})
    project = settings.project.model_copy(
        update={"auth": current.model_copy(update={"email": changed_email, **auth})}
    )
    return dataclasses.replace(settings, project=project)


@asynccontextmanager
async def auth_server(email: Json | None = None, **auth: Any) -> AsyncIterator[httpx.AsyncClient]:
    """An auth server of its own, reached without the gateway."""
    app = create_app(settings_with(email, **auth))
    headers = {"X-Supabase-Api-Version": "2024-01-01"}
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://auth", headers=headers) as http,
    ):
        yield http


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_with_confirmations_a_registration_waits_for_its_mail(mailbox: Mailbox) -> None:
    email = new_email("unconfirmed")
    async with auth_server({"enable_confirmations": True}) as http:
        registered = (await http.post("/signup", json={"email": email, "password": PASSWORD})).json()
        assert "access_token" not in registered
        assert registered["identities"][0]["email"] == email
        assert registered["confirmation_sent_at"]
        early = await http.post(SIGN_IN, json={"email": email, "password": PASSWORD})
        assert (early.status_code, early.json()["code"]) == (400, "email_not_confirmed")
        code = mailbox.newest(email).code
        confirmed = await http.post("/verify", json={"email": email, "token": code, "type": "signup"})
        assert confirmed.json()["user"]["email_confirmed_at"]
        late = await http.post(SIGN_IN, json={"email": email, "password": PASSWORD})
        assert late.status_code == 200


async def test_with_confirmations_a_taken_address_looks_like_a_new_one(
    registered: str, mailbox: Mailbox
) -> None:
    body = {"password": "somebody else's", "data": {"name": "Eve"}}
    async with auth_server({"enable_confirmations": True}) as http:
        taken = (await http.post("/signup", json={"email": registered, **body})).json()
        fresh = (await http.post("/signup", json={"email": new_email("fresh"), **body})).json()
        assert taken.keys() == fresh.keys()
        assert taken["identities"] == []
        assert mailbox.letters(registered) == []
        own = await http.post(SIGN_IN, json={"email": registered, "password": PASSWORD})
        assert own.status_code == 200
        assert own.json()["user"]["id"] != taken["id"]


async def test_with_confirmations_registering_again_does_not_change_the_password(mailbox: Mailbox) -> None:
    email = new_email("twice")
    async with auth_server({"enable_confirmations": True, "max_frequency": "0s"}) as http:
        await http.post("/signup", json={"email": email, "password": PASSWORD})
        await http.post("/signup", json={"email": email, "password": "an intruder's choice"})
        code = mailbox.newest(email, count=2).code
        await http.post("/verify", json={"email": email, "token": code, "type": "signup"})
        intruder = await http.post(SIGN_IN, json={"email": email, "password": "an intruder's choice"})
        owner = await http.post(SIGN_IN, json={"email": email, "password": PASSWORD})
        assert (intruder.status_code, owner.status_code) == (400, 200)


async def test_with_registration_closed_nobody_new_comes_in(registered: str) -> None:
    async with auth_server(enable_signup=False) as http:
        for path, body in (
            ("/signup", {"email": new_email(), "password": PASSWORD}),
            ("/otp", {"email": new_email()}),
        ):
            refused = await http.post(path, json=body)
            assert (refused.status_code, refused.json()["code"]) == (422, "signup_disabled")
        assert (await http.post("/otp", json={"email": registered})).status_code == 200
        assert (await http.get("/settings")).json()["disable_signup"] is True


async def test_anonymous_users_come_in_when_allowed_and_can_become_permanent() -> None:
    async with auth_server(enable_anonymous_sign_ins=True) as http:
        session = (await http.post("/signup", json={"data": {"theme": "dark"}})).json()
        claims = jwt.decode(session["access_token"], options={"verify_signature": False})
        assert claims["is_anonymous"] is True
        assert (claims["role"], claims["amr"][0]["method"]) == ("authenticated", "anonymous")
        as_user = bearer(session["access_token"])
        early = await http.put("/user", json={"password": PASSWORD}, headers=as_user)
        assert early.status_code == 422
        email = new_email("permanent")
        changed = (await http.put("/user", json={"email": email}, headers=as_user)).json()
        assert (changed["email"], changed["is_anonymous"]) == (email, False)
        await http.put("/user", json={"password": PASSWORD}, headers=as_user)
        signed_in = await http.post(SIGN_IN, json={"email": email, "password": PASSWORD})
        assert signed_in.json()["user"]["id"] == session["user"]["id"]


async def test_an_old_session_needs_a_mailed_code_to_change_the_password(
    registered: str, mailbox: Mailbox, database: Database
) -> None:
    async with auth_server({"secure_password_change": True}) as http:
        session = (await http.post(SIGN_IN, json={"email": registered, "password": PASSWORD})).json()
        as_user = bearer(session["access_token"])
        database.execute(
            "update auth.sessions set created_at = created_at - interval '2 days' where user_id = %s",
            [session["user"]["id"]],
        )
        refused = await http.put("/user", json={"password": "a new password"}, headers=as_user)
        assert (refused.status_code, refused.json()["code"]) == (400, "reauthentication_needed")
        wrong = await http.put(
            "/user", json={"password": "a new password", "nonce": "000000"}, headers=as_user
        )
        assert (wrong.status_code, wrong.json()["code"]) == (422, "reauthentication_not_valid")
        await http.get("/reauthenticate", headers=as_user)
        changes = {"password": "a new password", "nonce": mailbox.newest(registered).code}
        assert (await http.put("/user", json=changes, headers=as_user)).status_code == 200
        again = {"password": "another password", "nonce": changes["nonce"]}
        assert (await http.put("/user", json=again, headers=as_user)).status_code == 422


@pytest.mark.parametrize(
    ("requirements", "password", "good"),
    [
        ("letters_digits", "onlyletters", False),
        ("letters_digits", "letters4digits", True),
        ("lower_upper_letters_digits", "letters4digits", False),
        ("lower_upper_letters_digits", "Letters4digits", True),
        ("lower_upper_letters_digits_symbols", "Letters4digits", False),
        ("lower_upper_letters_digits_symbols", "Letters4digits!", True),
    ],
)
async def test_passwords_must_hold_the_required_characters(
    requirements: str, password: str, good: bool
) -> None:
    async with auth_server(password_requirements=requirements) as http:
        answer = await http.post("/signup", json={"email": new_email(), "password": password})
        assert answer.status_code == (200 if good else 422)
        if not good:
            assert answer.json()["weak_password"] == {"reasons": ["characters"]}


async def test_a_single_confirmation_suffices_for_a_new_address_when_so_configured(
    registered: str, mailbox: Mailbox
) -> None:
    async with auth_server({"double_confirm_changes": False}) as http:
        session = (await http.post(SIGN_IN, json={"email": registered, "password": PASSWORD})).json()
        wanted = new_email("moved")
        await http.put("/user", json={"email": wanted}, headers=bearer(session["access_token"]))
        assert mailbox.letters(registered) == []
        proof = {"token_hash": mailbox.newest(wanted).token_hash, "type": "email_change"}
        assert (await http.post("/verify", json=proof)).json()["user"]["email"] == wanted


async def test_codes_have_the_configured_length_and_life(registered: str, mailbox: Mailbox) -> None:
    async with auth_server({"otp_length": 8, "otp_expiry": 0}) as http:
        await http.post("/otp", json={"email": registered})
        code = mailbox.newest(registered).code
        assert len(code) == 8
        answer = await http.post("/verify", json={"email": registered, "token": code, "type": "email"})
        assert answer.json()["code"] == "otp_expired"


async def test_without_rotation_reuse_is_refused_but_ends_nothing(
    registered: str, database: Database
) -> None:
    renewal = "/token?grant_type=refresh_token"
    async with auth_server(enable_refresh_token_rotation=False, refresh_token_reuse_interval=0) as http:
        first = (await http.post(SIGN_IN, json={"email": registered, "password": PASSWORD})).json()
        second = (await http.post(renewal, json={"refresh_token": first["refresh_token"]})).json()
        reused = await http.post(renewal, json={"refresh_token": first["refresh_token"]})
        assert reused.json()["code"] == "refresh_token_already_used"
        third = await http.post(renewal, json={"refresh_token": second["refresh_token"]})
        assert third.status_code == 200


HOOK_BODIES = {
    "adds a claim": "jsonb_build_object('claims', event -> 'claims' || jsonb_build_object('organizations',"
    " jsonb_build_array(event ->> 'authentication_method')))",
    "refuses": """'{"error": {"http_code": 403, "message": "Not today"}}'::jsonb""",
    "drops a claim": "jsonb_build_object('claims', event -> 'claims' - 'role')",
    "returns nothing": "null::jsonb",
    "fails": "to_jsonb(1 / (length('') * jsonb_array_length('[]')))",
}


@pytest.fixture
def hook(request: pytest.FixtureRequest, database: Database) -> Iterator[Json]:
    """A custom access token hook with the body that the test names, as a `[auth.hook]` table."""
    name = f"contract_hook_{secrets.token_hex(4)}"
    database.execute(
        sql.SQL(
            "create function public.{}(event jsonb) returns jsonb language plpgsql stable"
            " set search_path = '' as {}"
        ).format(sql.Identifier(name), sql.Literal(f"begin return {HOOK_BODIES[request.param]}; end"))
    )
    database.execute(
        sql.SQL("grant execute on function public.{} to supabase_auth_admin").format(sql.Identifier(name))
    )
    section = type(StackSettings.load().project.auth).model_validate(
        {"hook": {"custom_access_token": {"enabled": True, "uri": f"pg-functions://postgres/public/{name}"}}}
    )
    yield dict(section.hook)
    database.execute(sql.SQL("drop function public.{}").format(sql.Identifier(name)))


@pytest.mark.parametrize("hook", ["adds a claim"], indirect=True)
async def test_the_access_token_hook_shapes_every_token(registered: str, hook: Json) -> None:
    async with auth_server(hook=hook) as http:
        session = (await http.post(SIGN_IN, json={"email": registered, "password": PASSWORD})).json()
        refreshed = await http.post(
            "/token?grant_type=refresh_token", json={"refresh_token": session["refresh_token"]}
        )
    tokens = (session["access_token"], refreshed.json()["access_token"])
    claims = [jwt.decode(token, options={"verify_signature": False}) for token in tokens]
    assert [claim["organizations"] for claim in claims] == [["password"], ["token_refresh"]]


@pytest.mark.parametrize(
    ("hook", "status"),
    [("refuses", 403), ("drops a claim", 500), ("returns nothing", 500), ("fails", 500)],
    indirect=["hook"],
)
async def test_a_hook_that_refuses_or_fails_gives_no_token(
    registered: str, hook: Json, status: int, database: Database
) -> None:
    async with auth_server(hook=hook) as http:
        answer = await http.post(SIGN_IN, json={"email": registered, "password": PASSWORD})
    assert answer.status_code == status
    assert "access_token" not in answer.json()
    sessions = database.execute(
        "select count(*) as n from auth.sessions join auth.users on users.id = user_id where email = %s",
        [registered],
    ).fetchone()
    assert sessions == {"n": 0}


async def test_a_hook_that_is_not_in_the_database_is_refused_at_the_start() -> None:
    section = type(StackSettings.load().project.auth).model_validate(
        {"hook": {"custom_access_token": {"enabled": True, "uri": "https://example.test/hook"}}}
    )
    with pytest.raises(ValueError, match="pg-functions"):
        create_app(settings_with(hook=dict(section.hook)))


async def test_a_mail_server_that_is_down_is_reported(registered: str) -> None:
    settings = settings_with()
    unreachable = dataclasses.replace(settings, ports=dataclasses.replace(settings.ports, smtp=1))
    app = create_app(unreachable)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://auth") as http,
    ):
        answer = await http.post("/recover", json={"email": registered})
    assert (answer.status_code, answer.json()["error_code"]) == (500, "unexpected_failure")


def test_what_the_auth_server_stores_is_never_a_secret_in_the_clear(
    registered: str, database: Database, http: httpx.Client, mailbox: Mailbox
) -> None:
    http.post("/otp", json={"email": registered})
    code = mailbox.newest(registered).code
    row = database.execute("select * from auth.users where email = %s", [registered]).fetchone()
    assert row is not None
    assert row["encrypted_password"].startswith("$2a$10$")
    assert code not in (row["recovery_token"], row["confirmation_token"])
    tokens = database.execute(
        "select token_hash from auth.one_time_tokens where user_id = %s", [row["id"]]
    ).fetchall()
    assert [len(token["token_hash"]) for token in tokens] == [56]
