"""Presence: who is in a channel, seen by those who joined before and after."""

from __future__ import annotations

import secrets
from typing import Any

from tests.contract.realtime_clients import RealtimeClient
from tests.contract.realtime_world import Lines, PersonFactory
from tests.contract.target import Json


async def until(client: RealtimeClient, topic: str, keys: set[str]) -> Json:
    """Wait until exactly these keys are present; the client answers no event at all if they never are."""
    while True:
        state = await client.next(topic, "sync")
        if set(state) == keys:
            return state


def presence(key: str) -> dict[str, Any]:
    return {"presence": {"key": key, "enabled": True}}


async def test_those_present_see_each_other_come_and_go(lines: Lines) -> None:
    topic = f"room-{secrets.token_hex(6)}"
    ada, grace = lines.open(), lines.open()
    await ada.join(topic, **presence("ada"))
    await ada.track(topic, {"mood": "busy"})
    state = await until(ada, topic, {"ada"})
    assert state["ada"][0]["mood"] == "busy"
    await grace.join(topic, **presence("grace"))
    await until(grace, topic, {"ada"})
    await grace.track(topic, {"mood": "calm"})
    await until(ada, topic, {"ada", "grace"})
    await grace.untrack(topic)
    await until(ada, topic, {"ada"})


async def test_leaving_the_channel_ends_presence(lines: Lines) -> None:
    topic = f"room-{secrets.token_hex(6)}"
    ada, grace = lines.open(), lines.open()
    await ada.join(topic, **presence("ada"))
    await grace.join(topic, **presence("grace"))
    await ada.track(topic, {})
    await grace.track(topic, {})
    await until(ada, topic, {"ada", "grace"})
    await grace.leave(topic)
    await until(ada, topic, {"ada"})


async def test_a_lost_connection_ends_presence(lines: Lines) -> None:
    topic = f"room-{secrets.token_hex(6)}"
    ada, grace = lines.open(), lines.open(library="supabase-py")
    await ada.join(topic, **presence("ada"))
    await grace.join(topic, **presence("grace"))
    await ada.track(topic, {})
    await grace.track(topic, {})
    await until(ada, topic, {"ada", "grace"})
    await grace.close()
    await until(ada, topic, {"ada"})


async def test_two_windows_of_one_user_share_a_key(lines: Lines) -> None:
    topic = f"room-{secrets.token_hex(6)}"
    first, second = lines.open(), lines.open()
    await first.join(topic, **presence("ada"))
    await second.join(topic, **presence("ada"))
    await first.track(topic, {"window": 1})
    await second.track(topic, {"window": 2})
    while True:
        state = await first.next(topic, "sync")
        if len(state.get("ada", [])) == 2:
            break
    assert {meta["window"] for meta in state["ada"]} == {1, 2}


async def test_a_private_channel_needs_the_right_to_be_present(
    lines: Lines, new_person: PersonFactory
) -> None:
    person = new_person()
    topic = person.topic("contract-rw")
    line = lines.open(person.access_token)
    await line.join(topic, private=True, **presence("owner"))
    await line.track(topic, {"here": True})
    state = await until(line, topic, {"owner"})
    assert state["owner"][0]["here"] is True
