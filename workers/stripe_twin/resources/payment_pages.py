"""Payment pages: a checkout session as the page sees it that pays it; for Stripe.js and the command line.

Stripe has no reference for them; what they take and answer is the twin's own, but for the paths and what the
command line's trigger scripts send.
"""

from __future__ import annotations

from typing_extensions import TypedDict

from stripe_twin.errors import CardError, StripeError, invalid, missing_parameter, unexpected_state
from stripe_twin.operations import undocumented
from stripe_twin.parameters import Parameters
from stripe_twin.resources.checkout_payment import Step, closed_step, pay, wants_method
from stripe_twin.resources.checkout_shapes import customer_details
from stripe_twin.resources.checkout_totals import (
    drop_promotion_code,
    price_session,
    use_promotion_code,
)
from stripe_twin.resources.owners import intent_named
from stripe_twin.resources.payment_methods import resolve
from stripe_twin.resources.payment_page_shapes import offers_saving, page_shape, saved_methods
from stripe_twin.shapes import Json, address
from stripe_twin.unit import Record, UnitOfWork

_ONE = "/v1/payment_pages/<session_id>"


class Address(TypedDict, total=False):
    """A postal address, as Stripe.js gives it."""

    city: str
    country: str
    line1: str
    line2: str
    postal_code: str
    state: str


class ShowParams(TypedDict, total=False):
    """Parameters of a look at the page."""

    expand: list[str]


class UpdateParams(TypedDict, total=False):
    """What a customer may enter before paying.

    Attributes:
        address: Where they live; tax follows.
        email: Their e-mail address, for sessions without a customer.
        name: Their name.
        promotion_code: The word they typed; empty to take it off again.
    """

    address: Address
    email: str
    expand: list[str]
    name: str
    promotion_code: str


class ConfirmParams(TypedDict, total=False):
    """How the session is paid.

    Attributes:
        expected_amount: What the customer was shown, in the currency's smallest unit.
        payment_method: The payment method; left out when nothing is to be paid.
        save_payment_method: Whether the customer ticked the box that keeps it.
    """

    expand: list[str]
    expected_amount: int
    payment_method: str
    save_payment_method: bool


@undocumented("GET", _ONE, ShowParams)
def retrieve(unit: UnitOfWork, _params: Parameters, session_id: str) -> Json:
    """Return the page."""
    return page_shape(unit, unit.get("checkout.session", session_id))


@undocumented("POST", _ONE, UpdateParams)
def update_page(unit: UnitOfWork, params: Parameters, session_id: str) -> Json:
    """Take what the customer entered, and work the totals out anew."""
    session = _open_session(unit, session_id)
    details = {**customer_details(email=None), **(session.data["customer_details"] or {})}
    if "email" in params and not session.data["customer"]:
        details["email"] = params["email"] or None
    if "name" in params:
        details["name"] = params["name"] or None
    if params.get("address"):
        details["address"] = address(params["address"])
    session.data["customer_details"] = details
    unit.save(session)
    if params.get("promotion_code"):
        use_promotion_code(unit, session, params["promotion_code"])
    elif "promotion_code" in params:
        drop_promotion_code(unit, session)
    elif session.data["mode"] != "setup":
        price_session(unit, session)
    return page_shape(unit, session)


@undocumented("POST", _ONE + "/confirm", ConfirmParams)
def confirm(unit: UnitOfWork, params: Parameters, session_id: str) -> Json:
    """Pay the session or save its card; the intent in the answer may ask for 3-D Secure first."""
    session = _open_session(unit, session_id)
    data = session.data
    if params.get("expected_amount", data["amount_total"] or 0) != (data["amount_total"] or 0):
        raise invalid(
            "The amount of this Checkout Session has changed since it was shown.",
            param="expected_amount",
            code="checkout_amount_mismatch",
        )
    if (data["automatic_tax"] or {}).get("status") == "requires_location_inputs":
        raise invalid("Enter your address, so that the tax can be worked out.", param="address")
    method = _method(unit, session, params) if wants_method(data) else None
    known = data["customer_details"] or {}
    billing = method.data["billing_details"] if method is not None else {}
    email = known.get("email") or billing.get("email")
    if not email:
        raise missing_parameter("email")
    if method is not None and params.get("save_payment_method"):
        _keep(unit, session, method)
    step = pay(unit, session, method, email=email, name=billing.get("name"), in_page=True)
    if step.kind == "declined":
        raise _refusal(unit, session, step)
    return page_shape(unit, session)


def _open_session(unit: UnitOfWork, session_id: str) -> Record:
    session = unit.get("checkout.session", session_id, lock=True)
    if closed_step(unit, session) is not None:
        raise unexpected_state(
            f"This Checkout Session's status is {session.data['status']}.",
            "checkout_session_unexpected_state",
        )
    return session


def _method(unit: UnitOfWork, session: Record, params: Parameters) -> Record:
    """Return the payment method given: a new one, or one that the session's customer has saved."""
    if not params.get("payment_method"):
        raise missing_parameter("payment_method")
    method = resolve(unit, params["payment_method"])
    owner = method.data["customer"]
    if method.hidden.get("detached") or (
        owner is not None and method.id not in {one.id for one in saved_methods(unit, session)}
    ):
        raise invalid("This payment method cannot be used for this session.", param="payment_method")
    if method.data["type"] not in session.data["payment_method_types"]:
        raise invalid(
            f"The payment method type {method.data['type']} is not allowed for this session.",
            param="payment_method",
        )
    return method


def _keep(unit: UnitOfWork, session: Record, method: Record) -> None:
    """Let the payment save the method to the customer, who may choose it again next time.

    Source: https://docs.stripe.com/payments/checkout/save-during-payment
    """
    if not offers_saving(session.data):
        raise invalid(
            "This session does not offer to save payment methods.",
            param="save_payment_method",
        )
    method.data["allow_redisplay"] = "always"
    unit.save(method)
    session.hidden["payment_intent_data"].setdefault("setup_future_usage", "on_session")
    known = session.hidden.get("payment_intent")
    if known is not None:
        intent = unit.get("payment_intent", known, lock=True)
        intent.data["setup_future_usage"] = intent.data["setup_future_usage"] or "on_session"
        unit.save(intent)


def _refusal(unit: UnitOfWork, session: Record, step: Step) -> StripeError:
    error = dict(step.error or {})
    intent_id = session.hidden.get("payment_intent") or session.hidden.get("setup_intent")
    intent = intent_named(unit, str(intent_id)).data
    kept = {name: error[name] for name in ("decline_code", "advice_code") if error.get(name)}
    return CardError(
        error["message"], code=error["code"], param=error.get("param"), **{intent["object"]: intent}, **kept
    )
