"""Presence in one topic: who is there, with what they say about themselves."""

from __future__ import annotations

import secrets

from stack.realtime.frames import Json


class PresenceState:
    """The present subscribers of a topic; several may share a key, e.g. one user in two windows."""

    def __init__(self) -> None:
        self._entries: dict[object, tuple[str, Json]] = {}

    def track(self, subscriber: object, key: str, payload: Json) -> Json:
        """Enter or update a subscriber.

        Args:
            subscriber: who; compared by identity.
            key: under which it is shown.
            payload: what it says about itself.

        Returns:
            The difference, in the form of a `presence_diff`.
        """
        reference = secrets.token_urlsafe(8)
        meta: Json = {**payload, "phx_ref": reference}
        previous = self._entries.get(subscriber)
        leaves: Json = {}
        if previous is not None:
            leaves = _entry(*previous)
            meta["phx_ref_prev"] = previous[1]["phx_ref"]
        self._entries[subscriber] = (key, meta)
        return {"joins": _entry(key, meta), "leaves": leaves}

    def untrack(self, subscriber: object) -> Json | None:
        """Remove a subscriber; the difference, or None if it was not present."""
        previous = self._entries.pop(subscriber, None)
        return None if previous is None else {"joins": {}, "leaves": _entry(*previous)}

    def as_json(self) -> Json:
        """Everybody present, in the form of a `presence_state`."""
        state: Json = {}
        for key, meta in self._entries.values():
            state.setdefault(key, {"metas": []})["metas"].append(meta)
        return state


def _entry(key: str, meta: Json) -> Json:
    return {key: {"metas": [meta]}}
