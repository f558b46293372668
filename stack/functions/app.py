"""Routes `/functions/v1/NAME/…` to the function's Deno process, which the first request starts."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import jwt
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from stack.functions.catalogue import EdgeFunction, find
from stack.functions.process import FunctionProcess, FunctionStartError
from stack.settings import HOST, StackSettings

#: A hosted function must answer within this.
REQUEST_TIMEOUT_SECONDS = 150
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}

_log = logging.getLogger(__name__)


class FunctionServer:
    """Keeps one process a function: started when called, started anew when its sources changed."""

    def __init__(self, settings: StackSettings) -> None:
        """Serve the functions of an instance.

        Args:
            settings: the instance.
        """
        self._settings = settings
        self._processes: dict[str, FunctionProcess] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(REQUEST_TIMEOUT_SECONDS, connect=5))

    async def answer(self, request: Request) -> Response:
        """Answer one request under `/functions/v1`."""
        name = request.path_params["name"]
        function = find(self._settings.project, self._settings.supabase_dir, name)
        if function is None:
            return _refuse(404, "NOT_FOUND", "Requested function was not found")
        if function.verify_jwt and request.method != "OPTIONS" and not self._has_valid_token(request):
            return _refuse(401, "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT")
        try:
            process = await self._process(function)
        except FunctionStartError as error:
            _log.error("%s", error)
            return _refuse(503, "BOOT_ERROR", "Function failed to start (please check logs)")
        try:
            return await self._forward(request, process)
        except httpx.TimeoutException:
            return _refuse(504, "IDLE_TIMEOUT", "Function did not answer in time")
        except httpx.TransportError as error:
            _log.error("function %s: %s", name, error)
            return _refuse(502, "WORKER_ERROR", "Function exited due to an error (please check logs)")

    async def close(self) -> None:
        """End all functions."""
        await self._client.aclose()
        await asyncio.gather(*(process.stop() for process in self._processes.values()))

    async def _process(self, function: EdgeFunction) -> FunctionProcess:
        async with self._locks[function.name]:
            running = self._processes.get(function.name)
            if running is not None and running.alive and running.version == function.version():
                return running
            if running is not None:
                await running.stop()
            started = await FunctionProcess.start(function, self._settings)
            self._processes[function.name] = started
            return started

    async def _forward(self, request: Request, process: FunctionProcess) -> Response:
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        url = httpx.URL(
            scheme="http", host=HOST, port=process.port, path=path, query=request.scope["query_string"]
        )
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        outgoing = self._client.build_request(
            request.method,
            url,
            headers=[pair for pair in request.headers.items() if pair[0] not in _HOP_BY_HOP],
            content=request.stream() if has_body else None,
        )
        answer = await self._client.send(outgoing, stream=True)
        response = StreamingResponse(
            answer.aiter_raw(), status_code=answer.status_code, background=BackgroundTask(answer.aclose)
        )
        response.raw_headers = [
            pair for pair in answer.headers.raw if pair[0].decode().lower() not in _HOP_BY_HOP
        ]
        return response

    def _has_valid_token(self, request: Request) -> bool:
        """Check the Bearer token as the platform does, which knows no `sb_` keys here."""
        token = request.headers.get("authorization", "").partition(" ")[2]
        try:
            header = jwt.get_unverified_header(token)
            keys = jwt.PyJWKSet.from_dict(self._settings.keys.verification_jwks())
            key = keys[str(header.get("kid"))]
            jwt.decode(token, key, algorithms=[key.algorithm_name], options={"verify_aud": False})
        except (jwt.PyJWTError, KeyError):
            return False
        return True


def create_app(settings: StackSettings) -> Starlette:
    """Build the application that is mounted at `/functions/v1`.

    Args:
        settings: the instance.

    Returns:
        The application; its lifespan ends the functions' processes.
    """
    server = FunctionServer(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await server.close()

    routes = [
        Route("/{name}", server.answer, methods=_METHODS),
        Route("/{name}/{rest:path}", server.answer, methods=_METHODS),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def _refuse(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"code": code, "message": message}, status_code=status)
