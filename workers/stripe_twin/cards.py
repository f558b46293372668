"""Stripe's test cards and what each of them does.

Source: https://docs.stripe.com/testing
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Authentication = Literal["never", "unless_set_up", "always", "on_session_only"]
Afterwards = Literal[
    "refund_pending",
    "refund_fails",
    "dispute_fraudulent",
    "dispute_product_not_received",
    "dispute_inquiry",
    "fraud_warning",
]


@dataclass(frozen=True)
class Decline:
    """How an issuer says no.

    Attributes:
        code: Error code of the API, such as `card_declined`.
        decline_code: The issuer's reason, or None when the code says it all.
        message: The sentence a customer reads.
        param: The field of the form it concerns.
        attaches: Whether the card can be saved all the same and declines only when charged.
        advice_code: What Stripe advises about trying again.
    """

    code: str
    decline_code: str | None
    message: str
    param: str | None = None
    attaches: bool = False
    advice_code: str | None = None


@dataclass(frozen=True)
class TestCard:
    """A card number and its behaviour.

    Attributes:
        number: The digits.
        behaviour: Name under which a payment method remembers it.
        brand: Card network.
        authentication: When the issuer asks for 3-D Secure.
        decline: The refusal, after any authentication; None for a card that pays.
        token: Stripe's ready-made payment method for it (`pm_card_...`), if there is one.
        country: Country of the issuer.
        funding: Kind of card.
        hint: What a tester should know.
        afterwards: What follows a payment: a refund that is slow or fails, a dispute, a fraud warning.
    """

    number: str
    behaviour: str
    brand: str = "visa"
    authentication: Authentication = "never"
    decline: Decline | None = None
    token: str | None = None
    country: str = "US"
    funding: str = "credit"
    hint: str = "Payment succeeds"
    afterwards: Afterwards | None = None

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.number[-4:]

    @property
    def fingerprint(self) -> str:
        """A stable mark of the number, equal for equal cards, as Stripe gives one."""
        return hashlib.sha256(f"stripe-twin:{self.number}".encode()).hexdigest()[:16]


def _declined(decline_code: str, message: str, **more: str | bool) -> Decline:
    advice = "do_not_try_again" if decline_code in ("lost_card", "stolen_card") else "try_again_later"
    return Decline(
        "card_declined", decline_code, message, attaches=bool(more.get("attaches")), advice_code=advice
    )


_GENERIC = _declined("generic_decline", "Your card was declined.")
_FUNDS = _declined("insufficient_funds", "Your card has insufficient funds.")

TEST_CARDS: tuple[TestCard, ...] = (
    TestCard("4242424242424242", "visa", token="pm_card_visa"),
    TestCard("4000056655665556", "visa_debit", funding="debit", token="pm_card_visa_debit"),
    TestCard("5555555555554444", "mastercard", brand="mastercard", token="pm_card_mastercard"),
    TestCard("378282246310005", "amex", brand="amex", token="pm_card_amex"),
    TestCard(
        "4000002500003155",
        "authentication_on_setup",
        authentication="unless_set_up",
        token="pm_card_authenticationRequiredOnSetup",
        hint="Asks for 3-D Secure, once saved no more",
    ),
    TestCard(
        "4000002760003184",
        "authentication_always",
        authentication="always",
        token="pm_card_authenticationRequired",
        hint="Asks for 3-D Secure every time",
    ),
    TestCard(
        "4000003800000446",
        "authentication_set_up",
        authentication="on_session_only",
        token="pm_card_authenticationRequiredSetupForOffSession",
        hint="Asks for 3-D Secure only when the customer is there",
    ),
    TestCard(
        "4000008260003178",
        "authentication_then_insufficient_funds",
        authentication="always",
        decline=_FUNDS,
        token="pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        hint="Asks for 3-D Secure, then declines: insufficient funds",
    ),
    TestCard(
        "4000000000000002", "declined", decline=_GENERIC, token="pm_card_visa_chargeDeclined", hint="Declined"
    ),
    TestCard(
        "4000000000009995",
        "insufficient_funds",
        decline=_FUNDS,
        token="pm_card_visa_chargeDeclinedInsufficientFunds",
        hint="Declined: insufficient funds",
    ),
    TestCard(
        "4000000000009987",
        "lost_card",
        decline=_declined("lost_card", "Your card was declined."),
        token="pm_card_visa_chargeDeclinedLostCard",
        hint="Declined: lost card",
    ),
    TestCard(
        "4000000000009979",
        "stolen_card",
        decline=_declined("stolen_card", "Your card was declined."),
        token="pm_card_visa_chargeDeclinedStolenCard",
        hint="Declined: stolen card",
    ),
    TestCard(
        "4000000000000069",
        "expired_card",
        decline=Decline("expired_card", None, "Your card has expired.", param="exp_month"),
        token="pm_card_chargeDeclinedExpiredCard",
        hint="Declined: expired card",
    ),
    TestCard(
        "4000000000000127",
        "incorrect_cvc",
        decline=Decline("incorrect_cvc", None, "Your card's security code is incorrect.", param="cvc"),
        token="pm_card_chargeDeclinedIncorrectCvc",
        hint="Declined: incorrect CVC",
    ),
    TestCard(
        "4000000000000119",
        "processing_error",
        decline=Decline(
            "processing_error",
            None,
            "An error occurred while processing your card. Try again in a little bit.",
            advice_code="try_again_later",
        ),
        token="pm_card_chargeDeclinedProcessingError",
        hint="Declined: processing error",
    ),
    TestCard(
        "4000000000000341",
        "declined_when_charged",
        decline=_declined("generic_decline", "Your card was declined.", attaches=True),
        token="pm_card_chargeCustomerFail",
        hint="Can be saved, then declines",
    ),
    TestCard(
        "4000000000007726",
        "refund_pending",
        token="pm_card_pendingRefund",
        hint="Pays; a refund is pending, then succeeds",
        afterwards="refund_pending",
    ),
    TestCard(
        "4000000000005126",
        "refund_fails",
        token="pm_card_refundFail",
        hint="Pays; a refund succeeds, then fails",
        afterwards="refund_fails",
    ),
    TestCard(
        "4000000000000259",
        "dispute_fraudulent",
        token="pm_card_createDispute",
        hint="Pays, then is disputed as fraudulent",
        afterwards="dispute_fraudulent",
    ),
    TestCard(
        "4000000000002685",
        "dispute_product_not_received",
        token="pm_card_createDisputeProductNotReceived",
        hint="Pays, then is disputed: product not received",
        afterwards="dispute_product_not_received",
    ),
    TestCard(
        "4000000000001976",
        "dispute_inquiry",
        token="pm_card_createDisputeInquiry",
        hint="Pays, then the bank inquires",
        afterwards="dispute_inquiry",
    ),
    TestCard(
        "4000000000005423",
        "fraud_warning",
        token="pm_card_createIssuerFraudRecord",
        hint="Pays, then the bank warns of fraud",
        afterwards="fraud_warning",
    ),
)

UNKNOWN_CARD = Decline(
    "card_declined",
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test card. For a list of "
    "valid test cards, visit: https://docs.stripe.com/testing.",
)

_BY_NUMBER = {card.number: card for card in TEST_CARDS}
_BY_BEHAVIOUR = {card.behaviour: card for card in TEST_CARDS}
_BY_TOKEN = {card.token: card for card in TEST_CARDS if card.token}
#: Older names that Stripe still takes; its command line uses them.
_OLDER_NAMES = {
    "pm_card_bypassPending": "pm_card_visa",
    "pm_card_chargeDeclined": "pm_card_visa_chargeDeclined",
    "pm_card_threeDSecure2Required": "pm_card_authenticationRequired",
}


def by_number(number: str) -> TestCard | None:
    """Return the test card with these digits, or None."""
    return _BY_NUMBER.get(number)


def by_behaviour(behaviour: str) -> TestCard:
    """Return the test card that a stored payment method remembers."""
    return _BY_BEHAVIOUR[behaviour]


def by_token(token: str) -> TestCard | None:
    """Return the card behind `pm_card_visa` or `tok_visa` and their like, or None."""
    name = "pm_card_" + token.removeprefix("tok_") if token.startswith("tok_") else token
    return _BY_TOKEN.get(_OLDER_NAMES.get(name, name))


def passes_luhn(digits: str) -> bool:
    """Tell whether a number has the length and the check digit of a card number (ISO/IEC 7812-1, annex B)."""
    if not digits.isdecimal() or not digits.isascii() or not 12 <= len(digits) <= 19:
        return False
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
