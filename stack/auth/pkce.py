"""Proof key for code exchange: a followed link gives a code, and only who asked for the mail can redeem it.

Rule: RFC 7636, as Supabase Auth applies it: https://supabase.com/docs/guides/auth/sessions/pkce-flow
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, cast
from uuid import UUID, uuid4

from stack.auth.errors import bad_request, forbidden, not_found
from stack.auth.sessions import AuthenticationMethod
from stack.auth.users import Connection, utc_now

TOKEN_PREFIX = "pkce_"
"""Marks a mailed token whose link ends in a code instead of a session."""

CODE_LIFE = timedelta(minutes=5)

Method = Literal["s256", "plain"]
_CHALLENGE = re.compile(r"^[A-Za-z0-9._~-]{43,128}$")


@dataclass(frozen=True)
class Challenge:
    """What the client derived from its secret verifier."""

    value: str
    method: Method


def parse_challenge(value: str, method: str) -> Challenge | None:
    """Read the challenge of a request.

    Args:
        value: `code_challenge`; empty if the client does not use this flow.
        method: `code_challenge_method`.

    Returns:
        The challenge, or None.

    Raises:
        ApiError: 400 `validation_failed`, one of the two is missing or malformed.
    """
    if not value and not method:
        return None
    if not value or method.lower() not in ("s256", "plain"):
        raise bad_request(
            "validation_failed",
            "PKCE flow requires code_challenge and code_challenge_method (s256 or plain)",
        )
    if not _CHALLENGE.match(value):
        raise bad_request("validation_failed", "code challenge has to be between 43 and 128 characters")
    return Challenge(value, cast(Method, method.lower()))


async def remember(
    connection: Connection, user_id: UUID, method: AuthenticationMethod, challenge: Challenge
) -> None:
    """Keep a challenge until the link of the mail is followed; an earlier one of its kind is forgotten.

    Args:
        connection: in a transaction.
        user_id: who gets the mail.
        method: what the mail is for.
        challenge: as sent by the client.
    """
    await connection.execute(
        "delete from auth.flow_state where user_id = %s and authentication_method = %s", [user_id, method]
    )
    await connection.execute(
        """insert into auth.flow_state (id, user_id, auth_code, code_challenge_method, code_challenge,
             provider_type, authentication_method, created_at, updated_at)
           values (%s, %s, %s, %s::auth.code_challenge_method, %s, 'email', %s, now(), now())""",
        [uuid4(), user_id, str(uuid4()), challenge.method, challenge.value, method],
    )


async def issue_code(connection: Connection, user_id: UUID, method: AuthenticationMethod) -> str:
    """Release the code of a followed link; its life begins now.

    Raises:
        ApiError: 404 `flow_state_not_found`, the challenge is gone.
    """
    cursor = await connection.execute(
        """update auth.flow_state set auth_code_issued_at = now(), updated_at = now()
           where user_id = %s and authentication_method = %s returning auth_code""",
        [user_id, method],
    )
    row = await cursor.fetchone()
    if row is None:
        raise not_found("flow_state_not_found", "No associated flow state found")
    return str(row["auth_code"])


async def redeem(connection: Connection, code: str, verifier: str) -> tuple[UUID, AuthenticationMethod]:
    """Exchange a code and the secret verifier, once.

    Args:
        connection: in a transaction; a wrong verifier leaves the code as it was.
        code: from the address that the link led to.
        verifier: what the client kept.

    Returns:
        The user's id and what the mail was for.

    Raises:
        ApiError: 404 for an unknown or used code, 403 for an old one, 400 for a wrong verifier.
    """
    cursor = await connection.execute(
        """delete from auth.flow_state where auth_code = %s and auth_code_issued_at is not null
           returning *, code_challenge_method::text as method""",
        [code],
    )
    row = await cursor.fetchone()
    if row is None:
        raise not_found("flow_state_not_found", "invalid flow state, no valid flow state found")
    if row["auth_code_issued_at"] + CODE_LIFE < utc_now():
        raise forbidden("flow_state_expired", "invalid flow state, flow state has expired")
    if not hmac.compare_digest(_challenge_of(verifier, row["method"]), row["code_challenge"].encode()):
        raise bad_request("bad_code_verifier", "code challenge does not match previously saved code verifier")
    return row["user_id"], row["authentication_method"]


def _challenge_of(verifier: str, method: str) -> bytes:
    if method == "plain":
        return verifier.encode()
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
