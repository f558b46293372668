"""Idempotency keys: time-ordered for a fresh spend, derived for a step of a run."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from uuid import UUID

#: The longest key that the ledger accepts, in characters.
MAX_KEY_LENGTH = 255

_lock = threading.Lock()
_last_stamp = 0


def uuid7() -> UUID:
    """Make a time-ordered UUID (RFC 9562, version 7), ascending within this process.

    The 48-bit millisecond clock is followed by 12 bits of its fraction (RFC 9562, section 6.2, method 3), and
    a stamp is never used twice, so keys made in a row sort in the order in which they were made. Time-ordered
    keys keep the ledger's unique index small to write as it grows.
    """
    global _last_stamp
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    stamp = (milliseconds << 12) | (rest * 4096 // 1_000_000)
    with _lock:
        stamp = max(stamp, _last_stamp + 1)
        _last_stamp = stamp
    random_bits = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    value = ((stamp >> 12) & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | random_bits
    return UUID(int=value)


def new_key() -> str:
    """Make the idempotency key of one fresh spend."""
    return str(uuid7())


def step_key(run_id: str, agent_type: str, action: str, step: str) -> str:
    """Derive the key of one step of a run: the same step of the same run always has the same key.

    The run comes first, so that keys of a run with a time-ordered id stay time-ordered. What is too long for
    the ledger is replaced by its digest behind the beginning of the run's id.
    """
    key = f"{run_id}:{agent_type}.{action}:{step}"
    if len(key) <= MAX_KEY_LENGTH:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{run_id[: MAX_KEY_LENGTH - len(digest) - 1]}:{digest}"
