"""What a customer does to a checkout session: pay it or save a card, fail to, let it expire.

Every step holds the lock of the session's row, so two browsers that pay the same session pay it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stripe_twin.resources.checkout_completion import complete_session, customer_of
from stripe_twin.resources.payment_intents import cancel_intent
from stripe_twin.resources.payments import Outcome, answer_challenge, attempt, create_intent
from stripe_twin.resources.setups import (
    answer_setup_challenge,
    attempt_setup,
    cancel_setup,
    create_setup,
)
from stripe_twin.shapes import Json
from stripe_twin.timers import set_timer, timer
from stripe_twin.unit import Record, UnitOfWork, changed, snapshot


@dataclass(frozen=True)
class Step:
    """Where a session stands after a step.

    Attributes:
        kind: `complete` (now or before), `challenge` (3-D Secure is asked for), `declined`, or `expired`.
        error: The refusal, in the shape of `last_payment_error`.
        intent_id: The payment or setup intent that waits for its challenge.
    """

    kind: Literal["complete", "challenge", "declined", "expired"]
    error: Json | None = None
    intent_id: str | None = None


def wants_method(session: Json) -> bool:
    """Whether a session's customer has to give a payment method."""
    return bool(session["amount_total"]) or session["payment_method_collection"] == "always"


def pay(
    unit: UnitOfWork,
    session: Record,
    method: Record | None,
    *,
    email: str,
    name: str | None,
    in_page: bool = False,
) -> Step:
    """Pay a locked session that is open, or save its card; `closed_step` says whether it is.

    Args:
        unit: The unit of work.
        session: The locked session.
        method: The payment method; None when none is wanted.
        email: The customer's e-mail address, as entered.
        name: Name on the card, as entered.
        in_page: Whether a challenge is shown within the merchant's page, by Stripe.js, and leads nowhere.
    """
    assert session.data["status"] == "open", session.id
    session.hidden["payer"] = {"email": email, "name": name}
    if method is None:
        assert not wants_method(session.data), session.id
        complete_session(unit, session)
        return Step("complete")
    return_url = None if in_page else return_address(unit, session.data)
    if session.data["amount_total"]:
        intent = _payment_of(unit, session)
        outcome = attempt(unit, intent, method, return_url=return_url)
    else:
        intent = _setup_of(unit, session)
        outcome = attempt_setup(unit, intent, method, return_url=return_url)
    return _after(unit, session, intent, outcome)


def return_address(unit: UnitOfWork, session: Json) -> str:
    """Return where a challenge sends the customer of a session: its own page, or the merchant's."""
    if session["ui_mode"] == "hosted_page":
        return f"{unit.settings.public_url}/c/pay/{session['id']}"
    return str(session["return_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def closed_step(unit: UnitOfWork, session: Record) -> Step | None:
    """Return the step of a locked session that takes no payment any more; its time may run out here."""
    if session.data["status"] == "complete":
        return Step("complete")
    if session.data["status"] == "open" and session.data["expires_at"] <= unit.now:
        expire_session(unit, session)
    return Step("expired") if session.data["status"] == "expired" else None


def after_challenge(unit: UnitOfWork, session: Record, intent: Record, *, passed: bool) -> Step:
    """Go on with a locked session whose customer answered the 3-D Secure challenge."""
    closed = closed_step(unit, session)
    if closed is not None:
        return closed
    answer = answer_setup_challenge if intent.data["object"] == "setup_intent" else answer_challenge
    return _after(unit, session, intent, answer(unit, intent, passed=passed))


def _payment_of(unit: UnitOfWork, session: Record) -> Record:
    """Return the session's payment intent, locked; the first attempt makes it, later ones use it again."""
    known = session.hidden.get("payment_intent")
    if known is not None:
        return unit.get("payment_intent", known, lock=True)
    given = dict(session.hidden["payment_intent_data"])
    if session.data["mode"] == "subscription":
        given = {"description": "Subscription creation", "setup_future_usage": "off_session"}
    intent = create_intent(
        unit,
        {
            **given,
            "amount": session.data["amount_total"],
            "currency": session.data["currency"],
            "customer": customer_of(unit, session),
        },
    )
    return _remember(unit, session, intent, "payment_intent")


def _setup_of(unit: UnitOfWork, session: Record) -> Record:
    """Return the setup intent of a session that takes no money now, locked."""
    known = session.hidden.get("setup_intent")
    if known is not None:
        return unit.get("setup_intent", known, lock=True)
    given = session.hidden["setup_intent_data"]
    intent = create_setup(unit, {**given, "customer": customer_of(unit, session)})
    return _remember(unit, session, intent, "setup_intent")


def _remember(unit: UnitOfWork, session: Record, intent: Record, name: str) -> Record:
    intent.hidden["session"] = session.id
    unit.save(intent)
    session.hidden[name] = intent.id
    unit.save(session)
    return intent


def _after(unit: UnitOfWork, session: Record, intent: Record, outcome: Outcome) -> Step:
    unit.save(session)
    if outcome.kind == "requires_action":
        return Step("challenge", intent_id=intent.id)
    if outcome.kind == "declined":
        return Step("declined", outcome.error)
    complete_session(unit, session, intent)
    return Step("complete")


def expire_session(unit: UnitOfWork, session: Record) -> Json:
    """Close a locked, open session, cancel its unpaid intent, and emit `checkout.session.expired`."""
    before = snapshot(session.data)
    session.data |= {"status": "expired", "url": None}
    assert changed(before, session.data), session.id
    unit.save(session)
    set_timer(unit, session.id, "checkout_session_expires", None, session.data["customer"])
    intent_id = session.hidden.get("payment_intent")
    if intent_id is not None:
        cancel_intent(unit, unit.get("payment_intent", intent_id, lock=True), "expired")
    setup_id = session.hidden.get("setup_intent")
    if setup_id is not None:
        cancel_setup(unit, unit.get("setup_intent", setup_id, lock=True), "abandoned")
    unit.emit("checkout.session.expired", session.data)
    return session.data


@timer("checkout_session_expires")
def expire_in_time(unit: UnitOfWork, session_id: str) -> None:
    """Close a session that nobody paid in time."""
    session = unit.get("checkout.session", session_id, lock=True)
    if session.data["status"] == "open" and session.data["expires_at"] <= unit.now:
        expire_session(unit, session)
