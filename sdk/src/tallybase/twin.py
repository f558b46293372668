"""What a person does in Stripe's dashboard, or a bank decides, at the local Stripe twin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from tallybase.errors import ConfigurationError, CreditsUnavailable, NotFound, TallybaseError

#: Where the twin is.
STRIPE_TWIN_URL = "STRIPE_TWIN_URL"
DEFAULT_URL = "http://127.0.0.1:12111"

_TIME_LIMIT_SECONDS = 60.0
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

Kind = Literal["charges", "refunds", "disputes", "customers", "subscriptions", "events"]
Object = Mapping[str, Any]


class TwinRefused(TallybaseError):
    """The twin does not do this: there is no such object, or it is not in a state for it."""

    default_slug = "twin_refused"
    default_text = "The Stripe twin refused this."


class Twin:
    """The control API of the local Stripe twin (docs/reference/stripe-twin.md).

    Args:
        url: where it is; default: STRIPE_TWIN_URL, or port 12111 of this machine.

    Raises:
        ConfigurationError: the address is not one of this machine: the real Stripe is never called.
    """

    def __init__(self, url: str | None = None) -> None:
        address = (url or os.environ.get(STRIPE_TWIN_URL) or DEFAULT_URL).rstrip("/")
        if urlsplit(address).hostname not in _LOCAL_HOSTS:
            raise ConfigurationError(f"The Stripe twin runs on this machine, not at {address}.")
        self._http = httpx.Client(base_url=address, timeout=_TIME_LIMIT_SECONDS)

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def latest(self, kind: Kind) -> str:
        """Return the id of the newest object of a kind.

        Raises:
            NotFound: there is none.
        """
        answer = self._send("GET", f"/v1/{kind}", params={"limit": "1"})
        rows = answer["data"]
        if not rows:
            raise NotFound(f"The Stripe twin has no {kind} yet.")
        return str(rows[0]["id"])

    def refund(self, charge_id: str, amount: int | None = None, reason: str | None = None) -> Object:
        """Refund a charge.

        Args:
            charge_id: which (`ch_…`).
            amount: in the currency's smallest unit; None: all that is left.
            reason: duplicate, fraudulent or requested_by_customer.
        """
        return self._act(f"charges/{charge_id}/refund", amount=amount, reason=reason)

    def fail_refund(self, refund_id: str, reason: str | None = None) -> Object:
        """Let a refund come back from the bank."""
        return self._act(f"refunds/{refund_id}/fail", reason=reason)

    def open_dispute(
        self, charge_id: str, amount: int | None = None, reason: str | None = None, *, inquiry: bool = False
    ) -> Object:
        """Let the bank dispute a charge; an inquiry moves no money."""
        return self._act(
            f"charges/{charge_id}/dispute", amount=amount, reason=reason, inquiry=inquiry or None
        )

    def close_dispute(self, dispute_id: str, outcome: Literal["win", "lose"]) -> Object:
        """Let the bank decide on a dispute."""
        return self._act(f"disputes/{dispute_id}/{outcome}")

    def decline_next(self, customer_id: str, code: str | None = None, times: int = 1) -> Object:
        """Let the bank decline the next charges of a customer, whatever the card.

        Args:
            customer_id: whose (`cus_…`).
            code: Stripe's decline code, such as insufficient_funds.
            times: how many charges.
        """
        return self._act(f"customers/{customer_id}/next_charge", do="decline", decline_code=code, times=times)

    def require_3ds(self, customer_id: str) -> Object:
        """Let the bank ask for 3-D Secure at the next charge of a customer."""
        return self._act(f"customers/{customer_id}/next_charge", do="authenticate")

    def advance(
        self, customer_or_clock_id: str, *, months: int = 0, days: int = 0, to: datetime | None = None
    ) -> Object:
        """Move the time of a customer (`cus_…`) or a test clock (`clock_…`) on; what falls due happens."""
        kind = "test_clocks" if customer_or_clock_id.startswith("clock_") else "customers"
        until = None if to is None else int(to.timestamp())
        return self._act(f"{kind}/{customer_or_clock_id}/advance", months=months, days=days, to=until)

    def renew(self, subscription_id: str) -> Object:
        """Move a subscription's customer past its renewal and the attempt to collect it."""
        return self._act(f"subscriptions/{subscription_id}/renew")

    def resend(self, event_id: str, times: int = 1) -> Object:
        """Deliver an event again, so many times at once."""
        return self._act(f"events/{event_id}/resend", times=times)

    def faults(self) -> Object:
        """Return how deliveries misbehave now: the arguments of `misbehave`."""
        return self._send("GET", "/_twin/faults")

    def also_misbehave(
        self, *, shuffle_seconds: float | None = None, drop_attempts: int | None = None
    ) -> Object:
        """Let deliveries misbehave in these ways, too, and leave the others as they are.

        Args:
            shuffle_seconds: as of `misbehave`.
            drop_attempts: as of `misbehave`.
        """
        wanted = {"shuffle_seconds": shuffle_seconds, "drop_attempts": drop_attempts}
        named = {name: value for name, value in wanted.items() if value is not None}
        return self._act("faults", **{**self.faults(), **named})

    def misbehave(
        self,
        *,
        shuffle_seconds: float = 0,
        drop_attempts: int = 0,
        duplicates: int = 0,
        delay_seconds: float = 0,
    ) -> Object:
        """Let deliveries misbehave from now on, in exactly these ways; without any: no more.

        Args:
            shuffle_seconds: each waits a random time up to this, so that events overtake one another.
            drop_attempts: the first attempts of each are lost.
            duplicates: each attempt is sent so many times more.
            delay_seconds: each waits this long.
        """
        return self._act(
            "faults",
            shuffle_seconds=shuffle_seconds,
            drop_attempts=drop_attempts,
            duplicates=duplicates,
            delay_seconds=delay_seconds,
        )

    def _act(self, path: str, **body: object) -> Object:
        named = {name: value for name, value in body.items() if value is not None}
        return self._send("POST", f"/_twin/{path}", json=named)

    def _send(self, method: str, path: str, **more: Any) -> Object:
        try:
            answer = self._http.request(
                method, path, headers={"Authorization": "Bearer sk_test_command_line"}, **more
            )
        except httpx.TransportError as error:
            raise CreditsUnavailable(f"The Stripe twin at {self._http.base_url} did not answer.") from error
        if answer.is_success:
            found: Object = answer.json()
            return found
        raise TwinRefused(_said(answer), status=answer.status_code)


def _said(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        return f"The Stripe twin answered HTTP {answer.status_code}: {answer.text[:200]}"
    return str(error["message"] if isinstance(error, dict) else error)
