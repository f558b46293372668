"""Money in words."""

from __future__ import annotations

from decimal import Decimal

NO_MINOR_UNIT = frozenset(
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
    whole = currency in NO_MINOR_UNIT
    value = abs(Decimal(amount) if whole else Decimal(amount) / 100)
    sign = "-" if amount < 0 else ""
    text = f"{value:,.{0 if whole else 2}f}"
    symbol = _SYMBOLS.get(currency)
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{text} {currency.upper()}"
