"""What a browser may do with a publishable key: calls that say so, on objects whose client secret it knows.

Source: https://docs.stripe.com/keys and https://docs.stripe.com/api/payment_intents/object#payment_intent_object-client_secret
"""

from __future__ import annotations

import hmac
from dataclasses import replace

from stripe_twin.errors import StripeError, invalid, no_such
from stripe_twin.forms import FormValue
from stripe_twin.idempotency import Answer
from stripe_twin.shapes import Json
from stripe_twin.unit import UnitOfWork

PREFIX = "pk_test_"
_KINDS = {"cs": "checkout.session", "pi": "payment_intent", "seti": "setup_intent"}
_SHOWN: dict[str, frozenset[str]] = {
    "payment_intent": frozenset(
        {
            "amount",
            "amount_details",
            "automatic_payment_methods",
            "canceled_at",
            "cancellation_reason",
            "capture_method",
            "client_secret",
            "confirmation_method",
            "created",
            "currency",
            "description",
            "id",
            "last_payment_error",
            "livemode",
            "next_action",
            "object",
            "payment_method",
            "payment_method_types",
            "processing",
            "receipt_email",
            "setup_future_usage",
            "shipping",
            "status",
        }
    ),
    "setup_intent": frozenset(
        {
            "automatic_payment_methods",
            "cancellation_reason",
            "client_secret",
            "created",
            "description",
            "id",
            "last_setup_error",
            "livemode",
            "next_action",
            "object",
            "payment_method",
            "payment_method_types",
            "status",
            "usage",
        }
    ),
    "payment_method": frozenset(
        {
            "allow_redisplay",
            "billing_details",
            "card",
            "created",
            "id",
            "livemode",
            "object",
            "sepa_debit",
            "type",
            "us_bank_account",
        }
    ),
}


def is_publishable(key: str) -> bool:
    """Whether an API key is one that web pages may show."""
    return key.startswith(PREFIX)


def take_key(values: dict[str, FormValue]) -> str:
    """Take a publishable key out of a request's parameters, where Stripe.js sends it; empty without one."""
    key = values.get("key")
    if not isinstance(key, str) or not is_publishable(key):
        return ""
    del values["key"]
    return key


def check_secret(unit: UnitOfWork, object_ids: list[str], given: FormValue | None) -> None:
    """Refuse a browser that does not know the client secret of what it calls for.

    Args:
        unit: The unit of work.
        object_ids: The ids of the call's path; empty when it makes something new.
        given: The parameter `client_secret`.

    Raises:
        StripeError: 400 without a secret or with a wrong one, 404 for an object that does not exist.
    """
    for object_id in object_ids:
        kind = _KINDS.get(object_id.partition("_")[0])
        record = unit.find(kind, object_id) if kind else None
        if record is None:
            raise no_such(kind or "object", object_id)
        expected = record.data["client_secret"]
        if not isinstance(given, str) or not given:
            raise invalid("Missing required param: client_secret.", param="client_secret")
        if not expected or not hmac.compare_digest(given.encode(), str(expected).encode()):
            raise invalid(
                f"The client_secret provided does not match any associated {kind} on this account. Ensure "
                "the publishable key used belongs to the same account that created it.",
                param="client_secret",
                code="resource_missing",
            )


def not_for_browsers() -> StripeError:
    """Return the refusal of a call that needs a secret key."""
    return StripeError(
        401,
        "This API call cannot be made with a publishable API key. Please use a secret API key. You can find "
        "a list of your API keys at https://dashboard.stripe.com/account/apikeys.",
        code="secret_key_required",
    )


def shown_answer(answer: Answer) -> Answer:
    """Return an answer without what is the merchant's alone; the objects inside of errors likewise."""
    return replace(answer, body=shown(answer.body))


def shown(value: Json) -> Json:
    """Return an object without what is the merchant's alone, such as metadata."""
    fields = _SHOWN.get(str(value.get("object")))
    kept = {name: inner for name, inner in value.items() if fields is None or name in fields}
    return {name: shown(inner) if isinstance(inner, dict) else inner for name, inner in kept.items()}
