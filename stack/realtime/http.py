"""Broadcasting by HTTP, for servers and for clients that have not joined."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.auth.tokens import Claims
from stack.realtime import authorization
from stack.realtime.authorization import Pool
from stack.realtime.channel import MAX_BROADCAST_BYTES
from stack.realtime.frames import Broadcast
from stack.realtime.hub import Hub, Topic
from stack.realtime.joining import API_KEY_PREFIX, ApiKeys, RefusedError

MAX_BODY_BYTES = 1024 * 1024
MAX_MESSAGES = 100


@dataclass(frozen=True)
class RealtimeServer:
    """The server's parts, reachable from every request as `request.app.state.realtime`."""

    hub: Hub
    pool: Pool
    keys: ApiKeys


class BatchMessage(BaseModel):
    """One message of a batch."""

    model_config = ConfigDict(extra="ignore")

    topic: str
    event: str
    payload: Any
    private: bool = False


class Batch(BaseModel):
    """The body of `POST /api/broadcast`."""

    messages: list[BatchMessage]


class _TooLargeError(Exception):
    pass


def _server(request: Request) -> RealtimeServer:
    realtime: RealtimeServer = request.app.state.realtime
    return realtime


def _claims(request: Request) -> Claims | None:
    """Whose rights a request has: of its bearer token, else of its API key; None for neither."""
    keys = _server(request).keys
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if bearer and not bearer.startswith(API_KEY_PREFIX):
        try:
            return keys.claims_of_token(bearer)
        except RefusedError:
            return None
    return keys.claims_of_key(bearer or request.headers.get("apikey", ""))


def _unauthorized() -> Response:
    return JSONResponse({"message": "Unauthorized"}, status_code=401)


def _unprocessable(errors: object) -> Response:
    return JSONResponse({"errors": errors}, status_code=422)


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise _TooLargeError
    return bytes(content)


async def broadcast_batch(request: Request) -> Response:
    """`POST /api/broadcast`: send messages; those the caller may not send are dropped silently."""
    claims = _claims(request)
    if claims is None:
        return _unauthorized()
    try:
        batch = Batch.model_validate_json(await _body(request))
    except _TooLargeError:
        return JSONResponse({"message": "Payload too large"}, status_code=413)
    except ValidationError as error:
        return _unprocessable(error.errors(include_url=False, include_input=False, include_context=False))
    if len(batch.messages) > MAX_MESSAGES:
        return _unprocessable({"messages": [f"at most {MAX_MESSAGES} messages"]})
    for message in batch.messages:
        content = json.dumps(message.payload)
        if len(content) > MAX_BROADCAST_BYTES:
            return _unprocessable({"messages": [{"payload": ["Payload size exceeds tenant limit"]}]})
        await _send(request, claims, Topic(message.topic, message.private), Broadcast(message.event, content))
    return Response(status_code=202)


async def broadcast_one(request: Request) -> Response:
    """`POST /api/broadcast/{topic}/events/{event}?private=true`: send one payload, JSON or bytes."""
    claims = _claims(request)
    if claims is None:
        return _unauthorized()
    try:
        content = await _body(request)
    except _TooLargeError:
        return JSONResponse({"message": "Payload too large"}, status_code=413)
    if len(content) > MAX_BROADCAST_BYTES:
        return _unprocessable({"payload": ["Payload size exceeds tenant limit"]})
    payload: str | bytes = content
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/octet-stream":
        try:
            payload = content.decode()
            json.loads(payload)
        except (ValueError, RecursionError):
            return _unprocessable({"payload": ["is not JSON"]})
    topic = Topic(request.path_params["topic"], request.query_params.get("private") == "true")
    if not await _send(request, claims, topic, Broadcast(request.path_params["event"], payload)):
        return JSONResponse({"message": "Unauthorized"}, status_code=403)
    return Response(status_code=202)


async def _send(request: Request, claims: Claims, topic: Topic, broadcast: Broadcast) -> bool:
    server = _server(request)
    if topic.private:
        permissions = await authorization.writable(server.pool, topic.name, claims)
        if not permissions.broadcast:
            return False
    server.hub.publish(topic, broadcast)
    return True


ROUTES = [
    Route("/api/broadcast", broadcast_batch, methods=["POST"]),
    Route("/api/broadcast/{topic}/events/{event}", broadcast_one, methods=["POST"]),
]
