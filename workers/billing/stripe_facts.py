"""What we read at Stripe, reduced to the facts that the database acts on (`billing_private.*_facts`).

Stripe's objects are read by id at the pinned API version; a webhook's own snapshot is never used for money.
The models ignore what they do not name, so additions to Stripe's API change nothing here.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Literal

import stripe
from pydantic import AliasPath, BaseModel, ConfigDict, Field, field_validator, model_validator

#: Our marks on Stripe's objects. They help to find a row and to cross-check it; they decide nothing alone.
ORGANIZATION_MARK = "organization_id"
CHECKOUT_MARK = "checkout_session_id"
TOPUP_MARK = "topup_id"

FactsKind = Literal[
    "checkout_session",
    "payment_intent",
    "charge",
    "customer",
    "subscription",
    "invoice",
    "reversals",
    "fraud_warning",
    "payment_method",
    "setup_intent",
    "catalogue_object",
]


class Facts(BaseModel):
    """Base: immutable, ignoring what it does not name; dumped to JSON for the database."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def as_json(self) -> dict[str, Any]:
        """Return the arguments for the database, by field name."""
        return self.model_dump(mode="json")


def uuid_or_none(value: object) -> uuid.UUID | None:
    """A mark that is no UUID is not ours."""
    try:
        return uuid.UUID(str(value)) if value else None
    except ValueError:
        return None


def id_of(value: Any) -> Any:
    """Stripe gives an id, or the whole object where it was expanded."""
    return value.get("id") if isinstance(value, dict) else value


class PaymentFacts(Facts):
    """A PaymentIntent with its latest charge, or a charge alone."""

    stripe_payment_intent_id: str | None
    status: str | None = None
    amount: int
    amount_refunded: int | None = None
    currency: str
    stripe_charge_id: str | None = None
    stripe_customer_id: str | None = None
    organization_id: uuid.UUID | None = None
    checkout_session_id: uuid.UUID | None = None
    topup_id: uuid.UUID | None = None
    card_brand: str | None = None
    card_last4: str | None = None
    receipt_url: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    livemode: bool
    fetched_at: datetime

    @classmethod
    def of_intent(cls, intent: dict[str, Any], fetched_at: datetime) -> PaymentFacts:
        """Read a PaymentIntent.

        Args:
            intent: the object, `latest_charge` expanded.
            fetched_at: when the reading began.
        """
        charge = intent.get("latest_charge") if isinstance(intent.get("latest_charge"), dict) else None
        error = intent.get("last_payment_error") or {}
        marks = intent.get("metadata") or {}
        card = _card(charge) or _card(error.get("payment_method"))
        return cls(
            stripe_payment_intent_id=intent["id"],
            status=intent["status"],
            amount=intent["amount"],
            amount_refunded=(charge or {}).get("amount_refunded"),
            currency=intent["currency"],
            stripe_charge_id=(charge or {}).get("id"),
            stripe_customer_id=id_of(intent.get("customer")),
            organization_id=uuid_or_none(marks.get(ORGANIZATION_MARK)),
            checkout_session_id=uuid_or_none(marks.get(CHECKOUT_MARK)),
            topup_id=uuid_or_none(marks.get(TOPUP_MARK)),
            card_brand=card.get("brand"),
            card_last4=card.get("last4"),
            receipt_url=(charge or {}).get("receipt_url"),
            failure_code=error.get("decline_code") or error.get("code"),
            failure_message=error.get("message"),
            livemode=intent["livemode"],
            fetched_at=fetched_at,
        )

    @classmethod
    def of_charge(cls, charge: dict[str, Any], fetched_at: datetime) -> PaymentFacts:
        """Read a charge.

        Args:
            charge: the object.
            fetched_at: when the reading began.
        """
        card = _card(charge)
        return cls(
            stripe_payment_intent_id=id_of(charge.get("payment_intent")),
            status=charge["status"],
            amount=charge["amount"],
            amount_refunded=charge["amount_refunded"],
            currency=charge["currency"],
            stripe_charge_id=charge["id"],
            stripe_customer_id=id_of(charge.get("customer")),
            card_brand=card.get("brand"),
            card_last4=card.get("last4"),
            receipt_url=charge.get("receipt_url"),
            failure_code=charge.get("failure_code"),
            failure_message=charge.get("failure_message"),
            livemode=charge["livemode"],
            fetched_at=fetched_at,
        )


def _card(owner: dict[str, Any] | None) -> dict[str, Any]:
    """The card behind a charge (`payment_method_details.card`) or a payment method (`card`)."""
    owner = owner or {}
    return (owner.get("payment_method_details") or owner).get("card") or {}


class CheckoutFacts(Facts):
    """A Checkout Session, with its PaymentIntent (it has none until paid, and none when the total is 0)."""

    stripe_session_id: str = Field(validation_alias="id")
    livemode: bool
    mode: str
    status: str | None
    payment_status: str
    currency: str | None = None
    amount_subtotal: int | None = None
    amount_discount: int | None = Field(
        default=None, validation_alias=AliasPath("total_details", "amount_discount")
    )
    amount_total: int | None = None
    stripe_customer_id: str | None = Field(default=None, validation_alias="customer")
    is_payment_link: bool = Field(default=False, validation_alias="payment_link")
    client_reference_id: str | None = None
    organization_id: uuid.UUID | None = Field(
        default=None, validation_alias=AliasPath("metadata", ORGANIZATION_MARK)
    )
    checkout_session_id: uuid.UUID | None = Field(
        default=None, validation_alias=AliasPath("metadata", CHECKOUT_MARK)
    )
    payment: PaymentFacts | None = None
    stripe_subscription_id: str | None = Field(default=None, validation_alias="subscription")
    stripe_invoice_id: str | None = Field(default=None, validation_alias="invoice", exclude=True)
    fetched_at: datetime
    url: str | None = Field(default=None, exclude=True)
    client_secret: str | None = Field(default=None, exclude=True, repr=False)
    allow_promotion_codes: bool | None = Field(default=None, exclude=True)
    expires_at: datetime | None = Field(default=None, exclude=True)

    @field_validator("organization_id", "checkout_session_id", mode="before")
    @classmethod
    def _foreign_marks_are_none(cls, value: object) -> uuid.UUID | None:
        return uuid_or_none(value)

    @field_validator("stripe_customer_id", "stripe_subscription_id", "stripe_invoice_id", mode="before")
    @classmethod
    def _customer_id(cls, value: object) -> object:
        return id_of(value)

    @field_validator("is_payment_link", mode="before")
    @classmethod
    def _made_by_a_link(cls, value: object) -> bool:
        return value is not None

    @model_validator(mode="before")
    @classmethod
    def _read_intent(cls, session: Any) -> Any:
        intent = session.get("payment_intent")
        if isinstance(intent, dict):
            return {**session, "payment": PaymentFacts.of_intent(intent, session["fetched_at"])}
        return session

    @classmethod
    def of(cls, session: stripe.checkout.Session, fetched_at: datetime) -> CheckoutFacts:
        """Read a session as the library returned it.

        Args:
            session: the object.
            fetched_at: when the reading began.
        """
        return cls.model_validate({**session.to_dict(), "fetched_at": fetched_at})


class CustomerFacts(Facts):
    """A customer, or the stub that Stripe leaves of a deleted one."""

    stripe_customer_id: str = Field(validation_alias="id")
    email: str | None = None
    name: str | None = None
    currency: str | None = None
    default_payment_method_id: str | None = Field(
        default=None, validation_alias=AliasPath("invoice_settings", "default_payment_method")
    )
    is_deleted: bool = Field(default=False, validation_alias="deleted")
    livemode: bool = False
    fetched_at: datetime

    @field_validator("default_payment_method_id", mode="before")
    @classmethod
    def _method_id(cls, value: object) -> object:
        return id_of(value)


def now() -> datetime:
    """When a reading begins: taken before the call, so that a reading is never thought newer than it is."""
    return datetime.now(UTC)


def read_checkout_session(client: stripe.StripeClient, session_id: str) -> CheckoutFacts:
    """Read a Checkout Session with its payment, in one call.

    Raises:
        stripe.StripeError: Stripe did not answer, or does not know the session.
    """
    started = now()
    session = client.v1.checkout.sessions.retrieve(session_id, {"expand": ["payment_intent.latest_charge"]})
    return CheckoutFacts.of(session, started)


def read_payment_intent(client: stripe.StripeClient, intent_id: str) -> PaymentFacts:
    """Read a PaymentIntent with its latest charge; raises as `read_checkout_session`."""
    started = now()
    intent = client.v1.payment_intents.retrieve(intent_id, {"expand": ["latest_charge"]})
    return PaymentFacts.of_intent(intent.to_dict(), started)


def read_charge(client: stripe.StripeClient, charge_id: str) -> PaymentFacts:
    """Read a charge; raises as `read_checkout_session`."""
    started = now()
    return PaymentFacts.of_charge(client.v1.charges.retrieve(charge_id).to_dict(), started)


def read_customer(client: stripe.StripeClient, customer_id: str) -> CustomerFacts:
    """Read a customer; raises as `read_checkout_session`."""
    started = now()
    customer = client.v1.customers.retrieve(customer_id)
    return CustomerFacts.model_validate({**customer.to_dict(), "fetched_at": started})
