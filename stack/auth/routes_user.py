"""Routes of a signed-in user: read, change, reauthenticate, sign out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.auth import letters, one_time_tokens, sessions, users
from stack.auth.context import AuthServer, Body, Caller, Text, read_body, require_user, server
from stack.auth.errors import ApiError, bad_request, forbidden, unprocessable
from stack.auth.passwords import check_strength, hash_password, password_matches
from stack.auth.pkce import Challenge, parse_challenge
from stack.auth.redirects import allowed_redirect
from stack.auth.sessions import Scope
from stack.auth.users import Connection, Json, User, normalised_email

RECENT_SIGN_IN = timedelta(hours=24)
"""With `secure_password_change`, how old a session may be: https://supabase.com/docs/guides/auth/password-security."""


class UpdateBody(Body):
    """What users may change about themselves."""

    email: Text = ""
    password: str | None = None
    nonce: Text = ""
    data: Json | None = None
    app_metadata: Json | None = None
    code_challenge: Text = ""
    code_challenge_method: Text = ""


async def read(request: Request) -> Response:
    """`GET /user`: who the token belongs to, as stored now."""
    async with server(request).pool.connection() as connection:
        caller = await require_user(request, connection)
    return JSONResponse(caller.user.as_json())


async def update(request: Request) -> Response:
    """`PUT /user`: change password, metadata, or (after confirmation by mail) the address."""
    body = await read_body(request, UpdateBody)
    auth = server(request)
    redirect_to = allowed_redirect(auth.config, request.query_params.get("redirect_to"))
    email = normalised_email(body.email) if body.email else ""
    challenge = parse_challenge(body.code_challenge, body.code_challenge_method)
    outgoing: list[letters.Letter] = []
    if body.app_metadata is not None:
        raise forbidden("not_admin", "Updating app_metadata requires admin privileges")
    async with auth.transaction() as connection:
        caller = await require_user(request, connection)
        await users.lock(connection, caller.user.id)
        if body.password is not None:
            await _change_password(connection, auth, caller, body.password, body.nonce, has_email=bool(email))
        if body.data is not None:
            await users.merge_metadata(connection, caller.user.id, user_metadata=body.data)
        if email and email != caller.user.email:
            outgoing = await _change_email(connection, auth, caller.user, email, redirect_to, challenge)
        user = await users.get(connection, caller.user.id)
    await letters.send_all(auth.config, outgoing)
    return JSONResponse(user.as_json())


async def _change_password(
    connection: Connection, auth: AuthServer, caller: Caller, password: str, nonce: str, *, has_email: bool
) -> None:
    config, user = auth.config, caller.user
    check_strength(password, config.password_minimum_length, config.password_requirements)
    if user.row["is_anonymous"] and not has_email:
        raise unprocessable(
            "validation_failed",
            "Updating password of an anonymous user without an email or phone is not allowed",
        )
    if config.secure_password_change and not await _signed_in_recently(connection, caller):
        await _use_nonce(connection, auth, user, nonce)
    if await password_matches(password, user.row["encrypted_password"]):
        raise unprocessable("same_password", "New password should be different from the old password.")
    await users.set_password(connection, user.id, await hash_password(password))
    await sessions.end(connection, user.id, caller.session_id, "others")


async def _signed_in_recently(connection: Connection, caller: Caller) -> bool:
    began = await sessions.created_at(connection, caller.session_id) if caller.session_id else None
    return began is not None and datetime.now(UTC) - began <= RECENT_SIGN_IN


async def _use_nonce(connection: Connection, auth: AuthServer, user: User, nonce: str) -> None:
    if not nonce:
        raise bad_request("reauthentication_needed", "Password update requires reauthentication")
    taken = await one_time_tokens.take(
        connection,
        [one_time_tokens.hash_code(user.email, nonce)],
        ("reauthentication_token",),
        auth.config.otp_expiry_seconds,
    )
    if taken is None or taken[0] != user.id:
        raise unprocessable("reauthentication_not_valid", "Nonce has expired or is invalid")


async def _change_email(
    connection: Connection,
    auth: AuthServer,
    user: User,
    email: str,
    redirect_to: str,
    challenge: Challenge | None,
) -> list[letters.Letter]:
    if await users.find_by_email(connection, email) is not None:
        raise users.email_taken()
    if user.row["is_anonymous"] and auth.config.autoconfirm:
        await users.set_email(connection, user.id, email, verified=True)
        return []
    one_time_tokens.check_frequency(user, "email_change_token_new", auth.config.mail_interval_seconds)
    return await letters.prepare_email_change(connection, auth.config, user, email, redirect_to, challenge)


async def reauthenticate(request: Request) -> Response:
    """`GET /reauthenticate`: mail a code with which the password may be changed."""
    auth = server(request)
    async with auth.transaction() as connection:
        caller = await require_user(request, connection)
        one_time_tokens.check_frequency(
            caller.user, "reauthentication_token", auth.config.mail_interval_seconds
        )
        letter = await letters.prepare(
            connection, auth.config, caller.user, "reauthentication", auth.config.site_url
        )
    await letters.send_all(auth.config, [letter])
    return JSONResponse({})


async def sign_out(request: Request) -> Response:
    """`POST /logout?scope=global|local|others`: end sessions; their refresh tokens die with them."""
    auth = server(request)
    scope = request.query_params.get("scope", "global")
    if scope not in get_args(Scope):
        raise ApiError(400, "validation_failed", f'Unsupported logout scope "{scope}"')
    async with auth.transaction() as connection:
        caller = await require_user(request, connection)
        await sessions.end(connection, caller.user.id, caller.session_id, cast(Scope, scope))
    return Response(status_code=204)


ROUTES = [
    Route("/user", read, methods=["GET"]),
    Route("/user", update, methods=["PUT"]),
    Route("/reauthenticate", reauthenticate, methods=["GET"]),
    Route("/logout", sign_out, methods=["POST"]),
]
