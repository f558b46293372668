"""send_invitation: an invitation arrives in the mailbox, and nobody but its reader ever sees the token."""

from __future__ import annotations

import email
import json
import re
import socket
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from billing import invitations, mail
from billing.errors import NotConfiguredError
from billing.settings import get_settings
from tests.conftest import Organization, StackUnderTest, User
from tests.tenancy.in_process import post, settings_of

Database = psycopg.Connection[dict[str, Any]]
ARRIVAL_SECONDS = 10.0


def _token(user: User) -> str:
    session = user.client.auth.get_session()
    assert session is not None
    return session.access_token


def _send(stack: StackUnderTest, user: User, **body: object) -> httpx.Response:
    return httpx.post(
        f"{stack.workers_url}/workers/v1/send_invitation",
        json=body,
        headers={"Authorization": f"Bearer {_token(user)}"},
        timeout=30,
    )


def _mails(stack: StackUnderTest, recipient: str) -> list[EmailMessage]:
    """All mails to an address, newest first."""
    with httpx.Client(base_url=stack.mailbox_url, timeout=10) as box:
        found = box.get("/api/v1/search", params={"query": f"to:{recipient}"}).json()["messages"]
        raw = [box.get(f"/api/v1/message/{one['ID']}/raw").content for one in found]
    return [email.message_from_bytes(content, policy=default) for content in raw]


def _arrived(stack: StackUnderTest, recipient: str) -> EmailMessage:
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while time.monotonic() < deadline:
        if found := _mails(stack, recipient):
            return found[0]
    raise AssertionError(f"no mail to {recipient}")


def _text(message: EmailMessage) -> str:
    content = message.get_content()
    assert isinstance(content, str)
    return content


def test_an_invitation_is_mailed_opened_and_accepted(
    stack: StackUnderTest, new_organization: Callable[..., Organization], new_user: Callable[[], User]
) -> None:
    organization, guest = new_organization(credits=10), new_user()
    answer = _send(
        stack,
        organization.owner,
        organization_id=str(organization.organization_id),
        email=guest.email.upper(),
        role="billing",
        reason="keeps the books",
    )
    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.json()["email"] == guest.email
    message = _arrived(stack, guest.email)
    text = _text(message)
    assert message["Subject"] == "You have been invited"
    assert organization.name in text
    link = re.search(rf"{re.escape(stack.frontend_url)}/invitation#([0-9a-f]{{64}})", text)
    assert link is not None, text
    assert link[1] not in answer.text, "whoever invites never sees the token"
    joined: Any = guest.client.rpc("accept_invitation", {"token": link[1]}).execute().data
    assert (joined["organization_id"], joined["role"]) == (str(organization.organization_id), "billing")
    balance: Any = (
        guest.client.rpc("get_credit_balance", {"organization_id": str(organization.organization_id)})
        .execute()
        .data
    )
    assert balance["balance"] == 10


def test_who_may_not_invite_sends_no_mail(
    stack: StackUnderTest,
    new_organization: Callable[..., Organization],
    new_user: Callable[[], User],
    database: Database,
) -> None:
    organization, stranger = new_organization(), new_user()
    recipient = f"guest-{uuid4().hex}@tests.test"
    wanted = {"email": recipient, "role": "member"}
    foreign = _send(stack, stranger, organization_id=str(organization.organization_id), **wanted)
    unknown = _send(stack, stranger, organization_id=str(uuid4()), **wanted)
    assert (foreign.status_code, foreign.json()) == (unknown.status_code, unknown.json())
    assert foreign.json()["message"] == "not_authorized"
    named = {"organization_id": str(organization.organization_id)}
    refused = [
        _send(stack, organization.owner, **named, email=f"{recipient}\nBcc: x@y.test", role="member"),
        _send(stack, organization.owner, **named, email=f"{recipient}, x@y.test", role="member"),
        _send(stack, organization.owner, **named, email=recipient, role="king"),
        _send(stack, organization.owner, **named, email=recipient, role="member", token="mine"),
    ]
    assert {answer.json()["message"] for answer in refused} == {"invalid_argument"}
    nobody = httpx.post(f"{stack.workers_url}/workers/v1/send_invitation", json=wanted | named, timeout=30)
    key = {"Authorization": f"Bearer {organization.agent_key}"}
    agent = httpx.post(
        f"{stack.workers_url}/workers/v1/send_invitation", json=wanted | named, headers=key, timeout=30
    )
    assert [nobody.status_code, agent.status_code] == [401, 401]
    assert _mails(stack, recipient) == []
    query = "select count(*) as n from billing.invitations where organization_id = %s"
    assert database.execute(query, (organization.organization_id,)).fetchone() == {"n": 0}


def test_an_organizations_name_is_text_in_the_mail_and_nothing_else(
    stack: StackUnderTest, new_user: Callable[[], User]
) -> None:
    owner = new_user()
    name = '<a href="https://evil.test">Win</a> Subject: x'
    made: Any = owner.client.rpc("create_organization", {"name": name}).execute().data
    recipient = f"guest-{uuid4().hex}@tests.test"
    answer = _send(stack, owner, organization_id=made["organization_id"], email=recipient, role="member")
    assert answer.status_code == httpx.codes.OK, answer.text
    message = _arrived(stack, recipient)
    assert message.get_content_type() == "text/plain"
    assert name not in str(message["Subject"])
    assert f"    {name}\n" in _text(message).replace("\r\n", "\n")


def test_an_invitation_whose_mail_cannot_be_sent_is_withdrawn(
    stack: StackUnderTest, new_organization: Callable[..., Organization], database: Database
) -> None:
    organization = new_organization()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody listens
        with settings_of(stack, SMTP_URL=f"smtp://127.0.0.1:{silent.getsockname()[1]}"):
            status, body = post(
                invitations.send,
                {
                    "organization_id": str(organization.organization_id),
                    "email": "guest@tests.test",
                    "role": "member",
                },
                {"Authorization": f"Bearer {_token(organization.owner)}"},
            )
    assert (status, body["message"]) == (502, "mail_failed")
    query = "select revoked_at is not null as revoked from billing.invitations where organization_id = %s"
    assert database.execute(query, (organization.organization_id,)).fetchall() == [{"revoked": True}]


def test_without_a_mail_server_nobody_is_invited(
    stack: StackUnderTest, new_organization: Callable[..., Organization], database: Database
) -> None:
    organization = new_organization()
    with settings_of(stack, SMTP_URL=""):
        status, body = post(
            invitations.send,
            {
                "organization_id": str(organization.organization_id),
                "email": "guest@tests.test",
                "role": "member",
            },
            {"Authorization": f"Bearer {_token(organization.owner)}"},
        )
    assert (status, body["message"]) == (500, "not_configured")
    query = "select count(*) as n from billing.invitations where organization_id = %s"
    assert database.execute(query, (organization.organization_id,)).fetchone() == {"n": 0}


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("http://mail.example", "a@b.example"),
        ("smtp://", "a@b.example"),
        ("smtp://mail.example:port", "a@b.example"),
        ("smtps://mail.example", ""),
    ],
)
def test_a_mail_server_that_cannot_be_is_said_at_once_without_its_password(
    url: str, sender: str, stack: StackUnderTest
) -> None:
    with (
        settings_of(stack, SMTP_URL=url.replace("//mail", "//user:p%40ss@mail"), MAIL_FROM=sender),
        pytest.raises(NotConfiguredError) as refused,
    ):
        mail.server_of(get_settings())
    assert "ss@" not in json.dumps(refused.value.body())


def test_another_machine_is_told_nothing_without_tls(stack: StackUnderTest) -> None:
    """The mailbox speaks no STARTTLS; it takes the part of a server that was tampered with."""
    real = socket.create_connection

    def to_the_mailbox(address: tuple[str, int], *arguments: Any, **named: Any) -> socket.socket:
        assert address == ("mail.example", 2525)
        return real(("127.0.0.1", _smtp_port(stack)), *arguments, **named)

    recipient = f"guest-{uuid4().hex}@tests.test"
    with settings_of(stack, SMTP_URL="smtp://user:secret@mail.example:2525", MAIL_FROM="a@b.example"):
        message = mail.compose(recipient, "secret", "secret")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("smtplib.socket.create_connection", to_the_mailbox)
            with pytest.raises(mail.MailError):
                mail.send(message)
    assert _mails(stack, recipient) == []


class _Provider:
    """A mail provider that knows one password, and the mails that it took; the names are aiosmtpd's."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.recipients: list[str] = []

    def check(self, _server: SMTP, _session: Session, _mail: Envelope, _how: str, login: Any) -> AuthResult:
        is_known = (login.login, login.password) == (b"tallybase", self.password.encode())
        return AuthResult(success=is_known, handled=False)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.recipients += envelope.rcpt_tos
        return "250 OK"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_leaked_password_of_the_mail_server_is_replaced_by_deploying_another(stack: StackUnderTest) -> None:
    provider = _Provider("leaked")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    served = Controller(
        provider,
        hostname="127.0.0.1",
        port=port,
        authenticator=provider.check,
        auth_required=True,
        auth_require_tls=False,
    )

    def send(password: str, recipient: str) -> None:
        with settings_of(stack, SMTP_URL=f"smtp://tallybase:{password}@127.0.0.1:{port}"):
            mail.send(mail.compose(recipient, "Hello", "Hello"))

    served.start()
    try:
        send("leaked", "before@tests.test")
        provider.password = "n%3Aw"  # changed there; percent-encoded in the address
        with pytest.raises(mail.MailError):
            send("leaked", "meanwhile@tests.test")
        send("n%253Aw", "after@tests.test")
    finally:
        served.stop()
    assert provider.recipients == ["before@tests.test", "after@tests.test"]


def _smtp_port(stack: StackUnderTest) -> int:
    """The SMTP port of the stack: beside the mailbox's page."""
    return int(stack.mailbox_url.rpartition(":")[2]) + 1
