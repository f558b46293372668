"""What happens when a payment intent meets a card: paid, declined, or sent to 3-D Secure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stripe_twin import cards
from stripe_twin.amounts import check_step
from stripe_twin.bank_accounts import allowed_types
from stripe_twin.errors import CardError, StripeError
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.parameters import Parameters
from stripe_twin.preferences import read_preferences
from stripe_twin.resources.charges import create_charge, finish_charge
from stripe_twin.resources.common import value_of
from stripe_twin.resources.disputes import after_success
from stripe_twin.resources.payment_methods import attach
from stripe_twin.resources.verdicts import decline_of, is_bank_account, judge
from stripe_twin.shapes import Json, address, complete
from stripe_twin.timers import set_timer
from stripe_twin.unit import Record, UnitOfWork

_AUTHENTICATION_REQUIRED = cards.Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
_AUTHENTICATION_FAILED = cards.Decline(
    "payment_intent_authentication_failure",
    None,
    "We are unable to authenticate your payment method. Please choose a different payment method and try "
    "again.",
)
SMALLEST_AMOUNTS = {"usd": 50, "eur": 50, "chf": 50, "cad": 50, "aud": 50, "gbp": 30}
LARGEST_AMOUNT = 99_999_999


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended; `error` is the intent's `last_payment_error` after a refusal."""

    kind: Literal["succeeded", "processing", "requires_action", "declined"]
    error: Json | None = None


def check_amount(amount: int, currency: str, param: str = "amount") -> None:
    """Refuse amounts that Stripe would not charge.

    Args:
        amount: In the currency's smallest unit.
        currency: Lower-case code.
        param: The parameter to name in the error.

    Raises:
        StripeError: 400.
    """
    if amount < SMALLEST_AMOUNTS.get(currency, 1):
        raise StripeError(
            400,
            "Amount must convert to at least 50 cents. https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts",
            code="amount_too_small",
            param=param,
        )
    if amount > LARGEST_AMOUNT:
        raise StripeError(
            400, "Amount must be no more than $999,999.99", code="amount_too_large", param=param
        )
    check_step(amount, currency, param)


def create_intent(unit: UnitOfWork, params: Parameters) -> Record:
    """Store a new payment intent and emit `payment_intent.created`; the parameters are those of the API."""
    intent_id = new_id("pi")
    allowed = params.get("allowed_payment_method_types")
    intent = complete(
        "payment_intent",
        {
            "id": intent_id,
            "allowed_payment_method_types": allowed,
            "amount": params["amount"],
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "automatic_payment_methods": None if allowed else {"allow_redirects": "always", "enabled": True},
            "capture_method": params.get("capture_method", "automatic_async"),
            "client_secret": f"{intent_id}_secret_{random_text(24)}",
            "confirmation_method": params.get("confirmation_method", "automatic"),
            "created": unit.now,
            "currency": params["currency"],
            "metadata": value_of(params, "metadata") or {},
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "payment_method_types": allowed_types(params["currency"], allowed),
            "shipping": shipping_shape(params.get("shipping")),
            "status": "requires_payment_method",
            **{name: value_of(params, name) for name in _PLAIN if name in params},
        },
    )
    record = unit.insert(intent)
    unit.emit("payment_intent.created", intent)
    return record


def shipping_shape(given: Json | str | None) -> Json | None:
    """Return where a payment's goods go, as intents and charges show it."""
    if not isinstance(given, dict):
        return None
    texts = {name: value_of(given, name) for name in ("carrier", "name", "phone", "tracking_number")}
    return {**texts, "address": address(given.get("address"))}


_PLAIN = (
    "customer",
    "description",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)


def attempt(
    unit: UnitOfWork,
    intent: Record,
    method: Record,
    *,
    off_session: bool = False,
    asks_when_away: bool = False,
    return_url: str | None = None,
) -> Outcome:
    """Try to collect a locked payment intent with a payment method.

    Args:
        unit: The unit of work.
        intent: The locked intent; changed and saved.
        method: The payment method to charge.
        off_session: Whether the customer is away; then 3-D Secure is a refusal.
        asks_when_away: Whether a bank that wants 3-D Secure is answered later, as with a renewal's invoice.
        return_url: Where a challenge page sends the customer afterwards.
    """
    intent.data["payment_method"] = method.id
    intent.data["last_payment_error"] = None
    verdict = judge(unit, intent.data["customer"], method, off_session=off_session)
    if verdict.asks:
        if off_session and not asks_when_away:
            return _refuse(unit, intent, method, _AUTHENTICATION_REQUIRED, charged=True)
        return _ask(unit, intent, return_url)
    if is_bank_account(method):
        return _debit(unit, intent, method)
    return _collect(unit, intent, method, verdict.decline, authenticated=False)


def _ask(unit: UnitOfWork, intent: Record, return_url: str | None) -> Outcome:
    page = f"{unit.settings.public_url}/3ds/{intent.id}?key={intent.data['client_secret']}"
    intent.data["status"] = "requires_action"
    if return_url:
        redirect = {"return_url": return_url, "url": page}
        intent.data["next_action"] = {"type": "redirect_to_url", "redirect_to_url": redirect}
    else:
        sdk = {"type": "three_d_secure_redirect", "stripe_js": page, "source": new_id("payatt")}
        intent.data["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": sdk}
    unit.save(intent)
    unit.emit("payment_intent.requires_action", intent.data)
    return Outcome("requires_action")


def answer_challenge(unit: UnitOfWork, intent: Record, *, passed: bool) -> Outcome:
    """Go on with a locked intent in `requires_action` after its customer passed or failed the challenge."""
    method = unit.get("payment_method", intent.data["payment_method"], lock=True)
    intent.data["next_action"] = None
    if not passed:
        return _refuse(unit, intent, method, _AUTHENTICATION_FAILED, charged=False)
    method.hidden["authenticated"] = True
    return _collect(unit, intent, method, decline_of(method), authenticated=True)


def _collect(
    unit: UnitOfWork,
    intent: Record,
    method: Record,
    decline: cards.Decline | None,
    *,
    authenticated: bool,
) -> Outcome:
    if decline is not None:
        return _refuse(unit, intent, method, decline, charged=True, authenticated=authenticated)
    _keep_method(unit, intent, method)
    charge = create_charge(unit, intent.data, method, decline=None, authenticated=authenticated)
    intent.data |= {
        "amount_received": intent.data["amount"],
        "latest_charge": charge.id,
        "next_action": None,
        "status": "succeeded",
    }
    unit.save(intent)
    unit.emit("payment_intent.succeeded", intent.data)
    after_success(unit, charge, method)
    return Outcome("succeeded")


def _debit(unit: UnitOfWork, intent: Record, method: Record) -> Outcome:
    """Send a debit on its way; it settles by itself some days later."""
    _keep_method(unit, intent, method)
    charge = create_charge(unit, intent.data, method, decline=None, authenticated=False, pending=True)
    intent.data |= {"latest_charge": charge.id, "next_action": None, "status": "processing"}
    unit.save(intent)
    unit.emit("payment_intent.processing", intent.data)
    moment = unit.now + read_preferences(unit).settle_after_seconds
    set_timer(unit, intent.id, "payment_settles", moment, intent.data["customer"])
    return Outcome("processing")


def settle_debit(unit: UnitOfWork, intent: Record, *, decline: cards.Decline | None) -> Outcome:
    """End the way of a locked intent in `processing`: the money is here, or it came back.

    Args:
        unit: The unit of work.
        intent: The locked intent.
        decline: Why it came back; None when it succeeded.
    """
    set_timer(unit, intent.id, "payment_settles", None, intent.data["customer"])
    charge = unit.get("charge", intent.data["latest_charge"], lock=True)
    finish_charge(unit, charge, decline)
    if decline is not None:
        method = unit.get("payment_method", intent.data["payment_method"])
        return _note_refusal(unit, intent, method, decline, charge)
    intent.data |= {"amount_received": intent.data["amount"], "status": "succeeded"}
    unit.save(intent)
    unit.emit("payment_intent.succeeded", intent.data)
    return Outcome("succeeded")


def _keep_method(unit: UnitOfWork, intent: Record, method: Record) -> None:
    """Save the card to the customer when the payment says so, and mark it used when it does not."""
    customer_id, usage = intent.data["customer"], intent.data["setup_future_usage"]
    if method.data["customer"] is not None and (usage != "off_session" or method.hidden.get("set_up")):
        return
    if usage == "off_session":
        method.hidden["set_up"] = True
    if method.data["customer"] is None and not (usage and customer_id):
        method.hidden["detached"] = True  # a card used without a customer cannot be saved later
    unit.save(method)
    if usage and customer_id and method.data["customer"] is None:
        attach(unit, method.id, customer_id)
        method.data["customer"] = customer_id


def _refuse(
    unit: UnitOfWork,
    intent: Record,
    method: Record,
    decline: cards.Decline,
    *,
    charged: bool,
    authenticated: bool = False,
) -> Outcome:
    charge = (
        create_charge(unit, intent.data, method, decline=decline, authenticated=authenticated)
        if charged
        else None
    )
    return _note_refusal(unit, intent, method, decline, charge)


def _note_refusal(
    unit: UnitOfWork, intent: Record, method: Record, decline: cards.Decline, charge: Record | None
) -> Outcome:
    error: Json = {"code": decline.code, "message": decline.message, "type": "card_error"}
    error["doc_url"] = f"https://docs.stripe.com/error-codes/{decline.code.replace('_', '-')}"
    error["payment_method"] = method.data
    optional = {
        "advice_code": decline.advice_code,
        "charge": charge.id if charge else None,
        "decline_code": decline.decline_code,
        "param": decline.param,
    }
    error |= {name: value for name, value in optional.items() if value is not None}
    intent.data |= {
        "last_payment_error": error,
        "latest_charge": charge.id if charge else intent.data["latest_charge"],
        "next_action": None,
        "payment_method": None,
        "status": "requires_payment_method",
    }
    unit.save(intent)
    unit.emit("payment_intent.payment_failed", intent.data)
    return Outcome("declined", error)


def card_error(intent: Record, outcome: Outcome) -> CardError:
    """Return the 402 that the API answers after a refusal, with the intent inside."""
    error = dict(outcome.error or {})
    message, code, param = error.pop("message"), error.pop("code"), error.pop("param", None)
    error.pop("type"), error.pop("doc_url")
    return CardError(message, code=code, param=param, payment_intent=intent.data, **error)
