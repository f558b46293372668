"""Letters with one-time tokens: prepared inside a transaction, posted after it."""

from __future__ import annotations

from dataclasses import dataclass

from stack.auth import mail, one_time_tokens
from stack.auth.config import AuthConfig
from stack.auth.mail import Kind
from stack.auth.one_time_tokens import OneTimeToken, TokenType
from stack.auth.users import Connection, User

TOKEN_TYPES: dict[Kind, TokenType] = {
    "signup": "confirmation_token",
    "invite": "confirmation_token",
    "magiclink": "recovery_token",
    "recovery": "recovery_token",
    "reauthentication": "reauthentication_token",
}
"""What a letter's token is stored as. A change of address has two tokens and a function of its own."""


@dataclass(frozen=True)
class Letter:
    """A mail that is written but not yet sent."""

    kind: Kind
    recipient: str
    token: OneTimeToken
    redirect_to: str


async def prepare(
    connection: Connection, config: AuthConfig, user: User, kind: Kind, redirect_to: str
) -> Letter:
    """Store a fresh token for a user.

    Args:
        connection: in a transaction.
        config: length of codes.
        user: who gets the letter.
        kind: any but `email_change`.
        redirect_to: where the link leads in the end, already checked.

    Returns:
        The letter, to be sent after the transaction: a slow mail server must not hold locks.
    """
    token = one_time_tokens.generate(user.email, config.otp_length)
    await one_time_tokens.store(connection, user.id, TOKEN_TYPES[kind], token, user.email)
    return Letter(kind, user.email, token, redirect_to)


async def prepare_email_change(
    connection: Connection, config: AuthConfig, user: User, email: str, redirect_to: str
) -> list[Letter]:
    """Note the wanted address and store the tokens that confirm it.

    Returns:
        A letter to the new address and, with `double_confirm_changes`, one to the current address.
    """
    await connection.execute(
        "update auth.users set email_change = %s, email_change_confirm_status = 0 where id = %s",
        [email, user.id],
    )
    recipients: list[tuple[TokenType, str]] = [("email_change_token_new", email)]
    if config.double_confirm_changes and user.email:
        recipients.append(("email_change_token_current", user.email))
    letters: list[Letter] = []
    for token_type, recipient in recipients:
        token = one_time_tokens.generate(recipient, config.otp_length)
        await one_time_tokens.store(connection, user.id, token_type, token, recipient)
        letters.append(Letter("email_change", recipient, token, redirect_to))
    return letters


async def send_all(config: AuthConfig, letters: list[Letter]) -> None:
    """Post letters.

    Raises:
        ApiError: 500, the mail server did not take one.
    """
    for letter in letters:
        await mail.send(config, letter.kind, letter.recipient, letter.token, letter.redirect_to)
