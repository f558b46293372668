"""What happens to an organization in some months: a seeded list of calls, each at its instant."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2031, 1, 31, 6, tzinfo=UTC)  # an anchor that February does not have
MONTH = timedelta(days=30)
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")


@dataclass(frozen=True)
class Event:
    """One call: when, which, and with what (amounts as text)."""

    at: datetime
    call: str
    arguments: dict[str, Any]


def story(number: int, months: int, seed: int) -> list[Event]:
    """Tell the story of one organization.

    Args:
        number: of the organization; equal numbers have equal stories.
        months: how long.
        seed: of all stories.

    Returns:
        The events, in order.
    """
    teller = _Teller(random.Random(f"{seed}-{number}"))
    teller.begin(number)
    for month in range(months):
        teller.month(START + month * MONTH, month)
    end = START + months * MONTH
    return sorted((e for e in teller.events if e.at < end), key=lambda e: e.at)


class _Teller:
    def __init__(self, randomness: random.Random) -> None:
        self._random = randomness
        self._calls = 0
        self.events: list[Event] = []

    def begin(self, number: int) -> None:
        """A free plan, limits in zones of the world, and something to start with."""
        zone = self._random.choice(ZONES)
        self._say(START, "subscribe", timezone=zone)
        self._say(START + timedelta(seconds=1), "grant", amount="120", key=self._key(), days=None, after=0)
        self._say(
            START + timedelta(seconds=2),
            "limit",
            subject="department",
            amount="60",
            window="day",
            mode="hard",
        )
        self._say(
            START + timedelta(seconds=3),
            "limit",
            subject="organization",
            amount="700",
            window="month",
            mode="soft",
        )
        if number % 3 == 0:
            quarter = START + timedelta(days=100, hours=self._random.randrange(24))
            self._say(quarter, "cancel", at_period_end=number % 2 == 0)
            self._say(quarter + timedelta(days=40), "subscribe", timezone=zone)

    def month(self, start: datetime, month: int) -> None:
        """Grants that end, holds that run out, spends, refunds; once a transfer."""
        for _ in range(2):
            self._say(
                self._within(start),
                "grant",
                amount=self._amount(20, 90),
                key=self._key(),
                days=self._random.choice([None, 5, 12, 45]),
                after=self._random.choice([0, 0, 0, 4]),
            )
        for _ in range(3):
            self._hold(self._within(start))
        for _ in range(8):
            self._spend(self._within(start))
        if month == 1:
            self._say(self._within(start), "transfer", amount="15", key=self._key())
        if month % 5 == 2:
            self._say(
                self._within(start),
                "limit",
                subject="department",
                amount=self._amount(20, 90),
                window="day",
                mode="hard",
            )

    def _spend(self, at: datetime) -> None:
        key = self._key()
        in_department = self._random.random() < 0.4
        self._say(at, "spend", amount=self._amount(0, 50), key=key, in_department=in_department)
        if self._random.random() < 0.2:
            later = at + timedelta(days=self._random.uniform(0, 25))
            reason = self._random.choice(["customer", "platform_fault"])
            self._say(later, "refund", of=key, key=self._key(), reason=reason)

    def _hold(self, at: datetime) -> None:
        key = self._key()
        hours = self._random.choice([0.25, 3, 30, 200])
        self._say(at, "hold", amount=self._amount(2, 30), key=key, hours=hours)
        fate = self._random.random()
        inside = at + timedelta(hours=hours * self._random.uniform(0.1, 0.9))
        if fate < 0.3:
            self._say(inside, "extend", hold=key, additional="2", metered="1", hours=hours)
        elif fate < 0.6:
            self._say(inside, "capture", hold=key, key=self._key(), amount=self._amount(0, 2))
        elif fate < 0.75:
            self._say(inside, "release", hold=key)

    def _say(self, at: datetime, call: str, **arguments: Any) -> None:
        self.events.append(Event(at, call, arguments))

    def _within(self, start: datetime) -> datetime:
        micros = self._random.randrange(int(MONTH.total_seconds()) * 1_000_000)
        return start + timedelta(seconds=10, microseconds=micros)

    def _amount(self, low: int, high: int) -> str:
        return f"{self._random.uniform(low, high) + 0.000001:.6f}"

    def _key(self) -> str:
        self._calls += 1
        return f"call-{self._calls}"
