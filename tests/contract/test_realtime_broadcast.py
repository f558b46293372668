"""Broadcasts between clients, from the database and by HTTP."""

from __future__ import annotations

import secrets
import statistics
import time

import httpx
import pytest
from psycopg import AsyncConnection

from tests.contract.node_driver import NodeDriver
from tests.contract.realtime_world import Lines, PersonFactory, send_from_database
from tests.contract.target import Target

DELIVERY_SECONDS = 0.5


def public_topic() -> str:
    return f"lobby-{secrets.token_hex(6)}"


async def test_a_broadcast_reaches_the_others_and_not_its_sender(lines: Lines) -> None:
    topic = public_topic()
    sender, receiver = lines.open(), lines.open()
    assert (await sender.join(topic)).status == "SUBSCRIBED"
    assert (await receiver.join(topic)).status == "SUBSCRIBED"
    await sender.send(topic, "greeting", {"text": "hello", "n": 7})
    message = await receiver.next(topic)
    assert (message["event"], message["payload"]) == ("greeting", {"text": "hello", "n": 7})
    assert await sender.hears_nothing(topic)


async def test_a_sender_may_ask_to_hear_itself(lines: Lines) -> None:
    topic = public_topic()
    client = lines.open()
    await client.join(topic, broadcast={"self": True, "ack": True})
    await client.send(topic, "echo", {"n": 1})
    assert (await client.next(topic))["payload"] == {"n": 1}


@pytest.mark.parametrize(
    ("sending", "receiving"), [("supabase-py", "supabase-js"), ("supabase-js", "supabase-py")]
)
async def test_clients_of_both_protocols_understand_each_other(
    target: Target, node: NodeDriver, sending: str, receiving: str
) -> None:
    opened = Lines(target, node, sending)
    topic = public_topic()
    sender, receiver = opened.open(), opened.open(library=receiving)
    await sender.join(topic)
    await receiver.join(topic)
    payload = {"text": "grüße ☂", "list": [1, {"deep": None}], "amount": 0.1}
    await sender.send(topic, "mixed", payload)
    assert (await receiver.next(topic))["payload"] == payload
    for client in opened.opened:
        await client.close()


async def test_bytes_arrive_as_bytes(target: Target, node: NodeDriver) -> None:
    opened = Lines(target, node, "supabase-js")
    topic = public_topic()
    client = opened.open()
    await client.join(topic, broadcast={"self": True})
    name = client._name  # type: ignore[attr-defined]
    node.ask("send", name=name, topic=topic, event="bytes", bytes=[0, 1, 254, 255])
    assert (await client.next(topic))["payload"] == [0, 1, 254, 255]
    await client.close()


async def test_the_database_reaches_a_private_channel_in_time(
    lines: Lines, new_person: PersonFactory, target: Target
) -> None:
    person = new_person()
    topic = person.topic()
    client = lines.open(person.access_token)
    assert await client.join(topic, private=True)
    taken: list[float] = []
    for number in range(5):
        began = time.perf_counter()
        await send_from_database(target, topic, {"number": number})
        message = await client.next(topic)
        taken.append(time.perf_counter() - began)
        assert message["payload"]["number"] == number
        assert message["event"] == "changed"
        assert message["meta"]["id"] == message["payload"]["id"]
    assert statistics.median(taken) < DELIVERY_SECONDS


async def test_messages_of_the_database_keep_their_order(
    lines: Lines, new_person: PersonFactory, target: Target
) -> None:
    person = new_person()
    topic = person.topic()
    client = lines.open(person.access_token)
    await client.join(topic, private=True)
    async with await AsyncConnection.connect(target.database_url) as connection:
        for number in range(50):
            await connection.execute(
                "select realtime.send(jsonb_build_object('number', %s::int), 'counted', %s, true)",
                [number, topic],
            )
    numbers = [(await client.next(topic))["payload"]["number"] for _ in range(50)]
    assert numbers == list(range(50))


async def test_what_is_rolled_back_was_never_sent(
    lines: Lines, new_person: PersonFactory, target: Target
) -> None:
    person = new_person()
    topic = person.topic()
    client = lines.open(person.access_token)
    await client.join(topic, private=True)
    async with await AsyncConnection.connect(target.database_url) as connection:
        await connection.execute("select realtime.send('{\"n\": 1}', 'undone', %s, true)", [topic])
        await connection.rollback()
    await send_from_database(target, topic, {"n": 2}, event="done")
    assert (await client.next(topic))["event"] == "done"


async def test_a_private_message_is_not_for_the_public_channel_of_the_same_name(
    lines: Lines, new_person: PersonFactory, target: Target
) -> None:
    topic = new_person().topic()
    eavesdropper = lines.open()
    assert (await eavesdropper.join(topic, private=False)).status == "SUBSCRIBED"
    await send_from_database(target, topic, {"secret": True}, private=True)
    assert await eavesdropper.hears_nothing(topic)
    await send_from_database(target, topic, {"secret": False}, private=False)
    assert (await eavesdropper.next(topic))["payload"]["secret"] is False


async def test_a_server_broadcasts_by_http(lines: Lines, target: Target) -> None:
    topic = public_topic()
    client = lines.open()
    await client.join(topic)
    body = {"messages": [{"topic": topic, "event": "http", "payload": {"n": 1}}]}
    async with httpx.AsyncClient(headers={"apikey": target.secret_key}) as http:
        answer = await http.post(f"{target.url}/realtime/v1/api/broadcast", json=body)
    assert answer.status_code == 202
    message = await client.next(topic)
    assert (message["event"], message["payload"]) == ("http", {"n": 1})


async def test_a_client_broadcasts_by_http_where_it_may_write(
    target: Target, node: NodeDriver, new_person: PersonFactory
) -> None:
    opened = Lines(target, node, "supabase-js")
    person = new_person()
    writable, readable = person.topic("contract-rw"), person.topic("contract")
    client = opened.open(person.access_token)
    await client.join(writable, private=True, broadcast={"self": True})
    url = f"{target.url}/realtime/v1/api/broadcast"
    headers = {"apikey": target.publishable_key, "Authorization": f"Bearer {person.access_token}"}
    async with httpx.AsyncClient(headers=headers) as http:
        sent = await http.post(f"{url}/{writable}/events/ping?private=true", json={"n": 1})
        refused = await http.post(f"{url}/{readable}/events/ping?private=true", json={"n": 1})
    assert (sent.status_code, refused.status_code) == (202, 403)
    assert (await client.next(writable))["event"] == "ping"
    await client.close()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"messages": 1}', b'{"messages": [{"topic": "t"}]}', b"\xff", b"[" * 100_000]
)
def test_a_broken_http_broadcast_is_refused(target: Target, body: bytes) -> None:
    answer = httpx.post(
        f"{target.url}/realtime/v1/api/broadcast", headers={"apikey": target.secret_key}, content=body
    )
    assert answer.status_code in (400, 422)


def test_an_http_broadcast_needs_a_key_and_a_limit(target: Target) -> None:
    url = f"{target.url}/realtime/v1/api/broadcast"
    assert httpx.post(url, json={"messages": []}).status_code == 401
    large = {"messages": [{"topic": "t", "event": "e", "payload": "x" * 2_000_000}]}
    assert httpx.post(url, headers={"apikey": target.secret_key}, json=large).status_code in (413, 422)
    forged = {"apikey": target.publishable_key, "Authorization": "Bearer a.b.c"}
    assert httpx.post(url, headers=forged, json={"messages": []}).status_code in (401, 403)


async def test_a_message_that_cannot_be_stored_does_not_break_the_transaction(target: Target) -> None:
    """Product code calls realtime.send inside its own transaction and must never be undone by it."""
    async with await AsyncConnection.connect(target.database_url) as connection:
        await connection.execute("create temporary table kept (n int)")
        await connection.execute("select realtime.send('{}'::jsonb, 'event', null, true)")
        await connection.execute("insert into kept values (1)")
        await connection.commit()
        cursor = await connection.execute("select n from kept")
        assert await cursor.fetchone() == (1,)
