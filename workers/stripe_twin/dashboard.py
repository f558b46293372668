"""What a person does in Stripe's dashboard, or a bank decides: the control API's actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from stripe_twin.errors import invalid
from stripe_twin.identifiers import random_text
from stripe_twin.periods import add_intervals
from stripe_twin.preferences import read_preferences
from stripe_twin.resources import disputes, refunding
from stripe_twin.resources.common import update
from stripe_twin.resources.debits import settle_now
from stripe_twin.resources.fraud_warnings import warn
from stripe_twin.resources.paying import Payment, pay_session
from stripe_twin.resources.subscription_states import period_end
from stripe_twin.resources.test_clocks import advance_clock
from stripe_twin.resources.verdicts import Instruction, decline_for, instruct
from stripe_twin.shapes import Json
from stripe_twin.timers import run_customer
from stripe_twin.unit import UnitOfWork


class Body(BaseModel):
    """The body of an action; unknown members are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


BodyOfAction = TypeVar("BodyOfAction", bound=BaseModel)


@dataclass(frozen=True)
class Action:
    """One action: its path below `/_twin`, the body it takes, and what it does."""

    name: str
    path: str
    body: type[BaseModel]
    act: Callable[..., Json]


ACTIONS: list[Action] = []


def _action(path: str, body: type[BodyOfAction]) -> Callable[[Callable[..., Json]], Callable[..., Json]]:
    def register(act: Callable[..., Json]) -> Callable[..., Json]:
        ACTIONS.append(Action(act.__name__, path, body, act))
        return act

    return register


# ---- time --------------------------------------------------------------------------------------------------


class Advance(Body):
    """How far: so many seconds, days or months on, or to a time in seconds since 1970."""

    seconds: int = Field(default=0, ge=0)
    days: int = Field(default=0, ge=0, le=800)
    months: int = Field(default=0, ge=0, le=24)
    to: int | None = None

    def target(self, now: int) -> int:
        """Return the time that is meant, as seen from a time."""
        if self.to is not None:
            return self.to
        return add_intervals(now, "month", self.months) + self.days * 24 * 3600 + self.seconds


@_action("/test_clocks/<clock_id>/advance", Advance)
def advance_test_clock(unit: UnitOfWork, body: Advance, clock_id: str) -> Json:
    """Move a test clock on."""
    clock = unit.get("test_helpers.test_clock", clock_id, lock=True)
    advance_clock(unit, clock, body.target(clock.data["frozen_time"]))
    return clock.data


@_action("/customers/<customer_id>/advance", Advance)
def advance_customer(unit: UnitOfWork, body: Advance, customer_id: str) -> Json:
    """Move the time of one customer on, with or without a test clock."""
    return _advance_customer(unit, customer_id, body)


def _advance_customer(unit: UnitOfWork, customer_id: str, body: Advance) -> Json:
    customer = unit.get("customer", customer_id)
    if customer.data["test_clock"]:
        clock = advance_test_clock(unit, body, customer.data["test_clock"])
        return {"customer": customer_id, "now": clock["frozen_time"]}
    until = body.target(unit.now)
    if until <= unit.now:
        raise invalid("Time can only be moved forward.", param="to")
    run_customer(unit, customer_id, until)
    locked = unit.get("customer", customer_id, lock=True)
    ahead = int(locked.hidden.get("seconds_ahead", 0)) + until - unit.now
    locked.hidden["seconds_ahead"] = ahead
    unit.save(locked)
    return {"customer": customer_id, "now": until}


@_action("/subscriptions/<subscription_id>/renew", Body)
def renew_subscription(unit: UnitOfWork, _body: Body, subscription_id: str) -> Json:
    """Move a subscription's customer on, past its renewal and the attempt to collect it."""
    subscription = unit.get("subscription", subscription_id)
    until = period_end(subscription) + read_preferences(unit).finalize_after_seconds + 1
    _advance_customer(unit, subscription.data["customer"], Advance(to=until))
    return unit.get("subscription", subscription_id).data


# ---- money -------------------------------------------------------------------------------------------------


class Refund(Body):
    """How much, in the currency's smallest unit (all that is left when left out), and why."""

    amount: int | None = Field(default=None, ge=1)
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None


@_action("/charges/<charge_id>/refund", Refund)
def refund_charge(unit: UnitOfWork, body: Refund, charge_id: str) -> Json:
    """Refund a charge."""
    charge = unit.get("charge", charge_id, lock=True)
    return refunding.create_refund(unit, charge, body.model_dump(exclude_none=True)).data


class RefundFailure(Body):
    """Why the bank sends it back."""

    reason: str = "expired_or_canceled_card"


@_action("/refunds/<refund_id>/fail", RefundFailure)
def fail_refund(unit: UnitOfWork, body: RefundFailure, refund_id: str) -> Json:
    """Let a refund come back, a pending one or one that had succeeded."""
    refund, charge = refunding.lock_refund(unit, refund_id)
    return refunding.fail(unit, refund, charge, body.reason)


@_action("/refunds/<refund_id>/succeed", Body)
def succeed_refund(unit: UnitOfWork, _body: Body, refund_id: str) -> Json:
    """Let a pending refund arrive."""
    refund, _ = refunding.lock_refund(unit, refund_id)
    return refunding.succeed(unit, refund)


class Settlement(Body):
    """How a debit that is on its way ends."""

    outcome: Literal["succeeded", "failed"] = "succeeded"
    decline_code: str = "insufficient_funds"


@_action("/payment_intents/<intent_id>/settle", Settlement)
def settle_payment(unit: UnitOfWork, body: Settlement, intent_id: str) -> Json:
    """Let a debit that is on its way arrive, or come back."""
    decline = None if body.outcome == "succeeded" else decline_for(body.decline_code)
    return settle_now(unit, intent_id, decline)


@_action("/checkout/sessions/<session_id>/pay", Payment)
def pay_checkout(unit: UnitOfWork, body: Payment, session_id: str) -> Json:
    """Pay a checkout session as its customer would on the page."""
    return pay_session(unit, session_id, body)


# ---- disputes ----------------------------------------------------------------------------------------------


class Dispute(Body):
    """Why, how much (the whole charge when left out), and whether the bank only asks."""

    reason: str = "fraudulent"
    amount: int | None = Field(default=None, ge=1)
    inquiry: bool = False


@_action("/charges/<charge_id>/dispute", Dispute)
def dispute_charge(unit: UnitOfWork, body: Dispute, charge_id: str) -> Json:
    """Dispute a charge, or inquire."""
    charge = unit.get("charge", charge_id, lock=True)
    opened = disputes.open_dispute(
        unit, charge, reason=body.reason, amount=body.amount, is_inquiry=body.inquiry
    )
    return opened.data


@_action("/disputes/<dispute_id>/win", Body)
def win_dispute(unit: UnitOfWork, _body: Body, dispute_id: str) -> Json:
    """Decide a dispute for the merchant."""
    return disputes.win(unit, disputes.lock_dispute(unit, dispute_id))


@_action("/disputes/<dispute_id>/lose", Body)
def lose_dispute(unit: UnitOfWork, _body: Body, dispute_id: str) -> Json:
    """Decide a dispute against the merchant."""
    return disputes.lose(unit, disputes.lock_dispute(unit, dispute_id))


@_action("/disputes/<dispute_id>/escalate", Body)
def escalate_inquiry(unit: UnitOfWork, _body: Body, dispute_id: str) -> Json:
    """Make an inquiry a dispute."""
    return disputes.escalate(unit, disputes.lock_dispute(unit, dispute_id))


@_action("/disputes/<dispute_id>/close_inquiry", Body)
def close_inquiry(unit: UnitOfWork, _body: Body, dispute_id: str) -> Json:
    """End an inquiry without a dispute."""
    return disputes.close_inquiry(unit, disputes.lock_dispute(unit, dispute_id))


class FraudWarning(Body):
    """What the bank suspects."""

    fraud_type: str = "made_with_stolen_card"


@_action("/charges/<charge_id>/fraud_warning", FraudWarning)
def warn_of_fraud(unit: UnitOfWork, body: FraudWarning, charge_id: str) -> Json:
    """Warn of fraud before there is a dispute."""
    return warn(unit, unit.get("charge", charge_id, lock=True), body.fraud_type).data


# ---- customers and cards -----------------------------------------------------------------------------------


class NextCharge(Body):
    """What the next charges meet; nothing in particular when `do` is left out."""

    do: Literal["decline", "authenticate"] | None = None
    decline_code: str = "generic_decline"
    times: int = Field(default=1, ge=1, le=100)


@_action("/customers/<customer_id>/next_charge", NextCharge)
def set_next_charge(unit: UnitOfWork, body: NextCharge, customer_id: str) -> Json:
    """Decline the next charges of a customer, or ask for 3-D Secure, whatever the card."""
    customer = unit.get("customer", customer_id, lock=True)
    wanted = None if body.do is None else Instruction.model_validate(body.model_dump())
    instruct(customer, wanted)
    unit.save(customer)
    return {"customer": customer_id, "next_charge": body.model_dump() if wanted else None}


class NewCard(Body):
    """The new expiry, three years from now when left out, and the new last digits."""

    exp_month: int | None = Field(default=None, ge=1, le=12)
    exp_year: int | None = Field(default=None, ge=2000, le=2100)
    last4: str | None = Field(default=None, pattern=r"^\d{4}$")


@_action("/payment_methods/<method_id>/renew", NewCard)
def renew_card(unit: UnitOfWork, body: NewCard, method_id: str) -> Json:
    """Let the bank replace a saved card: `payment_method.automatically_updated`."""
    method = unit.get("payment_method", method_id, lock=True)
    if method.data["type"] != "card":
        raise invalid("Only cards are updated by banks.")
    today = datetime.fromtimestamp(unit.now, UTC)
    given: dict[str, Any] = {"exp_month": today.month, "exp_year": today.year + 3}
    given |= body.model_dump(exclude_none=True)
    changes = {"card": {**method.data["card"], **given}}
    return update(unit, method, changes, "payment_method.automatically_updated")


@_action("/prices/<price_id>/delete", Body)
def delete_price(unit: UnitOfWork, _body: Body, price_id: str) -> Json:
    """Delete a price that nothing uses, which only the dashboard can: `price.deleted`."""
    price = unit.get("price", price_id, lock=True)
    used = {"items": {"data": [{"price": {"id": price_id}}]}}
    if unit.all("subscription", used) or unit.all("item", {"price": {"id": price_id}}):
        raise invalid("This price has been used and cannot be deleted.")
    price.deleted = True
    unit.save(price)
    unit.emit("price.deleted", price.data)
    return {"id": price_id, "object": "price", "deleted": True}


# ---- webhook endpoints -------------------------------------------------------------------------------------


class NewSecret(Body):
    """The new secret, made up when left out, and for how long the old one signs too."""

    secret: str | None = Field(default=None, min_length=8, max_length=200)
    old_signs_for_seconds: int = Field(default=24 * 3600, ge=0, le=24 * 3600)


@_action("/webhook_endpoints/<endpoint_id>/roll_secret", NewSecret)
def roll_secret(unit: UnitOfWork, body: NewSecret, endpoint_id: str) -> Json:
    """Give an endpoint a new signing secret; for a while deliveries carry the signatures of both."""
    endpoint = unit.get("webhook_endpoint", endpoint_id, lock=True)
    old = endpoint.hidden["secret"]
    endpoint.hidden |= {
        "old_secret": old,
        "old_secret_until": unit.now + body.old_signs_for_seconds,
        "secret": body.secret or f"whsec_{random_text(32)}",
    }
    unit.save(endpoint)
    return {"id": endpoint_id, "secret": endpoint.hidden["secret"]}
