"""Who listens to what: topics, their subscribers, and the delivery of broadcasts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Protocol

from stack.realtime.frames import Broadcast, Json
from stack.realtime.presence import PresenceState


@dataclass(frozen=True)
class Topic:
    """A channel's name, without the prefix. A private and a public channel of one name are two channels."""

    name: str
    private: bool


class Subscriber(Protocol):
    """A joined channel of one connection."""

    def deliver(self, broadcast: Broadcast) -> None:
        """Take a broadcast, without waiting for the client."""

    def deliver_presence(self, difference: Json) -> None:
        """Take a change of presence, without waiting for the client."""


class Hub:
    """All subscriptions of the server; used from one event loop only."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[Topic, dict[Subscriber, None]] = defaultdict(dict)
        self._presence: defaultdict[Topic, PresenceState] = defaultdict(PresenceState)

    def subscribe(self, topic: Topic, subscriber: Subscriber) -> None:
        """Start delivering a topic's messages."""
        self._subscribers[topic][subscriber] = None

    def unsubscribe(self, topic: Topic, subscriber: Subscriber) -> None:
        """Stop delivering, and tell the others if the subscriber was present."""
        self._subscribers[topic].pop(subscriber, None)
        self.untrack(topic, subscriber)
        if not self._subscribers[topic]:
            del self._subscribers[topic]
            self._presence.pop(topic, None)

    def publish(self, topic: Topic, broadcast: Broadcast, *, but: Subscriber | None = None) -> None:
        """Deliver a broadcast to a topic's subscribers.

        Args:
            topic: where.
            broadcast: what.
            but: the sender, if it does not want its own message.
        """
        for subscriber in list(self._subscribers.get(topic, ())):
            if subscriber is not but:
                subscriber.deliver(broadcast)

    def present(self, topic: Topic) -> Json:
        """Who is present in a topic, as clients expect it in `presence_state`."""
        return self._presence[topic].as_json()

    def track(self, topic: Topic, subscriber: Subscriber, key: str, payload: Json) -> None:
        """Make a subscriber present, or change what it says about itself, and tell everybody."""
        self._announce(topic, self._presence[topic].track(subscriber, key, payload))

    def untrack(self, topic: Topic, subscriber: Subscriber) -> None:
        """Make a subscriber absent and tell everybody, if it was present."""
        difference = self._presence[topic].untrack(subscriber)
        if difference is not None:
            self._announce(topic, difference)

    def _announce(self, topic: Topic, difference: Json) -> None:
        for subscriber in list(self._subscribers.get(topic, ())):
            subscriber.deliver_presence(difference)
