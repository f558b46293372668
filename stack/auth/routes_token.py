"""Routes that give out tokens: password sign-in, refresh, and the public keys."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.auth import pkce, sessions, users
from stack.auth.context import Body, Text, client, read_body, server
from stack.auth.errors import bad_request, invalid_credentials
from stack.auth.issuing import session_json, sign_in
from stack.auth.passwords import password_matches

JWKS_CACHE_SECONDS = 600


class PasswordBody(Body):
    """Credentials of a password sign-in."""

    email: Text = ""
    phone: Text = ""
    password: Text = ""


class RefreshBody(Body):
    """A refresh token to be exchanged."""

    refresh_token: Text = ""


class CodeBody(Body):
    """A code of the PKCE flow and the secret of who asked for it."""

    auth_code: Text = ""
    code_verifier: Text = ""


async def token(request: Request) -> Response:
    """`POST /token?grant_type=…`: exchange credentials or a refresh token for a session."""
    match request.query_params.get("grant_type"):
        case "password":
            return await _password(request)
        case "refresh_token":
            return await _refresh(request)
        case "pkce":
            return await _code(request)
        case other:
            raise bad_request("validation_failed", f"unsupported_grant_type: {other}")


async def _password(request: Request) -> Response:
    body = await read_body(request, PasswordBody)
    auth = server(request)
    if body.phone:
        raise bad_request("phone_provider_disabled", "Phone logins are disabled")
    async with auth.pool.connection() as connection:
        user = await users.find_by_email(connection, body.email) if body.email else None
    stored = user.row["encrypted_password"] if user else None
    if not await password_matches(body.password, stored) or user is None:
        raise invalid_credentials()
    if not user.is_confirmed:
        raise bad_request("email_not_confirmed", "Email not confirmed")
    async with auth.transaction() as connection:
        answer = await sign_in(connection, auth.config, user, "password", client(request))
    return JSONResponse(answer)


async def _refresh(request: Request) -> Response:
    body = await read_body(request, RefreshBody)
    auth = server(request)
    if not body.refresh_token:
        raise bad_request("validation_failed", "refresh_token required")
    async with auth.transaction() as connection:
        user_id, session = await sessions.refresh(
            connection,
            body.refresh_token,
            rotation=auth.config.refresh_token_rotation,
            reuse_seconds=auth.config.refresh_token_reuse_seconds,
        )
        user = await users.get(connection, user_id)
        sessions.refuse_banned(user.is_banned)
        answer = await session_json(connection, auth.config, user, session, "token_refresh")
    return JSONResponse(answer)


async def _code(request: Request) -> Response:
    body = await read_body(request, CodeBody)
    auth = server(request)
    if not body.auth_code or not body.code_verifier:
        raise bad_request(
            "validation_failed", "invalid request: both auth code and code verifier should be non-empty"
        )
    async with auth.transaction() as connection:
        user_id, method = await pkce.redeem(connection, body.auth_code, body.code_verifier)
        user = await users.get(connection, user_id)
        answer = await sign_in(connection, auth.config, user, method, client(request))
    return JSONResponse(answer)


async def key_set(request: Request) -> Response:
    """`GET /.well-known/jwks.json`: the public keys that verify users' tokens."""
    return JSONResponse(
        server(request).config.keys.key_set(),
        headers={"Cache-Control": f"public, max-age={JWKS_CACHE_SECONDS}"},
    )


async def health(request: Request) -> Response:
    """`GET /health`: answers once the database does."""
    async with server(request).pool.connection() as connection:
        await connection.execute("select 1")
    return JSONResponse({"name": "auth stand-in", "description": "Supabase Auth's API, for local use"})


async def settings(request: Request) -> Response:
    """`GET /settings`: what sign-in pages may offer."""
    config = server(request).config
    return JSONResponse(
        {
            "external": {
                "email": config.email_enabled,
                "phone": False,
                "anonymous_users": config.anonymous_enabled,
            },
            "disable_signup": not config.signup_enabled,
            "mailer_autoconfirm": config.autoconfirm,
            "phone_autoconfirm": False,
            "sms_provider": "",
            "saml_enabled": False,
        }
    )


ROUTES = [
    Route("/token", token, methods=["POST"]),
    Route("/.well-known/jwks.json", key_set, methods=["GET"]),
    Route("/health", health, methods=["GET"]),
    Route("/settings", settings, methods=["GET"]),
]
