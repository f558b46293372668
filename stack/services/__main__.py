"""Entry point: `python -m stack.services` serves the stand-ins, and the mailbox on a port of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys

import uvicorn

from stack.services.application import create_app
from stack.settings import HOST, StackSettings

_GRACE_SECONDS = 3
_MAX_WEBSOCKET_BYTES = 3 * 1024 * 1024


def main() -> int:
    """Serve until asked to stop.

    Returns:
        The exit status.
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # At INFO it writes every websocket's address, and with it the API key.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    settings = StackSettings.load()
    config = uvicorn.Config(
        create_app(settings),
        access_log=False,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ws_max_size=_MAX_WEBSOCKET_BYTES,
        server_header=False,
    )
    sockets = [
        socket.create_server((HOST, port)) for port in (settings.ports.services, settings.ports.mailbox)
    ]
    asyncio.run(uvicorn.Server(config).serve(sockets=sockets))
    return 0


if __name__ == "__main__":
    sys.exit(main())
