"""One websocket: reading frames, opening and closing channels, and writing without holding up others."""

from __future__ import annotations

import asyncio
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

from stack.auth.tokens import Claims
from stack.realtime.authorization import Pool
from stack.realtime.channel import TOPIC_PREFIX, Channel
from stack.realtime.frames import Frame, Json, MalformedFrameError, Message, Version, decode, encode
from stack.realtime.hub import Hub
from stack.realtime.joining import ApiKeys, RefusedError, parse_join

MAX_CHANNELS = 100
MAX_FRAME_BYTES = 1024 * 1024
_MAX_WAITING_FRAMES = 1000
_CLOSE_BAD_FRAME = 1003
_CLOSE_TOO_BIG = 1009
_CLOSE_TOO_SLOW = 1013

_log = logging.getLogger(__name__)


class Connection:
    """A client's websocket and its channels.

    Args:
        socket: accepted websocket.
        version: the protocol the client speaks.
        claims: what the client's API key stands for.
        hub: where topics live.
        pool: for permission checks.
        keys: verify tokens.
    """

    def __init__(
        self, socket: WebSocket, version: Version, claims: Claims, hub: Hub, pool: Pool, keys: ApiKeys
    ) -> None:
        self.version = version
        self._socket = socket
        self._claims = claims
        self._hub = hub
        self._pool = pool
        self._keys = keys
        self._channels: dict[str, Channel] = {}
        self._waiting: asyncio.Queue[Frame] = asyncio.Queue(_MAX_WAITING_FRAMES)
        self._too_slow = asyncio.Event()

    async def serve(self) -> None:
        """Serve the client until either side closes."""
        tasks = [
            asyncio.create_task(self._read()),
            asyncio.create_task(self._write()),
            asyncio.create_task(self._drop_if_slow()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                _log_failure(task)
        finally:
            for task in tasks:
                task.cancel()
            for channel in list(self._channels.values()):
                channel.leave()
            self._channels.clear()

    def send(self, frame: Frame) -> None:
        """Queue a frame; a client that does not read is cut off rather than waited for."""
        try:
            self._waiting.put_nowait(frame)
        except asyncio.QueueFull:
            self._too_slow.set()

    def reply(self, message: Message, status: str, response: Json) -> None:
        """Answer a client's message."""
        payload = {"status": status, "response": response}
        self.send(encode(self.version, message.topic, "phx_reply", payload, message.ref, message.join_ref))

    def closed(self, channel: Channel) -> None:
        """Forget a channel that closed itself."""
        if self._channels.get(channel.wire_topic) is channel:
            del self._channels[channel.wire_topic]

    async def _write(self) -> None:
        while True:
            frame = await self._waiting.get()
            if isinstance(frame, bytes):
                await self._socket.send_bytes(frame)
            else:
                await self._socket.send_text(frame)

    async def _drop_if_slow(self) -> None:
        await self._too_slow.wait()
        _log.warning("a client does not read its messages; closing its connection")
        await self._socket.close(_CLOSE_TOO_SLOW)

    async def _read(self) -> None:
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            frame: Frame = received.get("text") or received.get("bytes") or b""
            if len(frame) > MAX_FRAME_BYTES:
                await self._socket.close(_CLOSE_TOO_BIG)
                return
            try:
                message = decode(frame, self.version)
            except MalformedFrameError as error:
                _log.info("closing a connection: %s", error)
                await self._socket.close(_CLOSE_BAD_FRAME)
                return
            await self._handle(message)

    async def _handle(self, message: Message) -> None:
        if message.topic == "phoenix":
            if message.event == "heartbeat":
                self.reply(message, "ok", {})
        elif message.event == "phx_join" and message.topic.startswith(TOPIC_PREFIX):
            await self._join(message)
        elif (channel := self._channels.get(message.topic)) is None:
            self.reply(message, "error", {"reason": "unmatched topic"})
        elif message.event == "phx_leave":
            self._leave(message, channel)
        elif message.join_ref in (None, channel.join_ref):
            await channel.receive(message)

    async def _join(self, message: Message) -> None:
        previous = self._channels.pop(message.topic, None)
        if previous is not None:
            previous.leave()
        try:
            if len(self._channels) >= MAX_CHANNELS:
                raise RefusedError("ChannelRateLimitReached: Too many channels")
            request = parse_join(message.payload if isinstance(message.payload, dict) else {})
            channel = Channel(self, self._hub, self._pool, self._keys, message, request)
            await channel.join(self._claims)
        except RefusedError as refusal:
            _log.info("join of %s refused: %s", message.topic, refusal)
            self.reply(message, "error", {"reason": str(refusal)})
            return
        self._channels[message.topic] = channel
        self.reply(message, "ok", {"postgres_changes": []})
        channel.welcome()

    def _leave(self, message: Message, channel: Channel) -> None:
        del self._channels[message.topic]
        channel.leave()
        self.reply(message, "ok", {})
        self.send(encode(self.version, message.topic, "phx_close", {}, channel.join_ref, channel.join_ref))


def _log_failure(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, WebSocketDisconnect):
        _log.error("a realtime connection failed", exc_info=error)
