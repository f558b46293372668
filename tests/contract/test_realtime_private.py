"""Private channels: the policies of realtime.messages decide who joins, who sends, and for how long."""

from __future__ import annotations

import time

import pytest

from tests.contract.realtime_world import Lines, Person, PersonFactory, send_from_database
from tests.contract.target import Target, user_claims

NO_PERMISSION = "You do not have permissions to read from this Channel topic"


async def test_who_may_read_joins_and_a_stranger_hears_why_not(
    lines: Lines, new_person: PersonFactory, target: Target
) -> None:
    owner, stranger = new_person(), new_person()
    topic = owner.topic()
    own_line, foreign_line = lines.open(owner.access_token), lines.open(stranger.access_token)
    assert (await own_line.join(topic, private=True)).status == "SUBSCRIBED"
    refused = await foreign_line.join(topic, private=True)
    assert refused.status == "CHANNEL_ERROR"
    assert f"Unauthorized: {NO_PERMISSION}: {topic}" in refused.reason
    await send_from_database(target, topic, {"n": 1})
    assert (await own_line.next(topic))["payload"]["n"] == 1
    assert await foreign_line.hears_nothing(topic)


async def test_without_a_user_a_private_channel_is_closed(lines: Lines, new_person: PersonFactory) -> None:
    topic = new_person().topic()
    refused = await lines.open().join(topic, private=True)
    assert refused.status == "CHANNEL_ERROR"
    assert NO_PERMISSION in refused.reason


async def test_a_policy_that_fails_lets_nobody_in(lines: Lines, new_person: PersonFactory) -> None:
    person = new_person()
    refused = await lines.open(person.access_token).join(person.topic("contract-broken"), private=True)
    assert refused.status == "CHANNEL_ERROR"
    assert NO_PERMISSION in refused.reason


async def test_a_reader_without_the_right_to_send_is_not_heard(
    lines: Lines, new_person: PersonFactory, target: Target
) -> None:
    person = new_person()
    topic = person.topic("contract")
    speaker, listener = lines.open(person.access_token), lines.open(person.access_token)
    await speaker.join(topic, private=True)
    await listener.join(topic, private=True)
    await speaker.send(topic, "forbidden", {"n": 1})
    assert await listener.hears_nothing(topic)


async def test_who_may_send_is_heard(lines: Lines, new_person: PersonFactory) -> None:
    person = new_person()
    topic = person.topic("contract-rw")
    speaker, listener = lines.open(person.access_token), lines.open(person.access_token)
    await speaker.join(topic, private=True)
    await listener.join(topic, private=True)
    await speaker.send(topic, "allowed", {"n": 1})
    assert (await listener.next(topic))["event"] == "allowed"


@pytest.mark.parametrize("kind", ["expired", "forged", "without a role", "of an unknown role"])
async def test_a_token_that_does_not_hold_opens_no_private_channel(
    lines: Lines, new_person: PersonFactory, target: Target, kind: str
) -> None:
    person = new_person()
    token = bad_token(kind, person, target)
    joined = await lines.open(token).join(person.topic(), private=True)
    assert joined.status == "CHANNEL_ERROR"
    expected = {
        "expired": "InvalidJWTToken: Token has expired",
        "forged": "JwtSignatureError: Failed to validate JWT signature",
        "without a role": "InvalidJWTToken: Fields `role` and `exp` are required in JWT",
        "of an unknown role": NO_PERMISSION,
    }
    assert expected[kind] in joined.reason


def bad_token(kind: str, person: Person, target: Target) -> str:
    match kind:
        case "expired":
            return target.sign(user_claims(person.user_id, exp=int(time.time()) - 60))
        case "forged":
            header, payload, signature = person.access_token.split(".")
            other = "A" if signature[20] != "A" else "B"
            return f"{header}.{payload}.{signature[:20]}{other}{signature[21:]}"
        case "without a role":
            return target.sign(
                {name: value for name, value in user_claims(person.user_id).items() if name != "role"}
            )
        case _:
            return target.sign(user_claims(person.user_id, role="no_such_role"))


async def test_a_channel_ends_with_its_token(lines: Lines, new_person: PersonFactory, target: Target) -> None:
    person = new_person()
    topic = person.topic()
    line = lines.open(target.sign(user_claims(person.user_id, exp=int(time.time()) + 3)))
    assert (await line.join(topic, private=True)).status == "SUBSCRIBED"
    farewell = await line.next(topic, "system")
    assert farewell["status"] == "error"
    assert farewell["message"].startswith("Token has expired")
    await send_from_database(target, topic, {"n": 1})
    assert await line.hears_nothing(topic)
