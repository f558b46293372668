"""Routes that use up a mailed token: as a typed code or as a followed link."""

from __future__ import annotations

from typing import Literal, cast, get_args
from urllib.parse import urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from stack.auth import one_time_tokens, users
from stack.auth.context import AuthServer, Body, Text, client, read_body, server
from stack.auth.errors import ApiError, bad_request, email_link_expired, forbidden, otp_expired
from stack.auth.issuing import sign_in
from stack.auth.one_time_tokens import TokenType
from stack.auth.pkce import TOKEN_PREFIX, issue_code
from stack.auth.redirects import allowed_redirect
from stack.auth.sessions import AuthenticationMethod
from stack.auth.users import Connection, User, normalised_email

VerificationType = Literal["signup", "invite", "magiclink", "recovery", "email", "email_change"]

ONE_OF_TWO_CONFIRMED = "Confirmation link accepted. Please proceed to confirm link sent to the other email"

_ACCEPTED: dict[VerificationType, tuple[TokenType, ...]] = {
    "signup": ("confirmation_token",),
    "invite": ("confirmation_token",),
    "magiclink": ("recovery_token",),
    "recovery": ("recovery_token",),
    "email": ("confirmation_token", "recovery_token"),
    "email_change": ("email_change_token_new", "email_change_token_current"),
}


_LINK_METHODS: dict[VerificationType, AuthenticationMethod] = {
    "signup": "email/signup",
    "invite": "invite",
    "magiclink": "magiclink",
    "recovery": "recovery",
    "email": "magiclink",
    "email_change": "email_change",
}


class VerifyBody(Body):
    """A code with the address it was sent to, or the hash that a link carries."""

    type: Text = ""
    email: Text = ""
    phone: Text = ""
    token: Text = ""
    token_hash: Text = ""


async def verify_code(request: Request) -> Response:
    """`POST /verify`: exchange a code or a token hash for a session."""
    body = await read_body(request, VerifyBody)
    kind = _verification_type(body.type)
    if body.phone:
        raise bad_request("phone_provider_disabled", "Phone logins are disabled")
    if body.token_hash:
        if body.token or body.email:
            raise bad_request("validation_failed", "Only the token_hash and type should be provided")
        hashes = [body.token_hash]
    elif body.token and body.email:
        token_hash = one_time_tokens.hash_code(normalised_email(body.email), body.token)
        hashes = [token_hash, TOKEN_PREFIX + token_hash]
    else:
        raise bad_request("validation_failed", "Verify requires a token and an email, or a token hash")
    auth = server(request)
    async with auth.transaction() as connection:
        user = await _use_up(connection, auth, kind, hashes, otp_expired())
        if user is None:
            return JSONResponse({"msg": ONE_OF_TWO_CONFIRMED, "code": "200"})
        return JSONResponse(await sign_in(connection, auth.config, user, "otp", client(request)))


async def follow_link(request: Request) -> Response:
    """`GET /verify`: use up the token of a link and send the browser on.

    The session is in the fragment, which never reaches a server; in the PKCE flow a code is in the query.
    """
    auth = server(request)
    destination = allowed_redirect(auth.config, request.query_params.get("redirect_to"))
    token_hash = request.query_params.get("token", "")
    with_code = token_hash.startswith(TOKEN_PREFIX)
    try:
        kind = _verification_type(request.query_params.get("type", ""))
        async with auth.transaction() as connection:
            user = await _use_up(connection, auth, kind, [token_hash], email_link_expired())
            if user is None:
                message = {"message": ONE_OF_TWO_CONFIRMED}
                return _redirect(destination, message, query=message if with_code else {})
            if with_code:
                code = await issue_code(connection, user.id, _LINK_METHODS[kind])
                return _redirect(destination, {}, query={"code": code})
            answer = await sign_in(connection, auth.config, user, "otp", client(request))
    except ApiError as error:
        fragment = {
            "error": "access_denied" if error.status in (401, 403) else "invalid_request",
            "error_code": error.code,
            "error_description": error.message,
        }
        return _redirect(destination, fragment, query=fragment if with_code else {})
    names = ("access_token", "expires_at", "expires_in", "refresh_token", "token_type")
    return _redirect(destination, {name: str(answer[name]) for name in names} | {"type": kind})


def _verification_type(name: str) -> VerificationType:
    if name not in get_args(VerificationType):
        raise bad_request("validation_failed", "Verify requires a verification type")
    return cast(VerificationType, name)


def _redirect(destination: str, fragment: dict[str, str], *, query: dict[str, str] | None = None) -> Response:
    address = urlsplit(destination)
    if query:
        address = address._replace(query="&".join(filter(None, [address.query, urlencode(query)])))
    address = address._replace(fragment=urlencode(fragment))
    return RedirectResponse(urlunsplit(address), status_code=303, headers={"Cache-Control": "no-store"})


async def _use_up(
    connection: Connection,
    auth: AuthServer,
    kind: VerificationType,
    token_hashes: list[str],
    refusal: ApiError,
) -> User | None:
    """Use up a token; the proven user, or None if a change of address still waits for the other address."""
    taken = await one_time_tokens.take(
        connection, token_hashes, _ACCEPTED[kind], auth.config.otp_expiry_seconds
    )
    if taken is None:
        raise refusal
    user = await users.lock(connection, taken[0])
    if user.is_banned:
        raise forbidden("user_banned", "User is banned")
    if kind == "email_change":
        if not await _confirm_email_change(connection, auth, user):
            return None
    elif not user.is_confirmed:
        await users.confirm(connection, user.id)
    await one_time_tokens.spend_all(connection, user.id, _ACCEPTED["email"])
    return await users.get(connection, user.id)


async def _confirm_email_change(connection: Connection, auth: AuthServer, user: User) -> bool:
    """Count a confirmation; True if it was the last one needed and the address is changed."""
    needed = 2 if auth.config.double_confirm_changes and user.email else 1
    if user.row["email_change_confirm_status"] + 1 < needed:
        await connection.execute(
            "update auth.users set email_change_confirm_status = 1, updated_at = now() where id = %s",
            [user.id],
        )
        return False
    await users.set_email(connection, user.id, user.row["email_change"], verified=True)
    await one_time_tokens.spend_all(connection, user.id, _ACCEPTED["email_change"])
    return True


ROUTES = [
    Route("/verify", verify_code, methods=["POST"]),
    Route("/verify", follow_link, methods=["GET"]),
]
