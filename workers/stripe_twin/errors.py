"""Errors in the shape that Stripe's API gives them."""

from __future__ import annotations

from typing import Any

_DOCS = "https://docs.stripe.com/error-codes/"
_SPOKEN = {"payment_method": "PaymentMethod", "webhook_endpoint": "webhook endpoint"}
_PATH_PARAM = {"checkout.session": "session", "payment_intent": "intent", "price": "price"}


class StripeError(Exception):
    """An answer other than 200.

    Attributes:
        status: HTTP status.
        keeps_changes: Whether what the call did so far stays: true for a declined card, whose failed charge
            is history.
    """

    keeps_changes = False

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.more = more

    def body(self) -> dict[str, Any]:
        """Return the JSON body, `{"error": {...}}`; members that do not apply are left out."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = _DOCS + self.code.replace("_", "-")
        if self.param is not None:
            error["param"] = self.param
        error.update(self.more)
        return {"error": dict(sorted(error.items()))}


class CardError(StripeError):
    """A declined card: 402, and everything the attempt wrote stays written."""

    keeps_changes = True

    def __init__(self, message: str, *, code: str, param: str | None = None, **more: Any) -> None:
        super().__init__(402, message, kind="card_error", code=code, param=param, **more)


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> StripeError:
    """Return the 400 for a request that makes no sense."""
    return StripeError(400, message, code=code, param=param)


def unknown_parameter(param: str) -> StripeError:
    """Return the 400 for a parameter that this API version does not have."""
    return invalid(f"Received unknown parameter: {param}", param=param, code="parameter_unknown")


def missing_parameter(param: str) -> StripeError:
    """Return the 400 for a parameter that must be there."""
    return invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")


def no_such(kind: str, object_id: str, *, param: str | None = None) -> StripeError:
    """Return the answer for an id that does not exist.

    Args:
        kind: The object's kind, such as `customer`.
        object_id: The id that was asked for.
        param: The parameter that named it (400); None when it stood in the path (404).
    """
    return StripeError(
        400 if param else 404,
        f"No such {_SPOKEN.get(kind, kind)}: '{object_id}'",
        code="resource_missing",
        param=param or _PATH_PARAM.get(kind, "id"),
    )


def unexpected_state(message: str, code: str, **more: Any) -> StripeError:
    """Return the 400 for an object whose state does not allow the call."""
    return StripeError(400, message, code=code, **more)
