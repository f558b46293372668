"""Billing periods on the calendar, and the fraction of one that is left.

Source: https://docs.stripe.com/billing/subscriptions/billing-cycle (a month without the anchor's day ends the
period on its last day)
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

DAY = 24 * 3600
_SECONDS = {"day": DAY, "week": 7 * DAY}
_MONTHS = {"month": 1, "year": 12}


def add_intervals(anchor: int, interval: str, count: int) -> int:
    """Return the time that many intervals after an anchor.

    Args:
        anchor: Seconds since 1970.
        interval: `day`, `week`, `month` or `year`.
        count: How many; a day that a month does not have becomes the month's last.
    """
    if interval in _SECONDS:
        return anchor + count * _SECONDS[interval]
    start = datetime.fromtimestamp(anchor, UTC)
    months = start.year * 12 + start.month - 1 + count * _MONTHS[interval]
    year, month = divmod(months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def period_at(anchor: int, recurring: dict[str, Any], moment: int) -> tuple[int, int]:
    """Return start and end of the period that contains a moment.

    Args:
        anchor: The billing cycle anchor; may lie before or after the moment.
        recurring: A price's `recurring`: `interval` and `interval_count`.
        moment: Seconds since 1970; a moment on a boundary belongs to the period that begins there.
    """
    interval, length = recurring["interval"], recurring["interval_count"]
    index = 0
    while add_intervals(anchor, interval, index * length) > moment:
        index -= 1
    while add_intervals(anchor, interval, (index + 1) * length) <= moment:
        index += 1
    return (
        add_intervals(anchor, interval, index * length),
        add_intervals(anchor, interval, (index + 1) * length),
    )


def unused_part(amount: int, start: int, end: int, moment: int) -> int:
    """Return the part of an amount that belongs to the rest of a period, by the second, rounded half up.

    Args:
        amount: For the whole period, in the currency's smallest unit.
        start: Beginning of the period.
        end: End of the period.
        moment: Now; outside of the period everything or nothing is unused.
    """
    left = min(max(end - moment, 0), end - start)
    share = Decimal(amount) * left / (end - start)
    return int(share.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def spoken_date(moment: int) -> str:
    """Return a day as Stripe writes it on invoices: `23 Nov 2026`."""
    return f"{datetime.fromtimestamp(moment, UTC):%d %b %Y}"
