"""Who runs the installation: schedulers and operators, who hold the project's secret key."""

from __future__ import annotations

import hmac

from flask import Request

from billing.auth import bearer_token
from billing.errors import NotAuthorizedError
from billing.settings import get_settings


def is_operator(request: Request) -> bool:
    """Whether the request carries the secret key, as `apikey` or as a bearer."""
    secret = get_settings().supabase_secret_key.get_secret_value().encode()
    given = (request.headers.get("apikey"), bearer_token(request))
    return any(key is not None and hmac.compare_digest(key.encode(), secret) for key in given)


def require_operator(request: Request) -> None:
    """Let only the holder of the secret key pass.

    Raises:
        NotAuthorizedError: anybody else.
    """
    if not is_operator(request):
        raise NotAuthorizedError("This call is for the installation's own jobs.")
