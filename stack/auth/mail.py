"""The mails of the auth server: what they say, and sending them by SMTP."""

from __future__ import annotations

import smtplib
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from html import escape
from typing import Literal
from urllib.parse import urlencode

import anyio.to_thread

from stack.auth.config import AuthConfig
from stack.auth.errors import ApiError
from stack.auth.one_time_tokens import OneTimeToken

Kind = Literal["signup", "magiclink", "recovery", "invite", "email_change", "reauthentication"]
"""The kinds of mail; all but the last are also the `type` with which a link is verified."""

SENDER = "Tallybase local sign-in <auth@tallybase.local>"
_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class _Wording:
    subject: str
    request: str
    button: str


_WORDINGS: dict[Kind, _Wording] = {
    "signup": _Wording("Confirm Your Signup", "Follow this link to confirm your address:", "Confirm address"),
    "magiclink": _Wording("Your Magic Link", "Follow this link to sign in:", "Sign in"),
    "recovery": _Wording(
        "Reset Your Password", "Follow this link to choose a new password:", "Reset password"
    ),
    "invite": _Wording("You have been invited", "Follow this link to accept the invitation:", "Accept"),
    "email_change": _Wording(
        "Confirm Email Change", "Follow this link to confirm the change of address:", "Confirm change"
    ),
    "reauthentication": _Wording("Confirm Reauthentication", "Enter this code to go on:", ""),
}


def verification_link(config: AuthConfig, kind: Kind, token: OneTimeToken, redirect_to: str) -> str:
    """Write the address that uses up a token and then sends the browser on.

    Args:
        config: names the public address of the auth server.
        kind: what is verified.
        token: the token; only its hash is in the link.
        redirect_to: where the browser goes afterwards, already checked.
    """
    query = urlencode({"token": token.token_hash, "type": kind, "redirect_to": redirect_to})
    return f"{config.external_url}/verify?{query}"


async def send(config: AuthConfig, kind: Kind, recipient: str, token: OneTimeToken, redirect_to: str) -> None:
    """Mail a token.

    Args:
        config: where mail and links go.
        kind: what the token is for.
        recipient: a normalised address.
        token: goes out as a link and as a code.
        redirect_to: where the link leads in the end.

    Raises:
        ApiError: 500, the mail server did not take it.
    """
    message = _compose(config, kind, recipient, token, redirect_to)
    try:
        await anyio.to_thread.run_sync(_deliver, message, config.smtp_host, config.smtp_port)
    except (OSError, smtplib.SMTPException) as error:
        raise ApiError(500, "unexpected_failure", f"Error sending {kind} email") from error


def _compose(
    config: AuthConfig, kind: Kind, recipient: str, token: OneTimeToken, redirect_to: str
) -> EmailMessage:
    wording = _WORDINGS[kind]
    link = "" if kind == "reauthentication" else verification_link(config, kind, token, redirect_to)
    message = EmailMessage()
    message["Subject"] = wording.subject
    message["From"] = SENDER
    message["To"] = recipient
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain="tallybase.local")
    message.set_content(
        "\n".join(filter(None, [wording.request, link, f"Or enter the code: {token.code}"])) + "\n"
    )
    anchor = f'<p><a href="{escape(link)}">{wording.button}</a></p>' if link else ""
    message.add_alternative(
        f"<h2>{wording.subject}</h2><p>{wording.request}</p>{anchor}"
        f"<p>Or enter the code: <b>{token.code}</b></p>",
        subtype="html",
    )
    return message


def _deliver(message: EmailMessage, host: str, port: int) -> None:
    with smtplib.SMTP(host, port, timeout=_TIMEOUT_SECONDS) as server:
        server.send_message(message)
