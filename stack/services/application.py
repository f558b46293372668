"""Puts the stand-ins behind one ASGI application, by path and by port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Receive, Scope, Send

from stack.auth.app import create_app as create_auth
from stack.functions.app import create_app as create_functions
from stack.mailbox.app import create_app as create_mailbox
from stack.realtime.app import create_app as create_realtime
from stack.services.scheduler import run_scheduler
from stack.settings import StackSettings


class PortRoute(BaseRoute):
    """Sends everything that arrived on one port to one application."""

    def __init__(self, port: int, app: Starlette) -> None:
        """Route a port.

        Args:
            port: the local port of the connection.
            app: the application that answers there.
        """
        self._port = port
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the socket that the request came in on."""
        server = scope.get("server")
        matched = scope["type"] in ("http", "websocket") and server is not None and server[1] == self._port
        return (Match.FULL if matched else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer."""
        await self._app(scope, receive, send)


def create_app(settings: StackSettings) -> Starlette:
    """Build the application of the services process.

    Args:
        settings: the instance.

    Returns:
        An application whose lifespan opens and closes those of all its parts.
    """
    mailbox = create_mailbox(settings)
    parts = {
        "/auth/v1": create_auth(settings),
        "/realtime/v1": create_realtime(settings),
        "/functions/v1": create_functions(settings),
    }

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for part in (mailbox, *parts.values()):
                await stack.enter_async_context(part.router.lifespan_context(part))
            await stack.enter_async_context(run_scheduler(settings))
            yield

    routes = [
        PortRoute(settings.ports.mailbox, mailbox),
        *(Mount(path, part) for path, part in parts.items()),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
