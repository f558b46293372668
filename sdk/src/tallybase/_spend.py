"""What happens around a spend, without input or output: its run, its key, its budget, its trace."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar, cast
from uuid import UUID

from tallybase import _calls, _json, _telemetry
from tallybase._approvals import ApprovalRequests
from tallybase._calls import Call
from tallybase.errors import ConfigurationError, CreditsUnavailable, TallybaseError, UnexpectedAnswer
from tallybase.models import Consumption, Outcome, Quote, Receipt
from tallybase.options import SpendOptions
from tallybase.runs import Run

#: After these, the charge may have been booked.
_OUTCOME_UNKNOWN = (CreditsUnavailable, UnexpectedAnswer)

R = TypeVar("R")

#: What surrounds a call: yields the calls to make, is sent their answers or thrown their errors, returns the
#: result.
Steps = Generator[Call[Any], Any, R]


@dataclass(frozen=True, slots=True)
class Spend:
    """A spend with everything known that the caller and the current run say about it.

    Attributes:
        consumption: what is charged.
        organization_id: who pays, or None when the key says it.
        run: the run it counts to, or None.
    """

    consumption: Consumption
    organization_id: UUID | str | None
    run: Run | None


def prepare(
    agent_type: str | None,
    action: str,
    options: SpendOptions,
    *,
    organization_id: UUID | str | None,
    run: Run | None,
) -> Spend:
    """Complete a spend from the run that it is part of and its client. What the caller said wins.

    Raises:
        ConfigurationError: when nobody names the agent type.
    """
    agent_type = agent_type or (run.agent_type if run else None)
    if not agent_type:
        raise ConfigurationError("Name the agent type, here or in credits.run(agent_type=...).")
    key = options.get("idempotency_key")
    run_id = options.get("run_id")
    consumption = Consumption(
        agent_type,
        action,
        quantities=options.get("quantities"),
        amount=options.get("amount"),
        department_id=options.get("department_id"),
        run_id=None if run_id is None else str(run_id),
        idempotency_key=key(agent_type, action) if callable(key) else key,
        metadata=options.get("metadata") or {},
    )
    return Spend(_inside(run, consumption), options.get("organization_id") or organization_id, run)


def _inside(run: Run | None, consumption: Consumption) -> Consumption:
    """Attribute a spend to a run where it does not say otherwise."""
    if run is None:
        return consumption
    return replace(
        consumption,
        run_id=consumption.run_id if consumption.run_id is not None else run.id,
        department_id=consumption.department_id or run.department_id,
    )


def spend_steps(spend: Spend, call: Call[Receipt], approvals: ApprovalRequests) -> Steps[Receipt]:
    """Charge: claim the run's budget, call, count, trace; ask for the approval that a refusal names.

    In a run with a budget the price is asked for first, so that the budget is never passed. What is claimed
    is given back on a refusal, and kept when nobody knows whether the charge was booked.
    """
    wanted = spend.consumption
    try:
        claimed = yield from claim(spend.run, [wanted], spend.organization_id)
        try:
            receipt: Receipt = yield call
        except TallybaseError as error:
            give_back(spend.run, claimed, error)
            raise
        if spend.run is not None:
            spend.run.count([receipt], claimed)
    except TallybaseError as error:
        error.idempotency_key = error.idempotency_key or call.idempotency_key
        _telemetry.record_refusal(wanted.agent_type, wanted.action, wanted.run_id, error)
        yield from approvals.after(error, call.arguments)
        raise
    _telemetry.record_receipt(wanted.agent_type, wanted.action, wanted.run_id, receipt)
    return receipt


def batch_steps(
    events: Sequence[Consumption],
    organization_id: UUID | str | None,
    run: Run | None,
    approvals: ApprovalRequests,
    *,
    atomic: bool,
) -> Steps[list[Outcome]]:
    """Charge many: as `spend_steps`, for a batch."""
    spends = [_inside(run, event) for event in events]
    call = _calls.consume_batch(spends, organization_id, atomic=atomic)
    sent = cast(Sequence[Mapping[str, object]], call.arguments["events"])
    claimed = yield from claim(run, spends, organization_id)
    try:
        outcomes: list[Outcome] = yield call
    except TallybaseError as error:
        give_back(run, claimed, error)
        yield from approvals.after_batch(error, (), sent, organization_id)
        raise
    if run is not None:
        run.count([outcome.receipt for outcome in outcomes if outcome.receipt is not None], claimed)
    yield from approvals.after_batch(None, outcomes, sent, organization_id)
    return outcomes


def stored_steps(call: Call[Receipt], approvals: ApprovalRequests) -> Steps[Receipt]:
    """Charge what was kept in an outbox; ask for the approval that a refusal names."""
    try:
        receipt: Receipt = yield call
    except TallybaseError as error:
        yield from approvals.after(error, call.arguments)
        raise
    return receipt


def claim(
    run: Run | None, spends: Sequence[Consumption], organization_id: UUID | str | None
) -> Steps[Decimal]:
    """Claim from the run's budget what the spends cost; equal spends are priced once."""
    if run is None or not run.is_capped:
        return Decimal(0)
    total = Decimal(0)
    prices: dict[bytes, Decimal] = {}
    for spend in spends:
        check = _calls.check(spend, organization_id)
        fingerprint = _json.encode(check.arguments)
        if fingerprint not in prices:
            quote: Quote = yield check
            prices[fingerprint] = quote.amount if quote.amount is not None else Decimal(0)
        total += prices[fingerprint]
    run.reserve(total)
    return total


def give_back(run: Run | None, claimed: Decimal, error: TallybaseError) -> None:
    """Give a claim back after a refusal; keep it when nobody knows whether the charge was booked."""
    if run is not None and not isinstance(error, _OUTCOME_UNKNOWN):
        run.release(claimed)
