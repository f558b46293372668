"""Letters with one-time tokens: prepared inside a transaction, posted after it."""

from __future__ import annotations

from dataclasses import dataclass

from stack.auth import mail, one_time_tokens, pkce
from stack.auth.config import AuthConfig
from stack.auth.mail import Kind
from stack.auth.one_time_tokens import OneTimeToken, TokenType
from stack.auth.pkce import Challenge
from stack.auth.sessions import AuthenticationMethod
from stack.auth.users import Connection, User

TOKEN_TYPES: dict[Kind, TokenType] = {
    "signup": "confirmation_token",
    "invite": "confirmation_token",
    "magiclink": "recovery_token",
    "recovery": "recovery_token",
    "reauthentication": "reauthentication_token",
}
"""What a letter's token is stored as. A change of address has two tokens and a function of its own."""


LINK_METHODS: dict[Kind, AuthenticationMethod] = {
    "signup": "email/signup",
    "invite": "invite",
    "magiclink": "magiclink",
    "recovery": "recovery",
    "email_change": "email_change",
}
"""How a session counts that a link of a letter opened in the PKCE flow."""


@dataclass(frozen=True)
class Letter:
    """A mail that is written but not yet sent."""

    kind: Kind
    recipient: str
    token: OneTimeToken
    redirect_to: str


async def prepare(
    connection: Connection,
    config: AuthConfig,
    user: User,
    kind: Kind,
    redirect_to: str,
    challenge: Challenge | None = None,
) -> Letter:
    """Store a fresh token for a user.

    Args:
        connection: in a transaction.
        config: length of codes.
        user: who gets the letter.
        kind: any but `email_change`.
        redirect_to: where the link leads in the end, already checked.
        challenge: of a client that uses PKCE; the link then ends in a code.

    Returns:
        The letter, to be sent after the transaction: a slow mail server must not hold locks.
    """
    token = await _token(connection, config, user, kind, user.email, challenge)
    await one_time_tokens.store(connection, user.id, TOKEN_TYPES[kind], token, user.email)
    return Letter(kind, user.email, token, redirect_to)


async def _token(
    connection: Connection,
    config: AuthConfig,
    user: User,
    kind: Kind,
    recipient: str,
    challenge: Challenge | None,
) -> OneTimeToken:
    token = one_time_tokens.generate(recipient, config.otp_length)
    if challenge is None:
        return token
    await pkce.remember(connection, user.id, LINK_METHODS[kind], challenge)
    return OneTimeToken(token.code, pkce.TOKEN_PREFIX + token.token_hash)


async def prepare_email_change(
    connection: Connection,
    config: AuthConfig,
    user: User,
    email: str,
    redirect_to: str,
    challenge: Challenge | None = None,
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
        token = await _token(connection, config, user, "email_change", recipient, challenge)
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
