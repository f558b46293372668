"""The realtime server as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from stack.auth.tokens import TokenKeys
from stack.realtime import http
from stack.realtime.authorization import Pool
from stack.realtime.connection import Connection
from stack.realtime.frames import Version
from stack.realtime.http import RealtimeServer
from stack.realtime.hub import Hub
from stack.realtime.joining import ApiKeys
from stack.realtime.listener import clean_up_forever, listen_forever
from stack.settings import StackSettings

DATABASE_ROLE = "supabase_realtime_admin"
POOL_SIZE = 3
POOL_TIMEOUT_SECONDS = 5.0

_VERSIONS: dict[str, Version] = {"1.0.0": "1.0.0", "2.0.0": "2.0.0"}
_DEFAULT_VERSION: Version = "1.0.0"
_CLOSE_REFUSED = 1008


def create_app(settings: StackSettings) -> Starlette:
    """Build the realtime server.

    Args:
        settings: the stack's settings.

    Returns:
        An application whose paths start below `/realtime/v1`; its connections live with the lifespan.
    """
    database_url = settings.database_url(DATABASE_ROLE)
    pool: Pool = AsyncConnectionPool(
        database_url,
        min_size=1,
        max_size=POOL_SIZE,
        timeout=POOL_TIMEOUT_SECONDS,
        open=False,
        kwargs={"row_factory": dict_row, "autocommit": True, "application_name": "realtime"},
        check=AsyncConnectionPool.check_connection,
    )
    keys = ApiKeys(
        TokenKeys(settings.keys.signing_key, settings.keys.role_token_secret),
        settings.keys.publishable_key,
        settings.keys.secret_key,
    )
    hub = Hub()
    listening = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with pool:
            tasks = [
                asyncio.create_task(listen_forever(database_url, pool, hub, listening)),
                asyncio.create_task(clean_up_forever(pool)),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    app = Starlette(
        routes=[
            WebSocketRoute("/websocket", _websocket),
            Route("/health", _health, methods=["GET"]),
            *http.ROUTES,
        ],
        lifespan=lifespan,
    )
    app.state.realtime = RealtimeServer(hub, pool, keys)
    app.state.listening = listening
    return app


async def _health(request: Request) -> Response:
    """`GET /health`: 200 while messages of the database are being received, else 503."""
    listening: asyncio.Event = request.app.state.listening
    return JSONResponse({"listening": listening.is_set()}, status_code=200 if listening.is_set() else 503)


async def _websocket(socket: WebSocket) -> None:
    realtime: RealtimeServer = socket.app.state.realtime
    api_key = socket.query_params.get("apikey") or socket.headers.get("x-api-key", "")
    claims = realtime.keys.claims_of_key(api_key)
    version = _VERSIONS.get(socket.query_params.get("vsn", _DEFAULT_VERSION))
    if claims is None or version is None:
        await socket.close(_CLOSE_REFUSED)
        return
    await socket.accept()
    await Connection(socket, version, claims, realtime.hub, realtime.pool, realtime.keys).serve()
