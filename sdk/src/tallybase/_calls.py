"""The calls of the billing API: which function, which arguments, and what its answer is read into."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from tallybase import _json, errors
from tallybase._answers import error_of
from tallybase._keys import new_key
from tallybase._wire import Endpoint, Reply, Request
from tallybase.models import Approval, Balance, Consumption, HoldState, Outcome, Quote, Receipt

T = TypeVar("T")

#: What an amount or a quantity may be. Floats are refused: 0.1 + 0.2 is not 0.3 in them.
Number = Decimal | int

#: The most events that the API takes in one batch.
MAX_BATCH = 1000

CONSUME = "consume_credits"
CONSUME_BATCH = "consume_credits_batch"
CHECK = "check_credits"
BALANCE = "get_credit_balance"
REQUEST_APPROVAL = "request_approval"
HOLD = "hold_credits"
EXTEND_HOLD = "extend_hold"
CAPTURE_HOLD = "capture_hold"
RELEASE_HOLD = "release_hold"

#: Seconds that asking for an approval may hold up the refusal that it follows.
APPROVAL_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call, ready to be sent any number of times.

    Attributes:
        function: name of the function in the schema `billing`.
        arguments: its arguments, by name; those that are None are left out.
        parse: reads the decoded answer.
        replayable: whether sending it twice does no more than sending it once.
        idempotency_key: the key of the spend, for error messages and retries by hand.
        patience: seconds that it may take at most, attempts and waits together; None: the client's deadline.
    """

    function: str
    arguments: Mapping[str, object]
    parse: Callable[[object], T]
    replayable: bool = True
    idempotency_key: str | None = None
    patience: float | None = None

    def request(self, endpoint: Endpoint) -> Request:
        """Build the HTTP request."""
        try:
            return endpoint.rpc(self.function, self.arguments)
        except (TypeError, ValueError, OverflowError) as error:
            raise errors.InvalidArgument(
                f"An argument of {self.function} cannot be written as JSON: {error}"
            ) from None


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """A read of rows, as `Call` is a call of a function: table and query in PostgREST's syntax."""

    table_and_query: str
    parse: Callable[[object], T]
    replayable: bool = True
    idempotency_key: str | None = None
    patience: float | None = None

    @property
    def function(self) -> str:
        """What is read, for error messages."""
        return self.table_and_query.partition("?")[0]

    def request(self, endpoint: Endpoint) -> Request:
        """Build the HTTP request."""
        return endpoint.select(self.table_and_query)


def require_number(argument: str, value: object) -> Number:
    """Return an amount as it is.

    Raises:
        InvalidAmount: for a float, a boolean, text, NaN or an infinity.
    """
    if isinstance(value, bool) or not isinstance(value, (Decimal, int)):
        hint = f"use Decimal or int, not {type(value).__name__}"
        raise errors.InvalidAmount(f"{argument}: {hint}", details={"argument": argument}, hint=hint)
    if isinstance(value, Decimal) and not value.is_finite():
        hint = "an amount must be a finite number"
        raise errors.InvalidAmount(f"{argument}: {hint}", details={"argument": argument}, hint=hint)
    return value


def _event(spend: Consumption) -> dict[str, object]:
    """The arguments of one spend, without those that are not given. Its key must exist already."""
    event: dict[str, object] = {"agent_type": spend.agent_type, "action": spend.action}
    if spend.quantities:
        event["quantities"] = {
            metric: require_number(f"quantities.{metric}", value)
            for metric, value in spend.quantities.items()
        }
    if spend.amount is not None:
        event["amount"] = require_number("amount", spend.amount)
    if spend.department_id is not None:
        event["department_id"] = str(spend.department_id)
    if spend.run_id is not None:
        event["run_id"] = spend.run_id
    if spend.idempotency_key is not None:
        event["idempotency_key"] = spend.idempotency_key
    if spend.metadata:
        event["metadata"] = dict(spend.metadata)
    return event


def in_organization(arguments: Mapping[str, object], organization_id: UUID | str | None) -> dict[str, object]:
    """The arguments, and who pays if that is named."""
    named = {} if organization_id is None else {"organization_id": str(organization_id)}
    return {**arguments, **named}


def _key(spend: Consumption) -> str:
    """The key of a spend; a new one where none is given. An empty one is given: the server refuses it."""
    return spend.idempotency_key if spend.idempotency_key is not None else new_key()


def consume(spend: Consumption, organization_id: UUID | str | None) -> Call[Receipt]:
    """Charge one action. A spend without a key gets one here, before the first attempt."""
    key = _key(spend)
    arguments = in_organization({**_event(spend), "idempotency_key": key}, organization_id)
    return Call(CONSUME, arguments, _model(Receipt), idempotency_key=key)


def stored(key: str, arguments: Mapping[str, object]) -> Call[Receipt]:
    """Charge an action whose arguments were kept, such as in an outbox."""
    return Call(CONSUME, arguments, _model(Receipt), idempotency_key=key)


def request_approval(
    arguments: Mapping[str, object], patience: float | None = APPROVAL_PATIENCE
) -> Call[Approval]:
    """Ask for the approval of a spend that was refused, with the arguments that it had."""
    return Call(REQUEST_APPROVAL, arguments, _model(Approval), patience=patience)


def check(spend: Consumption, organization_id: UUID | str | None) -> Call[Quote]:
    """Ask what a spend would cost and whether it would be allowed."""
    arguments = in_organization(_event(spend), organization_id)
    arguments.pop("idempotency_key", None)
    arguments.pop("metadata", None)
    return Call(CHECK, arguments, _model(Quote))


def hold(spend: Consumption, organization_id: UUID | str | None, expires_in: timedelta) -> Call[HoldState]:
    """Reserve credits for an action of unknown cost: the amount, or the price of the quantities."""
    key = _key(spend)
    arguments = {**_event(spend), "idempotency_key": key, "expires_in": _interval(expires_in)}
    return Call(HOLD, in_organization(arguments, organization_id), _model(HoldState), idempotency_key=key)


def extend_hold(
    hold_id: UUID,
    *,
    additional: Number = 0,
    metered: Number | None = None,
    expires_in: timedelta | None = None,
) -> Call[HoldState]:
    """Reserve more, report what was used so far, move the end. To reserve more twice reserves twice."""
    arguments: dict[str, object] = {"hold_id": str(hold_id)}
    if additional:
        arguments["additional"] = require_number("additional", additional)
    if metered is not None:
        arguments["metered"] = require_number("metered", metered)
    if expires_in is not None:
        arguments["expires_in"] = _interval(expires_in)
    return Call(EXTEND_HOLD, arguments, _model(HoldState), replayable=not additional)


def capture_hold(
    hold_id: UUID, *, amount: Number | None, quantities: Mapping[str, Number] | None, key: str
) -> Call[Receipt]:
    """Charge what a hold came to; what is left of it is released."""
    arguments: dict[str, object] = {"hold_id": str(hold_id), "idempotency_key": key}
    if amount is not None:
        arguments["amount"] = require_number("amount", amount)
    if quantities is not None:
        arguments["quantities"] = {
            metric: require_number(f"quantities.{metric}", value) for metric, value in quantities.items()
        }
    return Call(CAPTURE_HOLD, arguments, _model(Receipt), idempotency_key=key)


def release_hold(hold_id: UUID) -> Call[HoldState]:
    """Give a hold's credits back."""
    return Call(RELEASE_HOLD, {"hold_id": str(hold_id)}, _model(HoldState))


def _interval(duration: timedelta) -> str:
    return f"{duration.total_seconds():f} seconds"


def balance(organization_id: UUID | str | None) -> Call[Balance]:
    """Read what the organization has."""
    return Call(BALANCE, in_organization({}, organization_id), _model(Balance))


def consume_batch(
    spends: Sequence[Consumption], organization_id: UUID | str | None, *, atomic: bool
) -> Call[list[Outcome]]:
    """Charge up to 1,000 actions under one lock; every spend gets a key here if it has none.

    Raises:
        InvalidArgument: for none or more than 1,000 spends.
    """
    if not 1 <= len(spends) <= MAX_BATCH:
        raise errors.InvalidArgument(f"events: a batch holds 1 to {MAX_BATCH} spends, not {len(spends)}.")
    events = [{**_event(spend), "idempotency_key": _key(spend)} for spend in spends]
    keys = [str(event["idempotency_key"]) for event in events]

    def parse(payload: object) -> list[Outcome]:
        return [
            _outcome(index, keys[index], reply)
            for index, reply in enumerate(batch_replies(payload, len(keys)))
        ]

    return Call(CONSUME_BATCH, batch_arguments(events, organization_id, atomic=atomic), parse)


def batch_arguments(
    events: Sequence[Mapping[str, object]], organization_id: object, *, atomic: bool
) -> dict[str, object]:
    """The arguments of the batch function for events that are already checked."""
    arguments: dict[str, object] = {"events": list(events), "atomic": atomic}
    if organization_id is not None:
        arguments["organization_id"] = str(organization_id)
    return arguments


class _BatchError(BaseModel):
    model_config = ConfigDict(extra="allow")
    status: int


class _BatchRow(BaseModel):
    index: int
    ok: bool
    receipt: object = None
    error: _BatchError | None = None


_BATCH_ROWS = TypeAdapter(list[_BatchRow])


def batch_replies(payload: object, count: int) -> list[Reply]:
    """Turn a batch's answer into the answers that each event would have had alone, in order.

    Raises:
        ValueError: when an event has no answer or has two (pydantic.ValidationError is one too).
    """
    rows = sorted(_BATCH_ROWS.validate_python(payload), key=lambda row: row.index)
    if [row.index for row in rows] != list(range(count)):
        raise ValueError(f"a batch of {count} was answered with the places {[row.index for row in rows]}")
    return [
        Reply(200, row.receipt) if row.error is None else Reply(row.error.status, row.error.model_dump())
        for row in rows
    ]


def _outcome(index: int, key: str, reply: Reply) -> Outcome:
    if reply.ok:
        return Outcome(index, key, receipt=Receipt.model_validate(reply.payload))
    error = error_of(reply)
    error.idempotency_key = key
    return Outcome(index, key, error=error)


M = TypeVar("M", bound=BaseModel)


def _model(model: type[M]) -> Callable[[object], M]:
    return model.model_validate


def rows_of(model: type[M]) -> Callable[[object], list[M]]:
    """A parser for rows, each read into the model."""
    return TypeAdapter(list[model]).validate_python  # type: ignore[valid-type]


def read_success(call: Call[T] | Query[T], reply: Reply) -> T:
    """Read a successful answer.

    Raises:
        UnexpectedAnswer: when it does not have the expected shape.
    """
    try:
        return call.parse(reply.payload)
    except (ValidationError, ValueError) as error:
        said = _json.encode(str(error)[:300]).decode()
        message = f"The answer to {call.function} is not understood; nothing is assumed to be paid. {said}"
        raise errors.UnexpectedAnswer(message, status=reply.status) from error
