"""Routes for administrators: users by id, listing, links without mail. All demand the service role."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.auth import sessions, users
from stack.auth.context import Body, Text, read_body, require_admin, server
from stack.auth.errors import bad_request, not_found
from stack.auth.passwords import check_strength, hash_password
from stack.auth.users import AUDIENCE, Connection, Json, User, normalised_email
from stack.config import parse_duration

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


class AdminUserBody(Body):
    """What administrators may set on a user; keys left out are not touched."""

    id: UUID | None = None
    email: Text = ""
    phone: Text = ""
    password: str | None = None
    password_hash: str | None = None
    email_confirm: bool | None = None
    user_metadata: Json | None = None
    app_metadata: Json | None = None
    role: Text = ""
    ban_duration: Text = ""


class DeleteBody(Body):
    """How to delete."""

    should_soft_delete: bool = False


async def create_user(request: Request) -> Response:
    """`POST /admin/users`: add a user; no mail is sent."""
    require_admin(request)
    body = await read_body(request, AdminUserBody)
    auth = server(request)
    if body.phone:
        raise bad_request("phone_provider_disabled", "Phone users are not supported here")
    if not body.email:
        raise bad_request("validation_failed", "Cannot create a user without either an email or phone")
    email = normalised_email(body.email)
    encrypted_password = await _encrypted(request, body)
    async with auth.transaction() as connection:
        if await users.find_by_email(connection, email) is not None:
            raise users.email_taken()
        user = await users.create(
            connection,
            email=email,
            encrypted_password=encrypted_password,
            user_metadata=body.user_metadata or {},
            app_metadata=body.app_metadata,
            role=body.role or AUDIENCE,
            user_id=body.id,
        )
        await _confirm_and_ban(connection, user, body)
        user = await users.get(connection, user.id)
    return JSONResponse(user.as_json())


async def _encrypted(request: Request, body: AdminUserBody) -> str | None:
    if body.password and body.password_hash:
        raise bad_request("validation_failed", "Only a password or a password hash should be provided")
    if body.password_hash:
        if not body.password_hash.startswith(("$2a$", "$2b$", "$2y$")):
            raise bad_request("validation_failed", "Only bcrypt password hashes are supported here")
        return body.password_hash
    if not body.password:
        return None
    config = server(request).config
    check_strength(body.password, config.password_minimum_length, config.password_requirements)
    return await hash_password(body.password)


async def _confirm_and_ban(connection: Connection, user: User, body: AdminUserBody) -> None:
    if body.email_confirm:
        await users.confirm(connection, user.id)
    if body.ban_duration:
        try:
            lasting = (
                0.0 if body.ban_duration == "none" else parse_duration(body.ban_duration).total_seconds()
            )
        except ValueError as error:
            raise bad_request("validation_failed", f"invalid format for ban duration: {error}") from error
        await users.ban(connection, user.id, lasting)


async def list_users(request: Request) -> Response:
    """`GET /admin/users?page=1&per_page=50`: users, newest first, with the total in `X-Total-Count`."""
    require_admin(request)
    auth = server(request)
    page = _positive(request, "page", 1)
    per_page = min(_positive(request, "per_page", DEFAULT_PAGE_SIZE), MAX_PAGE_SIZE)
    async with auth.pool.connection() as connection:
        found, total = await users.page(connection, (page - 1) * per_page, per_page)
    last = max(1, -(-total // per_page))
    links = [f'</admin/users?page={last}>; rel="last"']
    if page < last:
        links.insert(0, f'</admin/users?page={page + 1}>; rel="next"')
    return JSONResponse(
        {"users": [user.as_json() for user in found], "aud": AUDIENCE},
        headers={"X-Total-Count": str(total), "Link": ", ".join(links)},
    )


def _positive(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 10**9:
        raise bad_request("validation_failed", f"Bad Pagination Parameters: {name} must be a positive number")
    return int(text)


async def _addressed(request: Request, connection: Connection) -> User:
    try:
        user_id = UUID(request.path_params["user_id"])
    except ValueError as error:
        raise not_found("validation_failed", "user_id must be an UUID") from error
    user = await users.find_by_id(connection, user_id)
    if user is None:
        raise not_found("user_not_found", "User not found")
    return user


async def get_user(request: Request) -> Response:
    """`GET /admin/users/{user_id}`."""
    require_admin(request)
    async with server(request).pool.connection() as connection:
        user = await _addressed(request, connection)
    return JSONResponse(user.as_json())


async def update_user(request: Request) -> Response:
    """`PUT /admin/users/{user_id}`: change a user at once, without confirmation by mail."""
    require_admin(request)
    body = await read_body(request, AdminUserBody)
    auth = server(request)
    encrypted_password = await _encrypted(request, body)
    email = normalised_email(body.email) if body.email else ""
    async with auth.transaction() as connection:
        user = await _addressed(request, connection)
        if email and email != user.email:
            if await users.find_by_email(connection, email) is not None:
                raise users.email_taken()
            await users.set_email(connection, user.id, email, verified=body.email_confirm is not False)
        if encrypted_password is not None:
            await users.set_password(connection, user.id, encrypted_password)
        if body.role:
            await users.set_role(connection, user.id, body.role)
        await users.merge_metadata(
            connection, user.id, user_metadata=body.user_metadata, app_metadata=body.app_metadata
        )
        await _confirm_and_ban(connection, user, body)
        user = await users.get(connection, user.id)
    return JSONResponse(user.as_json())


async def delete_user(request: Request) -> Response:
    """`DELETE /admin/users/{user_id}`: delete, or with `should_soft_delete` make unusable but keep the id."""
    require_admin(request)
    body = await read_body(request, DeleteBody)
    async with server(request).transaction() as connection:
        user = await _addressed(request, connection)
        if body.should_soft_delete:
            await users.delete_softly(connection, user)
            await sessions.end(connection, user.id, None, "global")
        else:
            await users.delete(connection, user.id)
    return JSONResponse({})


ROUTES = [
    Route("/admin/users", create_user, methods=["POST"]),
    Route("/admin/users", list_users, methods=["GET"]),
    Route("/admin/users/{user_id}", get_user, methods=["GET"]),
    Route("/admin/users/{user_id}", update_user, methods=["PUT"]),
    Route("/admin/users/{user_id}", delete_user, methods=["DELETE"]),
]
