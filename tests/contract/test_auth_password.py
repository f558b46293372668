"""Registration and sign-in with a password, through both clients."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.contract.auth_clients import AuthClient, AuthRefusedError
from tests.contract.conftest import ClientFactory, Database
from tests.contract.target import PASSWORD, new_email


def sign_in(client: AuthClient, email: str, password: str = PASSWORD) -> str:
    return client.call("sign_in_with_password", {"email": email, "password": password}).access_token


def test_a_new_user_is_signed_in_at_once(client: AuthClient) -> None:
    email = new_email("new")
    answer = client.call(
        "sign_up", {"email": email, "password": PASSWORD, "options": {"data": {"name": "Ada"}}}
    )
    assert answer.user is not None
    assert answer.user["email"] == email
    assert answer.user["user_metadata"]["name"] == "Ada"
    assert answer.user["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert answer.user["identities"][0]["identity_data"]["email"] == email
    assert client.call("get_user", answer.access_token).user_id == answer.user_id


def test_the_right_password_opens_a_session(client: AuthClient, registered: str) -> None:
    answer = client.call("sign_in_with_password", {"email": registered, "password": PASSWORD})
    assert answer.session is not None
    assert answer.session["token_type"] == "bearer"
    assert answer.session["expires_at"] - time.time() == pytest.approx(answer.session["expires_in"], abs=10)
    user = client.call("get_user").user
    assert user is not None
    assert user["email"] == registered
    assert user["last_sign_in_at"] is not None


def test_the_case_of_an_address_does_not_matter(client: AuthClient) -> None:
    email = new_email("Ada.Lovelace")
    client.call("sign_up", {"email": email.upper(), "password": PASSWORD})
    answer = client.call("sign_in_with_password", {"email": email.title(), "password": PASSWORD})
    assert answer.user is not None
    assert answer.user["email"] == email.lower()


def test_unknown_address_and_wrong_password_get_the_same_answer(client: AuthClient, registered: str) -> None:
    refusals: list[tuple[int | None, str | None, str]] = []
    for email in (registered, new_email("nobody")):
        with pytest.raises(AuthRefusedError) as refused:
            sign_in(client, email, "not the password")
        refusals.append((refused.value.status, refused.value.code, refused.value.message))
    assert refusals == [(400, "invalid_credentials", "Invalid login credentials")] * 2


def test_a_refusal_does_not_tell_by_its_time_whether_the_address_is_known(
    http: httpx.Client, database: Database
) -> None:
    cheap = new_email("cheap")
    add_user_by_sql(database, cheap)  # its hash has pgcrypto's low default cost
    durations: dict[str, list[float]] = {cheap: [], new_email("nobody"): []}
    for _ in range(7):
        for email, taken in durations.items():
            began = time.perf_counter()
            http.post("/token?grant_type=password", json={"email": email, "password": "wrong"})
            taken.append(time.perf_counter() - began)
    known, unknown = (min(taken) for taken in durations.values())
    assert statistics.mean([known, unknown]) > 0.01, "bcrypt did not run"
    assert 0.5 < known / unknown < 2


def add_user_by_sql(database: Database, email: str) -> str:
    """Add a user as seed files do: with pgcrypto and the columns that Supabase's guides name."""
    user_id = str(uuid4())
    database.execute(
        """insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
             raw_app_meta_data, raw_user_meta_data, created_at, updated_at, confirmation_token,
             recovery_token, email_change_token_new, email_change)
           values ('00000000-0000-0000-0000-000000000000', %s, 'authenticated', 'authenticated', %s,
             extensions.crypt(%s, extensions.gen_salt('bf')), now(),
             '{"provider": "email", "providers": ["email"]}', '{}', now(), now(), '', '', '', '')""",
        [user_id, email, PASSWORD],
    )
    database.execute(
        """insert into auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
           values (%s, %s, jsonb_build_object('sub', %s::text, 'email', %s::text), 'email', now(), now())""",
        [user_id, user_id, user_id, email],
    )
    return user_id


def test_a_user_seeded_with_pgcrypto_signs_in(client: AuthClient, database: Database) -> None:
    email = new_email("seeded")
    user_id = add_user_by_sql(database, email)
    answer = client.call("sign_in_with_password", {"email": email, "password": PASSWORD})
    assert answer.user_id == user_id


def test_a_taken_address_cannot_register_again(client: AuthClient, registered: str) -> None:
    with pytest.raises(AuthRefusedError) as refused:
        client.call("sign_up", {"email": registered, "password": "another password"})
    assert refused.value.code == "user_already_exists"
    assert sign_in(client, registered)


def test_of_two_registrations_at_once_one_wins(http: httpx.Client) -> None:
    """The race is run by the database's unique index, not by a check before the insert."""
    email = new_email("twin")

    def register(_: int) -> int:
        return http.post("/signup", json={"email": email, "password": PASSWORD}).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(register, range(4)))
    assert statuses == [200, 422, 422, 422]


def test_a_short_password_is_refused_with_the_reason(client: AuthClient) -> None:
    with pytest.raises(AuthRefusedError) as refused:
        client.call("sign_up", {"email": new_email(), "password": "short"})
    assert refused.value.code == "weak_password"
    assert refused.value.reasons == ["length"]


def test_a_password_longer_than_bcrypt_can_hold_is_refused_not_cut(client: AuthClient) -> None:
    with pytest.raises(AuthRefusedError) as refused:
        client.call("sign_up", {"email": new_email(), "password": "x" * 73})
    assert refused.value.code == "validation_failed"


@pytest.mark.parametrize("email", ["no-at-sign", "two@at@signs", "a b@contract.test", "x" * 250 + "@a.test"])
def test_what_is_no_address_is_refused(client: AuthClient, email: str) -> None:
    with pytest.raises(AuthRefusedError) as refused:
        client.call("sign_up", {"email": email, "password": PASSWORD})
    assert refused.value.code == "validation_failed"


def test_a_changed_password_replaces_the_old_one_and_ends_the_other_sessions(
    make_client: ClientFactory, registered: str
) -> None:
    here, elsewhere = make_client(), make_client()
    sign_in(here, registered)
    forgotten = sign_in(elsewhere, registered)
    here.call("update_user", {"password": "a new password"})
    assert here.call("get_user").user is not None
    with pytest.raises(AuthRefusedError) as ended:
        elsewhere.call("get_user", forgotten)
    assert ended.value.code == "session_not_found"
    with pytest.raises(AuthRefusedError):
        sign_in(make_client(), registered)
    assert sign_in(make_client(), registered, "a new password")


def test_the_same_password_is_no_new_password(client: AuthClient, registered: str) -> None:
    sign_in(client, registered)
    with pytest.raises(AuthRefusedError) as refused:
        client.call("update_user", {"password": PASSWORD})
    assert refused.value.code == "same_password"


def test_users_change_their_metadata_key_by_key(client: AuthClient, registered: str) -> None:
    sign_in(client, registered)
    client.call("update_user", {"data": {"name": "Ada", "city": "London"}})
    user = client.call("update_user", {"data": {"city": "Turin"}}).user
    assert user is not None
    assert (user["user_metadata"]["name"], user["user_metadata"]["city"]) == ("Ada", "Turin")


def test_users_cannot_change_their_app_metadata(
    http: httpx.Client, client: AuthClient, registered: str
) -> None:
    token = sign_in(client, registered)
    answer = http.put(
        "/user", json={"app_metadata": {"admin": True}}, headers={"Authorization": f"Bearer {token}"}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "not_admin")


def test_anonymous_sign_ins_are_off(client: AuthClient) -> None:
    with pytest.raises(AuthRefusedError) as refused:
        client.call("sign_in_anonymously")
    assert refused.value.code == "anonymous_provider_disabled"
