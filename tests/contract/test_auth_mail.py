"""One-time codes and links: sign-in, recovery, invitation, change of address."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from tests.contract.auth_clients import AuthClient, AuthRefusedError
from tests.contract.conftest import ClientFactory, Database
from tests.contract.mailbox import Mailbox
from tests.contract.target import PASSWORD, Json, new_email

RETRY_SECONDS = 10.0


def ask(client: AuthClient, method: str, *arguments: Any) -> None:
    """Ask for a mail; within the project's `max_frequency` after the previous one, try again."""
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            client.call(method, *arguments)
        except AuthRefusedError as refused:
            if refused.code != "over_email_send_rate_limit" or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def follow(link: str) -> tuple[str, dict[str, str]]:
    """Follow a link once; the address that the browser is sent to, and its fragment."""
    answer = httpx.get(link, follow_redirects=False)
    assert answer.status_code in (302, 303)
    target, _, fragment = answer.headers["location"].partition("#")
    return target, {name: values[0] for name, values in parse_qs(fragment).items()}


def make_older(database: Database, column: str, email: str) -> None:
    """Let a mailed token expire, instead of waiting."""
    assert column in ("confirmation_sent_at", "recovery_sent_at", "email_change_sent_at")
    changed = database.execute(
        f"update auth.users set {column} = {column} - interval '2 days' where email = %s",
        [email],
    )
    assert changed.rowcount == 1


def test_a_mailed_code_signs_in(client: AuthClient, mailbox: Mailbox, registered: str) -> None:
    client.call("sign_in_with_otp", {"email": registered})
    code = mailbox.newest(registered).code
    answer = client.call("verify_otp", {"email": registered, "token": code, "type": "email"})
    assert answer.user is not None
    assert answer.user["email"] == registered
    assert [entry["method"] for entry in client.claims(answer.access_token)["amr"]] == ["otp"]


def test_a_code_for_an_unknown_address_registers_it(client: AuthClient, mailbox: Mailbox) -> None:
    email = new_email("newcomer")
    client.call("sign_in_with_otp", {"email": email, "options": {"data": {"name": "Grace"}}})
    answer = client.call("verify_otp", {"email": email, "token": mailbox.newest(email).code, "type": "email"})
    assert answer.user is not None
    assert answer.user["user_metadata"]["name"] == "Grace"


def test_a_client_may_ask_not_to_register(client: AuthClient, mailbox: Mailbox) -> None:
    email = new_email("nobody")
    with pytest.raises(AuthRefusedError) as refused:
        client.call("sign_in_with_otp", {"email": email, "options": {"should_create_user": False}})
    assert refused.value.code == "otp_disabled"
    assert mailbox.letters(email) == []


def test_a_code_works_once(client: AuthClient, mailbox: Mailbox, registered: str) -> None:
    client.call("sign_in_with_otp", {"email": registered})
    attempt = {"email": registered, "token": mailbox.newest(registered).code, "type": "email"}
    client.call("verify_otp", attempt)
    with pytest.raises(AuthRefusedError) as refused:
        client.call("verify_otp", attempt)
    assert (refused.value.status, refused.value.code) == (403, "otp_expired")


def test_of_two_uses_at_once_one_succeeds(
    client: AuthClient, http: httpx.Client, mailbox: Mailbox, registered: str
) -> None:
    client.call("sign_in_with_otp", {"email": registered})
    body = {"email": registered, "token": mailbox.newest(registered).code, "type": "email"}
    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(
            answer.status_code for answer in pool.map(lambda _: http.post("/verify", json=body), range(6))
        )
    assert statuses == [200, 403, 403, 403, 403, 403]


def test_a_new_code_makes_the_old_one_worthless(
    client: AuthClient, mailbox: Mailbox, registered: str
) -> None:
    ask(client, "sign_in_with_otp", {"email": registered})
    old = mailbox.newest(registered).code
    ask(client, "sign_in_with_otp", {"email": registered})
    new = mailbox.newest(registered, count=2).code
    if old != new:
        with pytest.raises(AuthRefusedError):
            client.call("verify_otp", {"email": registered, "token": old, "type": "email"})
    assert client.call("verify_otp", {"email": registered, "token": new, "type": "email"}).session


def test_a_code_belongs_to_the_address_it_was_sent_to(
    client: AuthClient, administrator: AuthClient, mailbox: Mailbox, registered: str
) -> None:
    stranger = new_email("stranger")
    administrator.admin("create_user", {"email": stranger, "email_confirm": True})
    client.call("sign_in_with_otp", {"email": registered})
    code = mailbox.newest(registered).code
    with pytest.raises(AuthRefusedError) as refused:
        client.call("verify_otp", {"email": stranger, "token": code, "type": "email"})
    assert refused.value.code == "otp_expired"


def test_a_code_of_one_kind_is_worth_nothing_as_another(
    client: AuthClient, mailbox: Mailbox, registered: str
) -> None:
    client.call("sign_in_with_otp", {"email": registered})
    code = mailbox.newest(registered).code
    for kind in ("signup", "invite", "email_change"):
        with pytest.raises(AuthRefusedError) as refused:
            client.call("verify_otp", {"email": registered, "token": code, "type": kind})
        assert refused.value.code == "otp_expired"


def test_an_old_code_has_expired(
    client: AuthClient, mailbox: Mailbox, database: Database, registered: str
) -> None:
    client.call("sign_in_with_otp", {"email": registered})
    code = mailbox.newest(registered).code
    make_older(database, "recovery_sent_at", registered)
    with pytest.raises(AuthRefusedError) as refused:
        client.call("verify_otp", {"email": registered, "token": code, "type": "email"})
    assert refused.value.code == "otp_expired"


def test_mails_to_one_address_are_rationed(client: AuthClient, registered: str) -> None:
    client.call("sign_in_with_otp", {"email": registered})
    with pytest.raises(AuthRefusedError) as refused:
        client.call("sign_in_with_otp", {"email": registered})
    assert (refused.value.status, refused.value.code) == (429, "over_email_send_rate_limit")


def test_a_link_signs_in_and_returns_the_session_in_the_fragment(
    client: AuthClient, http: httpx.Client, mailbox: Mailbox, registered: str
) -> None:
    client.call("sign_in_with_otp", {"email": registered})
    destination, session = follow(mailbox.newest(registered).link)
    assert "?" not in destination
    assert session["type"] == "magiclink"
    user = http.get("/user", headers={"Authorization": f"Bearer {session['access_token']}"}).json()
    assert user["email"] == registered
    answer = http.post("/token?grant_type=refresh_token", json={"refresh_token": session["refresh_token"]})
    assert answer.status_code == 200


def test_a_used_link_says_so_to_the_page(client: AuthClient, mailbox: Mailbox, registered: str) -> None:
    client.call("sign_in_with_otp", {"email": registered})
    link = mailbox.newest(registered).link
    follow(link)
    _, fragment = follow(link)
    assert fragment["error"] == "access_denied"
    assert fragment["error_code"] == "otp_expired"
    assert fragment["error_description"] == "Email link is invalid or has expired"


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.test/",
        "//evil.test/",
        "https:evil.test",
        "javascript:alert(1)",
        "http://127.0.0.1@evil.test/",
        "http://127.0.0.1:5173\\@evil.test/",
        "http://127.0.0.1.evil.test/",
        "http://evil.test/?http://127.0.0.1:5173/",
        "data:text/html,hello",
    ],
)
def test_a_link_never_leads_to_a_stranger(http: httpx.Client, target_site: str, address: str) -> None:
    query = urlencode({"token": "unknown", "type": "magiclink", "redirect_to": address})
    answer = http.get(f"/verify?{query}", follow_redirects=False)
    destination = urlsplit(answer.headers["location"])
    assert f"{destination.scheme}://{destination.netloc}" == target_site
    assert "evil" not in answer.headers["location"]


@pytest.fixture
def target_site(http: httpx.Client) -> str:
    """Where links lead without a wish: the site URL's origin."""
    answer = http.get("/verify?token=unknown&type=magiclink", follow_redirects=False)
    site = urlsplit(answer.headers["location"])
    return f"{site.scheme}://{site.netloc}"


def test_a_link_leads_to_an_allowed_page(http: httpx.Client, target_site: str) -> None:
    query = urlencode(
        {"token": "unknown", "type": "magiclink", "redirect_to": f"{target_site}/billing?tab=1"}
    )
    answer = http.get(f"/verify?{query}", follow_redirects=False)
    assert answer.headers["location"].startswith(f"{target_site}/billing?tab=1#")


def test_recovery_leads_to_a_session_that_may_set_a_password(
    client: AuthClient, mailbox: Mailbox, registered: str
) -> None:
    client.call("reset_password_for_email", registered)
    letter = mailbox.newest(registered)
    client.call("verify_otp", {"token_hash": letter.token_hash, "type": "recovery"})
    client.call("update_user", {"password": "a recovered password"})
    assert client.call(
        "sign_in_with_password", {"email": registered, "password": "a recovered password"}
    ).session


def test_a_recovery_token_used_twice_is_refused_in_every_form(
    client: AuthClient, mailbox: Mailbox, registered: str
) -> None:
    client.call("reset_password_for_email", registered)
    letter = mailbox.newest(registered)
    client.call("verify_otp", {"token_hash": letter.token_hash, "type": "recovery"})
    forms: list[Json] = [
        {"token_hash": letter.token_hash, "type": "recovery"},
        {"token_hash": letter.token_hash, "type": "magiclink"},
        {"email": registered, "token": letter.code, "type": "recovery"},
        {"email": registered, "token": letter.code, "type": "email"},
    ]
    for form in forms:
        with pytest.raises(AuthRefusedError) as refused:
            client.call("verify_otp", form)
        assert refused.value.code == "otp_expired"
    assert follow(letter.link)[1]["error_code"] == "otp_expired"


def test_a_password_change_makes_a_pending_recovery_worthless(
    client: AuthClient, mailbox: Mailbox, registered: str
) -> None:
    client.call("sign_in_with_password", {"email": registered, "password": PASSWORD})
    client.call("reset_password_for_email", registered)
    letter = mailbox.newest(registered)
    client.call("update_user", {"password": "a changed password"})
    assert follow(letter.link)[1]["error_code"] == "otp_expired"


def test_recovery_does_not_tell_whether_an_address_is_known(
    http: httpx.Client, mailbox: Mailbox, registered: str
) -> None:
    unknown = new_email("nobody")
    answers = [http.post("/recover", json={"email": email}) for email in (registered, unknown)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {}), (200, {})]
    assert mailbox.newest(registered).subject
    assert mailbox.letters(unknown) == []


def test_a_confirmed_address_gets_no_further_confirmation(
    client: AuthClient, mailbox: Mailbox, registered: str
) -> None:
    client.call("resend", {"type": "signup", "email": registered})
    assert mailbox.letters(registered) == []


def test_an_unconfirmed_address_cannot_sign_in_until_its_mail_is_answered(
    client: AuthClient, administrator: AuthClient, mailbox: Mailbox
) -> None:
    email = new_email("pending")
    administrator.admin("create_user", {"email": email, "password": PASSWORD})
    with pytest.raises(AuthRefusedError) as refused:
        client.call("sign_in_with_password", {"email": email, "password": PASSWORD})
    assert refused.value.code == "email_not_confirmed"
    client.call("resend", {"type": "signup", "email": email})
    client.call("verify_otp", {"email": email, "token": mailbox.newest(email).code, "type": "signup"})
    assert client.call("sign_in_with_password", {"email": email, "password": PASSWORD}).session


def test_a_new_address_holds_only_after_both_addresses_agree(
    client: AuthClient, mailbox: Mailbox, registered: str
) -> None:
    client.call("sign_in_with_password", {"email": registered, "password": PASSWORD})
    wanted = new_email("moved")
    user = client.call("update_user", {"email": wanted}).user
    assert user is not None
    assert (user["email"], user["new_email"]) == (registered, wanted)
    to_new = mailbox.newest(wanted)
    to_old = mailbox.newest(registered)
    assert follow(to_new.link)[1]["message"].startswith("Confirmation link accepted")
    assert follow(to_new.link)[1]["error_code"] == "otp_expired"
    unchanged = client.call("get_user").user
    assert unchanged is not None
    assert unchanged["email"] == registered
    assert follow(to_old.link)[1]["type"] == "email_change"
    changed = client.call("get_user").user
    assert changed is not None
    assert changed["email"] == wanted
    assert client.call("sign_in_with_password", {"email": wanted, "password": PASSWORD}).session


def test_an_address_of_somebody_else_cannot_be_taken_over(
    make_client: ClientFactory, administrator: AuthClient, registered: str
) -> None:
    other = new_email("other")
    administrator.admin("create_user", {"email": other, "password": PASSWORD, "email_confirm": True})
    client = make_client()
    client.call("sign_in_with_password", {"email": registered, "password": PASSWORD})
    with pytest.raises(AuthRefusedError) as refused:
        client.call("update_user", {"email": other.upper()})
    assert refused.value.code == "email_exists"


def test_an_invited_person_chooses_a_password_and_signs_in(
    client: AuthClient, service_client: AuthClient, mailbox: Mailbox
) -> None:
    email = new_email("invited")
    invited = service_client.admin("invite_user_by_email", email, {"data": {"team": "research"}})["user"]
    assert invited["invited_at"] is not None
    assert invited["user_metadata"]["team"] == "research"
    letter = mailbox.newest(email)
    client.call("verify_otp", {"token_hash": letter.token_hash, "type": "invite"})
    client.call("update_user", {"password": PASSWORD})
    assert client.call("sign_in_with_password", {"email": email, "password": PASSWORD}).session


def test_a_registered_address_cannot_be_invited(service_client: AuthClient, registered: str) -> None:
    with pytest.raises(AuthRefusedError) as refused:
        service_client.admin("invite_user_by_email", registered)
    assert refused.value.code == "email_exists"
