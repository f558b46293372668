"""Links without mail: an administrator takes the token and delivers it in another way."""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.auth import letters, mail, users
from stack.auth.context import AuthServer, Body, Text, read_body, require_admin, server
from stack.auth.errors import bad_request, not_found
from stack.auth.letters import Letter
from stack.auth.passwords import check_strength, hash_password
from stack.auth.redirects import allowed_redirect
from stack.auth.users import Connection, Json, User, normalised_email

LinkType = Literal["signup", "magiclink", "recovery", "invite", "email_change_current", "email_change_new"]


class LinkBody(Body):
    """Which link, and for whom."""

    type: LinkType
    email: Text = ""
    new_email: Text = ""
    password: Text = ""
    data: Json | None = None
    redirect_to: Text = ""


async def generate_link(request: Request) -> Response:
    """`POST /admin/generate_link`: make a token and answer with its link and code; nothing is mailed."""
    require_admin(request)
    body = await read_body(request, LinkBody)
    auth = server(request)
    email = normalised_email(body.email)
    redirect_to = allowed_redirect(auth.config, body.redirect_to or request.query_params.get("redirect_to"))
    encrypted_password = await _encrypted(auth, body)
    async with auth.transaction() as connection:
        user = await users.find_by_email(connection, email)
        letter = await _prepare(connection, auth, body, user, email, encrypted_password, redirect_to)
        owner = await users.find_by_email(connection, email)
    assert owner is not None
    link = mail.verification_link(auth.config, letter.kind, letter.token, redirect_to)
    return JSONResponse(
        owner.as_json()
        | {
            "action_link": link,
            "email_otp": letter.token.code,
            "hashed_token": letter.token.token_hash,
            "verification_type": body.type,
            "redirect_to": redirect_to,
        }
    )


async def _encrypted(auth: AuthServer, body: LinkBody) -> str | None:
    if body.type != "signup":
        return None
    if not body.password:
        raise bad_request("validation_failed", "Signup requires a valid password")
    check_strength(body.password, auth.config.password_minimum_length, auth.config.password_requirements)
    return await hash_password(body.password)


async def _prepare(
    connection: Connection,
    auth: AuthServer,
    body: LinkBody,
    user: User | None,
    email: str,
    encrypted_password: str | None,
    redirect_to: str,
) -> Letter:
    config = auth.config
    match body.type:
        case "recovery" | "email_change_current" | "email_change_new" if user is None:
            raise not_found("user_not_found", "User with this email not found")
        case "email_change_current" | "email_change_new":
            assert user is not None
            return await _email_change(connection, auth, body, user, redirect_to)
        case "magiclink" | "recovery":
            owner = user or await users.create(
                connection, email=email, encrypted_password=None, user_metadata=body.data or {}
            )
            return await letters.prepare(connection, config, owner, body.type, redirect_to)
        case "invite" | "signup":
            if user is not None and user.is_confirmed:
                raise users.email_taken()
            owner = user or await users.create(
                connection, email=email, encrypted_password=encrypted_password, user_metadata=body.data or {}
            )
            if body.type == "invite":
                await users.mark_invited(connection, owner.id)
            return await letters.prepare(connection, config, owner, body.type, redirect_to)


async def _email_change(
    connection: Connection, auth: AuthServer, body: LinkBody, user: User, redirect_to: str
) -> Letter:
    new_email = normalised_email(body.new_email)
    if await users.find_by_email(connection, new_email) is not None:
        raise users.email_taken()
    prepared = await letters.prepare_email_change(connection, auth.config, user, new_email, redirect_to)
    wanted = new_email if body.type == "email_change_new" else user.email
    for letter in prepared:
        if letter.recipient == wanted:
            return letter
    raise bad_request("validation_failed", "Enable secure email change to generate link for current email")


ROUTES = [Route("/admin/generate_link", generate_link, methods=["POST"])]
