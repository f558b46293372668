"""The keyword arguments of spends and checks, in one place for all clients (PEP 692)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypedDict
from uuid import UUID

from tallybase._calls import Number

#: A key, or what makes one from agent type and action, such as `run.step_key`.
KeySource = str | Callable[[str, str], str] | None


class CheckOptions(TypedDict, total=False):
    """What may be said about a spend beyond agent type and action.

    Attributes:
        quantities: what is counted besides the call, by metric (`{"input_tokens": 1234}`).
        amount: credits, only for an action whose price is set by the caller.
        organization_id: who pays, if not the client's organization.
        department_id: which part of the organization pays; default: that of the current run.
        run_id: the run it belongs to; default: the current run.
    """

    quantities: Mapping[str, Number] | None
    amount: Number | None
    organization_id: UUID | str | None
    department_id: UUID | str | None
    run_id: str | UUID | None


class SpendOptions(CheckOptions, total=False):
    """What may be said about a spend that is to be booked.

    Attributes:
        idempotency_key: names this spend for ever: repeated with the same key it is charged once. A function
            is called with agent type and action (`run.step_key`). Default: a new key, used by all attempts of
            the call.
        metadata: kept with the transaction, at most 8 kB as JSON.
    """

    idempotency_key: KeySource
    metadata: Mapping[str, object] | None
