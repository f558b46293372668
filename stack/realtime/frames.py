"""The wire format of Phoenix channels as Supabase's clients speak it, in versions 1.0.0 and 2.0.0.

Version 1 is a JSON object a message, version 2 a JSON array, and in version 2 broadcasts travel as binary
frames whose header is a row of lengths. Payloads of broadcasts are kept as the JSON text or the bytes that
came in, so that a number leaves as it was sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

Version = Literal["1.0.0", "2.0.0"]
Json = dict[str, Any]
Frame = str | bytes

_USER_BROADCAST_PUSH = 3
_USER_BROADCAST = 4
_ENCODING_BINARY = 0
_ENCODING_JSON = 1
_PUSH_LENGTHS = 6
_MAX_FIELD_BYTES = 255


class MalformedFrameError(Exception):
    """A frame that is not of the protocol; the connection that sent it is closed."""


@dataclass(frozen=True)
class Broadcast:
    """A message to every subscriber of a topic.

    Args:
        event: the application's name for it.
        payload: JSON text, or bytes that are passed on as they are.
        meta: what the server adds, such as the id of a message from the database.
    """

    event: str
    payload: str | bytes
    meta: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """A message from a client.

    Args:
        join_ref: reference of the join that opened the channel.
        ref: reference that a reply repeats.
        topic: with the prefix `realtime:`, or `phoenix` for the connection itself.
        event: Phoenix's event, e.g. `phx_join`.
        payload: a JSON object, or the broadcast of a binary frame.
    """

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Json | Broadcast


def decode(frame: Frame, version: Version) -> Message:
    """Read a client's frame.

    Raises:
        MalformedFrameError: it is not of the protocol.
    """
    if isinstance(frame, bytes):
        if version == "1.0.0":
            raise MalformedFrameError("protocol 1.0.0 has no binary frames")
        return _decode_binary(frame)
    try:
        content = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise MalformedFrameError("not JSON") from error
    fields = _named(content, version)
    topic, event, payload = fields.get("topic"), fields.get("event"), fields.get("payload")
    if not isinstance(topic, str) or not isinstance(event, str):
        raise MalformedFrameError("topic and event must be strings")
    return Message(
        _reference(fields.get("join_ref")),
        _reference(fields.get("ref")),
        topic,
        event,
        payload if isinstance(payload, dict) else {},
    )


def _named(content: object, version: Version) -> Json:
    if version == "1.0.0" and isinstance(content, dict):
        return content
    if version == "2.0.0" and isinstance(content, list) and len(content) >= 5:
        return dict(zip(("join_ref", "ref", "topic", "event", "payload"), content, strict=False))
    raise MalformedFrameError(f"not a message of protocol {version}")


def _reference(value: object) -> str | None:
    return None if value is None else str(value)


def _decode_binary(frame: bytes) -> Message:
    if len(frame) <= _PUSH_LENGTHS or frame[0] != _USER_BROADCAST_PUSH:
        raise MalformedFrameError("not a broadcast frame")
    *lengths, encoding = frame[1 : _PUSH_LENGTHS + 1]
    position = _PUSH_LENGTHS + 1
    if len(frame) < position + sum(lengths):
        raise MalformedFrameError("the frame is shorter than its header says")
    parts: list[str] = []
    try:
        for length in lengths:
            parts.append(frame[position : position + length].decode())
            position += length
        content = frame[position:]
        payload = content.decode() if encoding == _ENCODING_JSON else content
        if isinstance(payload, str):
            json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise MalformedFrameError("the frame holds no valid text") from error
    join_ref, ref, topic, event, _metadata = parts
    return Message(join_ref or None, ref or None, topic, "broadcast", Broadcast(event, payload))


def encode(
    version: Version,
    topic: str,
    event: str,
    payload: Json,
    ref: str | None = None,
    join_ref: str | None = None,
) -> str:
    """Write a message of the server that is not a broadcast.

    Args:
        version: what the client speaks.
        topic: with the prefix.
        event: Phoenix's event.
        payload: a JSON object.
        ref: of the message that is answered.
        join_ref: of the channel, if the message is only for this one join of it.
    """
    if version == "1.0.0":
        return json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref})
    return json.dumps([join_ref, ref, topic, event, payload])


def encode_broadcast(version: Version, topic: str, broadcast: Broadcast) -> Frame | None:
    """Write a broadcast.

    Args:
        version: what the client speaks.
        topic: with the prefix.
        broadcast: the message.

    Returns:
        The frame, or None if the client's protocol cannot carry it (bytes in version 1).
    """
    if version == "2.0.0" and (frame := _encode_binary(topic, broadcast)) is not None:
        return frame
    if isinstance(broadcast.payload, bytes):
        return None
    body = f'{{"type": "broadcast", "event": {json.dumps(broadcast.event)}, "payload": {broadcast.payload}'
    if broadcast.meta:
        body += f', "meta": {json.dumps(broadcast.meta)}'
    body += "}"
    if version == "1.0.0":
        return f'{{"topic": {json.dumps(topic)}, "event": "broadcast", "payload": {body}, "ref": null}}'
    return f'[null, null, {json.dumps(topic)}, "broadcast", {body}]'


def _encode_binary(topic: str, broadcast: Broadcast) -> bytes | None:
    meta = json.dumps(broadcast.meta) if broadcast.meta else ""
    parts = [part.encode() for part in (topic, broadcast.event, meta)]
    if any(len(part) > _MAX_FIELD_BYTES for part in parts):
        return None
    text = isinstance(broadcast.payload, str)
    content = broadcast.payload.encode() if isinstance(broadcast.payload, str) else broadcast.payload
    header = bytes(
        [_USER_BROADCAST, *(len(part) for part in parts), _ENCODING_JSON if text else _ENCODING_BINARY]
    )
    return header + b"".join(parts) + content
