"""Password hashes and rules: bcrypt, as `extensions.crypt(password, gen_salt('bf'))` also writes it."""

from __future__ import annotations

import re

import anyio.to_thread
import bcrypt

from stack.auth.errors import ApiError, bad_request

COST = 10
"""bcrypt cost of new hashes; also the least work a refused sign-in does, whoever it names."""

MAX_BYTES = 72
"""bcrypt ignores what comes after; longer passwords are refused rather than cut."""

_DECOY = bcrypt.hashpw(b"no user has this password", bcrypt.gensalt(COST))
_COST_FIELD = re.compile(r"^\$2[abxy]\$(\d\d)\$")

_CHARACTER_SETS = {
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "digit": "0123456789",
    "symbol": "!@#$%^&*()_+-=[]{};'\\:\"|<>?,./`~",
}

_REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "": (),
    "letters_digits": ("letter", "digit"),
    "lower_upper_letters_digits": ("lower", "upper", "digit"),
    "lower_upper_letters_digits_symbols": ("lower", "upper", "digit", "symbol"),
}


async def hash_password(password: str) -> str:
    """Hash a password for `auth.users.encrypted_password`.

    Args:
        password: clear text, already checked by `check_strength`.

    Returns:
        A `$2a$` bcrypt hash, the prefix that pgcrypto and Supabase Auth write.
    """
    salt = bcrypt.gensalt(COST, prefix=b"2a")
    return (await anyio.to_thread.run_sync(bcrypt.hashpw, password.encode(), salt)).decode()


async def password_matches(password: str, encrypted_password: str | None) -> bool:
    """Compare a password with a stored hash, at a cost that does not tell whether the user exists.

    Args:
        password: clear text of any length.
        encrypted_password: the stored hash; None or empty if there is no such user or no password.

    Returns:
        True if the password is right.
    """
    return await anyio.to_thread.run_sync(_matches, password.encode(), (encrypted_password or "").encode())


def _matches(password: bytes, stored: bytes) -> bool:
    if len(password) > MAX_BYTES:
        bcrypt.checkpw(password[:MAX_BYTES], _DECOY)
        return False
    cost = _COST_FIELD.match(stored.decode(errors="replace"))
    matches = cost is not None and bcrypt.checkpw(password, stored)
    if not matches and (cost is None or int(cost.group(1)) < COST):
        bcrypt.checkpw(password, _DECOY)
    return matches


def check_strength(password: str, minimum_length: int, requirements: str) -> None:
    """Refuse a password that breaks the project's rules.

    Args:
        password: clear text.
        minimum_length: least number of characters, `[auth] minimum_password_length`.
        requirements: `[auth] password_requirements` of config.toml.

    Raises:
        ApiError: 422 `weak_password` with the broken rules, or 400 if it is longer than bcrypt can hold.
    """
    if len(password.encode()) > MAX_BYTES:
        raise bad_request("validation_failed", f"Password cannot be longer than {MAX_BYTES} characters")
    reasons: list[str] = []
    messages: list[str] = []
    if len(password) < minimum_length:
        reasons.append("length")
        messages.append(f"Password should be at least {minimum_length} characters.")
    missing = [name for name in _REQUIREMENTS[requirements] if not _contains(password, name)]
    if missing:
        reasons.append("characters")
        messages.append(f"Password should contain at least one character of each: {', '.join(missing)}.")
    if reasons:
        raise ApiError(422, "weak_password", " ".join(messages), weak_password_reasons=reasons)


def _contains(password: str, name: str) -> bool:
    allowed = (
        _CHARACTER_SETS["lower"] + _CHARACTER_SETS["upper"] if name == "letter" else _CHARACTER_SETS[name]
    )
    return any(character in allowed for character in password)
