"""What the migrations' text must say beside each object, read without a database.

An object's rights are also what a platform's defaults make of them, so a forgotten REVOKE may show in no
catalogue of ours. In the text it is always seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stack.settings import REPOSITORY

_CREATED = re.compile(
    r"^create (?:or replace |unlogged )?(function|table|view) ([a-z_]+\.[a-z0-9_]+)", re.MULTILINE
)
_CLOSED = re.compile(
    r"^revoke all on table ([^;]+) from public, anon, authenticated, service_role;$", re.MULTILINE
)
_CLOSED_FUNCTION = re.compile(r"^revoke all on function ([a-z_.0-9]+)\([^;]*\)\s+from public;$", re.MULTILINE)
_ENABLED = re.compile(r"^alter table (\S+) enable row level security;$", re.MULTILINE)
_GLOBAL = (
    "alter default privileges for role postgres revoke execute on functions from public;\n",
    "revoke all on schema billing, billing_private from public;\n",
)
#: Whatever closes something.
GUARDS = re.compile(
    r"^(?:revoke all on [^;]+|alter table \S+ enable row level security|alter default privileges [^;]+);\n",
    re.MULTILINE,
)


_CREATION = re.compile(r"^create .*\n", re.MULTILINE)


def migrations() -> str:
    """Return what all migrations create and close, in their order."""
    files = sorted((REPOSITORY / "supabase" / "migrations").glob("*.sql"))
    text = "\n".join(file.read_text() for file in files)
    return "".join(_CREATION.findall(text) + GUARDS.findall(text))


def missing(text: str) -> Iterator[str]:
    """Yield what should stand in the migrations and does not.

    Args:
        text: what they create and close.
    """
    closed = {name.strip() for names in _CLOSED.findall(text) for name in names.split(",")}
    closed_functions, enabled = set(_CLOSED_FUNCTION.findall(text)), set(_ENABLED.findall(text))
    yield from (f"missing: {statement}" for statement in _GLOBAL if statement not in text)
    for kind, name in _CREATED.findall(text):
        if name not in (closed_functions if kind == "function" else closed):
            yield f"{kind} {name} is not closed"
        if kind == "table" and name not in enabled:
            yield f"table {name} has no row level security"
