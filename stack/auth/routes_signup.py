"""Registration: with a password, or anonymously."""

from __future__ import annotations

from uuid import uuid4

import psycopg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.auth import letters, one_time_tokens, users
from stack.auth.context import AuthServer, Body, Text, client, read_body, server
from stack.auth.errors import bad_request, unprocessable
from stack.auth.issuing import sign_in
from stack.auth.passwords import check_strength, hash_password
from stack.auth.pkce import Challenge, parse_challenge
from stack.auth.redirects import allowed_redirect
from stack.auth.users import Json, User, normalised_email


class SignUpBody(Body):
    """A new user's credentials and metadata; without any, an anonymous user."""

    email: Text = ""
    phone: Text = ""
    password: Text = ""
    data: Json | None = None
    code_challenge: Text = ""
    code_challenge_method: Text = ""


async def sign_up(request: Request) -> Response:
    """`POST /signup`: register.

    Answers with a session if addresses need no confirmation, else with the user, and then the same way
    whether or not the address is already registered.
    """
    body = await read_body(request, SignUpBody)
    auth = server(request)
    if not auth.config.signup_enabled:
        raise unprocessable("signup_disabled", "Signups not allowed for this instance")
    if body.phone:
        raise bad_request("phone_provider_disabled", "Phone signups are disabled")
    if not body.email:
        return await _anonymous(request, auth, body)
    if not auth.config.email_enabled:
        raise bad_request("email_provider_disabled", "Email signups are disabled")
    if not body.password:
        raise bad_request("validation_failed", "Signup requires a valid password")
    check_strength(body.password, auth.config.password_minimum_length, auth.config.password_requirements)
    email = normalised_email(body.email)
    encrypted_password = await hash_password(body.password)
    if auth.config.autoconfirm:
        return await _confirmed(request, auth, email, encrypted_password, body.data or {})
    challenge = parse_challenge(body.code_challenge, body.code_challenge_method)
    return await _unconfirmed(request, auth, email, encrypted_password, body.data or {}, challenge)


async def _anonymous(request: Request, auth: AuthServer, body: SignUpBody) -> Response:
    if not auth.config.anonymous_enabled:
        raise unprocessable("anonymous_provider_disabled", "Anonymous sign-ins are disabled")
    async with auth.transaction() as connection:
        user = await users.create(
            connection, email="", encrypted_password=None, user_metadata=body.data or {}
        )
        answer = await sign_in(connection, auth.config, user, "anonymous", client(request))
    return JSONResponse(answer)


async def _confirmed(
    request: Request, auth: AuthServer, email: str, encrypted_password: str, data: Json
) -> Response:
    already = unprocessable("user_already_exists", "User already registered")
    try:
        async with auth.transaction() as connection:
            existing = await users.find_by_email(connection, email)
            if existing is not None and existing.is_confirmed:
                raise already
            user = existing or await users.create(
                connection, email=email, encrypted_password=encrypted_password, user_metadata=data
            )
            if existing is not None:
                await users.set_password(connection, user.id, encrypted_password)
            await users.confirm(connection, user.id)
            user = await users.get(connection, user.id)
            answer = await sign_in(connection, auth.config, user, "password", client(request))
    except psycopg.errors.UniqueViolation as error:
        raise already from error
    return JSONResponse(answer)


async def _unconfirmed(
    request: Request,
    auth: AuthServer,
    email: str,
    encrypted_password: str,
    data: Json,
    challenge: Challenge | None,
) -> Response:
    redirect_to = allowed_redirect(auth.config, request.query_params.get("redirect_to"))
    async with auth.transaction() as connection:
        user = await users.find_by_email(connection, email)
        if user is not None and user.is_confirmed:
            return JSONResponse(_decoy(user, data))
        if user is None:
            user = await users.create(
                connection, email=email, encrypted_password=encrypted_password, user_metadata=data
            )
        one_time_tokens.check_frequency(user, "confirmation_token", auth.config.mail_interval_seconds)
        letter = await letters.prepare(connection, auth.config, user, "signup", redirect_to, challenge)
        user = await users.get(connection, user.id)
    await letters.send_all(auth.config, [letter])
    return JSONResponse(user.as_json())


def _decoy(user: User, data: Json) -> Json:
    """What a stranger sees who registers a taken address: a new user as any, but without identities."""
    now = users.timestamp(users.utc_now())
    return {
        "id": str(uuid4()),
        "aud": users.AUDIENCE,
        "role": "",
        "email": user.email,
        "phone": "",
        "confirmation_sent_at": now,
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": data,
        "identities": [],
        "created_at": now,
        "updated_at": now,
        "is_anonymous": False,
    }


ROUTES = [Route("/signup", sign_up, methods=["POST"])]
