"""Administration with the secret key, through both clients."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contract.auth_clients import AuthClient, AuthRefusedError
from tests.contract.conftest import Database
from tests.contract.target import PASSWORD, Json, Target, new_email


def create(service: AuthClient, **attributes: Any) -> Json:
    user: Json = service.admin("create_user", {"email": new_email(), "email_confirm": True, **attributes})[
        "user"
    ]
    return user


def test_a_created_user_is_complete_and_can_sign_in(service_client: AuthClient, client: AuthClient) -> None:
    user = create(
        service_client, password=PASSWORD, user_metadata={"name": "Ada"}, app_metadata={"tenant": "acme"}
    )
    assert user["email_confirmed_at"] is not None
    assert user["user_metadata"]["name"] == "Ada"
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"], "tenant": "acme"}
    answer = client.call("sign_in_with_password", {"email": user["email"], "password": PASSWORD})
    assert client.claims(answer.access_token)["app_metadata"]["tenant"] == "acme"


def test_a_user_is_found_by_id(service_client: AuthClient) -> None:
    user = create(service_client)
    found = service_client.admin("get_user_by_id", user["id"])["user"]
    assert (found["id"], found["email"]) == (user["id"], user["email"])


def test_an_address_cannot_be_created_twice(service_client: AuthClient, registered: str) -> None:
    with pytest.raises(AuthRefusedError) as refused:
        create(service_client, email=registered.upper())
    assert (refused.value.status, refused.value.code) == (422, "email_exists")


@pytest.mark.serial
def test_pages_of_users_do_not_overlap(service_client: AuthClient) -> None:
    created = {create(service_client)["id"] for _ in range(3)}
    pages = [service_client.admin("list_users", page, 2)["users"] for page in (1, 2, 3)]
    ids = [user["id"] for page in pages for user in page]
    assert len(ids) == len(set(ids))
    everybody = {user["id"] for user in service_client.admin("list_users", 1, 1000)["users"]}
    assert created <= everybody


def test_the_number_of_users_and_the_next_page_are_in_the_headers(target: Target) -> None:
    headers = {"apikey": target.secret_key}
    answer = httpx.get(f"{target.auth_url}/admin/users?page=1&per_page=1", headers=headers)
    assert int(answer.headers["X-Total-Count"]) >= 1
    assert 'rel="last"' in answer.headers["Link"]


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "per_page=0", "page=99999999999999999999"])
def test_a_page_that_cannot_be_is_refused(target: Target, query: str) -> None:
    answer = httpx.get(f"{target.auth_url}/admin/users?{query}", headers={"apikey": target.secret_key})
    assert answer.status_code == 400


def test_an_update_holds_at_once(service_client: AuthClient, client: AuthClient) -> None:
    user = create(service_client, password=PASSWORD, app_metadata={"plan": "free", "old": 1})
    email = new_email("renamed")
    changes: Json = {
        "email": email,
        "password": "an administrator's choice",
        "app_metadata": {"plan": "pro", "old": None},
        "user_metadata": {"name": "Grace"},
    }
    updated = service_client.admin("update_user_by_id", user["id"], changes)["user"]
    assert updated["email"] == email
    assert updated["app_metadata"] == {"provider": "email", "providers": ["email"], "plan": "pro"}
    assert updated["user_metadata"]["name"] == "Grace"
    attempt = {"email": email, "password": "an administrator's choice"}
    assert client.call("sign_in_with_password", attempt).user_id == user["id"]


def test_an_update_cannot_take_somebody_elses_address(service_client: AuthClient, registered: str) -> None:
    user = create(service_client)
    with pytest.raises(AuthRefusedError) as refused:
        service_client.admin("update_user_by_id", user["id"], {"email": registered})
    assert refused.value.code == "email_exists"


def test_a_deleted_user_is_gone_with_every_session(
    service_client: AuthClient, client: AuthClient, database: Database
) -> None:
    user = create(service_client, password=PASSWORD)
    session = client.call("sign_in_with_password", {"email": user["email"], "password": PASSWORD})
    service_client.admin("delete_user", user["id"])
    with pytest.raises(AuthRefusedError) as refused:
        client.call("get_user", session.access_token)
    assert refused.value.code == "user_not_found"
    with pytest.raises(AuthRefusedError):
        client.call("refresh_session")
    left = database.execute(
        """select (select count(*) from auth.identities where user_id = %(id)s)
                + (select count(*) from auth.sessions where user_id = %(id)s)
                + (select count(*) from auth.refresh_tokens where user_id = %(id)s::text) as rows""",
        {"id": user["id"]},
    ).fetchone()
    assert left == {"rows": 0}


def test_a_softly_deleted_user_keeps_its_row_but_nothing_else(
    service_client: AuthClient, client: AuthClient
) -> None:
    user = create(service_client, password=PASSWORD)
    service_client.admin("delete_user", user["id"], True)
    found = service_client.admin("get_user_by_id", user["id"])["user"]
    assert found["deleted_at"] is not None
    assert found["email"] != user["email"]
    with pytest.raises(AuthRefusedError):
        client.call("sign_in_with_password", {"email": user["email"], "password": PASSWORD})
    assert create(service_client, email=user["email"])["id"] != user["id"]


@pytest.mark.parametrize("method", ["get_user_by_id", "delete_user"])
def test_an_unknown_user_is_not_found(service_client: AuthClient, method: str) -> None:
    with pytest.raises(AuthRefusedError) as refused:
        service_client.admin(method, str(uuid4()))
    assert (refused.value.status, refused.value.code) == (404, "user_not_found")


@pytest.mark.parametrize("kind", ["magiclink", "recovery"])
def test_a_generated_link_signs_in_without_a_mail(
    service_client: AuthClient, client: AuthClient, registered: str, kind: str
) -> None:
    link = service_client.admin("generate_link", {"type": kind, "email": registered})["properties"]
    assert link["verification_type"] == kind
    assert link["hashed_token"] in link["action_link"]
    answer = client.call("verify_otp", {"token_hash": link["hashed_token"], "type": kind})
    assert answer.user is not None
    assert answer.user["email"] == registered


def test_a_generated_signup_link_confirms_the_address(service_client: AuthClient, client: AuthClient) -> None:
    email = new_email("linked")
    request = {"type": "signup", "email": email, "password": PASSWORD}
    link = service_client.admin("generate_link", request)["properties"]
    with pytest.raises(AuthRefusedError) as refused:
        client.call("sign_in_with_password", {"email": email, "password": PASSWORD})
    assert refused.value.code == "email_not_confirmed"
    client.call("verify_otp", {"email": email, "token": link["email_otp"], "type": "signup"})
    assert client.call("sign_in_with_password", {"email": email, "password": PASSWORD}).session


def test_a_recovery_link_for_nobody_is_refused(service_client: AuthClient) -> None:
    with pytest.raises(AuthRefusedError) as refused:
        service_client.admin("generate_link", {"type": "recovery", "email": new_email("nobody")})
    assert (refused.value.status, refused.value.code) == (404, "user_not_found")


@pytest.mark.parametrize("duration", ["tomorrow", "1 day", "-1h", "1d"])
def test_a_ban_must_have_a_duration_that_can_be_read(service_client: AuthClient, duration: str) -> None:
    user = create(service_client)
    with pytest.raises(AuthRefusedError) as refused:
        service_client.admin("update_user_by_id", user["id"], {"ban_duration": duration})
    assert refused.value.code == "validation_failed"
