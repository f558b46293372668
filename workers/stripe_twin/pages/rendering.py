"""What the pages share: templates, addresses to return to."""

from __future__ import annotations

import hmac
from typing import Any

from flask import Response, redirect, render_template

from stripe_twin.amounts import money
from stripe_twin.shapes import Json

_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; "
#: Content security policy of a page of the twin's: it loads nothing that is not the twin's own.
POLICY = _POLICY + "frame-ancestors 'none'"
#: The same for what Stripe.js shows within a merchant's page.
FRAMED_POLICY = _POLICY + "connect-src 'self'; frame-ancestors http: https:"


def page(template: str, status: int = 200, *, framed: bool = False, **values: Any) -> Response:
    """Return a rendered page; every value is escaped by the template engine.

    Args:
        template: Its file.
        status: HTTP status.
        framed: Whether a merchant's page may show it in a frame.
        values: What the template names.
    """
    text = render_template(template, money=money, framed=framed, **values)
    headers = {"Content-Security-Policy": FRAMED_POLICY if framed else POLICY}
    return Response(text, status, headers, mimetype="text/html")


def see_other(url: str) -> Response:
    """Return a redirect after a form, to be fetched with GET."""
    answer = redirect(url, 303)
    assert isinstance(answer, Response)
    return answer


def success_address(session: Json) -> str:
    """Return where a paid session sends its customer, its id filled in."""
    return str(session["success_url"] or session["return_url"]).replace(
        "{CHECKOUT_SESSION_ID}", session["id"]
    )


def same(given: str, expected: str) -> bool:
    """Compare two secrets without telling by the time taken where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())
