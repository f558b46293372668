"""What a customer does to a checkout session: pay it, fail to, let it expire.

Every step holds the lock of the session's row, so two browsers that pay the same session pay it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stripe_twin.resources.customers import create_customer
from stripe_twin.resources.payment_intents import cancel_intent
from stripe_twin.resources.payments import Outcome, answer_challenge, attempt, create_intent
from stripe_twin.shapes import Json
from stripe_twin.unit import Record, UnitOfWork, changed, snapshot


@dataclass(frozen=True)
class Step:
    """Where a session stands after a step.

    Attributes:
        kind: `complete` (now or before), `challenge` (3-D Secure is asked for), `declined`, or `expired`.
        error: The refusal, in the shape of `last_payment_error`.
        intent_id: The payment intent that waits for its challenge.
    """

    kind: Literal["complete", "challenge", "declined", "expired"]
    error: Json | None = None
    intent_id: str | None = None


def pay(unit: UnitOfWork, session: Record, method: Record | None, *, email: str, name: str | None) -> Step:
    """Pay a locked session that is open; `closed_step` says whether it is.

    Args:
        unit: The unit of work.
        session: The locked session.
        method: The card; None when the total is zero and nothing has to be paid.
        email: The customer's e-mail address, as entered.
        name: Name on the card, as entered.
    """
    assert session.data["status"] == "open", session.id
    session.hidden["payer"] = {"email": email, "name": name}
    if method is None:
        assert session.data["amount_total"] == 0, session.id
        return _finish(unit, session, None)
    intent = _intent_of(unit, session, email)
    return_url = f"{unit.settings.public_url}/c/pay/{session.id}"
    outcome = attempt(unit, intent, method, return_url=return_url)
    return _after(unit, session, intent, outcome)


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
    return _after(unit, session, intent, answer_challenge(unit, intent, passed=passed))


def _intent_of(unit: UnitOfWork, session: Record, email: str) -> Record:
    """Return the session's payment intent, locked; the first attempt makes it, later ones use it again."""
    known = session.hidden.get("payment_intent")
    if known is not None:
        return unit.get("payment_intent", known, lock=True)
    given = session.hidden["payment_intent_data"]
    customer_id = session.data["customer"] or _new_customer(unit, session, email)
    intent = create_intent(
        unit,
        {
            **given,
            "amount": session.data["amount_total"],
            "currency": session.data["currency"],
            "customer": customer_id,
        },
    )
    intent.hidden["session"] = session.id
    unit.save(intent)
    session.hidden["payment_intent"] = intent.id
    unit.save(session)
    return intent


def _new_customer(unit: UnitOfWork, session: Record, email: str) -> str | None:
    """Make a customer when the session asks for one, or when a card is to be kept for one."""
    wanted = session.data["customer_creation"] == "always"
    if not wanted and not session.hidden["payment_intent_data"].get("setup_future_usage"):
        return None
    name = session.hidden["payer"]["name"]
    return create_customer(unit, {"email": email, **({"name": name} if name else {})}).id


def _after(unit: UnitOfWork, session: Record, intent: Record, outcome: Outcome) -> Step:
    unit.save(session)
    if outcome.kind == "requires_action":
        return Step("challenge", intent_id=intent.id)
    if outcome.kind == "declined":
        return Step("declined", outcome.error)
    return _finish(unit, session, intent)


def _finish(unit: UnitOfWork, session: Record, intent: Record | None) -> Step:
    payer = session.hidden["payer"]
    details = session.data["customer_details"] or {}
    session.data |= {
        "customer_details": {**_NOBODY, **details, "email": payer["email"], "name": payer["name"]},
        "status": "complete",
        "url": None,
    }
    if intent is not None:
        session.data |= {
            "customer": intent.data["customer"],
            "payment_intent": intent.id,
            "payment_status": "paid",
        }
    unit.save(session)
    unit.emit("checkout.session.completed", session.data)
    return Step("complete")


_NOBODY: Json = {
    "address": None,
    "business_name": None,
    "email": None,
    "individual_name": None,
    "name": None,
    "phone": None,
    "tax_exempt": "none",
    "tax_ids": [],
}


def expire_session(unit: UnitOfWork, session: Record) -> Json:
    """Close a locked, open session, cancel its unpaid intent, and emit `checkout.session.expired`."""
    before = snapshot(session.data)
    session.data |= {"status": "expired", "url": None}
    assert changed(before, session.data), session.id
    unit.save(session)
    intent_id = session.hidden.get("payment_intent")
    if intent_id is not None:
        cancel_intent(unit, unit.get("payment_intent", intent_id, lock=True), "expired")
    unit.emit("checkout.session.expired", session.data)
    return session.data


def expire_due_sessions(unit: UnitOfWork) -> int:
    """Expire every open session whose time has run out; return how many there were."""
    rows = unit.connection.execute(
        "select id from objects where object = 'checkout.session' and data @> '{\"status\": \"open\"}' "
        "and (data->>'expires_at')::bigint <= %s order by sequence limit 100 for update skip locked",
        (unit.now,),
    ).fetchall()
    for row in rows:
        expire_session(unit, unit.get("checkout.session", row["id"], lock=True))
    return len(rows)
