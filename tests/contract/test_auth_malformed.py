"""Requests that no client library sends: refused with a clear error, and the server goes on."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.target import PASSWORD, Target, new_email

POSTS = [
    "/signup",
    "/token?grant_type=password",
    "/token?grant_type=refresh_token",
    "/otp",
    "/magiclink",
    "/recover",
    "/resend",
    "/verify",
]

BROKEN_BODIES = {
    "cut off": b'{"email": "a@b.test"',
    "no JSON": b"email=a@b.test&password=x",
    "a list": b"[1, 2]",
    "a word": b'"hello"',
    "a number": b"7",
    "wrong types": b'{"email": {"a": 1}, "refresh_token": [1], "token": {}, "type": 5}',
    "not UTF-8": b'{"email": "\xff\xfe"}',
    "half a surrogate": b'{"email": "\\ud800@b.test", "refresh_token": "\\ud800", "token_hash": "\\ud800"}',
    "very deep": b'{"email": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("broken", BROKEN_BODIES)
def test_a_broken_body_is_refused(http: httpx.Client, path: str, broken: str) -> None:
    answer = http.post(path, content=BROKEN_BODIES[broken])
    assert answer.status_code == 400
    assert answer.json()["code"] in ("bad_json", "validation_failed")
    assert http.get("/health").status_code == 200


@pytest.mark.parametrize("path", POSTS)
def test_a_body_of_more_than_a_megabyte_is_refused(http: httpx.Client, path: str) -> None:
    answer = http.post(path, json={"email": "a@b.test", "password": "x" * (1024 * 1024)})
    assert 400 <= answer.status_code < 500
    assert http.get("/health").status_code == 200


def test_a_chunked_body_without_a_length_has_the_same_limit(http: httpx.Client) -> None:
    def chunks() -> object:
        for _ in range(64):
            yield b"x" * 65536

    answer = http.post("/signup", content=chunks())  # type: ignore[arg-type]
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("text", ["\0", "a\0b@contract.test", "%00"])
def test_text_that_the_database_cannot_hold_is_refused(http: httpx.Client, text: str) -> None:
    sign_in = http.post("/token?grant_type=password", json={"email": text, "password": text})
    assert sign_in.status_code == 400
    sign_up = http.post("/signup", json={"email": new_email(), "password": PASSWORD, "data": {"name": text}})
    assert sign_up.status_code == (400 if "\0" in text else 200)


@pytest.mark.parametrize("address", ["' or '1'='1", "a@b.test'; drop table auth.users; --", "%@%", "_@_"])
def test_an_address_is_never_read_as_sql(http: httpx.Client, address: str) -> None:
    answer = http.post("/token?grant_type=password", json={"email": address, "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_credentials")


def test_an_unknown_grant_type_is_refused(http: httpx.Client) -> None:
    answer = http.post("/token?grant_type=client_credentials", json={})
    assert answer.status_code == 400


def test_an_unknown_path_is_not_found(http: httpx.Client) -> None:
    assert http.get("/nowhere").status_code == 404
    assert http.delete("/signup").status_code == 405


def test_older_clients_get_the_older_error_shape(target: Target) -> None:
    answer = httpx.post(
        f"{target.auth_url}/token?grant_type=password",
        headers={"apikey": target.publishable_key},
        json={"email": new_email(), "password": "wrong"},
    )
    assert answer.json() == {
        "code": 400,
        "error_code": "invalid_credentials",
        "msg": "Invalid login credentials",
    }
    assert "X-Supabase-Api-Version" not in answer.headers


def test_newer_clients_get_the_newer_error_shape(http: httpx.Client) -> None:
    answer = http.post("/token?grant_type=password", json={"email": new_email(), "password": "wrong"})
    assert answer.json() == {"code": "invalid_credentials", "message": "Invalid login credentials"}
    assert answer.headers["X-Supabase-Api-Version"] == "2024-01-01"


def test_the_settings_say_what_a_sign_in_page_may_offer(http: httpx.Client) -> None:
    settings = http.get("/settings").json()
    assert settings["external"]["email"] is True
    assert settings["external"]["anonymous_users"] is False
    assert isinstance(settings["mailer_autoconfirm"], bool)
