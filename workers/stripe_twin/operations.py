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
        parameters: Class below `stripe.params` that names the call's parameters, or a TypedDict of the twin's
            own; None when it has none.
        handler: Called with the unit of work, the checked parameters and the ids of the path.
        for_browsers: Whether a publishable key may call it, too; see `stripe_twin.browsers`.
    """

    method: str
    path: str
    parameters: str | type | None
    handler: Handler
    for_browsers: bool = False

    def parameter_type(self) -> type | None:
        """Return the TypedDict of the call's parameters."""
        return parameter_type(self.parameters) if isinstance(self.parameters, str) else self.parameters


#: Calls of the API, as Stripe's reference and the library have them.
OPERATIONS: list[Operation] = []
#: Calls that only Stripe's own programs make: Stripe.js and the command line. No reference lists them.
UNDOCUMENTED: list[Operation] = []


def operation(
    method: str, path: str, parameters: str | None = None, *, for_browsers: bool = False
) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of a call; see `Operation` for the arguments."""

    def register(handler: Handler) -> Handler:
        OPERATIONS.append(Operation(method, path, parameters, handler, for_browsers))
        return handler

    return register


def undocumented(method: str, path: str, parameters: type) -> Callable[[Handler], Handler]:
    """Register the decorated function as the handler of a call that only Stripe's own programs make."""

    def register(handler: Handler) -> Handler:
        UNDOCUMENTED.append(Operation(method, path, parameters, handler, for_browsers=True))
        return handler

    return register


__all__ = [
    "OPERATIONS",
    "UNDOCUMENTED",
    "Handler",
    "Json",
    "Operation",
    "Parameters",
    "UnitOfWork",
    "operation",
    "undocumented",
]
