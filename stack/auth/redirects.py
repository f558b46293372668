"""Where the browser may be sent after a link was followed."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from stack.auth.config import AuthConfig


def allowed_redirect(config: AuthConfig, wanted: str | None) -> str:
    """Choose the address to send a browser to.

    An address is allowed on the host of the site URL, or if it matches an entry of the list of redirect
    URLs, where `*` stands for anything without `.` or `/`, and `**` for anything.
    Rule: https://supabase.com/docs/guides/auth/redirect-urls

    Args:
        config: site URL and the list.
        wanted: what the client asked for, or None.

    Returns:
        The wanted address if it is allowed, else the site URL.
    """
    if not wanted:
        return config.site_url
    try:
        address = urlsplit(wanted)
        site = urlsplit(config.site_url)
    except ValueError:
        return config.site_url
    if address.scheme not in ("http", "https") and not _matches_any(config, wanted):
        return config.site_url
    same_site = (address.scheme, address.hostname) == (site.scheme, site.hostname)
    if (same_site and _unambiguous(wanted)) or _matches_any(config, wanted):
        return wanted
    return config.site_url


def _unambiguous(address: str) -> bool:
    """Refuse what browsers and parsers read differently: backslashes, control characters, user names."""
    return not re.search(r"[\\\x00-\x20]", address) and "@" not in urlsplit(address).netloc


def _matches_any(config: AuthConfig, wanted: str) -> bool:
    bare = wanted.split("#", 1)[0]
    return _unambiguous(wanted) and any(_pattern(entry).fullmatch(bare) for entry in config.redirect_urls)


def _pattern(entry: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*|\?)", entry)
    wildcards = {"**": ".*", "*": r"[^./]*", "?": r"[^./]"}
    return re.compile("".join(wildcards.get(part, re.escape(part)) for part in parts))
