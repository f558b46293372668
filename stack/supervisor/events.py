"""The supervisor's own log: one JSON object a line, read by `make up`, `make logs` and the tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class EventLog:
    """Appends events to a file; each line is written at once, so that a reader never sees half of one."""

    def __init__(self, path: Path) -> None:
        """Open the log for appending.

        Args:
            path: the log file; its folder must exist.
        """
        self._file = path.open("a", buffering=1)

    def write(self, event: str, **fields: object) -> None:
        """Append one event.

        Args:
            event: what happened, as a short past-tense name such as `service_died`.
            fields: facts about it that JSON can hold; never a secret.
        """
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        self._file.write(json.dumps(line, default=str) + "\n")


def read_from(path: Path, position: int) -> tuple[list[dict[str, Any]], int]:
    """Return the events after byte `position`, and the position after the last whole line."""
    if not path.exists():
        return [], position
    with path.open("rb") as file:
        file.seek(position)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    return list(_parse(whole)), position + len(whole)


def _parse(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
