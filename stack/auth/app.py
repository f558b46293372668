"""The auth server as an ASGI application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stack.auth import (
    routes_admin,
    routes_links,
    routes_mail,
    routes_signup,
    routes_token,
    routes_user,
    routes_verify,
)
from stack.auth.config import AuthConfig
from stack.auth.context import AuthServer
from stack.auth.errors import UNEXPECTED_FAILURE, ApiError, error_response
from stack.auth.users import Connection, email_taken
from stack.settings import StackSettings

POOL_SIZE = 4
POOL_TIMEOUT_SECONDS = 5.0

_log = logging.getLogger(__name__)


def create_app(settings: StackSettings) -> Starlette:
    """Build the auth server.

    Args:
        settings: the stack's settings.

    Returns:
        An application whose paths start below `/auth/v1`. Its database pool opens with the lifespan.
    """
    config = AuthConfig.from_settings(settings)
    pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
        config.database_url,
        min_size=1,
        max_size=POOL_SIZE,
        timeout=POOL_TIMEOUT_SECONDS,
        open=False,
        kwargs={"row_factory": dict_row, "autocommit": True, "application_name": "auth"},
        check=AsyncConnectionPool.check_connection,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with pool:
            yield

    app = Starlette(
        routes=[
            *routes_token.ROUTES,
            *routes_user.ROUTES,
            *routes_signup.ROUTES,
            *routes_mail.ROUTES,
            *routes_verify.ROUTES,
            *routes_admin.ROUTES,
            *routes_links.ROUTES,
        ],
        lifespan=lifespan,
        exception_handlers={
            ApiError: _refused,
            HTTPException: _no_such_route,
            psycopg.DataError: _unstorable,
            psycopg.errors.UniqueViolation: _taken,
            Exception: _failed,
        },
    )
    app.state.auth = AuthServer(config, pool)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    if error.status >= 500:
        _log.error("%s %s: %s", request.method, request.url.path, error.message, exc_info=error.__cause__)
    return error_response(request, error)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(request, ApiError(error.status_code, "not_found", error.detail))


async def _unstorable(request: Request, error: Exception) -> Response:
    """Text that Postgres cannot hold, such as a NUL character or a value that is too long."""
    _log.info("%s %s: %s", request.method, request.url.path, error)
    return error_response(request, ApiError(400, "validation_failed", "The request holds an unusable value"))


async def _taken(request: Request, error: Exception) -> Response:
    """Two requests registered one address at the same moment; the database let one of them."""
    _log.info("%s %s: %s", request.method, request.url.path, error)
    return error_response(request, email_taken())


async def _failed(request: Request, error: Exception) -> Response:
    return error_response(request, ApiError(500, "unexpected_failure", UNEXPECTED_FAILURE))
