"""One joined channel of one connection: permissions, token, and what the client sends into it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg

from stack.auth.tokens import Claims
from stack.realtime import authorization
from stack.realtime.authorization import EVERYTHING, NOTHING, Permissions, Pool
from stack.realtime.frames import Broadcast, Json, Message, encode, encode_broadcast
from stack.realtime.hub import Hub, Topic
from stack.realtime.joining import API_KEY_PREFIX, ApiKeys, JoinRequest, RefusedError, seconds_left

if TYPE_CHECKING:
    from stack.realtime.connection import Connection

TOPIC_PREFIX = "realtime:"
MAX_BROADCAST_BYTES = 256 * 1024
"""Largest payload of a broadcast, the limit of a hosted project on the free plan."""

_RECHECK_SECONDS = 3600.0
_NO_POSTGRES_CHANGES = (
    "RealtimeDisabledForConfiguration: postgres_changes is not served by the local stand-in; "
    "use broadcast from the database"
)

_NO_DATABASE = "UnableToConnectToProject: Realtime was unable to connect to the project database"

_log = logging.getLogger(__name__)


class Channel:
    """A subscriber of a topic.

    Args:
        connection: whose channel; takes the frames.
        hub: where the topic lives.
        pool: for the permission checks.
        keys: for new tokens.
        message: the `phx_join`.
        request: its payload.
    """

    def __init__(
        self,
        connection: Connection,
        hub: Hub,
        pool: Pool,
        keys: ApiKeys,
        message: Message,
        request: JoinRequest,
    ) -> None:
        self.join_ref = message.join_ref
        self._connection = connection
        self._hub = hub
        self._pool = pool
        self._keys = keys
        self._wire_topic = message.topic
        self._options = request.config
        self._topic = Topic(message.topic.removeprefix(TOPIC_PREFIX), request.config.private)
        self._presence_key = request.config.presence.key or str(uuid4())
        self._presence_wanted = request.config.presence.enabled
        self._token = request.user_token or request.access_token
        self._claims: Claims = {}
        self._read = NOTHING
        self._write: Permissions | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def join(self, default_claims: Claims) -> None:
        """Check the token and the permissions, and subscribe.

        Args:
            default_claims: what the connection's API key stands for, used without a user token.

        Raises:
            RefusedError: nothing was subscribed.
        """
        if not self._topic.name:
            raise RefusedError("TopicNameRequired: You must provide a topic name")
        if self._options.postgres_changes:
            raise RefusedError(_NO_POSTGRES_CHANGES)
        if self._token is None or self._token.startswith(API_KEY_PREFIX):
            self._claims = default_claims
        else:
            self._claims = self._keys.claims_of_token(self._token)
        self._read = await self._readable()
        if self._read == NOTHING:
            raise RefusedError(
                "Unauthorized: You do not have permissions to read from this Channel topic: "
                + self._topic.name
            )
        self._watch_expiry()
        self._hub.subscribe(self._topic, self)

    def welcome(self) -> None:
        """Send what follows the reply to a join."""
        if self._presence_wanted and self._read.presence:
            self._push("presence_state", self._hub.present(self._topic))

    def leave(self) -> None:
        """Unsubscribe; further calls do nothing."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._hub.unsubscribe(self._topic, self)

    async def receive(self, message: Message) -> None:
        """Handle a client's message other than join and leave."""
        if message.event == "broadcast":
            await self._broadcast(message)
        elif message.event == "presence" and isinstance(message.payload, dict):
            await self._presence(message, message.payload)
        elif message.event == "access_token" and isinstance(message.payload, dict):
            await self._new_token(message.payload.get("access_token"))
        else:
            _log.info("unexpected event %s in %s", message.event, self._wire_topic)

    def deliver(self, broadcast: Broadcast) -> None:
        """Pass a broadcast to the client, if it may read broadcasts."""
        if self._read.broadcast:
            frame = encode_broadcast(self._connection.version, self._wire_topic, broadcast)
            if frame is not None:
                self._connection.send(frame)

    def deliver_presence(self, difference: Json) -> None:
        """Pass a change of presence to the client, if it wants and may read presence."""
        if self._presence_wanted and self._read.presence:
            self._push("presence_diff", difference)

    async def _readable(self) -> Permissions:
        if not self._topic.private:
            return EVERYTHING
        try:
            return await authorization.readable(self._pool, self._topic.name, self._claims)
        except psycopg.Error as error:
            _log.warning("no answer about %s: %s", self._wire_topic, error)
            raise RefusedError(_NO_DATABASE) from error

    async def _may_write(self, extension: authorization.Extension) -> bool:
        if not self._topic.private:
            return True
        if self._write is None:
            try:
                self._write = await authorization.writable(self._pool, self._topic.name, self._claims)
            except psycopg.Error as error:
                _log.warning("no answer about %s: %s", self._wire_topic, error)
                return False
        return self._write.allows(extension)

    async def _broadcast(self, message: Message) -> None:
        """Send to the others; what may not be sent is dropped without an answer, as by the real server."""
        broadcast = _broadcast_of(message)
        if broadcast is None or not await self._may_write("broadcast"):
            return
        if len(broadcast.payload) > MAX_BROADCAST_BYTES:
            if self._options.broadcast.ack:
                self._connection.reply(message, "error", {"reason": "payload_size_exceeded"})
            return
        but = None if self._options.broadcast.self_ else self
        self._hub.publish(self._topic, broadcast, but=but)
        if self._options.broadcast.ack:
            self._connection.reply(message, "ok", {})

    async def _presence(self, message: Message, payload: Json) -> None:
        if not await self._may_write("presence"):
            self._connection.reply(message, "error", {"reason": "Unauthorized"})
            return
        match payload.get("event"):
            case "track":
                tracked = payload.get("payload") or {}
                if not isinstance(tracked, dict):
                    reason = "Presence track payload must be a map"
                    self._connection.reply(message, "error", {"reason": reason})
                    return
                if not self._presence_wanted:
                    self._presence_wanted = True
                    self.welcome()
                self._hub.track(self._topic, self, self._presence_key, tracked)
            case "untrack":
                self._hub.untrack(self._topic, self)
        self._connection.reply(message, "ok", {})

    async def _new_token(self, token: object) -> None:
        """Take a refreshed token: it must hold, and must not take away what could be read so far."""
        if not isinstance(token, str) or token.startswith(API_KEY_PREFIX) or token == self._token:
            return
        previous = self._read
        try:
            self._claims = self._keys.claims_of_token(token)
            self._token = token
            self._write = None
            self._read = await self._readable()
        except RefusedError as refusal:
            self.shut_down(str(refusal).partition(": ")[2])
            return
        if any(previous.allows(kind) and not self._read.allows(kind) for kind in ("broadcast", "presence")):
            self.shut_down(
                f"You no longer have permission to read from this Channel topic: {self._topic.name}"
            )
            return
        self._watch_expiry()

    def _watch_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        left = seconds_left(self._claims)
        if left is not None:
            delay = min(max(left, 0.0), _RECHECK_SECONDS)
            self._expiry = asyncio.get_running_loop().call_later(delay, self._check_expiry)

    def _check_expiry(self) -> None:
        left = seconds_left(self._claims)
        if left is not None and left <= 0:
            self.shut_down(f"Token has expired {max(0, round(-left))} seconds ago")
        else:
            self._watch_expiry()

    def shut_down(self, reason: str) -> None:
        """Close the channel from this side and say why."""
        self._push(
            "system",
            {"extension": "system", "status": "error", "message": reason, "channel": self._topic.name},
        )
        self.leave()
        self._connection.closed(self)
        self._push("phx_close", {}, self.join_ref)

    def _push(self, event: str, payload: Json, ref: str | None = None) -> None:
        self._connection.send(
            encode(self._connection.version, self._wire_topic, event, payload, ref, self.join_ref)
        )

    @property
    def wire_topic(self) -> str:
        """The topic with its prefix, as the client names it."""
        return self._wire_topic


def _broadcast_of(message: Message) -> Broadcast | None:
    if isinstance(message.payload, Broadcast):
        return message.payload
    event = message.payload.get("event")
    if not isinstance(event, str):
        return None
    return Broadcast(event, json.dumps(message.payload.get("payload", {})))
