"""JSON with exact numbers: whatever has a fraction is a Decimal on both sides, never a float."""

from __future__ import annotations

from decimal import Decimal

import msgspec

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER: msgspec.json.Decoder[object] = msgspec.json.Decoder(float_hook=Decimal)


def encode(value: object) -> bytes:
    """Encode to JSON; a Decimal becomes a number with all its digits.

    Raises:
        TypeError: for a value that JSON cannot carry.
    """
    return _ENCODER.encode(value)


def decode(content: bytes) -> object:
    """Decode JSON; a number with a fraction or an exponent becomes a Decimal.

    Raises:
        ValueError: the content is not JSON (NaN and Infinity are not) or not UTF-8.
    """
    return _DECODER.decode(content)
