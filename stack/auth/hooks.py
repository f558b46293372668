"""The custom access token hook: a Postgres function that may change a token's claims before signing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from stack.auth.errors import ApiError
from stack.auth.tokens import Claims
from stack.auth.users import Connection

REQUIRED_CLAIMS = (
    "iss", "aud", "exp", "iat", "sub", "role", "aal", "session_id", "email", "phone", "is_anonymous",
)  # fmt: skip
"""https://supabase.com/docs/guides/auth/auth-hooks/custom-access-token-hook: a hook may not drop these."""

_TIMEOUT_MILLISECONDS = 2000


async def customise_claims(
    connection: Connection, hook: tuple[str, str], user_id: UUID, method: str, claims: Claims
) -> Claims:
    """Let the project's function rewrite the claims.

    Args:
        connection: in a transaction, as `supabase_auth_admin`.
        hook: schema and name of a function `(event jsonb) returns jsonb`.
        user_id: whose token.
        method: how the user signed in, or `token_refresh`.
        claims: what would be signed without the hook.

    Returns:
        The claims to sign.

    Raises:
        ApiError: the hook refused (with its own status and message), failed, or dropped a required claim.
    """
    event = {"user_id": str(user_id), "claims": claims, "authentication_method": method}
    schema, function = hook
    call = sql.SQL("select {}.{}(%s) as answer").format(sql.Identifier(schema), sql.Identifier(function))
    try:
        async with connection.transaction():
            await connection.execute(
                sql.SQL("set local statement_timeout = {}").format(_TIMEOUT_MILLISECONDS)
            )
            cursor = await connection.execute(call, [Jsonb(event)])
            row = await cursor.fetchone()
            await connection.execute("set local statement_timeout = default")
    except psycopg.errors.QueryCanceled as error:
        raise ApiError(
            422, "hook_timeout", f"The hook took longer than {_TIMEOUT_MILLISECONDS} milliseconds"
        ) from error
    except psycopg.Error as error:
        raise ApiError(500, "unexpected_failure", "Error running the custom access token hook") from error
    return _accepted(row["answer"] if row else None)


def _accepted(answer: Any) -> Claims:
    if not isinstance(answer, dict):
        raise ApiError(500, "unexpected_failure", "The custom access token hook returned no object")
    if refusal := answer.get("error"):
        raise ApiError(
            int(refusal.get("http_code") or 500), "unexpected_failure", str(refusal.get("message", ""))
        )
    claims = answer.get("claims")
    if not isinstance(claims, dict):
        raise ApiError(500, "unexpected_failure", "The custom access token hook returned no claims")
    missing = [name for name in REQUIRED_CLAIMS if name not in claims]
    if missing:
        raise ApiError(
            500, "unexpected_failure", f"output claims do not conform to the expected schema: {missing}"
        )
    return dict(claims)
