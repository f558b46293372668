"""What the bank says to a charge: by the test card or account, or by an instruction from the control API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stripe_twin import bank_accounts, cards
from stripe_twin.unit import Record, UnitOfWork

_MESSAGES = {
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "insufficient_funds": "Your card has insufficient funds.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
}
_CODES_OF_THEIR_OWN = ("expired_card", "incorrect_cvc", "processing_error")


class Instruction(BaseModel):
    """What the next charges of a customer meet, whatever the card.

    Attributes:
        do: Decline, or ask for 3-D Secure.
        decline_code: The issuer's reason, for a decline.
        times: How many charges.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    do: Literal["decline", "authenticate"]
    decline_code: str = "generic_decline"
    times: int = Field(default=1, ge=1, le=100)


@dataclass(frozen=True)
class Verdict:
    """The bank's answer: whether it asks for 3-D Secure first, and its refusal, None when it pays."""

    asks: bool
    decline: cards.Decline | None


def is_bank_account(method: Record) -> bool:
    """Whether a payment method is debited over days, not charged at once."""
    return bool(method.data["type"] != "card")


def decline_of(method: Record) -> cards.Decline | None:
    """Return the refusal that a payment method's own behaviour brings."""
    behaviour = method.hidden["behaviour"]
    if is_bank_account(method):
        return bank_accounts.by_behaviour(behaviour).decline
    return cards.by_behaviour(behaviour).decline


def saves(method: Record) -> bool:
    """Whether a payment method can be kept, even if it would decline a charge."""
    decline = decline_of(method)
    return decline is None or decline.attaches or is_bank_account(method)


def needs_authentication(method: Record, *, off_session: bool) -> bool:
    """Tell whether the issuer asks for 3-D Secure.

    Source: https://docs.stripe.com/testing#authentication-and-setup
    """
    if is_bank_account(method):
        return False
    rule = cards.by_behaviour(method.hidden["behaviour"]).authentication
    if rule == "unless_set_up":
        return not (off_session and method.hidden.get("set_up"))
    if rule == "on_session_only":
        return not off_session
    return rule == "always"


def judge(unit: UnitOfWork, customer_id: str | None, method: Record, *, off_session: bool) -> Verdict:
    """Return the bank's answer to a charge; an instruction for the customer is used up by it."""
    instruction = _next_instruction(unit, customer_id)
    if instruction is None:
        return Verdict(needs_authentication(method, off_session=off_session), decline_of(method))
    if instruction.do == "authenticate":
        return Verdict(True, None)
    return Verdict(False, decline_for(instruction.decline_code))


def decline_for(decline_code: str) -> cards.Decline:
    """Return the refusal with a certain reason, such as `insufficient_funds`."""
    message = _MESSAGES.get(decline_code, "Your card was declined.")
    if decline_code in _CODES_OF_THEIR_OWN:
        return cards.Decline(decline_code, None, message, attaches=True)
    final = decline_code in ("lost_card", "stolen_card")
    advice = "do_not_try_again" if final else "try_again_later"
    return cards.Decline("card_declined", decline_code, message, attaches=True, advice_code=advice)


def instruct(customer: Record, instruction: Instruction | None) -> None:
    """Give a locked customer an instruction, or take it away; the caller saves."""
    if instruction is None:
        customer.hidden.pop("next_charges", None)
    else:
        customer.hidden["next_charges"] = instruction.model_dump()


def _next_instruction(unit: UnitOfWork, customer_id: str | None) -> Instruction | None:
    customer = unit.find("customer", customer_id) if customer_id else None
    if customer is None or "next_charges" not in customer.hidden:
        return None
    locked = unit.get("customer", customer.id, lock=True)
    if "next_charges" not in locked.hidden:
        return None
    instruction = Instruction.model_validate(locked.hidden["next_charges"])
    left = instruction.times - 1
    instruct(locked, instruction.model_copy(update={"times": left}) if left else None)
    unit.save(locked)
    return instruction
