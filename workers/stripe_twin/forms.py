"""Stripe's form encoding: `line_items[0][price]=price_1&expand[]=customer` to nested values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from stripe_twin.errors import invalid

FormValue: TypeAlias = "str | list[FormValue] | dict[str, FormValue]"

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")
_DEEPEST = 12


class _Node(dict[str, "_Node | str"]):
    """A level of nesting while it is being read; becomes a list when all its keys are positions."""


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, FormValue]:
    """Turn the pairs of a query string or a form into nested values.

    Args:
        pairs: Decoded key/value pairs in the order sent.

    Returns:
        Nested dictionaries, lists (keys `0`, `1`, ... or empty brackets) and strings; what type a string
        stands for is decided by the parameters of the call, see `stripe_twin.parameters`.

    Raises:
        StripeError: 400 for keys that are not well formed or contradict one another.
    """
    root = _Node()
    for key, value in pairs:
        if "\0" in key or "\0" in value:
            raise invalid("Invalid string: it contains the character NUL.", param=key.replace("\0", ""))
        _place(root, _path(key), value, key)
    return {name: _finish(node) for name, node in root.items()}


def _path(key: str) -> list[str]:
    match = _KEY.fullmatch(key)
    if match is None:
        raise invalid(f"Invalid request parameter name: {key}", param=key)
    path = [match.group(1), *_PART.findall(match.group(2))]
    if len(path) > _DEEPEST:
        raise invalid(f"Parameter is nested too deeply: {key}", param=key)
    return path


def _place(root: _Node, path: list[str], value: str, key: str) -> None:
    node = root
    for part in path[:-1]:
        child = node.setdefault(part if part else str(len(node)), _Node())
        if not isinstance(child, _Node):
            raise invalid(f"Parameter is given both as a value and as a group: {key}", param=key)
        node = child
    last = path[-1] if path[-1] else str(len(node))
    if isinstance(node.get(last), _Node):
        raise invalid(f"Parameter is given both as a value and as a group: {key}", param=key)
    node[last] = value


def _finish(node: _Node | str) -> FormValue:
    if isinstance(node, str):
        return node
    if node and all(name.isdigit() for name in node):
        return [_finish(node[name]) for name in sorted(node, key=int)]
    return {name: _finish(child) for name, child in node.items()}
