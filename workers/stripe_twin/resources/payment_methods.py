"""Payment methods: test cards, given by number or by Stripe's ready-made names.

Source: https://docs.stripe.com/api/payment_methods
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from stripe_twin import bank_accounts, cards
from stripe_twin.errors import CardError, StripeError, invalid, missing_parameter, no_such
from stripe_twin.identifiers import new_id
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, not_supported, only, simple_changes, update, value_of
from stripe_twin.resources.verdicts import decline_of, needs_authentication, saves
from stripe_twin.shapes import Json, address, complete
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/payment_methods"


def incorrect_number() -> CardError:
    """Return the 402 for a number that fails its check digit."""
    return CardError("Your card number is incorrect.", code="incorrect_number", param="number")


def card_for_number(number: str) -> cards.TestCard | None:
    """Return the test card with a number; None for a well-formed number that is not a test card.

    Raises:
        CardError: When the number is not a card number at all.
    """
    digits = number.replace(" ", "").replace("-", "")
    if not cards.passes_luhn(digits):
        raise incorrect_number()
    return cards.by_number(digits)


def create_method(
    unit: UnitOfWork, card: cards.TestCard, *, month: int, year: int, billing: Json | None = None, **more: Any
) -> Record:
    """Store a payment method for a test card; it belongs to no customer yet."""
    details = billing or {}
    method = complete(
        "payment_method",
        {
            "id": new_id("pm"),
            "allow_redisplay": more.get("allow_redisplay") or "unspecified",
            "billing_details": {
                "address": address(details.get("address") or None),
                "email": value_of(details, "email"),
                "name": value_of(details, "name"),
                "phone": value_of(details, "phone"),
                "tax_id": None,
            },
            "card": _card_shape(card, month, year),
            "created": unit.now,
            "metadata": more.get("metadata") or {},
            "type": "card",
        },
    )
    return unit.insert(method, {"behaviour": card.behaviour})


def _card_shape(card: cards.TestCard, month: int, year: int) -> Json:
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "unchecked"},
        "country": card.country,
        "description": None,
        "display_brand": card.brand,
        "exp_month": month,
        "exp_year": year,
        "fingerprint": card.fingerprint,
        "funding": card.funding,
        "generated_from": None,
        "iin": None,
        "issuer": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def create_account_method(
    unit: UnitOfWork, account: bank_accounts.TestAccount, billing: Json | None = None
) -> Record:
    """Store a payment method for a test bank account; it belongs to no customer yet."""
    details = billing or {}
    method = complete(
        "payment_method",
        {
            "id": new_id("pm"),
            "allow_redisplay": "unspecified",
            "billing_details": {
                "address": address(details.get("address") or None),
                "email": value_of(details, "email"),
                "name": value_of(details, "name"),
                "phone": value_of(details, "phone"),
                "tax_id": None,
            },
            "created": unit.now,
            "metadata": {},
            "type": account.kind,
            account.kind: _account_shape(account),
        },
    )
    return unit.insert(method, {"behaviour": account.behaviour})


def _account_shape(account: bank_accounts.TestAccount) -> Json:
    shown = {"fingerprint": account.fingerprint, "last4": account.last4}
    if account.kind == "sepa_debit":
        generated = {"charge": None, "setup_attempt": None}
        place = {"bank_code": "19043", "branch_code": "", "country": account.number[:2]}
        return {**shown, **place, "generated_from": generated}
    return {
        **shown,
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": bank_accounts.ROUTING_NUMBER,
        "status_details": None,
    }


def resolve(unit: UnitOfWork, method_id: str, *, lock: bool = False) -> Record:
    """Return the payment method an id names; `pm_card_visa` and its like become a new one, as at Stripe.

    Raises:
        StripeError: 400 when there is none.
    """
    card = cards.by_token(method_id)
    if card is not None:
        return create_method(unit, card, month=12, year=datetime.fromtimestamp(unit.now, UTC).year + 2)
    account = bank_accounts.by_token(method_id)
    if account is not None:
        return create_account_method(unit, account)
    return unit.get("payment_method", method_id, lock=lock, param="payment_method")


def is_attached_to(unit: UnitOfWork, method_id: str, customer_id: str) -> bool:
    """Tell whether a payment method belongs to a customer."""
    record = unit.find("payment_method", method_id)
    return record is not None and record.data["customer"] == customer_id


def attach(unit: UnitOfWork, method_id: str, customer_id: str) -> str:
    """Save a payment method to a customer and emit `payment_method.attached`; return its id.

    Raises:
        CardError: 402 when the issuer refuses the card.
        StripeError: 400 when it belongs to another customer or was detached before.
    """
    unit.get("customer", customer_id, param="customer")
    record = resolve(unit, method_id, lock=True)
    if record.data["customer"] == customer_id:
        return record.id
    if record.data["customer"] is not None:
        raise invalid("The payment method you provided has already been attached to a customer.")
    if record.hidden.get("detached"):
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
            "attachment, or was detached from a Customer. It may not be used again."
        )
    decline = decline_of(record)
    authenticates = needs_authentication(record, off_session=False)
    if decline is not None and not saves(record) and not authenticates:
        raise CardError(decline.message, code=decline.code, param=decline.param, **_reason(decline))
    record.data["customer"] = customer_id
    unit.save(record)
    unit.emit("payment_method.attached", record.data)
    return record.id


def _reason(decline: cards.Decline) -> Json:
    return {} if decline.decline_code is None else {"decline_code": decline.decline_code}


@operation("POST", _PATH, "_payment_method_create_params.PaymentMethodCreateParams", for_browsers=True)
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a payment method from a test card's number or token, or a test bank account."""
    supported = (
        "allow_redisplay",
        "billing_details",
        "card",
        "metadata",
        "sepa_debit",
        "type",
        "us_bank_account",
    )
    only(params, supported, "payment method creation")
    kind = params.get("type")
    if kind is None:
        raise missing_parameter("type")
    if kind in ("us_bank_account", "sepa_debit"):
        return _create_account(unit, kind, params)
    if kind != "card":
        raise not_supported(f"payment methods of type {kind}", "type")
    given = params.get("card")
    if not given:
        raise missing_parameter("card")
    card, month, year = _card_from(unit, given)
    more = {name: params.get(name) for name in ("allow_redisplay", "metadata")}
    return create_method(
        unit, card, month=month, year=year, billing=params.get("billing_details"), **more
    ).data


def _create_account(unit: UnitOfWork, kind: str, params: Parameters) -> Json:
    name = "iban" if kind == "sepa_debit" else "account_number"
    number = (params.get(kind) or {}).get(name)
    if not number:
        raise missing_parameter(f"{kind}[{name}]")
    account = bank_accounts.by_number(kind, number)
    if account is None:
        raise invalid("You must use a test bank account number.", param=f"{kind}[{name}]")
    return create_account_method(unit, account, params.get("billing_details")).data


def _card_from(unit: UnitOfWork, given: Json) -> tuple[cards.TestCard, int, int]:
    this_year = datetime.fromtimestamp(unit.now, UTC).year
    if given.get("token"):
        card = cards.by_token(given["token"])
        if card is None:
            raise no_such("token", given["token"], param="card[token]")
        return card, 12, this_year + 2
    for name in ("number", "exp_month", "exp_year"):
        if name not in given:
            raise missing_parameter(f"card[{name}]")
    card = card_for_number(given["number"])
    if card is None:
        raise _unknown_card()
    year = given["exp_year"] + (2000 if given["exp_year"] < 100 else 0)
    check_expiry(given["exp_month"], year, unit.now)
    return card, given["exp_month"], year


def _unknown_card() -> StripeError:
    unknown = cards.UNKNOWN_CARD
    return CardError(unknown.message, code=unknown.code, decline_code=unknown.decline_code)


def check_expiry(month: int, year: int, now: int) -> None:
    """Refuse a date that cannot be, or that has passed.

    Raises:
        CardError: 402 naming the field.
    """
    today = datetime.fromtimestamp(now, UTC)
    if not 1 <= month <= 12:
        raise CardError(
            "Your card's expiration month is invalid.", code="invalid_expiry_month", param="exp_month"
        )
    if not today.year <= year <= today.year + 50 or (year == today.year and month < today.month):
        raise CardError(
            "Your card's expiration year is invalid.", code="invalid_expiry_year", param="exp_year"
        )


@operation("GET", _PATH, "_payment_method_list_params.PaymentMethodListParams")
def list_methods(unit: UnitOfWork, params: Parameters) -> Json:
    """List payment methods, by customer and type."""
    return list_objects(unit, "payment_method", params, _PATH)


@operation("GET", _PATH + "/<method_id>", "_payment_method_retrieve_params.PaymentMethodRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, method_id: str) -> Json:
    """Return a payment method."""
    return unit.get("payment_method", method_id).data


@operation("POST", _PATH + "/<method_id>", "_payment_method_update_params.PaymentMethodUpdateParams")
def update_method(unit: UnitOfWork, params: Parameters, method_id: str) -> Json:
    """Change metadata, billing details or redisplay of a saved method and emit `payment_method.updated`."""
    only(params, ("allow_redisplay", "billing_details", "card", "metadata"), "payment method update")
    record = unit.get("payment_method", method_id, lock=True)
    if record.data["customer"] is None:
        raise invalid("You must save this PaymentMethod to a customer before you can update it.")
    changes = simple_changes(params, record.data, ("allow_redisplay",))
    if "billing_details" in params:
        changes["billing_details"] = {**record.data["billing_details"], **(params["billing_details"] or {})}
        changes["billing_details"]["address"] = address(changes["billing_details"]["address"] or None)
    if params.get("card"):
        only(params["card"], ("exp_month", "exp_year"), "payment method update")
        changes["card"] = {**record.data["card"], **params["card"]}
        check_expiry(changes["card"]["exp_month"], changes["card"]["exp_year"], unit.now)
    return update(unit, record, changes, "payment_method.updated")


@operation("POST", _PATH + "/<method_id>/attach", "_payment_method_attach_params.PaymentMethodAttachParams")
def attach_method(unit: UnitOfWork, params: Parameters, method_id: str) -> Json:
    """Save a payment method to a customer."""
    customer_id = params.get("customer")
    if not customer_id:
        raise missing_parameter("customer")
    return unit.get("payment_method", attach(unit, method_id, customer_id)).data


@operation("POST", _PATH + "/<method_id>/detach", "_payment_method_detach_params.PaymentMethodDetachParams")
def detach_method(unit: UnitOfWork, _params: Parameters, method_id: str) -> Json:
    """Take a payment method from its customer, for good, and emit `payment_method.detached`."""
    record = unit.get("payment_method", method_id, lock=True)
    customer_id = record.data["customer"]
    if customer_id is None:
        raise invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    record.data["customer"] = None
    record.hidden["detached"] = True
    unit.save(record)
    unit.emit("payment_method.detached", record.data, {"customer": customer_id})
    _forget_default(unit, customer_id, method_id)
    return record.data


def _forget_default(unit: UnitOfWork, customer_id: str, method_id: str) -> None:
    customer = unit.find("customer", customer_id, lock=True)
    if customer is None or customer.data["invoice_settings"]["default_payment_method"] != method_id:
        return
    settings = {**customer.data["invoice_settings"], "default_payment_method": None}
    update(unit, customer, {"invoice_settings": settings}, "customer.updated")
