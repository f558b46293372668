"""Routes that mail a token: one-time sign-in, recovery, resend, invite."""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.auth import letters, one_time_tokens, users
from stack.auth.context import AuthServer, Body, Text, read_body, require_admin, server
from stack.auth.errors import bad_request, unprocessable
from stack.auth.letters import Letter
from stack.auth.mail import Kind
from stack.auth.pkce import Challenge, parse_challenge
from stack.auth.redirects import allowed_redirect
from stack.auth.users import Connection, Json, User, normalised_email


class ChallengedBody(Body):
    """A request whose mail may lead to a code, see stack.auth.pkce."""

    code_challenge: Text = ""
    code_challenge_method: Text = ""

    def challenge(self) -> Challenge | None:
        """The challenge, or None; raises ApiError if it is malformed."""
        return parse_challenge(self.code_challenge, self.code_challenge_method)


class EmailBody(ChallengedBody):
    """An address."""

    email: Text = ""


class OneTimeBody(ChallengedBody):
    """A request for a sign-in code."""

    email: Text = ""
    phone: Text = ""
    create_user: bool = True
    data: Json | None = None


class ResendBody(ChallengedBody):
    """Which letter to send again."""

    type: Literal["signup", "email_change", "sms", "phone_change"] = "signup"
    email: Text = ""


class InviteBody(Body):
    """Whom to invite."""

    email: Text = ""
    data: Json | None = None


def _redirect(request: Request, auth: AuthServer) -> str:
    return allowed_redirect(auth.config, request.query_params.get("redirect_to"))


async def one_time_sign_in(request: Request) -> Response:
    """`POST /otp` and `/magiclink`: mail a code and a link that sign in, registering the user if need be."""
    body = await read_body(request, OneTimeBody)
    auth = server(request)
    if body.phone:
        raise bad_request("phone_provider_disabled", "Phone logins are disabled")
    if not auth.config.email_enabled:
        raise bad_request("email_provider_disabled", "Email logins are disabled")
    challenge = body.challenge()
    email = normalised_email(body.email)
    async with auth.transaction() as connection:
        user = await users.find_by_email(connection, email)
        if user is None:
            user = await _register(connection, auth, email, body)
        kind: Kind = "magiclink" if user.is_confirmed else "signup"
        letter = await _letter(connection, auth, user, kind, _redirect(request, auth), challenge)
    await letters.send_all(auth.config, [letter])
    return JSONResponse({})


async def _register(connection: Connection, auth: AuthServer, email: str, body: OneTimeBody) -> User:
    if not body.create_user:
        raise unprocessable("otp_disabled", "Signups not allowed for otp")
    if not auth.config.signup_enabled:
        raise unprocessable("signup_disabled", "Signups not allowed for this instance")
    user = await users.create(connection, email=email, encrypted_password=None, user_metadata=body.data or {})
    if auth.config.autoconfirm:
        await users.confirm(connection, user.id)
    return await users.get(connection, user.id)


async def _letter(
    connection: Connection,
    auth: AuthServer,
    user: User,
    kind: Kind,
    redirect_to: str,
    challenge: Challenge | None,
) -> Letter:
    one_time_tokens.check_frequency(user, letters.TOKEN_TYPES[kind], auth.config.mail_interval_seconds)
    return await letters.prepare(connection, auth.config, user, kind, redirect_to, challenge)


async def recover(request: Request) -> Response:
    """`POST /recover`: mail a link for a new password; the answer does not tell whether the user exists."""
    body = await read_body(request, EmailBody)
    auth = server(request)
    challenge = body.challenge()
    email = normalised_email(body.email)
    outgoing: list[Letter] = []
    async with auth.transaction() as connection:
        user = await users.find_by_email(connection, email)
        if user is not None:
            outgoing.append(
                await _letter(connection, auth, user, "recovery", _redirect(request, auth), challenge)
            )
    await letters.send_all(auth.config, outgoing)
    return JSONResponse({})


async def resend(request: Request) -> Response:
    """`POST /resend`: mail the confirmation of a registration or of a change of address once more."""
    body = await read_body(request, ResendBody)
    auth = server(request)
    if body.type in ("sms", "phone_change"):
        raise bad_request("phone_provider_disabled", "Phone logins are disabled")
    challenge = body.challenge()
    email = normalised_email(body.email)
    outgoing: list[Letter] = []
    async with auth.transaction() as connection:
        user = await users.find_by_email(connection, email)
        redirect_to = _redirect(request, auth)
        if user is not None and body.type == "signup" and not user.is_confirmed:
            outgoing.append(await _letter(connection, auth, user, "signup", redirect_to, challenge))
        elif user is not None and body.type == "email_change" and user.row["email_change"]:
            one_time_tokens.check_frequency(user, "email_change_token_new", auth.config.mail_interval_seconds)
            outgoing = await letters.prepare_email_change(
                connection, auth.config, user, user.row["email_change"], redirect_to, challenge
            )
    await letters.send_all(auth.config, outgoing)
    return JSONResponse({})


async def invite(request: Request) -> Response:
    """`POST /invite`, for administrators: register an address and mail it an invitation."""
    require_admin(request)
    body = await read_body(request, InviteBody)
    auth = server(request)
    email = normalised_email(body.email)
    async with auth.transaction() as connection:
        existing = await users.find_by_email(connection, email)
        if existing is not None and existing.is_confirmed:
            raise users.email_taken()
        user = existing or await users.create(
            connection, email=email, encrypted_password=None, user_metadata=body.data or {}
        )
        await users.mark_invited(connection, user.id)
        letter = await letters.prepare(connection, auth.config, user, "invite", _redirect(request, auth))
        user = await users.get(connection, user.id)
    await letters.send_all(auth.config, [letter])
    return JSONResponse(user.as_json())


ROUTES = [
    Route("/otp", one_time_sign_in, methods=["POST"]),
    Route("/magiclink", one_time_sign_in, methods=["POST"]),
    Route("/recover", recover, methods=["POST"]),
    Route("/resend", resend, methods=["POST"]),
    Route("/invite", invite, methods=["POST"]),
]
