"""Sends mail through the installation's SMTP server; in the local stack, into its mailbox."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from billing.errors import NotConfiguredError, WorkerError
from billing.logs import get_logger
from billing.settings import Settings, get_settings

TIMEOUT_SECONDS = 10
_DEFAULT_FROM = "Tallybase <billing@tallybase.local>"
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
_PORTS = {"smtp": 587, "smtps": 465}

_log = get_logger("mail")


class MailError(WorkerError):
    """The mail server did not take a mail; nothing was sent."""

    status = 502
    slug = "mail_failed"


@dataclass(frozen=True)
class Server:
    """A mail server, as SMTP_URL names it.

    Attributes:
        is_implicit_tls: TLS from the first byte; otherwise STARTTLS, without which nothing is said to another
            machine.
    """

    host: str
    port: int
    user: str | None
    password: SecretStr | None
    is_implicit_tls: bool


def server_of(settings: Settings) -> Server:
    """Read SMTP_URL.

    Raises:
        NotConfiguredError: it is unset or no such address, or MAIL_FROM is missing where mail is really sent.
    """
    if settings.smtp_url is None:
        raise NotConfiguredError("SMTP_URL is not set: no mail can be sent.")
    try:
        parts = urlsplit(settings.smtp_url.get_secret_value())
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise NotConfiguredError("SMTP_URL must begin with smtp:// or smtps:// and name a host.") from None
    if not parts.hostname:
        raise NotConfiguredError("SMTP_URL must begin with smtp:// or smtps:// and name a host.")
    if settings.mail_from is None and parts.hostname not in _THIS_MACHINE:
        raise NotConfiguredError("MAIL_FROM is not set: mails need a sender.")
    return Server(
        host=parts.hostname,
        port=port,
        user=unquote(parts.username) if parts.username else None,
        password=SecretStr(unquote(parts.password)) if parts.password else None,
        is_implicit_tls=parts.scheme == "smtps",
    )


def compose(recipient: str, subject: str, text: str) -> EmailMessage:
    """Make a mail of plain text: what people write into it can be no markup.

    Args:
        recipient: one address.
        subject: one line; line breaks in it are refused by the library.
        text: the body.
    """
    sender = get_settings().mail_from or _DEFAULT_FROM
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = sender
    message["To"] = recipient
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2] or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def send(message: EmailMessage) -> None:
    """Hand a mail to the server.

    Raises:
        MailError: it did not take the mail; the log says how it answered, without the mail.
        NotConfiguredError: there is none.
    """
    server = server_of(get_settings())
    try:
        with _connect(server) as connection:
            if server.user is not None and server.password is not None:
                connection.login(server.user, server.password.get_secret_value())
            connection.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        _log.error("mail_failed", host=server.host, port=server.port, error=type(error).__name__)
        raise MailError("The mail could not be sent. Try again.") from error


def _connect(server: Server) -> smtplib.SMTP:
    if server.is_implicit_tls:
        return smtplib.SMTP_SSL(
            server.host, server.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    if server.host not in _THIS_MACHINE:
        try:
            connection.starttls(context=ssl.create_default_context())
        except (OSError, smtplib.SMTPException):
            connection.close()
            raise
    return connection
