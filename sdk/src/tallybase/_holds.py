"""What holds of both clients have in common, without input or output: calls, keys, and how they end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from tallybase import _calls, _spend, _telemetry
from tallybase._approvals import ApprovalRequests
from tallybase._calls import Call, Number
from tallybase._keys import new_key
from tallybase._spend import Spend, Steps
from tallybase.errors import (
    ConfigurationError,
    HoldExpired,
    HoldReleased,
    HoldResolved,
    InvalidArgument,
    TallybaseError,
)
from tallybase.models import HoldState, Receipt

#: How long something lasts: a timedelta, or text such as "90s", "15m", "2h", "1d".
Duration = timedelta | str

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

#: A hold that is kept alive is extended this many times within its duration.
_EXTENSIONS = 3


def duration_of(value: Duration) -> timedelta:
    """Read a duration.

    Raises:
        InvalidArgument: for text of another form, and for nothing or less.
    """
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+)\s*([smhd])", value.strip())
        value = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
    if value <= timedelta(0):
        hint = 'a duration above 0, such as "15m"'
        raise InvalidArgument(f"expires_in: {hint}", details={"argument": "expires_in"}, hint=hint)
    return value


class HoldBase:
    """One hold of one piece of work. Not for use by itself: see `Credits.hold` and `AsyncCredits.hold`.

    Attributes:
        state: the hold as the ledger last told it, or None before it is taken.
        receipt: what it was charged, or None.
    """

    def __init__(
        self,
        spend: Spend,
        expires_in: Duration,
        estimate: Number | None,
        approvals: ApprovalRequests,
    ) -> None:
        self.state: HoldState | None = None
        self.receipt: Receipt | None = None
        self._spend = spend
        self._expires_in = duration_of(expires_in)
        self._estimate = None if estimate is None else _calls.require_number("estimate", estimate)
        self._approvals = approvals
        self._call: Call[HoldState] = _calls.hold(spend.consumption, spend.organization_id, self._expires_in)
        self._claimed = Decimal(0)
        self._capture_keys: dict[str, str] = {}
        self._resolved = False

    @property
    def id(self) -> UUID:
        """The hold's id. Raises ConfigurationError before it is taken."""
        if self.state is None:
            raise ConfigurationError("This hold has not been taken: use it in a `with` statement.")
        return self.state.hold_id

    @property
    def amount(self) -> Decimal:
        """Credits that it reserves."""
        return Decimal(0) if self.state is None else self.state.amount

    @property
    def metered(self) -> Decimal:
        """What has been reported so far."""
        return Decimal(0) if self.state is None else self.state.metered

    @property
    def is_open(self) -> bool:
        """Whether it was taken and has not ended, as far as this process knows."""
        return self.state is not None and not self._resolved

    @property
    def _pause(self) -> float:
        """Seconds between the extensions of a hold that is kept alive."""
        return self._expires_in.total_seconds() / _EXTENSIONS

    def _open_steps(self) -> Steps[HoldState]:
        wanted, run = self._spend.consumption, self._spend.run
        try:
            if run is not None and wanted.amount is not None:
                self._claimed = Decimal(wanted.amount)
                run.reserve(self._claimed)
            else:
                self._claimed = yield from _spend.claim(run, [wanted], self._spend.organization_id)
            try:
                self.state = yield self._call
            except TallybaseError as error:
                _spend.give_back(run, self._claimed, error)
                raise
        except TallybaseError as error:
            error.idempotency_key = error.idempotency_key or self._call.idempotency_key
            _telemetry.record_refusal(wanted.agent_type, wanted.action, wanted.run_id, error)
            asked = {name: value for name, value in self._call.arguments.items() if name != "expires_in"}
            yield from self._approvals.after(error, asked)
            raise
        return self.state

    def _extend_steps(
        self, additional: Number, metered: Number | None, expires_in: Duration | None
    ) -> Steps[HoldState]:
        ends = None if expires_in is None else duration_of(expires_in)
        more, run = Decimal(_calls.require_number("additional", additional)), self._spend.run
        if run is not None:
            run.reserve(more)
        try:
            self.state = yield _calls.extend_hold(
                self.id, additional=additional, metered=metered, expires_in=ends
            )
        except TallybaseError as error:
            _spend.give_back(run, more, error)
            raise
        self._claimed += more
        return self.state

    def _capture_steps(
        self, amount: Number | None, quantities: Mapping[str, Number] | None, key: str | None = None
    ) -> Steps[Receipt]:
        """Charge. The same call again, after an answer was lost, has the key that it had before."""
        asked = repr((amount, None if quantities is None else sorted(quantities.items())))
        key = self._capture_keys.setdefault(asked, key or new_key())
        call = _calls.capture_hold(self.id, amount=amount, quantities=quantities, key=key)
        try:
            try:
                receipt: Receipt = yield call
            except HoldExpired as expired:
                receipt = yield from self._late_steps(amount, quantities, expired)
        except HoldResolved:
            self._end([])
            raise
        self.receipt = receipt
        self._end([receipt])
        wanted = self._spend.consumption
        _telemetry.record_receipt(wanted.agent_type, wanted.action, wanted.run_id, receipt)
        return receipt

    def _late_steps(
        self, amount: Number | None, quantities: Mapping[str, Number] | None, expired: HoldExpired
    ) -> Steps[Receipt]:
        """Settle an expired hold by a new spend under the key `late:<hold>`: once, without what was metered.

        Raises:
            HoldExpired: when it cannot be said how much is still owed.
        """
        rest = None if amount is None else amount - self.metered
        if (
            (rest is None and not quantities)
            or (rest is not None and rest <= 0)
            or (quantities and self.metered)
        ):
            raise expired
        wanted = replace(
            self._spend.consumption, amount=rest, quantities=quantities, idempotency_key=f"late:{self.id}"
        )
        receipt: Receipt = yield _calls.consume(wanted, self._spend.organization_id)
        return receipt

    def _release_steps(self) -> Steps[None]:
        try:
            self.state = yield _calls.release_hold(self.id)
        except HoldReleased:
            pass  # the answer to an earlier attempt was lost
        except HoldResolved:
            self._end([])
            raise
        self._end([])

    def _leave_steps(self, *, failed: bool) -> Steps[None]:
        """End a hold that the work left open: charge what was metered, else the estimate, else nothing.

        The key of such a charge says what it rests on: `metered:<hold>` or `estimate:<hold>`. Work that
        failed is charged only what it reported.
        """
        try:
            if self.metered > 0:
                yield from self._capture_steps(self.metered, None, f"metered:{self.id}")
            elif self._estimate is not None and not failed:
                yield from self._capture_steps(self._estimate, None, f"estimate:{self.id}")
            else:
                yield from self._release_steps()
        except HoldResolved:
            return  # it was ended elsewhere, or its time ran out and the ledger did the same

    def _end(self, receipts: list[Receipt]) -> None:
        if not self._resolved and self._spend.run is not None:
            self._spend.run.count(receipts, self._claimed)
        self._resolved = True
