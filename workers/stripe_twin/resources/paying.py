"""Pays a checkout session without a browser, for the control API: what its customer would do on the page."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from stripe_twin import bank_accounts, cards
from stripe_twin.errors import CardError, StripeError, invalid
from stripe_twin.resources.checkout_payment import Step, after_challenge, closed_step, pay, wants_method
from stripe_twin.resources.checkout_totals import use_promotion_code
from stripe_twin.resources.owners import lock_owned
from stripe_twin.resources.payment_methods import card_for_number, create_account_method, create_method
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork


class Payment(BaseModel):
    """What a customer enters.

    Attributes:
        card: A test card's number, or a test bank account's number or IBAN.
        email: E-mail address, for sessions without a customer.
        name: Name on the card.
        answer: What they do if the bank asks for 3-D Secure: pass or not.
        promotion_code: A code that they type first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card: str = Field(default="4242424242424242", max_length=40)
    email: str = "jenny@example.com"
    name: str = "Jenny Rosen"
    answer: bool = True
    promotion_code: str | None = None


def pay_session(unit: UnitOfWork, session_id: str, given: Payment) -> Json:
    """Pay an open session; return it as it is afterwards.

    Raises:
        StripeError: 404 for no such session, 400 when it is closed, 402 when the card is refused.
    """
    session = unit.get("checkout.session", session_id, lock=True)
    if closed_step(unit, session) is not None:
        raise invalid(f"This Checkout Session is {session.data['status']}.")
    if given.promotion_code:
        use_promotion_code(unit, session, given.promotion_code)
    method = _method(unit, session, given) if wants_method(session.data) else None
    email = (session.data["customer_details"] or {}).get("email") or given.email
    step = pay(unit, session, method, email=email, name=given.name)
    if step.kind == "challenge":
        owned = lock_owned(unit, step.intent_id or "")
        assert owned.session is not None, session_id
        session = owned.session
        step = after_challenge(unit, session, owned.intent, passed=given.answer)
    if step.kind == "declined":
        raise _refusal(step)
    return session.data


def _method(unit: UnitOfWork, session: Record, given: Payment) -> Record:
    billing = {"email": given.email, "name": given.name}
    for kind in session.data["payment_method_types"]:
        account = bank_accounts.by_number(kind, given.card)
        if account is not None:
            return create_account_method(unit, account, billing)
    card = card_for_number(given.card)
    if card is None:
        unknown = cards.UNKNOWN_CARD
        raise CardError(unknown.message, code=unknown.code, decline_code=unknown.decline_code)
    year = datetime.fromtimestamp(unit.now, UTC).year + 2
    return create_method(unit, card, month=12, year=year, billing=billing)


def _refusal(step: Step) -> StripeError:
    error = step.error or {}
    return CardError(error["message"], code=error["code"], param=error.get("param"))
