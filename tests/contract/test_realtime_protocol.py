"""The wire protocol itself: what no client library sends, and what both versions must answer."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import jwt
import psycopg
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.contract.realtime_world import PersonFactory, send_from_database
from tests.contract.target import Json, Target

ANSWER_SECONDS = 10.0


@asynccontextmanager
async def line(
    target: Target, version: str = "1.0.0", key: str | None = None
) -> AsyncIterator[ClientConnection]:
    """A bare websocket."""
    query = urlencode({"apikey": key or target.publishable_key, "vsn": version})
    url = f"{target.url.replace('http', 'ws', 1)}/realtime/v1/websocket?{query}"
    async with connect(url, max_size=None) as socket:
        yield socket


async def ask(socket: ClientConnection, topic: str, event: str, payload: Json, ref: str = "1") -> Json:
    """Send a message of protocol 1.0.0 and wait for its reply."""
    await socket.send(json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref}))
    while True:
        answer: Json = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_SECONDS))
        if answer["event"] == "phx_reply" and answer["ref"] == ref:
            reply: Json = answer["payload"]
            return reply


async def join(socket: ClientConnection, topic: str, **extra: Any) -> Json:
    """Join a channel."""
    return await ask(socket, topic, "phx_join", {"config": {}, **extra})


def topic() -> str:
    return f"realtime:wire-{secrets.token_hex(6)}"


@pytest.mark.parametrize("key", ["", "sb_publishable_made_up", "a.b.c"])
async def test_a_connection_needs_a_key_of_the_project(target: Target, key: str) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        async with line(target, key=key or "none"):
            pass
    assert refused.value.response.status_code in (401, 403)


async def test_a_heartbeat_is_answered_in_both_versions(target: Target) -> None:
    async with line(target) as first:
        assert await ask(first, "phoenix", "heartbeat", {}, "7") == {"status": "ok", "response": {}}
    async with line(target, "2.0.0") as second:
        await second.send(json.dumps([None, "8", "phoenix", "heartbeat", {}]))
        answer = json.loads(await asyncio.wait_for(second.recv(), ANSWER_SECONDS))
        assert answer == [None, "8", "phoenix", "phx_reply", {"status": "ok", "response": {}}]


async def test_a_number_leaves_as_the_database_wrote_it(target: Target, new_person: PersonFactory) -> None:
    """Credits are decimals: no server on the way may turn them into binary fractions."""
    person = new_person()
    name = person.topic()
    async with line(target) as socket:
        reply = await join(
            socket, f"realtime:{name}", config={"private": True}, access_token=person.access_token
        )
        assert reply["status"] == "ok"
        await send_from_database(target, name, '{"balance": 12345678901234567.8900}')
        while '"broadcast"' not in (
            frame := str(await asyncio.wait_for(socket.recv(decode=True), ANSWER_SECONDS))
        ):
            pass
        assert '"balance": 12345678901234567.8900' in frame


async def test_leaving_is_answered_and_then_closed(target: Target) -> None:
    channel = topic()
    async with line(target) as socket:
        await join(socket, channel)
        assert (await ask(socket, channel, "phx_leave", {}, "2"))["status"] == "ok"
        closing = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_SECONDS))
        assert (closing["topic"], closing["event"]) == (channel, "phx_close")
        unmatched = await ask(socket, channel, "broadcast", {"event": "x"}, "3")
        assert unmatched == {"status": "error", "response": {"reason": "unmatched topic"}}


@pytest.mark.parametrize(
    ("version", "frame"),
    [
        ("1.0.0", "{"),
        ("1.0.0", "[]"),
        ("1.0.0", '"text"'),
        ("1.0.0", '{"topic": 1, "event": "x"}'),
        ("1.0.0", "[" * 50_000),
        ("1.0.0", b"\x03\x00"),
        ("2.0.0", '{"topic": "phoenix"}'),
        ("2.0.0", '["1", "2"]'),
        ("2.0.0", b""),
        ("2.0.0", b"\x03"),
        ("2.0.0", b"\x09\x00\x00\x00\x00\x00\x00"),
        ("2.0.0", b"\x03\xff\xff\xff\xff\xff\x01short"),
        ("2.0.0", b"\x03\x00\x00\x01\x00\x00\x01\xff{}"),
        ("2.0.0", b"\x03\x00\x00\x01\x00\x00\x01t{not json"),
    ],
)
async def test_a_broken_frame_closes_its_connection_and_no_other(
    target: Target, version: str, frame: str | bytes
) -> None:
    async with line(target) as bystander, line(target, version) as culprit:
        await culprit.send(frame)
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            await asyncio.wait_for(culprit.recv(), ANSWER_SECONDS)
        assert (await ask(bystander, "phoenix", "heartbeat", {}))["status"] == "ok"


async def test_a_frame_of_more_than_a_megabyte_closes_its_connection(target: Target) -> None:
    async with line(target) as socket:
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            await ask(socket, topic(), "phx_join", {"config": {"padding": "x" * 1_200_000}})


async def test_a_broadcast_beyond_the_limit_is_refused_when_asked_for_an_answer(target: Target) -> None:
    channel = topic()
    async with line(target) as socket:
        await join(socket, channel, config={"broadcast": {"ack": True}})
        large = {"type": "broadcast", "event": "large", "payload": {"text": "x" * 300_000}}
        reply = await ask(socket, channel, "broadcast", large, "2")
        assert reply["status"] == "error"


@pytest.mark.parametrize(
    "payload",
    [
        {"config": 1},
        {"config": {"private": "perhaps"}},
        {"config": {"broadcast": []}},
        {"config": {}, "access_token": {"a": 1}},
    ],
)
async def test_a_join_of_the_wrong_shape_is_refused_with_a_reason(target: Target, payload: Json) -> None:
    async with line(target) as socket:
        reply = await ask(socket, topic(), "phx_join", payload)
        assert reply["status"] == "error"
        assert reply["response"]["reason"].startswith("InvalidJoinPayload")


async def test_a_channel_needs_a_name(target: Target) -> None:
    async with line(target) as socket:
        reply = await join(socket, "realtime:")
        assert reply["response"]["reason"] == "TopicNameRequired: You must provide a topic name"


async def test_changes_of_tables_are_refused_rather_than_never_sent(target: Target) -> None:
    """The stand-in serves no postgres_changes; a subscription must fail loudly, not stay silent."""
    async with line(target) as socket:
        changes = [{"event": "*", "schema": "public", "table": "anything"}]
        reply = await join(socket, topic(), config={"postgres_changes": changes})
        assert reply["status"] == "error"
        assert "postgres_changes" in reply["response"]["reason"]


async def test_a_second_join_of_a_channel_replaces_the_first(target: Target) -> None:
    channel = topic()
    async with line(target) as socket, line(target) as other:
        await join(socket, channel, config={"presence": {"enabled": False}})
        await ask(socket, channel, "phx_join", {"config": {"presence": {"enabled": False}}}, "2")
        await join(other, channel)
        hello = {"type": "broadcast", "event": "hello", "payload": {}}
        await other.send(json.dumps({"topic": channel, "event": "broadcast", "payload": hello, "ref": "2"}))
        received = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_SECONDS))
        assert received["payload"]["event"] == "hello"
        assert (await ask(socket, "phoenix", "heartbeat", {}, "9"))["status"] == "ok"


async def test_one_connection_has_a_bounded_number_of_channels(target: Target) -> None:
    async with line(target) as socket:
        for number in range(100):
            assert (await ask(socket, topic(), "phx_join", {"config": {}}, str(number)))["status"] == "ok"
        reply = await ask(socket, topic(), "phx_join", {"config": {}}, "last")
        assert reply["response"]["reason"] == "ChannelRateLimitReached: Too many channels"


async def test_a_refreshed_token_must_still_allow_reading(target: Target, new_person: PersonFactory) -> None:
    owner, stranger = new_person(), new_person()
    channel = f"realtime:{owner.topic()}"
    async with line(target) as socket:
        joined = await join(socket, channel, config={"private": True}, access_token=owner.access_token)
        assert joined["status"] == "ok"
        token = {"access_token": stranger.access_token}
        await socket.send(
            json.dumps({"topic": channel, "event": "access_token", "payload": token, "ref": "2"})
        )
        events = []
        while "phx_close" not in events:
            message = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_SECONDS))
            events.append(message["event"])
            if message["event"] == "system":
                assert message["payload"]["message"].startswith("You no longer have permission")
        assert "system" in events


async def test_a_refreshed_token_keeps_the_channel_open(target: Target, new_person: PersonFactory) -> None:
    owner = new_person()
    name = owner.topic()
    async with line(target) as socket:
        await join(socket, f"realtime:{name}", config={"private": True}, access_token=owner.access_token)
        renewed = target.sign({**_claims(owner.access_token), "exp": _claims(owner.access_token)["exp"] + 60})
        message = {"topic": f"realtime:{name}", "event": "access_token", "payload": {"access_token": renewed}}
        await socket.send(json.dumps({**message, "ref": "2"}))
        assert (await ask(socket, "phoenix", "heartbeat", {}, "3"))["status"] == "ok"
        await send_from_database(target, name, {"n": 1})
        received = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_SECONDS))
        assert received["event"] == "broadcast"


def _claims(token: str) -> Json:
    claims: Json = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.mark.serial
async def test_delivery_resumes_after_the_database_connection_is_lost(
    target: Target, new_person: PersonFactory
) -> None:
    person = new_person()
    name = person.topic()
    async with line(target) as socket, await psycopg.AsyncConnection.connect(target.database_url) as database:
        await join(socket, f"realtime:{name}", config={"private": True}, access_token=person.access_token)
        await database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'realtime'"
        )
        await database.commit()
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                await send_from_database(target, name, {"n": 1})
                try:
                    frame = await asyncio.wait_for(socket.recv(), 0.5)
                except TimeoutError:
                    continue
                if json.loads(frame)["event"] == "broadcast":
                    break
