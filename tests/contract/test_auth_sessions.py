"""Sessions: refreshing with rotation, detecting reuse, and signing out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from tests.contract.auth_clients import Answer, AuthClient, AuthRefusedError
from tests.contract.conftest import ClientFactory, Database
from tests.contract.target import PASSWORD


def sign_in(client: AuthClient, email: str) -> Answer:
    return client.call("sign_in_with_password", {"email": email, "password": PASSWORD})


def refresh(http: httpx.Client, token: str) -> httpx.Response:
    return http.post("/token?grant_type=refresh_token", json={"refresh_token": token})


def let_reuse_interval_pass(database: Database, refresh_token: str) -> None:
    """Move the moment at which a token was spent into the past, instead of waiting."""
    changed = database.execute(
        "update auth.refresh_tokens set updated_at = updated_at - %s where token = %s",
        [timedelta(hours=1), refresh_token],
    )
    assert changed.rowcount == 1


def test_a_refresh_continues_the_session_with_new_tokens(client: AuthClient, registered: str) -> None:
    first = sign_in(client, registered)
    second = client.call("refresh_session")
    assert second.refresh_token != first.refresh_token
    assert client.claims(second.access_token)["session_id"] == client.claims(first.access_token)["session_id"]
    assert client.claims(second.access_token)["amr"] == client.claims(first.access_token)["amr"]


def test_a_lost_answer_may_be_asked_for_again(
    client: AuthClient, http: httpx.Client, registered: str
) -> None:
    first = sign_in(client, registered)
    answers = [refresh(http, first.refresh_token) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


def test_tabs_that_refresh_at_once_share_one_successor(
    client: AuthClient, http: httpx.Client, registered: str
) -> None:
    token = sign_in(client, registered).refresh_token
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(http, token), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


def test_a_stolen_refresh_token_ends_the_family(
    client: AuthClient, http: httpx.Client, database: Database, registered: str
) -> None:
    stolen = sign_in(client, registered).refresh_token
    current = client.call("refresh_session").refresh_token
    let_reuse_interval_pass(database, stolen)
    abuse = refresh(http, stolen)
    assert (abuse.status_code, abuse.json()["code"]) == (400, "refresh_token_already_used")
    honest = refresh(http, current)
    assert (honest.status_code, honest.json()["code"]) == (400, "refresh_token_already_used")


def test_a_grandparent_token_is_reuse_even_within_the_interval(
    client: AuthClient, http: httpx.Client, registered: str
) -> None:
    grandparent = sign_in(client, registered).refresh_token
    client.call("refresh_session")
    client.call("refresh_session")
    answer = refresh(http, grandparent)
    assert (answer.status_code, answer.json()["code"]) == (400, "refresh_token_already_used")


def test_reuse_in_one_session_leaves_the_others_alone(
    make_client: ClientFactory, http: httpx.Client, database: Database, registered: str
) -> None:
    here, elsewhere = make_client(), make_client()
    stolen = sign_in(here, registered).refresh_token
    sign_in(elsewhere, registered)
    here.call("refresh_session")
    let_reuse_interval_pass(database, stolen)
    refresh(http, stolen)
    assert elsewhere.call("refresh_session").session is not None


@pytest.mark.parametrize("token", ["made-up", "", "x" * 5000, "' or 1=1 --"])
def test_an_unknown_refresh_token_is_refused(http: httpx.Client, token: str) -> None:
    answer = refresh(http, token)
    assert answer.status_code == 400
    assert answer.json()["code"] in ("refresh_token_not_found", "validation_failed")


def test_a_session_can_be_continued_elsewhere(make_client: ClientFactory, registered: str) -> None:
    opened = sign_in(make_client(), registered)
    continued = make_client()
    continued.set_session(opened.access_token, opened.refresh_token)
    assert continued.call("get_user").user_id == opened.user_id


@pytest.mark.parametrize(
    ("scope", "here_lives", "elsewhere_lives"),
    [("global", False, False), ("local", False, True), ("others", True, False)],
)
def test_signing_out_ends_the_sessions_of_its_scope(
    make_client: ClientFactory,
    http: httpx.Client,
    registered: str,
    scope: str,
    here_lives: bool,
    elsewhere_lives: bool,
) -> None:
    here, elsewhere = make_client(), make_client()
    sessions = [sign_in(here, registered), sign_in(elsewhere, registered)]
    here.call("sign_out", {"scope": scope})
    for session, lives in zip(sessions, (here_lives, elsewhere_lives), strict=True):
        user = http.get("/user", headers={"Authorization": f"Bearer {session.access_token}"})
        assert user.status_code == (200 if lives else 403)
        assert refresh(http, session.refresh_token).status_code == (200 if lives else 400)


def test_the_access_token_of_an_ended_session_is_refused_with_its_reason(
    client: AuthClient, http: httpx.Client, registered: str
) -> None:
    token = sign_in(client, registered).access_token
    client.call("sign_out")
    answer = http.get("/user", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "session_not_found")


def test_signing_out_with_an_unknown_scope_is_refused(
    client: AuthClient, http: httpx.Client, registered: str
) -> None:
    token = sign_in(client, registered).access_token
    answer = http.post("/logout?scope=everybody", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert client.call("get_user").user is not None


def test_a_banned_user_gets_no_new_token_until_the_ban_is_lifted(
    client: AuthClient, administrator: AuthClient, http: httpx.Client, registered: str
) -> None:
    session = sign_in(client, registered)
    administrator.admin("update_user_by_id", session.user_id, {"ban_duration": "24h"})
    refused = refresh(http, session.refresh_token)
    assert (refused.status_code, refused.json()["code"]) == (400, "user_banned")
    with pytest.raises(AuthRefusedError) as banned:
        sign_in(client, registered)
    assert banned.value.code == "user_banned"
    administrator.admin("update_user_by_id", session.user_id, {"ban_duration": "none"})
    assert sign_in(client, registered).session is not None
