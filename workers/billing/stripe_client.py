"""The one place that knows which Stripe this is; below it, twin, test mode and live mode are one code."""

from __future__ import annotations

from functools import lru_cache

import httpx
import stripe

from billing.errors import StripeUnavailableError
from billing.logs import get_logger
from billing.settings import Settings, get_settings

#: The library's default is no retry at all; with two it makes up to three attempts under one idempotency key.
MAX_NETWORK_RETRIES = 2
#: The library's default of 80 s would outlive the caller's patience and the platform's request limit.
TIMEOUT = httpx.Timeout(10, connect=5)
#: Any test key opens the twin.
TWIN_KEY = "sk_test_twin"

_log = get_logger("stripe")


def make_client(settings: Settings) -> stripe.StripeClient:
    """Return a client for the Stripe that the settings name.

    Args:
        settings: a secret key means Stripe itself; none means the twin, at its address or in process.
    """
    if settings.stripe_secret_key is not None:
        return stripe.StripeClient(
            settings.stripe_secret_key.get_secret_value(),
            max_network_retries=MAX_NETWORK_RETRIES,
            http_client=stripe.HTTPXClient(timeout=TIMEOUT, allow_sync_methods=True),
        )
    if settings.stripe_twin_in_process:
        return stripe.StripeClient(
            TWIN_KEY, max_network_retries=MAX_NETWORK_RETRIES, http_client=_twin_in_process()
        )
    if settings.stripe_twin_url is None:
        raise ValueError("no Stripe is configured")
    return stripe.StripeClient(
        TWIN_KEY,
        max_network_retries=MAX_NETWORK_RETRIES,
        base_addresses={"api": settings.stripe_twin_url},
        http_client=stripe.HTTPXClient(timeout=TIMEOUT, allow_sync_methods=True),
    )


def _twin_in_process() -> stripe.HTTPClient:
    """The twin as a library: imported only here, so that the cloud does not need it."""
    from stripe_twin.app import create_app
    from stripe_twin.client import TwinHTTPClient
    from stripe_twin.settings import TwinSettings

    return TwinHTTPClient(create_app(TwinSettings.from_environment()))


@lru_cache(maxsize=4)
def _cached(settings: Settings) -> stripe.StripeClient:
    return make_client(settings)


def get_client() -> stripe.StripeClient:
    """Return this process's client."""
    return _cached(get_settings())


def is_in_use(error: stripe.StripeError) -> bool:
    """Whether another call under the same idempotency key is still running: no outcome yet, none lost."""
    return error.http_status == 409


def is_missing(error: stripe.StripeError, parameter: str) -> bool:
    """Whether Stripe says that the object named by `parameter` does not exist."""
    return (
        isinstance(error, stripe.InvalidRequestError)
        and error.code == "resource_missing"
        and error.param == parameter
    )


def explain(error: stripe.StripeError) -> StripeUnavailableError:
    """Turn an error of the library into our answer, and leave a line in the log.

    A definite error means that Stripe refused and did nothing. Everything else (no answer, 409, 429, 5xx, a
    used-up idempotency key) may have been carried out: look before acting under another key.

    Args:
        error: what the library raised.
    """
    is_definite = isinstance(
        error,
        (stripe.InvalidRequestError, stripe.AuthenticationError, stripe.PermissionError, stripe.CardError),
    )
    _log.error(
        "stripe_call_failed",
        error=type(error).__name__,
        http_status=error.http_status,
        code=error.code,
        stripe_request_id=error.request_id,
        is_definite=is_definite,
    )
    if is_definite:
        return StripeUnavailableError(
            "The payment provider refused the request. Nothing was charged; please contact support.",
            is_definite=True,
            code=error.code,
        )
    return StripeUnavailableError(
        "The payment provider cannot be reached just now. Nothing was charged; please try again in a moment."
    )
