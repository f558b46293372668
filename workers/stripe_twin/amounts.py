"""Money in words, and the amounts that a currency has.

Source: https://docs.stripe.com/currencies
"""

from __future__ import annotations

from decimal import Decimal

from stripe_twin.errors import StripeError

# fmt: off
_NO_DECIMALS = frozenset({
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf",
})
# fmt: on
_THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
#: Written in hundredths as ever, although nobody can pay a fraction any more.
_WHOLE_ONLY = frozenset({"isk", "ugx"})
_SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


# fmt: off
#: What Stripe charges in. Source: https://docs.stripe.com/currencies#presentment-currencies
CURRENCIES = _NO_DECIMALS | _THREE_DECIMALS | _WHOLE_ONLY | frozenset({
    "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt", "bgn",
    "bmd", "bnd", "bob", "brl", "bsd", "btn", "bwp", "byn", "bzd", "cad", "cdf", "chf", "cny", "cop",
    "crc", "cve", "czk", "dkk", "dop", "dzd", "egp", "etb", "eur", "fjd", "fkp", "gbp", "gel", "ghs",
    "gip", "gmd", "gtq", "gyd", "hkd", "hnl", "htg", "huf", "idr", "ils", "inr", "jmd", "kes", "kgs",
    "khr", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl", "mkd", "mmk", "mnt", "mop",
    "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio", "nok", "npr", "nzd", "pab", "pen",
    "pgk", "php", "pkr", "pln", "qar", "ron", "rsd", "rub", "sar", "sbd", "scr", "sek", "sgd", "shp",
    "sle", "sos", "srd", "std", "szl", "thb", "tjs", "top", "try", "ttd", "twd", "tzs", "uah", "usd",
    "uyu", "uzs", "wst", "xcd", "xcg", "yer", "zar", "zmw",
})
# fmt: on


def decimals(currency: str) -> int:
    """Return how many decimals of the main unit the smallest unit has: 2 for usd, 0 for jpy, 3 for kwd."""
    if currency in _NO_DECIMALS:
        return 0
    return 3 if currency in _THREE_DECIMALS else 2


def step(currency: str) -> int:
    """Return of what an amount must be a multiple: 10 of three-decimal currencies, 100 of isk and ugx."""
    if currency in _THREE_DECIMALS:
        return 10
    return 100 if currency in _WHOLE_ONLY else 1


def check_step(amount: int, currency: str, param: str = "amount") -> None:
    """Refuse fractions that nobody can pay: of ISK and UGX, and the third decimal of KWD and its like.

    Args:
        amount: In the currency's smallest unit.
        currency: Lower-case code.
        param: The parameter to name in the error.

    Raises:
        StripeError: 400.
    """
    if amount % step(currency):
        raise StripeError(
            400,
            f"Invalid amount. Amounts in {currency.upper()} must be evenly divisible by {step(currency)}. "
            "See https://docs.stripe.com/currencies#special-cases for more information.",
            code="invalid_charge_amount_no_decimal_compatible" if step(currency) == 100 else None,
            param=param,
        )


def plain(amount: Decimal, currency: str) -> str:
    """Return an amount in the smallest unit as a number of the main unit: `plain(1900, "usd")` is `19.00`."""
    digits = decimals(currency)
    return f"{amount.scaleb(-digits):,.{digits}f}"


def money(amount: int, currency: str) -> str:
    """Return an amount as customers read it: `money(1900, "usd")` is `$19.00`.

    Args:
        amount: In the currency's smallest unit.
        currency: Lower-case code.
    """
    sign = "-" if amount < 0 else ""
    text = plain(Decimal(abs(amount)), currency)
    symbol = _SYMBOLS.get(currency)
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{text} {currency.upper()}"
