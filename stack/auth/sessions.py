"""Sessions and refresh tokens: issuing, rotating, detecting reuse, ending."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from psycopg.rows import DictRow, dict_row

from stack.auth.errors import ApiError, SessionRevokedError, bad_request
from stack.auth.users import NIL_INSTANCE, Connection

AuthenticationMethod = Literal[
    "password", "otp", "anonymous", "magiclink", "recovery", "invite", "email/signup", "email_change"
]
"""How a session began, as Supabase Auth writes it into the `amr` claim: a code or a link counts as `otp`,
the kinds of mail are told apart only in the PKCE flow."""
Scope = Literal["global", "local", "others"]


@dataclass(frozen=True)
class Client:
    """Who is asking, kept with a session so that a user can recognise it.

    Args:
        user_agent: the header, cut to 1,000 characters.
        address: IP address or None if unknown.
    """

    user_agent: str
    address: str | None


@dataclass(frozen=True)
class Session:
    """An open session and the refresh token that continues it."""

    id: UUID
    refresh_token: str
    methods: tuple[tuple[str, int], ...]
    """How the user proved who they are: method and time in seconds since 1970, newest first."""


async def start(
    connection: Connection, user_id: UUID, method: AuthenticationMethod, client: Client
) -> Session:
    """Open a session.

    Args:
        connection: in a transaction.
        user_id: whose session.
        method: how the user proved who they are; becomes the `amr` claim.
        client: who asks.

    Returns:
        The session with its first refresh token.
    """
    session_id = uuid4()
    await connection.execute(
        """insert into auth.sessions (id, user_id, aal, user_agent, ip, created_at, updated_at)
           values (%s, %s, 'aal1', %s, %s::inet, now(), now())""",
        [session_id, user_id, client.user_agent, client.address],
    )
    await connection.execute(
        """insert into auth.mfa_amr_claims (id, session_id, authentication_method, created_at, updated_at)
           values (%s, %s, %s, now(), now())""",
        [uuid4(), session_id, method],
    )
    await connection.execute(
        "update auth.users set last_sign_in_at = now(), updated_at = now() where id = %s", [user_id]
    )
    await connection.execute(
        "update auth.identities set last_sign_in_at = now() where user_id = %s and provider = 'email'",
        [user_id],
    )
    token = await _add_refresh_token(connection, user_id, session_id, parent=None)
    return Session(session_id, token, await _methods(connection, session_id))


async def _add_refresh_token(
    connection: Connection, user_id: UUID, session_id: UUID, parent: str | None
) -> str:
    token = secrets.token_urlsafe(16)
    await connection.execute(
        """insert into auth.refresh_tokens (instance_id, token, user_id, session_id, parent, revoked,
             created_at, updated_at) values (%s, %s, %s, %s, %s, false, now(), now())""",
        [NIL_INSTANCE, token, str(user_id), session_id, parent],
    )
    return token


async def _methods(connection: Connection, session_id: UUID) -> tuple[tuple[str, int], ...]:
    cursor = await connection.execute(
        """select authentication_method, extract(epoch from updated_at)::bigint as seconds
             from auth.mfa_amr_claims where session_id = %s order by updated_at desc""",
        [session_id],
    )
    rows = await cursor.fetchall()
    return tuple((row["authentication_method"], row["seconds"]) for row in rows)


async def exists(connection: Connection, session_id: UUID) -> bool:
    """Whether a session is still open."""
    cursor = await connection.execute(
        "select 1 from auth.sessions where id = %s and (not_after is null or not_after > now())", [session_id]
    )
    return await cursor.fetchone() is not None


async def created_at(connection: Connection, session_id: UUID) -> datetime | None:
    """When a session was opened; None if it is not open."""
    cursor = await connection.execute("select created_at from auth.sessions where id = %s", [session_id])
    row = await cursor.fetchone()
    return row["created_at"] if row else None


async def refresh(
    connection: Connection, token: str, *, rotation: bool, reuse_seconds: int
) -> tuple[UUID, Session]:
    """Exchange a refresh token for the next one of its session.

    The session row is locked first, so two exchanges of one token take turns: the second finds the token
    spent and, within the reuse interval, is given the same successor as the first.
    Rule: https://supabase.com/docs/guides/auth/sessions#what-is-refresh-token-reuse-detection-and-what-does-it-protect-from

    Args:
        connection: in a transaction, which the caller commits also on `SessionRevokedError`.
        token: as presented.
        rotation: end the session when a token is reused after the interval.
        reuse_seconds: the interval, in seconds since the token was spent.

    Returns:
        The user's id and the session with the token that is valid now.

    Raises:
        ApiError: 400 for an unknown token or an ended session.
        SessionRevokedError: 400, the token was reused and its whole family is revoked.
    """
    row = await _locked_token(connection, token)
    if row is None or row["session_id"] is None:
        raise bad_request("refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
    if row["not_after"] is not None and row["not_after"] < datetime.now(UTC):
        raise bad_request("session_expired", "Invalid Refresh Token: Session Expired")
    user_id = UUID(row["user_id"])
    session_id: UUID = row["session_id"]
    if row["revoked"]:
        successor = await _reusable_successor(connection, row, reuse_seconds)
        if successor is None:
            if rotation:
                await _revoke_family(connection, session_id)
            raise SessionRevokedError(
                400, "refresh_token_already_used", "Invalid Refresh Token: Already Used"
            )
    else:
        await connection.execute(
            "update auth.refresh_tokens set revoked = true, updated_at = now() where id = %s", [row["id"]]
        )
        successor = await _add_refresh_token(connection, user_id, session_id, parent=token)
    await connection.execute(
        """update auth.sessions set refreshed_at = now() at time zone 'utc', updated_at = now()
           where id = %s""",
        [session_id],
    )
    return user_id, Session(session_id, successor, await _methods(connection, session_id))


async def _locked_token(connection: Connection, token: str) -> DictRow | None:
    await connection.execute(
        """select 1 from auth.sessions where id =
             (select session_id from auth.refresh_tokens where token = %s) for update""",
        [token],
    )
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """select refresh_tokens.*, sessions.not_after from auth.refresh_tokens
                 join auth.sessions on sessions.id = refresh_tokens.session_id
                where refresh_tokens.token = %s""",
            [token],
        )
        return await cursor.fetchone()


async def _reusable_successor(connection: Connection, spent: DictRow, reuse_seconds: int) -> str | None:
    """The current token, if the spent one is its direct parent and was spent a moment ago."""
    if datetime.now(UTC) - spent["updated_at"] > timedelta(seconds=reuse_seconds):
        return None
    cursor = await connection.execute(
        "select token from auth.refresh_tokens where parent = %s and session_id = %s and not revoked",
        [spent["token"], spent["session_id"]],
    )
    row = await cursor.fetchone()
    return row["token"] if row else None


async def _revoke_family(connection: Connection, session_id: UUID) -> None:
    await connection.execute(
        """update auth.refresh_tokens set revoked = true, updated_at = now()
           where session_id = %s and not revoked""",
        [session_id],
    )


async def end(connection: Connection, user_id: UUID, session_id: UUID | None, scope: Scope) -> None:
    """End sessions of a user.

    Args:
        connection: any.
        user_id: whose sessions.
        session_id: the session that asks; None only for a token without one.
        scope: `global` all of them, `local` the asking one, `others` all but the asking one.
    """
    match scope:
        case "global":
            await connection.execute("delete from auth.sessions where user_id = %s", [user_id])
        case "local":
            await connection.execute(
                "delete from auth.sessions where user_id = %s and id = %s", [user_id, session_id]
            )
        case "others":
            await connection.execute(
                "delete from auth.sessions where user_id = %s and id is distinct from %s",
                [user_id, session_id],
            )


def refuse_banned(banned: bool) -> None:
    """Refuse a banned user a new token.

    Raises:
        ApiError: 400 `user_banned`.
    """
    if banned:
        raise ApiError(400, "user_banned", "User is banned")
