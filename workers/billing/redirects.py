"""Where people may be sent after Stripe's pages: our own front end, and nowhere else."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from billing.errors import InvalidArgumentError
from billing.settings import get_settings, origin_of

#: Stripe puts the session's id in its place.
SESSION_PLACEHOLDER = "{CHECKOUT_SESSION_ID}"
MAX_URL_LENGTH = 2000

#: Printable ASCII without the characters on which URL parsers and browsers disagree.
_PLAIN = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z_a-z~{}\[\]]+")


def own_url(argument: str, url: str | None, default_path: str) -> str:
    """Return an address on the front end's origin.

    Args:
        argument: name for the refusal.
        url: what the caller asked for, or None.
        default_path: path and query on the front end when the caller asked for nothing.

    Raises:
        InvalidArgumentError: the address leads to another origin, or is not a plain http(s) address.
    """
    frontend_url = get_settings().frontend_url
    if url is None:
        return frontend_url + default_path
    if len(url) <= MAX_URL_LENGTH and _PLAIN.fullmatch(url):
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if (
            parts.scheme in ("http", "https")
            and "@" not in parts.netloc
            and origin_of(url).lower() == origin_of(frontend_url).lower()
        ):
            return url
    raise InvalidArgumentError(argument, f"{argument} must be an address on {origin_of(frontend_url)}.")


def with_session(url: str) -> str:
    """Return `url` with Stripe's placeholder for the session in its query, unless it is there already."""
    if SESSION_PLACEHOLDER in url:
        return url
    base, mark, fragment = url.partition("#")
    separator = "&" if "?" in base else "?"
    return f"{base}{separator}session_id={SESSION_PLACEHOLDER}{mark}{fragment}"
