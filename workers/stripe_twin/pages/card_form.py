"""Reads the card form of the checkout page and says, field by field, what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from stripe_twin import cards
from stripe_twin.errors import CardError
from stripe_twin.resources.payment_methods import check_expiry

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_EXPIRY = re.compile(r"(\d{1,2})\s*/\s*(\d{2}|\d{4})|(\d{2})(\d{2})")
_MOST_CHARACTERS = 250


@dataclass
class CardForm:
    """What a customer entered.

    Attributes:
        email: E-mail address.
        name: Name on the card.
        card: The test card with the number entered; None when there is none.
        month: Month of expiry, 1 to 12.
        year: Year of expiry, four digits.
        errors: Field name → what is wrong with it; empty when the form can be paid.
    """

    email: str = ""
    name: str = ""
    card: cards.TestCard | None = None
    month: int = 0
    year: int = 0
    errors: dict[str, str] = field(default_factory=dict)


def read_form(values: Mapping[str, str], now: int, *, card_needed: bool, email_fixed: str | None) -> CardForm:
    """Read and check the form.

    Args:
        values: The fields as sent: `email`, `number`, `expiry`, `cvc`, `name`.
        now: Time of the request, in seconds since 1970.
        card_needed: False when nothing is to be paid.
        email_fixed: The customer's address when it is known and not asked for.
    """
    form = CardForm(email=email_fixed or values.get("email", "").strip(), name=values.get("name", "").strip())
    if not _EMAIL.fullmatch(form.email) or len(form.email) > _MOST_CHARACTERS:
        form.errors["email"] = "Enter an e-mail address, such as jenny@example.com."
    if card_needed:
        _read_card(form, values, now)
    return form


def _read_card(form: CardForm, values: Mapping[str, str], now: int) -> None:
    digits = re.sub(r"[\s-]", "", values.get("number", ""))
    if not digits:
        form.errors["number"] = "Enter a card number."
    elif not cards.passes_luhn(digits):
        form.errors["number"] = "Your card number is invalid."
    else:
        form.card = cards.by_number(digits)
    _read_expiry(form, values.get("expiry", "").strip(), now)
    length = 4 if form.card is not None and form.card.brand == "amex" else 3
    cvc = values.get("cvc", "").strip()
    if not cvc.isdecimal() or not cvc.isascii() or len(cvc) != length:
        form.errors["cvc"] = f"Enter the {length} digits of your card's security code."
    if not form.name or len(form.name) > _MOST_CHARACTERS:
        form.errors["name"] = "Enter the name on the card."


def _read_expiry(form: CardForm, text: str, now: int) -> None:
    match = _EXPIRY.fullmatch(text)
    if match is None:
        form.errors["expiry"] = "Enter the month and year, such as 12 / 34."
        return
    month, year = (int(part) for part in match.groups() if part is not None)
    form.month, form.year = month, year if year > 99 else 2000 + year
    try:
        check_expiry(form.month, form.year, now)
    except CardError as error:
        form.errors["expiry"] = error.message
