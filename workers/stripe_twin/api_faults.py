"""How calls of the API misbehave on demand: errors before or after acting, limits, delays, cut connections.

Source of what clients must expect: https://docs.stripe.com/error-low-level
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stripe_twin.database import Connection
from stripe_twin.errors import StripeError

Kind = Literal["error_before", "error_after", "rate_limit", "lock_timeout", "slow", "cut_before", "cut_after"]


class ApiFault(BaseModel):
    """A misbehaviour of certain calls.

    Attributes:
        kind: `error_before` and `error_after` answer 500 without or after having acted; `rate_limit` and
            `lock_timeout` answer 429; `slow` acts and answers late; `cut_before` and `cut_after` close the
            connection.
        path: Path with `*` for anything, such as `/v1/refunds*`.
        method: The method; `*` for any.
        times: How many calls meet it.
        skip: How many matching calls go well before.
        seconds: The delay of `slow`.
        remembered: For `error_after` under an idempotency key: whether a retry is given the 500 again, as
            Stripe does with an answer that it has stored, or the answer that was lost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    path: str = Field(default="*", max_length=500)
    method: Literal["*", "GET", "POST", "DELETE"] = "*"
    times: int = Field(default=1, ge=1, le=10_000)
    skip: int = Field(default=0, ge=0, le=10_000)
    seconds: Decimal = Field(default=Decimal(0), ge=0, le=120)
    remembered: bool = False


class ConnectionCutError(ConnectionError):
    """Raised in the middle of an answer, so that the server closes the connection."""


@dataclass(frozen=True)
class Meeting:
    """What one call meets; no kind when it goes well."""

    kind: Kind | None = None
    seconds: float = 0
    remembered: bool = False

    @property
    def acts(self) -> bool:
        """Whether the call does its work."""
        return self.kind not in ("error_before", "rate_limit", "lock_timeout", "cut_before")

    def refusal(self) -> StripeError | None:
        """Return the error that is answered instead of the truth; None when the truth is answered."""
        if self.kind in ("error_before", "error_after"):
            return StripeError(500, "An unknown error occurred.", kind="api_error")
        if self.kind == "rate_limit":
            message = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
            return StripeError(429, message, code="rate_limit")
        if self.kind == "lock_timeout":
            message = "This object cannot be accessed right now because another API request is using it."
            return StripeError(429, message, code="lock_timeout")
        return None


def add_fault(connection: Connection, fault: ApiFault) -> int:
    """Store a fault; return its id."""
    row = connection.execute(
        "insert into api_faults (method, path, kind, seconds, remembered, skip, times) "
        "values (%s, %s, %s, %s, %s, %s, %s) returning id",
        (
            fault.method,
            _pattern(fault.path),
            fault.kind,
            fault.seconds,
            fault.remembered,
            fault.skip,
            fault.times,
        ),
    ).fetchone()
    assert row is not None
    return int(row["id"])


def _pattern(path: str) -> str:
    return path.replace("\\", r"\\").replace("_", r"\_").replace("%", r"\%").replace("*", "%")


def meet(connection: Connection, method: str, path: str) -> Meeting:
    """Return what a call meets; the oldest fault that fits counts down."""
    rows = connection.execute(
        "select id, kind, seconds, remembered, skip from api_faults "
        "where times > 0 and method in ('*', %s) and %s like path order by id for update",
        (method, path),
    ).fetchall()
    for row in rows:
        if row["skip"] > 0:
            connection.execute("update api_faults set skip = skip - 1 where id = %s", (row["id"],))
            continue
        connection.execute("update api_faults set times = times - 1 where id = %s", (row["id"],))
        return Meeting(row["kind"], float(row["seconds"]), row["remembered"])
    return Meeting()


def cut_off(body: str) -> Iterator[bytes]:
    """Yield the beginning of an answer, then close the connection.

    Raises:
        ConnectionCutError: Always, after the first part.
    """
    yield body.encode()[:20]
    raise ConnectionCutError("the connection was cut on demand")
