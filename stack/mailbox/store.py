"""The mails that were received, newest first, in memory and bounded."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any

MAX_MESSAGES = 500
MAX_MESSAGE_BYTES = 1024 * 1024
_SNIPPET_CHARACTERS = 250

UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, MessageError)
"""What Python's mail parser raises for mail that follows no rule; such a part is shown as empty."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Mail:
    """A received mail.

    Args:
        id: our own identifier.
        received_at: when it came.
        sender: envelope sender.
        recipients: envelope recipients.
        content: the mail as it came, headers and body.
    """

    id: str
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    content: bytes

    def parsed(self) -> EmailMessage:
        """The mail's headers and parts."""
        message = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message

    def headers(self, name: str) -> list[str]:
        """The values of a header; none if the standard library cannot read what was sent."""
        try:
            return [str(value) for value in self.parsed().get_all(name, [])]
        except UNREADABLE:
            return []

    def header(self, name: str) -> str:
        """The first value of a header, or the empty string."""
        return next(iter(self.headers(name)), "")

    def addresses(self, name: str) -> list[Json]:
        """The addresses of a header as `{Name, Address}`."""
        return [{"Name": person, "Address": address} for person, address in getaddresses(self.headers(name))]

    def text(self, subtype: str) -> str:
        """The body of a kind, `plain` or `html`; empty if the mail has none or it cannot be read."""
        try:
            part = self.parsed().get_body(preferencelist=(subtype,))
            content = part.get_content() if part is not None else ""
        except UNREADABLE:
            return ""
        return content if isinstance(content, str) else ""

    def attachments(self) -> list[Json]:
        """Names and types of the attached files."""
        try:
            return [
                {"FileName": part.get_filename() or "", "ContentType": part.get_content_type()}
                for part in self.parsed().iter_attachments()
            ]
        except UNREADABLE:
            return []

    def summary(self) -> Json:
        """The mail as an entry of a list, with the names of Mailpit's API."""
        sender = self.addresses("From")
        return {
            "ID": self.id,
            "MessageID": self.header("Message-ID").strip("<>"),
            "Read": False,
            "From": sender[0] if sender else {"Name": "", "Address": self.sender},
            "To": self.addresses("To"),
            "Cc": self.addresses("Cc"),
            "Bcc": self.addresses("Bcc"),
            "ReplyTo": self.addresses("Reply-To"),
            "Subject": self.header("Subject"),
            "Created": self.received_at.isoformat().replace("+00:00", "Z"),
            "Tags": [],
            "Size": len(self.content),
            "Attachments": len(self.attachments()),
            "Snippet": " ".join(self.text("plain").split())[:_SNIPPET_CHARACTERS],
        }

    def details(self) -> Json:
        """The whole mail, with the names of Mailpit's API."""
        shown = self.summary()
        del shown["Read"], shown["Created"], shown["Snippet"]
        return shown | {
            "Date": self.received_at.isoformat().replace("+00:00", "Z"),
            "ReturnPath": self.sender,
            "Text": self.text("plain"),
            "HTML": self.text("html"),
            "Inline": [],
            "Attachments": self.attachments(),
        }


class MailStore:
    """Keeps the newest `MAX_MESSAGES` mails; older ones are forgotten."""

    def __init__(self) -> None:
        self._mails: OrderedDict[str, Mail] = OrderedDict()

    def add(self, sender: str, recipients: Iterable[str], content: bytes) -> Mail:
        """Keep a mail.

        Args:
            sender: envelope sender.
            recipients: envelope recipients.
            content: the mail as it came; the SMTP server has already refused what is too large.

        Returns:
            The kept mail.
        """
        mail = Mail(secrets.token_urlsafe(16), datetime.now(UTC), sender, tuple(recipients), content)
        self._mails[mail.id] = mail
        while len(self._mails) > MAX_MESSAGES:
            self._mails.popitem(last=False)
        return mail

    def newest_first(self) -> list[Mail]:
        """All mails."""
        return list(reversed(self._mails.values()))

    def get(self, mail_id: str) -> Mail | None:
        """Find a mail; `latest` means the newest."""
        if mail_id == "latest":
            return next(iter(self.newest_first()), None)
        return self._mails.get(mail_id)

    def delete(self, ids: Iterable[str] | None) -> None:
        """Forget the named mails, or all if None."""
        if ids is None:
            self._mails.clear()
            return
        for mail_id in ids:
            self._mails.pop(mail_id, None)

    def search(self, query: str) -> list[Mail]:
        """Find mails, newest first.

        Args:
            query: words that must all fit, as in Mailpit: `to:`, `from:` and `subject:` look into one
                field, a bare word into subject and text; quotation marks around a value are ignored.
        """
        terms = [term.replace('"', "").lower() for term in query.split()]
        return [mail for mail in self.newest_first() if all(_fits(mail, term) for term in terms)]


def _fits(mail: Mail, term: str) -> bool:
    field, separator, value = term.partition(":")
    if separator and field == "to":
        return any(value in recipient.lower() for recipient in mail.recipients)
    if separator and field == "from":
        return value in mail.header("From").lower() or value in mail.sender.lower()
    if separator and field == "subject":
        return value in mail.header("Subject").lower()
    return term in f"{mail.header('Subject')} {mail.text('plain')}".lower()
