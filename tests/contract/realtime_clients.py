"""One interface over both real realtime clients: supabase-js speaks protocol 2.0.0, supabase-py 1.0.0."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass
from typing import Any, Protocol

from realtime import AsyncRealtimeChannel, RealtimeSubscribeStates

import supabase
from tests.contract.node_driver import DriverError, NodeDriver
from tests.contract.target import Json, Target

ANSWER_SECONDS = 15.0
QUIET_SECONDS = 0.6
"""How long nothing must arrive before a test says that nothing arrives; delivery takes a tenth of it."""


@dataclass(frozen=True)
class Joined:
    """How a join ended: `SUBSCRIBED`, or `CHANNEL_ERROR` with a reason."""

    status: str
    reason: str


class RealtimeClient(Protocol):
    """What the tests call."""

    async def join(self, topic: str, **config: Any) -> Joined:
        """Join a channel; `config` as in the clients: private, broadcast={ack, self}, presence={key}."""

    async def send(self, topic: str, event: str, payload: Json) -> None:
        """Broadcast into a joined channel."""

    async def next(self, topic: str, kind: str = "broadcast") -> Json:
        """Wait for the next `broadcast`, presence `sync` or `system` event of a channel."""

    async def hears_nothing(self, topic: str) -> bool:
        """Whether no broadcast comes for `QUIET_SECONDS`."""

    async def track(self, topic: str, payload: Json) -> None:
        """Become present."""

    async def untrack(self, topic: str) -> None:
        """Become absent."""

    async def leave(self, topic: str) -> None:
        """Leave a channel."""

    async def close(self) -> None:
        """Close the connection."""


class PythonRealtimeClient:
    """supabase-py."""

    def __init__(self, target: Target, token: str | None) -> None:
        self._target = target
        self._token = token
        self._client: supabase.AsyncClient | None = None
        self._channels: dict[str, tuple[AsyncRealtimeChannel, dict[str, asyncio.Queue[Json]]]] = {}

    async def join(self, topic: str, **config: Any) -> Joined:
        """See RealtimeClient."""
        if self._client is None:
            self._client = await supabase.acreate_client(self._target.url, self._target.publishable_key)
            if self._token is not None:
                await self._client.realtime.set_auth(self._token)
        queues: dict[str, asyncio.Queue[Json]] = {
            kind: asyncio.Queue() for kind in ("broadcast", "sync", "system")
        }
        with_presence = "presence" in config
        options: Json = {
            "private": False,
            "broadcast": {"ack": False, "self": False},
            "presence": {"key": ""},
            **config,
        }
        channel = self._client.channel(topic, {"config": options})  # type: ignore[arg-type]
        channel.on_broadcast("*", lambda message: queues["broadcast"].put_nowait(dict(message)))
        channel.on_system(lambda message: queues["system"].put_nowait(_plain(message)))
        if with_presence:
            channel.on_presence_sync(lambda: queues["sync"].put_nowait(_plain(channel.presence_state())))
        outcome: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()

        def joined(status: RealtimeSubscribeStates, error: Exception | None) -> None:
            if not outcome.done():
                outcome.set_result(Joined(status.value, str(error or "")))
            elif status is RealtimeSubscribeStates.CHANNEL_ERROR and error is not None:
                # supabase-py hands system messages with an error to this callback, as JSON text.
                queues["system"].put_nowait(json.loads(str(error)))

        await channel.subscribe(joined)
        self._channels[topic] = (channel, queues)
        return await asyncio.wait_for(outcome, ANSWER_SECONDS)

    async def send(self, topic: str, event: str, payload: Json) -> None:
        """See RealtimeClient."""
        await self._channels[topic][0].send_broadcast(event, payload)

    async def next(self, topic: str, kind: str = "broadcast") -> Json:
        """See RealtimeClient."""
        return await asyncio.wait_for(self._channels[topic][1][kind].get(), ANSWER_SECONDS)

    async def hears_nothing(self, topic: str) -> bool:
        """See RealtimeClient."""
        try:
            await asyncio.wait_for(self._channels[topic][1]["broadcast"].get(), QUIET_SECONDS)
        except TimeoutError:
            return True
        return False

    async def track(self, topic: str, payload: Json) -> None:
        """See RealtimeClient."""
        await self._channels[topic][0].track(payload)

    async def untrack(self, topic: str) -> None:
        """See RealtimeClient."""
        await self._channels[topic][0].untrack()

    async def leave(self, topic: str) -> None:
        """See RealtimeClient."""
        await self._channels.pop(topic)[0].unsubscribe()

    async def close(self) -> None:
        """See RealtimeClient."""
        if self._client is not None:
            await self._client.realtime.close()


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value


class JavaScriptRealtimeClient:
    """supabase-js."""

    _names = itertools.count()

    def __init__(self, driver: NodeDriver, target: Target, token: str | None) -> None:
        self._driver = driver
        self._name = f"realtime-{next(self._names)}"
        driver.ask("client", name=self._name, key=target.publishable_key, token=token)

    async def _ask(self, op: str, **arguments: Any) -> Any:
        return await asyncio.to_thread(self._driver.ask, op, name=self._name, **arguments)

    async def join(self, topic: str, **config: Any) -> Joined:
        """See RealtimeClient."""
        answer = await self._ask("subscribe", topic=topic, config=config)
        return Joined(answer["status"], answer.get("message") or "")

    async def send(self, topic: str, event: str, payload: Json) -> None:
        """See RealtimeClient."""
        await self._ask("send", topic=topic, event=event, payload=payload)

    async def next(self, topic: str, kind: str = "broadcast") -> Json:
        """See RealtimeClient."""
        timeout = round(ANSWER_SECONDS * 1000)
        message: Json = await self._ask("next", topic=topic, kind=kind, timeout=timeout)
        return message

    async def hears_nothing(self, topic: str) -> bool:
        """See RealtimeClient."""
        try:
            await self._ask("next", topic=topic, kind="broadcast", timeout=round(QUIET_SECONDS * 1000))
        except DriverError:
            return True
        return False

    async def track(self, topic: str, payload: Json) -> None:
        """See RealtimeClient."""
        assert await self._ask("track", topic=topic, payload=payload) == "ok"

    async def untrack(self, topic: str) -> None:
        """See RealtimeClient."""
        await self._ask("untrack", topic=topic)

    async def leave(self, topic: str) -> None:
        """See RealtimeClient."""
        await self._ask("unsubscribe", topic=topic)

    async def close(self) -> None:
        """See RealtimeClient."""
        await self._ask("close")
