"""What a charged function knows before it runs: which client pays, as whom, how much, under which key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from tallybase._answers import error_of
from tallybase._base import OnUnavailable
from tallybase._calls import Number
from tallybase._keys import new_key
from tallybase._wire import Reply
from tallybase.async_client import AsyncCredits
from tallybase.client import Credits
from tallybase.errors import ConfigurationError, TallybaseError
from tallybase.models import Quote
from tallybase.options import SpendOptions
from tallybase.runs import Run, current_run

Client = Credits | AsyncCredits
Quantities = Mapping[str, Number]

V = TypeVar("V")

_default: Client | None = None


def configure(credits: Client | None) -> None:
    """Set the client that charged functions use when they find no nearer one; None: none."""
    global _default
    _default = credits


@dataclass(frozen=True, slots=True)
class ChargeSpec:
    """The arguments of `consumes_credits`, which explains them."""

    agent_type: str | None
    action: str
    credits: Client | Callable[..., Client] | None = None
    quantities: Quantities | Callable[..., Quantities | None] | None = None
    amount: Number | Callable[..., Number | None] | None = None
    quantities_from_result: Callable[..., Quantities | None] | None = None
    estimate: Quantities | Callable[..., Quantities | None] | None = None
    department_id: UUID | str | None = None
    metadata: Mapping[str, object] | None = None
    step: str | Callable[..., str] | None = None
    idempotency_key: Callable[..., str] | None = None
    on_unavailable: OnUnavailable = "raise"


@dataclass(frozen=True, slots=True)
class Charge:
    """One call of a charged function, resolved. Its key is fixed before anything happens.

    Attributes:
        is_step: whether its key was derived from a run.
    """

    client: Client
    agent_type: str
    action: str
    options: SpendOptions
    estimate: Quantities | None
    on_unavailable: OnUnavailable
    is_step: bool

    def estimated(self) -> SpendOptions:
        """What to ask about before the work: the estimate instead of what it will have used."""
        return {**self.options, "quantities": self.estimate or self.options.get("quantities")}

    def settled(self, meter: Meter, *, failed: bool) -> SpendOptions | None:
        """What to charge after the work: what was metered, or the estimate, and then the row says so.

        None: the work failed before anything was metered and there is no estimate, so there is nothing to
            charge.
        """
        marks: dict[str, object] = {"outcome": "error"} if failed else {}
        quantities: Quantities | None = meter.quantities or None
        if quantities is None:
            if failed and self.estimate is None:
                return None
            quantities = self.estimate
            if quantities is not None:
                marks["settled"] = "estimate"
        options: SpendOptions = {**self.options, "quantities": quantities}
        if marks:
            options["metadata"] = {**(self.options.get("metadata") or {}), **marks}
        return options


@dataclass(slots=True)
class Meter:
    """Adds up what a call or the items of a stream have used, by metric."""

    quantities: dict[str, Number] = field(default_factory=dict)

    def add(self, used: Quantities | None) -> None:
        """Count what was used; None: this item says nothing."""
        for metric, quantity in (used or {}).items():
            self.quantities[metric] = self.quantities.get(metric, 0) + quantity


def resolve(spec: ChargeSpec, args: tuple[object, ...], keywords: Mapping[str, object]) -> Charge:
    """Resolve one call of a charged function from its arguments, its object and the current run.

    Raises:
        ConfigurationError: when no client or no agent type is found.
    """
    run = current_run()
    owner = args[0] if args else None
    agent_type = spec.agent_type or _text(owner, "agent_type") or (run.agent_type if run else None)
    if not agent_type:
        raise ConfigurationError(
            f"Name the agent type of {spec.action}: consumes_credits(agent_type, action)."
        )
    amount = spec.amount(*args, **keywords) if callable(spec.amount) else spec.amount
    options: SpendOptions = {
        "quantities": _value(spec.quantities, args, keywords),
        "amount": amount,
        "department_id": spec.department_id or _department(owner),
        "metadata": spec.metadata,
        "idempotency_key": _key(spec, agent_type, run, args, keywords),
    }
    estimate = _value(spec.estimate, args, keywords)
    client = _client(spec, owner, run, args, keywords)
    is_step = run is not None and spec.idempotency_key is None
    return Charge(client, agent_type, spec.action, options, estimate, spec.on_unavailable, is_step)


def refusal(quote: Quote, approval_id: UUID | None = None) -> TallybaseError:
    """The exception that a spend would have raised which a check says would be refused."""
    details: Mapping[str, object] = quote.limit or {}
    if approval_id is not None:
        details = {**details, "approval_id": str(approval_id)}
    if quote.reason == "insufficient_credits":
        required, available = quote.amount or Decimal(0), quote.available or Decimal(0)
        details = {
            "required": required,
            "available": available,
            "shortfall": required - available,
            "balance": available,
            "topup_url": quote.topup_url,
        }
    return error_of(Reply(402, {"message": quote.reason or "spend_refused", "details": details}))


def _key(
    spec: ChargeSpec,
    agent_type: str,
    run: Run | None,
    args: tuple[object, ...],
    keywords: Mapping[str, object],
) -> str:
    if spec.idempotency_key is not None:
        return spec.idempotency_key(*args, **keywords)
    if run is None:
        return new_key()
    return run.step_key(agent_type, spec.action, _value(spec.step, args, keywords))


def _client(
    spec: ChargeSpec, owner: object, run: Run | None, args: tuple[object, ...], keywords: Mapping[str, object]
) -> Client:
    """The nearest client: of the decorator, of the object, of the run, of `configure`."""
    given = spec.credits
    if given is not None and not isinstance(given, Credits | AsyncCredits):
        given = given(*args, **keywords)
    for candidate in (given, getattr(owner, "credits", None), run.credits if run else None, _default):
        if isinstance(candidate, Credits | AsyncCredits):
            return candidate
    raise ConfigurationError(
        f"No client for {spec.action}: give consumes_credits(credits=...), an attribute `credits`, "
        "a run, or tallybase.configure(credits)."
    )


def _value(
    source: V | Callable[..., V | None] | None, args: tuple[object, ...], keywords: Mapping[str, object]
) -> V | None:
    """A setting of the decorator: a value, or a function of the arguments of the call."""
    return source(*args, **keywords) if callable(source) else source


def _department(owner: object) -> UUID | str | None:
    value = getattr(owner, "department_id", None)
    return value if isinstance(value, UUID | str) else None


def _text(owner: object, name: str) -> str | None:
    value = getattr(owner, name, None)
    return value if isinstance(value, str) else None
