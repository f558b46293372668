"""The table of API calls: method, path, parameters, handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stripe_twin.parameters import Parameters, parameter_type
from stripe_twin.shapes import Json
from stripe_twin.unit import UnitOfWork

Handler = Callable[..., Json]


@dataclass(frozen=True)
class Operation:
    """One call of the API.

    Attributes:
        method: GET, POST or DELETE.
        path: Path with placeholders in angle brackets, such as `/v1/customers/<customer_id>`.
        parameters: Class below `stripe.params` that names the call's parameters; None when it has none.
        handler: Called with the unit of work, the checked parameters and the ids of the path.
    """

    method: str
    path: str
    parameters: str | None
    handler: Handler

    def parameter_type(self) -> type | None:
        """Return the TypedDict of the call's parameters."""
        return None if self.parameters is None else parameter_type(self.parameters)


OPERATIONS: list[Operation] = []


def operation(method: str, path: str, parameters: str | None = None) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of a call; see `Operation` for the arguments."""

    def register(handler: Handler) -> Handler:
        OPERATIONS.append(Operation(method, path, parameters, handler))
        return handler

    return register


__all__ = ["OPERATIONS", "Handler", "Json", "Operation", "Parameters", "UnitOfWork", "operation"]
