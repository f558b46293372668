"""Links that end in a code, for pages rendered on a server: only who asked for the mail can redeem it."""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.contract.auth_clients import AuthClient, JavaScriptAuthClient, PythonAuthClient
from tests.contract.conftest import Database
from tests.contract.mailbox import Mailbox
from tests.contract.node_driver import NodeDriver
from tests.contract.target import Target

REDEEM = "/token?grant_type=pkce"


def challenge_of(verifier: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def code_behind(link: str) -> str:
    """Follow a link to its code."""
    answer = httpx.get(link, follow_redirects=False)
    destination = urlsplit(answer.headers["location"])
    assert destination.fragment == ""
    return parse_qs(destination.query)["code"][0]


def ask_for_mail(http: httpx.Client, mailbox: Mailbox, email: str, path: str = "/otp") -> tuple[str, str]:
    """Ask for a mail with a challenge; the secret verifier and the mail's link."""
    verifier = secrets.token_urlsafe(48)
    body = {"email": email, "code_challenge": challenge_of(verifier), "code_challenge_method": "s256"}
    assert http.post(path, json=body).status_code == 200
    return verifier, mailbox.newest(email).link


@pytest.mark.parametrize("method", ["sign_in_with_otp", "reset_password_for_email"])
@pytest.mark.parametrize("library", ["supabase-py", "supabase-js"])
def test_a_client_redeems_the_code_of_its_own_link(
    target: Target, node: NodeDriver, mailbox: Mailbox, registered: str, library: str, method: str
) -> None:
    client: AuthClient = (
        PythonAuthClient(target, target.publishable_key, flow="pkce")
        if library == "supabase-py"
        else JavaScriptAuthClient(node, target.publishable_key, flow="pkce")
    )
    client.call(method, registered if method == "reset_password_for_email" else {"email": registered})
    code = code_behind(mailbox.newest(registered).link)
    answer = client.call(
        "exchange_code_for_session", {"auth_code": code} if library == "supabase-py" else code
    )
    assert answer.user is not None
    assert answer.user["email"] == registered
    assert client.claims(answer.access_token)["amr"][0]["method"] in ("magiclink", "recovery")


def test_the_link_alone_opens_no_session(http: httpx.Client, mailbox: Mailbox, registered: str) -> None:
    _, link = ask_for_mail(http, mailbox, registered)
    code = code_behind(link)
    guess = {"auth_code": code, "code_verifier": secrets.token_urlsafe(48)}
    answer = http.post(REDEEM, json=guess)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_code_verifier")


def test_a_code_is_redeemed_once(http: httpx.Client, mailbox: Mailbox, registered: str) -> None:
    verifier, link = ask_for_mail(http, mailbox, registered, "/recover")
    proof = {"auth_code": code_behind(link), "code_verifier": verifier}
    assert http.post(REDEEM, json=proof).json()["user"]["email"] == registered
    again = http.post(REDEEM, json=proof)
    assert (again.status_code, again.json()["code"]) == (404, "flow_state_not_found")


def test_a_code_that_was_never_released_is_unknown(
    http: httpx.Client, mailbox: Mailbox, registered: str, database: Database
) -> None:
    verifier, _ = ask_for_mail(http, mailbox, registered)
    row = database.execute(
        """select auth_code from auth.flow_state join auth.users on users.id = user_id
           where email = %s""",
        [registered],
    ).fetchone()
    assert row is not None
    answer = http.post(REDEEM, json={"auth_code": row["auth_code"], "code_verifier": verifier})
    assert answer.json()["code"] == "flow_state_not_found"


def test_an_old_code_has_expired(
    http: httpx.Client, mailbox: Mailbox, registered: str, database: Database
) -> None:
    verifier, link = ask_for_mail(http, mailbox, registered)
    code = code_behind(link)
    database.execute(
        """update auth.flow_state set auth_code_issued_at = auth_code_issued_at - interval '1 hour',
             created_at = created_at - interval '1 hour' where auth_code = %s""",
        [code],
    )
    answer = http.post(REDEEM, json={"auth_code": code, "code_verifier": verifier})
    assert (answer.status_code, answer.json()["code"]) == (403, "flow_state_expired")


def test_a_used_link_of_this_flow_reports_in_the_query(
    http: httpx.Client, mailbox: Mailbox, registered: str
) -> None:
    _, link = ask_for_mail(http, mailbox, registered)
    code_behind(link)
    answer = httpx.get(link, follow_redirects=False)
    assert parse_qs(urlsplit(answer.headers["location"]).query)["error_code"] == ["otp_expired"]


def test_the_typed_code_of_such_a_mail_still_signs_in(
    http: httpx.Client, mailbox: Mailbox, registered: str
) -> None:
    ask_for_mail(http, mailbox, registered)
    body = {"email": registered, "token": mailbox.newest(registered).code, "type": "email"}
    assert http.post("/verify", json=body).status_code == 200


@pytest.mark.parametrize(
    "challenge",
    [
        {"code_challenge": "short", "code_challenge_method": "s256"},
        {"code_challenge": "x" * 43, "code_challenge_method": "md5"},
        {"code_challenge": "x" * 43},
        {"code_challenge": "white space" + "x" * 43, "code_challenge_method": "plain"},
    ],
)
def test_a_malformed_challenge_is_refused(
    http: httpx.Client, registered: str, challenge: dict[str, str]
) -> None:
    answer = http.post("/otp", json={"email": registered, **challenge})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
