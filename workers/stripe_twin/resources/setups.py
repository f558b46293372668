"""What happens when a setup intent meets a card: saved, refused, or sent to 3-D Secure.

Source: https://docs.stripe.com/payments/setup-intents
"""

from __future__ import annotations

from stripe_twin import cards
from stripe_twin.errors import CardError
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import value_of
from stripe_twin.resources.payment_methods import attach
from stripe_twin.resources.payments import Outcome
from stripe_twin.resources.verdicts import decline_of, needs_authentication, saves
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork

_NOT_AUTHENTICATED = cards.Decline(
    "setup_intent_authentication_failure",
    None,
    "The latest attempt to set up the payment method has failed because authentication failed.",
)


def create_setup(unit: UnitOfWork, params: Parameters) -> Record:
    """Store a new setup intent and emit `setup_intent.created`; the parameters are those of the API."""
    intent_id = new_id("seti")
    allowed = params.get("allowed_payment_method_types")
    intent = complete(
        "setup_intent",
        {
            "id": intent_id,
            "allowed_payment_method_types": allowed,
            "automatic_payment_methods": None if allowed else {"allow_redirects": "always", "enabled": True},
            "client_secret": f"{intent_id}_secret_{random_text(24)}",
            "created": unit.now,
            "customer": value_of(params, "customer"),
            "description": value_of(params, "description"),
            "metadata": value_of(params, "metadata") or {},
            "payment_method_options": {
                "card": {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
            },
            "payment_method_types": ["card"],
            "status": "requires_payment_method",
            "usage": params.get("usage", "off_session"),
        },
    )
    record = unit.insert(intent)
    unit.emit("setup_intent.created", intent)
    return record


def attempt_setup(
    unit: UnitOfWork, intent: Record, method: Record, *, return_url: str | None = None
) -> Outcome:
    """Try to save a payment method with a locked setup intent.

    Args:
        unit: The unit of work.
        intent: The locked intent; changed and saved.
        method: The payment method to save.
        return_url: Where a challenge page sends the customer afterwards.
    """
    intent.data |= {"last_setup_error": None, "payment_method": method.id}
    if needs_authentication(method, off_session=False):
        return _ask(unit, intent, return_url)
    return _save(unit, intent, method)


def _ask(unit: UnitOfWork, intent: Record, return_url: str | None) -> Outcome:
    page = f"{unit.settings.public_url}/3ds/{intent.id}?key={intent.data['client_secret']}"
    if return_url:
        redirect = {"return_url": return_url, "url": page}
        intent.data["next_action"] = {"type": "redirect_to_url", "redirect_to_url": redirect}
    else:
        sdk = {"type": "three_d_secure_redirect", "stripe_js": page, "source": new_id("setatt")}
        intent.data["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": sdk}
    intent.data["status"] = "requires_action"
    unit.save(intent)
    unit.emit("setup_intent.requires_action", intent.data)
    return Outcome("requires_action")


def answer_setup_challenge(unit: UnitOfWork, intent: Record, *, passed: bool) -> Outcome:
    """Go on with a locked setup intent after its customer passed or failed the challenge."""
    method = unit.get("payment_method", intent.data["payment_method"], lock=True)
    intent.data["next_action"] = None
    if not passed:
        return _refuse(unit, intent, method, _NOT_AUTHENTICATED)
    return _save(unit, intent, method)


def _save(unit: UnitOfWork, intent: Record, method: Record) -> Outcome:
    decline = decline_of(method)
    if decline is not None and not saves(method):
        return _refuse(unit, intent, method, decline)
    method.hidden["set_up"] = intent.data["usage"] == "off_session"
    unit.save(method)
    if intent.data["customer"] and method.data["customer"] is None:
        attach(unit, method.id, intent.data["customer"])
    intent.data |= {"next_action": None, "status": "succeeded"}
    unit.save(intent)
    unit.emit("setup_intent.succeeded", intent.data)
    return Outcome("succeeded")


def _refuse(unit: UnitOfWork, intent: Record, method: Record, decline: cards.Decline) -> Outcome:
    error: Json = {
        "code": decline.code,
        "doc_url": f"https://docs.stripe.com/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": method.data,
        "type": "card_error",
    }
    optional = {"decline_code": decline.decline_code, "param": decline.param}
    error |= {name: value for name, value in optional.items() if value is not None}
    intent.data |= {
        "last_setup_error": error,
        "next_action": None,
        "payment_method": None,
        "status": "requires_payment_method",
    }
    unit.save(intent)
    unit.emit("setup_intent.setup_failed", intent.data)
    return Outcome("declined", error)


def cancel_setup(unit: UnitOfWork, intent: Record, reason: str | None) -> Json:
    """Cancel a locked setup intent and emit `setup_intent.canceled`."""
    intent.data |= {"cancellation_reason": reason, "next_action": None, "status": "canceled"}
    unit.save(intent)
    unit.emit("setup_intent.canceled", intent.data)
    return intent.data


def setup_error(intent: Record, outcome: Outcome) -> CardError:
    """Return the 402 that the API answers after a refusal, with the intent inside."""
    error = dict(outcome.error or {})
    message, code, param = error.pop("message"), error.pop("code"), error.pop("param", None)
    error.pop("type"), error.pop("doc_url")
    return CardError(message, code=code, param=param, setup_intent=intent.data, **error)
