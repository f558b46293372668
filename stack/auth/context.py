"""What every route needs: configuration, database, the request's body, and who is asking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, TypeVar
from uuid import UUID

from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from starlette.requests import Request

from stack.auth import sessions, users
from stack.auth.config import AuthConfig
from stack.auth.errors import ApiError, SessionRevokedError, bad_request, forbidden
from stack.auth.sessions import Client
from stack.auth.tokens import ADMIN_ROLES, Claims, InvalidTokenError
from stack.auth.users import Connection, User

MAX_BODY_BYTES = 1024 * 1024
_MAX_USER_AGENT_CHARACTERS = 1000


class Body(BaseModel):
    """A request body. Unknown keys are ignored, so that newer clients keep working."""

    model_config = ConfigDict(extra="ignore")


def _empty_if_null(value: object) -> object:
    return "" if value is None else value


Text = Annotated[str, BeforeValidator(_empty_if_null)]
"""A string for which clients also send null."""

BodyType = TypeVar("BodyType", bound=Body)


@dataclass(frozen=True)
class AuthServer:
    """The server's parts, reachable from every request as `request.app.state.auth`."""

    config: AuthConfig
    pool: AsyncConnectionPool[Connection]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Open a transaction; it is also kept when a refusal says that what it did must stay.

        Raises:
            SessionRevokedError: after the commit.
        """
        revoked: SessionRevokedError | None = None
        async with self.pool.connection() as connection, connection.transaction():
            try:
                yield connection
            except SessionRevokedError as refusal:
                revoked = refusal
        if revoked is not None:
            raise revoked


@dataclass(frozen=True)
class Caller:
    """A signed-in user behind a request."""

    user: User
    session_id: UUID | None
    claims: Claims


def server(request: Request) -> AuthServer:
    """The server that answers this request."""
    auth: AuthServer = request.app.state.auth
    return auth


async def read_body(request: Request, model: type[BodyType]) -> BodyType:
    """Read a JSON object; an empty body counts as an empty object.

    Args:
        request: with a body of at most `MAX_BODY_BYTES`.
        model: what the object should hold.

    Returns:
        The checked body.

    Raises:
        ApiError: 413 if it is too large, 400 `bad_json` if it is not such an object.
    """
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise ApiError(413, "validation_failed", f"Request body is larger than {MAX_BODY_BYTES} bytes")
    try:
        return model.model_validate_json(bytes(content).strip() or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        detail = f"{place}: {first['msg']}" if place else first["msg"]
        raise bad_request("bad_json", f"Could not parse request body as JSON: {detail}") from error


def client(request: Request) -> Client:
    """Describe who asks, trusting the gateway's `X-Forwarded-For` (nobody else can reach this port)."""
    forwarded = request.headers.get("x-forwarded-for", "").split(",")[0].strip()
    candidate = forwarded or (request.client.host if request.client else "")
    try:
        address: str | None = str(ip_address(candidate))
    except ValueError:
        address = None
    user_agent = request.headers.get("user-agent", "")[:_MAX_USER_AGENT_CHARACTERS]
    return Client(user_agent, address)


def claims_of(request: Request) -> Claims:
    """Verify the bearer token of a request.

    Raises:
        ApiError: 401 `no_authorization` without a token, 403 `bad_jwt` with a bad one.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise ApiError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    try:
        return server(request).config.keys.verify(token.strip())
    except InvalidTokenError as error:
        raise forbidden("bad_jwt", f"invalid JWT: {error}") from error


def require_admin(request: Request) -> Claims:
    """Allow only callers with a service role token.

    Raises:
        ApiError: 401, 403 `bad_jwt`, or 403 `not_admin` for everybody else's valid token.
    """
    claims = claims_of(request)
    if claims.get("role") not in ADMIN_ROLES:
        raise forbidden("not_admin", "User not allowed")
    return claims


async def require_user(request: Request, connection: Connection) -> Caller:
    """Find the signed-in user of a request; a token of an ended session is refused.

    Raises:
        ApiError: 401 or 403, saying which part of the token does not hold.
    """
    claims = claims_of(request)
    if not claims.get("sub"):
        raise forbidden("bad_jwt", "invalid claim: missing sub claim")
    user_id = _uuid_claim(claims, "sub")
    user = await users.find_by_id(connection, user_id)
    if user is None:
        raise forbidden("user_not_found", "User from sub claim in JWT does not exist")
    session_id = _uuid_claim(claims, "session_id") if claims.get("session_id") else None
    if session_id is not None and not await sessions.exists(connection, session_id):
        raise forbidden("session_not_found", "Session from session_id claim in JWT does not exist")
    return Caller(user, session_id, claims)


def _uuid_claim(claims: Claims, name: str) -> UUID:
    try:
        return UUID(str(claims[name]))
    except ValueError as error:
        raise forbidden("bad_jwt", f"invalid claim: {name} claim must be a UUID") from error
