"""Access tokens for users: the claims, the hook, and the answer that carries a session."""

from __future__ import annotations

import time
from typing import Any

from stack.auth import sessions, users
from stack.auth.config import AuthConfig
from stack.auth.hooks import customise_claims
from stack.auth.sessions import AuthenticationMethod, Client, Session
from stack.auth.tokens import Claims
from stack.auth.users import AUDIENCE, Connection, Json, User


def access_token_claims(config: AuthConfig, user: User, session: Session, issued_at: int) -> Claims:
    """The claims of a user's access token.

    Args:
        config: issuer and lifetime.
        user: whose token.
        session: which session.
        issued_at: seconds since 1970.

    Returns:
        Claims as Supabase documents them at https://supabase.com/docs/guides/auth/jwt-fields.
    """
    return {
        "iss": config.external_url,
        "sub": str(user.id),
        "aud": user.row["aud"] or AUDIENCE,
        "exp": issued_at + config.jwt_expiry_seconds,
        "iat": issued_at,
        "email": user.email,
        "phone": user.row["phone"] or "",
        "app_metadata": user.row["raw_app_meta_data"] or {},
        "user_metadata": user.row["raw_user_meta_data"] or {},
        "role": user.row["role"] or AUDIENCE,
        "aal": "aal1",
        "amr": [{"method": method, "timestamp": moment} for method, moment in session.methods],
        "session_id": str(session.id),
        "is_anonymous": bool(user.row["is_anonymous"]),
    }


async def session_json(
    connection: Connection, config: AuthConfig, user: User, session: Session, method: str
) -> Json:
    """Sign an access token and write the answer that clients take as a session.

    Args:
        connection: in a transaction; the hook runs in it.
        config: keys, issuer, lifetime and hook.
        user: whose session.
        session: with its current refresh token.
        method: how the user came here, for the hook.

    Returns:
        The JSON of an OAuth token response, with the user.

    Raises:
        ApiError: the hook refused.
    """
    issued_at = int(time.time())
    claims = access_token_claims(config, user, session, issued_at)
    if config.access_token_hook is not None:
        claims = await customise_claims(connection, config.access_token_hook, user.id, method, claims)
    answer: dict[str, Any] = {
        "access_token": config.keys.sign(claims),
        "token_type": "bearer",
        "expires_in": config.jwt_expiry_seconds,
        "expires_at": issued_at + config.jwt_expiry_seconds,
        "refresh_token": session.refresh_token,
        "user": user.as_json(),
    }
    return answer


async def sign_in(
    connection: Connection, config: AuthConfig, user: User, method: AuthenticationMethod, client: Client
) -> Json:
    """Open a session for a user who has proved who they are.

    Returns:
        The session's JSON, with the user as stored after the sign-in.

    Raises:
        ApiError: 400 `user_banned`, or the hook's refusal.
    """
    sessions.refuse_banned(user.is_banned)
    session = await sessions.start(connection, user.id, method, client)
    return await session_json(connection, config, await users.get(connection, user.id), session, method)
