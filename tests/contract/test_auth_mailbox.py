"""The mailbox: takes mail of any program by SMTP, shows it by Mailpit's API, and stays small."""

from __future__ import annotations

import dataclasses
import smtplib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage

import anyio.to_thread
import httpx
import pytest
import pytest_asyncio

from stack.mailbox.app import create_app
from stack.mailbox.store import MAX_MESSAGE_BYTES, MAX_MESSAGES, MailStore
from stack.settings import HOST, StackSettings


@dataclass(frozen=True)
class Box:
    """A mailbox of a test's own."""

    http: httpx.AsyncClient
    smtp_port: int

    async def send(self, message: EmailMessage) -> None:
        """Send by SMTP, as the auth server and the product's workers do."""

        def deliver() -> None:
            with smtplib.SMTP(HOST, self.smtp_port, timeout=10) as server:
                server.send_message(message)

        await anyio.to_thread.run_sync(deliver)


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Box]:
    """A mailbox with an SMTP port that the operating system chose."""
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
    settings = StackSettings.load()
    app = create_app(dataclasses.replace(settings, ports=dataclasses.replace(settings.ports, smtp=port)))
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://mailbox") as http,
    ):
        yield Box(http, port)


def letter(
    recipient: str = "ada@box.test", subject: str = "Hello", text: str = "plain words"
) -> EmailMessage:
    """A mail with a text and an HTML part."""
    message = EmailMessage()
    message["From"] = "Tallybase <billing@tallybase.test>"
    message["To"] = recipient
    message["Subject"] = subject
    message.set_content(text)
    message.add_alternative(f"<p>{text}</p>", subtype="html")
    return message


async def test_a_mail_is_listed_and_can_be_read(box: Box) -> None:
    await box.send(letter(subject="Grüße", text="ein € Guthaben"))
    listing = (await box.http.get("/api/v1/messages")).json()
    [summary] = listing["messages"]
    assert listing["total"] == 1
    assert summary["Subject"] == "Grüße"
    assert summary["To"] == [{"Name": "", "Address": "ada@box.test"}]
    assert summary["From"] == {"Name": "Tallybase", "Address": "billing@tallybase.test"}
    mail = (await box.http.get(f"/api/v1/message/{summary['ID']}")).json()
    assert mail["Text"].strip() == "ein € Guthaben"
    assert mail["HTML"].strip() == "<p>ein € Guthaben</p>"
    assert mail == (await box.http.get("/api/v1/message/latest")).json()


async def test_an_attachment_is_named(box: Box) -> None:
    message = letter()
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="invoice.pdf")
    await box.send(message)
    mail = (await box.http.get("/api/v1/message/latest")).json()
    assert mail["Attachments"] == [{"FileName": "invoice.pdf", "ContentType": "application/pdf"}]


async def test_mails_are_found_by_recipient_subject_and_words(box: Box) -> None:
    await box.send(letter("ada@box.test", "Low balance", "you have 5 credits"))
    await box.send(letter("grace@box.test", "Receipt", "you have 500 credits"))

    async def found(query: str) -> list[str]:
        answer = await box.http.get("/api/v1/search", params={"query": query})
        return [mail["Subject"] for mail in answer.json()["messages"]]

    assert await found("to:ada@box.test") == ["Low balance"]
    assert await found('to:"GRACE@box.test"') == ["Receipt"]
    assert await found("subject:receipt") == ["Receipt"]
    assert await found("from:billing@") == ["Receipt", "Low balance"]
    assert await found("to:grace 500") == ["Receipt"]
    assert await found("to:nobody") == []


async def test_mails_can_be_deleted_singly_and_all_together(box: Box) -> None:
    for number in range(3):
        await box.send(letter(subject=str(number)))
    newest = (await box.http.get("/api/v1/message/latest")).json()
    await box.http.request("DELETE", "/api/v1/messages", json={"IDs": [newest["ID"]]})
    assert (await box.http.get("/api/v1/messages")).json()["total"] == 2
    await box.http.delete("/api/v1/messages")
    assert (await box.http.get("/api/v1/messages")).json()["total"] == 0
    assert (await box.http.get("/api/v1/message/latest")).status_code == 404


@pytest.mark.parametrize("body", [b"{", b'{"IDs": "all"}', b'{"IDs": [1]}'])
async def test_a_broken_deletion_deletes_nothing(box: Box, body: bytes) -> None:
    await box.send(letter())
    answer = await box.http.request("DELETE", "/api/v1/messages", content=body)
    assert answer.status_code == 400
    assert (await box.http.get("/api/v1/messages")).json()["total"] == 1


async def test_lists_come_in_pages(box: Box) -> None:
    for number in range(3):
        await box.send(letter(subject=str(number)))
    page = (await box.http.get("/api/v1/messages?start=1&limit=1")).json()
    assert [mail["Subject"] for mail in page["messages"]] == ["1"]
    assert (page["total"], page["count"]) == (3, 1)


async def test_a_mail_beyond_the_limit_is_refused(box: Box) -> None:
    with pytest.raises(smtplib.SMTPException):
        await box.send(letter(text="x" * 70 + "\n" + ("y" * 70 + "\n") * (MAX_MESSAGE_BYTES // 70)))
    assert (await box.http.get("/api/v1/messages")).json()["total"] == 0


async def test_the_page_shows_mail_without_running_its_scripts(box: Box) -> None:
    attack = "<script>alert(1)</script>"
    await box.send(letter(subject=attack, text=attack))
    newest = (await box.http.get("/api/v1/message/latest")).json()
    for path in ("/", f"/view/{newest['ID']}"):
        page = (await box.http.get(path)).text
        assert "&lt;script&gt;" in page
        assert attack not in page
    assert 'sandbox="allow-popups"' in page


def test_the_store_forgets_the_oldest() -> None:
    store = MailStore()
    for number in range(MAX_MESSAGES + 5):
        store.add("a@box.test", ["b@box.test"], f"Subject: {number}\r\n\r\n".encode())
    mails = store.newest_first()
    assert len(mails) == MAX_MESSAGES
    assert mails[0].summary()["Subject"] == str(MAX_MESSAGES + 4)
    assert mails[-1].summary()["Subject"] == "5"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no headers at all",
        b"\xff\xfe\x00",
        b"Subject: =?utf-8?q?=ff?=\r\nTo: @@@, <\r\n\r\nx",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: text/html; charset=none\r\n\r\n<p>",
    ],
)
def test_a_mail_that_makes_no_sense_is_still_shown(content: bytes) -> None:
    store = MailStore()
    mail = store.add("", ["b@box.test"], content)
    assert mail.details()["ID"] == mail.id
    assert store.search("to:b@box.test") == [mail]
