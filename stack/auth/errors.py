"""Errors of the auth API and the two JSON shapes in which clients expect them."""

from __future__ import annotations

from datetime import date

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

API_VERSION_HEADER = "X-Supabase-Api-Version"
CODED_ERRORS_SINCE = date(2024, 1, 1)
"""First API version whose error body is `{code, message}`; older clients get `{code, error_code, msg}`."""

UNEXPECTED_FAILURE = "Unexpected failure, please check server logs for more information"


class ApiError(Exception):
    """A refusal that the caller is told about.

    Args:
        status: HTTP status.
        code: machine-readable error code, as listed at https://supabase.com/docs/guides/auth/debugging/error-codes.
        message: one sentence for a person.
        weak_password_reasons: set only for `weak_password`; which rules the password breaks.
    """

    def __init__(
        self, status: int, code: str, message: str, *, weak_password_reasons: list[str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.weak_password_reasons = weak_password_reasons


class SessionRevokedError(ApiError):
    """A refusal whose database changes must be kept: a refresh token was reused and its session is ended."""


def wants_coded_errors(request: Request) -> bool:
    """Tell whether the client asked for the error shape of API version 2024-01-01 or newer."""
    try:
        return date.fromisoformat(request.headers.get(API_VERSION_HEADER, "")) >= CODED_ERRORS_SINCE
    except ValueError:
        return False


def error_response(request: Request, error: ApiError) -> Response:
    """Write a refusal in the shape the client understands.

    Args:
        request: the refused request; its API version header chooses the shape.
        error: the refusal.

    Returns:
        The JSON response. In the new shape `code` is the error code, in the old one it is the HTTP status.
    """
    headers: dict[str, str] = {}
    body: dict[str, object]
    if wants_coded_errors(request):
        body = {"code": error.code, "message": error.message}
        headers[API_VERSION_HEADER] = CODED_ERRORS_SINCE.isoformat()
    else:
        body = {"code": error.status, "error_code": error.code, "msg": error.message}
    if error.weak_password_reasons is not None:
        body["weak_password"] = {"reasons": error.weak_password_reasons}
    return JSONResponse(body, status_code=error.status, headers=headers)


def bad_request(code: str, message: str) -> ApiError:
    """A request that can never succeed as it is (400)."""
    return ApiError(400, code, message)


def invalid_credentials() -> ApiError:
    """The one answer to an unknown user, a wrong password and a user without a password (400)."""
    return bad_request("invalid_credentials", "Invalid login credentials")


def forbidden(code: str, message: str) -> ApiError:
    """A caller who may not do this (403)."""
    return ApiError(403, code, message)


def not_found(code: str, message: str) -> ApiError:
    """The named thing does not exist (404)."""
    return ApiError(404, code, message)


def unprocessable(code: str, message: str) -> ApiError:
    """A well-formed request that a rule refuses (422)."""
    return ApiError(422, code, message)


def otp_expired() -> ApiError:
    """The one answer to an unknown, used or expired one-time token (403)."""
    return forbidden("otp_expired", "Token has expired or is invalid")


def email_link_expired() -> ApiError:
    """The same for a followed link, whose redirect carries the message (403)."""
    return forbidden("otp_expired", "Email link is invalid or has expired")
