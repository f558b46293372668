"""Reads the card form of the checkout page and says, field by field, what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from stripe_twin import bank_accounts, cards
from stripe_twin.errors import CardError
from stripe_twin.resources.payment_methods import check_expiry
from stripe_twin.shapes import Json, address

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_EXPIRY = re.compile(r"(\d{1,2})\s*/\s*(\d{2}|\d{4})|(\d{2})(\d{2})")
_COUNTRY = re.compile(r"[A-Z]{2}")
_LONGEST_POSTAL_CODE = 12
_MOST_CHARACTERS = 250


@dataclass
class CardForm:
    """What a customer entered.

    Attributes:
        email: E-mail address.
        name: Name on the card.
        card: The test card with the number entered; None when there is none.
        account: The test bank account entered, when the customer chose to be debited.
        month: Month of expiry, 1 to 12.
        year: Year of expiry, four digits.
        address: Where the customer lives, when the page asks for it.
        errors: Field name → what is wrong with it; empty when the form can be paid.
    """

    email: str = ""
    name: str = ""
    card: cards.TestCard | None = None
    account: bank_accounts.TestAccount | None = None
    month: int = 0
    year: int = 0
    address: Json | None = None
    errors: dict[str, str] = field(default_factory=dict)


def read_form(
    values: Mapping[str, str],
    now: int,
    *,
    card_needed: bool,
    email_fixed: str | None,
    address_needed: bool = False,
    bank: str | None = None,
) -> CardForm:
    """Read and check the form.

    Args:
        values: The fields as sent: `email`, `number`, `expiry`, `cvc`, `name`, `country`, `postal_code`.
        now: Time of the request, in seconds since 1970.
        card_needed: False when nothing is to be paid.
        email_fixed: The customer's e-mail address when it is known and not asked for.
        address_needed: Whether the page asks where the customer lives.
        bank: The type of bank account that may be debited instead of a card, if there is one.
    """
    form = CardForm(email=email_fixed or values.get("email", "").strip(), name=values.get("name", "").strip())
    if not _EMAIL.fullmatch(form.email) or len(form.email) > _MOST_CHARACTERS:
        form.errors["email"] = "Enter an e-mail address, such as jenny@example.com."
    if card_needed and bank is not None and values.get("method") == "bank":
        _read_account(form, values, bank)
    elif card_needed:
        _read_card(form, values, now)
    if address_needed:
        _read_address(form, values)
    return form


def _read_address(form: CardForm, values: Mapping[str, str]) -> None:
    country = values.get("country", "").strip().upper()
    if not _COUNTRY.fullmatch(country):
        form.errors["country"] = "Enter your country's two-letter code, such as IE."
    postal_code = values.get("postal_code", "").strip()
    if not postal_code or len(postal_code) > _LONGEST_POSTAL_CODE:
        form.errors["postal_code"] = "Enter your postal code."
    form.address = address({"country": country, "postal_code": postal_code})


def _read_account(form: CardForm, values: Mapping[str, str], bank: str) -> None:
    form.account = bank_accounts.by_number(bank, values.get("account", ""))
    if form.account is None:
        form.errors["account"] = "Enter the number of a test bank account."
    if not form.name or len(form.name) > _MOST_CHARACTERS:
        form.errors["name"] = "Enter the name of the account's holder."


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
