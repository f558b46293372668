"""One-time tokens: the codes and links that are mailed for confirmation, sign-in, recovery and changes."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from psycopg import sql

from stack.auth.errors import ApiError
from stack.auth.users import Connection, User

TokenType = Literal[
    "confirmation_token",
    "recovery_token",
    "email_change_token_new",
    "email_change_token_current",
    "reauthentication_token",
]

SENT_AT: dict[TokenType, str] = {
    "confirmation_token": "confirmation_sent_at",
    "recovery_token": "recovery_sent_at",
    "email_change_token_new": "email_change_sent_at",
    "email_change_token_current": "email_change_sent_at",
    "reauthentication_token": "reauthentication_sent_at",
}
"""The column of `auth.users` that says when a token of this type was mailed."""


@dataclass(frozen=True)
class OneTimeToken:
    """A fresh token: the code a person types and the hash that links carry and the database keeps."""

    code: str
    token_hash: str


def hash_code(email: str, code: str) -> str:
    """Hash a code together with the address it was sent to, as Supabase Auth stores it (SHA-224, hex)."""
    return hashlib.sha224((email.lower() + code).encode()).hexdigest()


def generate(email: str, digits: int) -> OneTimeToken:
    """Make a random code for an address."""
    code = "".join(secrets.choice("0123456789") for _ in range(digits))
    return OneTimeToken(code, hash_code(email, code))


async def store(
    connection: Connection, user_id: UUID, token_type: TokenType, token: OneTimeToken, relates_to: str
) -> None:
    """Keep a token, replacing an earlier one of the same type, and note when it was sent.

    Args:
        connection: in a transaction.
        user_id: whose token.
        token_type: what it proves.
        token: the token; only its hash is stored.
        relates_to: the address it is sent to.
    """
    await connection.execute(
        """insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to, created_at,
             updated_at) values (%s, %s, %s::auth.one_time_token_type, %s, %s, now(), now())
           on conflict (user_id, token_type) do update set token_hash = excluded.token_hash,
             relates_to = excluded.relates_to, created_at = now(), updated_at = now()""",
        [uuid4(), user_id, token_type, token.token_hash, relates_to],
    )
    await connection.execute(
        sql.SQL(
            "update auth.users set {token} = %s, {sent_at} = now(), updated_at = now() where id = %s"
        ).format(token=sql.Identifier(token_type), sent_at=sql.Identifier(SENT_AT[token_type])),
        [token.token_hash, user_id],
    )


async def take(
    connection: Connection, token_hashes: list[str], types: tuple[TokenType, ...], expiry_seconds: int
) -> tuple[UUID, TokenType] | None:
    """Use up a token: of two requests with the same token exactly one succeeds.

    Args:
        connection: in a transaction; the token is gone when it commits.
        token_hashes: as carried by a link or made by `hash_code`; any of them will do.
        types: what the token may prove.
        expiry_seconds: life of a token since it was sent.

    Returns:
        The user's id and the token's type, or None if it is unknown, used or expired.
    """
    cursor = await connection.execute(
        """delete from auth.one_time_tokens where token_hash = any(%s)
             and token_type = any(%s::auth.one_time_token_type[])
           returning user_id, token_type::text as token_type""",
        [token_hashes, list(types)],
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    cursor = await connection.execute(
        sql.SQL(
            "update auth.users set {token} = '' where id = %s"
            " returning {sent_at} > now() - make_interval(secs => %s) as fresh"
        ).format(token=sql.Identifier(row["token_type"]), sent_at=sql.Identifier(SENT_AT[row["token_type"]])),
        [row["user_id"], expiry_seconds],
    )
    user = await cursor.fetchone()
    return (row["user_id"], row["token_type"]) if user and user["fresh"] else None


async def spend_all(connection: Connection, user_id: UUID, types: tuple[TokenType, ...]) -> None:
    """Make the named pending tokens of a user worthless."""
    await connection.execute(
        """delete from auth.one_time_tokens where user_id = %s
             and token_type = any(%s::auth.one_time_token_type[])""",
        [user_id, list(types)],
    )


def check_frequency(user: User, token_type: TokenType, interval_seconds: float) -> None:
    """Refuse to mail the same thing twice in a short time.

    Raises:
        ApiError: 429 `over_email_send_rate_limit`.
    """
    sent_at: datetime | None = user.row[SENT_AT[token_type]]
    if sent_at is None:
        return
    wait = (sent_at + timedelta(seconds=interval_seconds) - datetime.now(UTC)).total_seconds()
    if wait > 0:
        raise ApiError(
            429,
            "over_email_send_rate_limit",
            f"For security purposes, you can only request this after {max(1, round(wait))} seconds.",
        )
