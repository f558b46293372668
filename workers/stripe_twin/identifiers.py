"""Ids and secrets that look like Stripe's and still tell that they come from the twin."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits


def random_text(length: int) -> str:
    """Return `length` random letters and digits, from the operating system's generator."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_id(prefix: str) -> str:
    """Return a fresh object id.

    Args:
        prefix: Stripe's prefix for the kind of object, such as `cus` or `cs_test`.

    Returns:
        The prefix, an underscore, `twin` (so that a stray id in a live system is recognised) and 20 random
        characters.
    """
    return f"{prefix}_twin{random_text(20)}"
