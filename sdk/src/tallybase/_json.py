"""JSON with exact numbers: a Decimal goes out as a number with all its digits and comes back as a Decimal."""

from __future__ import annotations

from decimal import Decimal

import msgspec

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER: msgspec.json.Decoder[object] = msgspec.json.Decoder(float_hook=Decimal)


def encode(value: object) -> bytes:
    """Encode to JSON; UUIDs, dates and Decimals are understood, Decimals exactly.

    Raises:
        TypeError: for a value that JSON cannot carry.
    """
    return _ENCODER.encode(value)


def decode(content: bytes) -> object:
    """Decode JSON; a number with a fraction or an exponent becomes a Decimal, never a float.

    Raises:
        ValueError: when the content is not JSON.
    """
    return _DECODER.decode(content)
