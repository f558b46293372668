"""Stripe's test bank accounts: debits that are on their way for days, then succeed or come back.

Sources: https://docs.stripe.com/payments/ach-direct-debit/accept-a-payment#test-integration and
https://docs.stripe.com/payments/sepa-debit/accept-a-payment#test-integration
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from stripe_twin.cards import Decline


@dataclass(frozen=True)
class TestAccount:
    """An account and what becomes of a debit.

    Attributes:
        kind: Type of payment method: `us_bank_account` or `sepa_debit`.
        number: Account number or IBAN.
        behaviour: Name under which a payment method remembers it.
        token: Stripe's ready-made payment method for it.
        decline: Why the debit comes back; None when it succeeds.
        hint: What a tester should know.
    """

    kind: str
    number: str
    behaviour: str
    token: str
    decline: Decline | None = None
    hint: str = "Succeeds after some days"

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.number[-4:]

    @property
    def fingerprint(self) -> str:
        """A stable mark of the account, equal for equal accounts."""
        return hashlib.sha256(f"stripe-twin:{self.number}".encode()).hexdigest()[:16]


ROUTING_NUMBER = "110000000"
KIND_OF_CURRENCY = {"eur": "sepa_debit", "usd": "us_bank_account"}


def _returned(code: str, message: str) -> Decline:
    return Decline(code, None, message)


_SEPA_FAILED = _returned("payment_intent_payment_attempt_failed", "The payment failed.")

TEST_ACCOUNTS: tuple[TestAccount, ...] = (
    TestAccount("us_bank_account", "000123456789", "us_bank_success", "pm_usBankAccount_success"),
    TestAccount(
        "us_bank_account",
        "000222222227",
        "us_bank_insufficient_funds",
        "pm_usBankAccount_insufficientFunds",
        _returned(
            "payment_method_customer_decline",
            "The customer's account has insufficient funds to cover this payment.",
        ),
        "Comes back: insufficient funds",
    ),
    TestAccount(
        "us_bank_account",
        "000111111113",
        "us_bank_account_closed",
        "pm_usBankAccount_accountClosed",
        _returned("account_closed", "The customer's bank account has been closed."),
        "Comes back: account closed",
    ),
    TestAccount("sepa_debit", "AT611904300234573201", "sepa_success", "pm_success_at"),
    TestAccount("sepa_debit", "AT321904300235473204", "sepa_success_delayed", "pm_successDelayed_at"),
    TestAccount(
        "sepa_debit",
        "AT861904300235473202",
        "sepa_failed",
        "pm_failed_at",
        _SEPA_FAILED,
        "Comes back",
    ),
    TestAccount(
        "sepa_debit",
        "IT60X0542811101000000123456",  # the one that Stripe's command line fails with
        "sepa_failed_delayed",
        "pm_failedDelayed_it",
        _SEPA_FAILED,
        "Comes back",
    ),
)

_BY_BEHAVIOUR = {account.behaviour: account for account in TEST_ACCOUNTS}
_BY_TOKEN = {account.token: account for account in TEST_ACCOUNTS}


def by_behaviour(behaviour: str) -> TestAccount:
    """Return the account that a stored payment method remembers."""
    return _BY_BEHAVIOUR[behaviour]


def by_token(token: str) -> TestAccount | None:
    """Return the account behind a ready-made payment method, or None."""
    return _BY_TOKEN.get(token)


def by_number(kind: str, number: str) -> TestAccount | None:
    """Return the test account of a type with this number, or None."""
    wanted = number.replace(" ", "").upper()
    return next((one for one in TEST_ACCOUNTS if one.kind == kind and one.number == wanted), None)


def allowed_types(currency: str | None, allowed: list[str] | None) -> list[str]:
    """Return the types of payment methods that can pay.

    Args:
        currency: Lower-case code; None where nothing is paid.
        allowed: What the merchant allows; None for all that fit.
    """
    bank = KIND_OF_CURRENCY.get(currency or "")
    fitting = ["card", *([bank] if bank else [])]
    return [name for name in fitting if allowed is None or name in allowed]
