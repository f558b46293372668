"""The workers' refusals: an HTTP status and a slug each, in the same shape as the database's own."""

from __future__ import annotations

from collections.abc import Mapping


class WorkerError(Exception):
    """A call that cannot be answered as asked.

    Attributes:
        status: HTTP status.
        slug: what programs branch on; goes out as `message`.
        details: machine-readable facts about this refusal.
        hint: one sentence for a person.
        headers: HTTP headers that belong to this refusal (`Allow`, `Retry-After`).
    """

    status = 500
    slug = "internal_error"

    def __init__(
        self,
        hint: str = "",
        *,
        details: Mapping[str, object] | None = None,
        status: int | None = None,
        slug: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = self.status if status is None else status
        self.slug = self.slug if slug is None else slug
        self.details: dict[str, object] = dict(details or {})
        self.hint = hint
        self.headers: dict[str, str] = dict(headers or {})
        super().__init__(f"{self.status} {self.slug}")

    def body(self) -> dict[str, object]:
        """Return the JSON body: code, message, details, hint, as the database's refusals have it."""
        return {"code": f"PT{self.status}", "message": self.slug, "details": self.details, "hint": self.hint}


class NotAuthenticatedError(WorkerError):
    """No usable credential came with the call."""

    status = 401
    slug = "not_authenticated"


class NotAuthorizedError(WorkerError):
    """Whoever calls may not do this; the same answer for what is foreign and what does not exist."""

    status = 403
    slug = "not_authorized"


class NotFoundError(WorkerError):
    """There is nothing at this path."""

    status = 404
    slug = "not_found"


class MethodNotAllowedError(WorkerError):
    """The path exists and does not take this method."""

    status = 405
    slug = "method_not_allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"Use {' or '.join(allowed)}.", headers={"Allow": ", ".join(allowed)})


class BodyTooLargeError(WorkerError):
    """The body is larger than this call takes."""

    status = 413
    slug = "body_too_large"


class UnsupportedMediaTypeError(WorkerError):
    """The body is not said to be JSON."""

    status = 415
    slug = "unsupported_media_type"


class InvalidArgumentError(WorkerError):
    """An argument is missing, unknown or not of its kind."""

    status = 422
    slug = "invalid_argument"

    def __init__(self, argument: str, hint: str, *, slug: str | None = None) -> None:
        super().__init__(hint, details={"argument": argument}, slug=slug)


class NotConfiguredError(WorkerError):
    """The installation lacks a setting, or has two that contradict each other."""

    slug = "not_configured"


class DatabaseRefusalError(WorkerError):
    """A refusal raised by the database; passed on as it is."""


class DatabaseUnavailableError(WorkerError):
    """The database did not answer, or not in a way that says anything about the call."""

    status = 503
    slug = "database_unavailable"

    def __init__(self, hint: str = "The database cannot be reached. Nothing was changed; try again.") -> None:
        super().__init__(hint, headers={"Retry-After": "2"})


class StripeUnavailableError(WorkerError):
    """Stripe did not do what was asked.

    503: out of reach, too slow or limiting us; nothing was charged and the same call may be made again.
    502: it refused what we asked; a person has to look at the workers' log.
    """

    status = 503
    slug = "stripe_unavailable"

    def __init__(self, hint: str, *, is_definite: bool = False, code: str | None = None) -> None:
        super().__init__(
            hint,
            status=502 if is_definite else 503,
            details={} if code is None else {"stripe_code": code},
            headers={} if is_definite else {"Retry-After": "5"},
        )
        self.is_definite = is_definite
