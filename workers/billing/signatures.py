"""Is this really from Stripe? The webhook's only lock: it is reachable without any other credential."""

from __future__ import annotations

import stripe

from billing.errors import WorkerError

#: Stripe's own default; older deliveries are refused as replays. Clocks may differ as much the other way.
TOLERANCE_SECONDS = 300


class InvalidSignatureError(WorkerError):
    """The body was not signed by Stripe for us, or not lately."""

    status = 400
    slug = "invalid_signature"


def verify(body: bytes, header: str | None, secrets: tuple[str, ...], now: float) -> None:
    """Check the `Stripe-Signature` header against the raw body.

    The library checks the signature and the age; it accepts timestamps in the future, which we do not.

    Args:
        body: the bytes as they came; anything re-serialised has another signature.
        header: the header's value.
        secrets: every signing secret in force (rotation); one match is enough.
        now: Unix time in seconds.

    Raises:
        InvalidSignatureError: none matches, or the timestamp is more than 300 s off. The answer does not
            say which.
    """
    header = header or ""
    if not header.isascii():  # the library compares ASCII only
        raise InvalidSignatureError("The signature is not valid.")
    try:
        if _timestamp(header) > now + TOLERANCE_SECONDS:
            raise InvalidSignatureError("The signature is not valid.")
    except ValueError:
        raise InvalidSignatureError("The signature is not valid.") from None
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body, header, secret, TOLERANCE_SECONDS)
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            continue
        return
    raise InvalidSignatureError("The signature is not valid.")


def _timestamp(header: str) -> int:
    """The first `t` of the header, as the library reads it."""
    for item in header.split(","):
        name, _, value = item.partition("=")
        if name == "t":
            return int(value)
    raise ValueError("no timestamp")
