"""What the pages share: templates, money in words, addresses to return to."""

from __future__ import annotations

import hmac
from decimal import Decimal
from typing import Any

from flask import Response, redirect, render_template

from stripe_twin.shapes import Json

_NO_MINOR_UNIT = frozenset(
    {
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "ugx",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    }
)
_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


def money(amount: int, currency: str) -> str:
    """Return an amount as customers read it: `money(1900, "usd")` is `$19.00`.

    Args:
        amount: In the currency's smallest unit.
        currency: Lower-case code. Source for those without a minor unit: https://docs.stripe.com/currencies#zero-decimal
    """
    whole = currency in _NO_MINOR_UNIT
    value = Decimal(amount) if whole else Decimal(amount) / 100
    text = f"{value:,.{0 if whole else 2}f}"
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{text}" if symbol else f"{text} {currency.upper()}"


def page(template: str, status: int = 200, **values: Any) -> Response:
    """Return a rendered page; every value is escaped by the template engine."""
    return Response(render_template(template, money=money, **values), status, mimetype="text/html")


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
