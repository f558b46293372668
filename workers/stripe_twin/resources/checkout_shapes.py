"""What a checkout session looks like when it is new.

Source: https://docs.stripe.com/api/checkout/sessions/object
"""

from __future__ import annotations

from stripe_twin.bank_accounts import allowed_types
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import only, value_of
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import UnitOfWork

DAY_SECONDS = 24 * 3600
#: Parameters that a session shows as they were given.
STORED = (
    "allow_promotion_codes",
    "allowed_payment_method_types",
    "billing_address_collection",
    "cancel_url",
    "client_reference_id",
    "customer",
    "customer_creation",
    "customer_email",
    "integration_identifier",
    "locale",
    "origin_context",
    "return_url",
    "saved_payment_method_options",
    "submit_type",
    "success_url",
)
_CUSTOM_TEXTS = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")


def session_shape(unit: UnitOfWork, params: Parameters, currency: str | None) -> Json:
    """Return a new session whose lines are not priced yet; the parameters are those of the API."""
    session_id = new_id("cs_test")
    customer = value_of(params, "customer")
    mode, ui_mode = params["mode"], params.get("ui_mode", "hosted_page")
    is_hosted, takes_money = ui_mode == "hosted_page", mode != "setup"
    zero = {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}
    known = {
        "id": session_id,
        "adaptive_pricing": {"enabled": False},
        "amount_subtotal": 0 if takes_money else None,
        "amount_total": 0 if takes_money else None,
        "automatic_tax": _automatic_tax(params),
        "client_secret": None if is_hosted else f"{session_id}_secret_{random_text(40)}",
        "created": unit.now,
        "currency": currency,
        "custom_fields": [],
        "custom_text": {name: (params.get("custom_text") or {}).get(name) or None for name in _CUSTOM_TEXTS},
        "customer_creation": _customer_creation(params, mode, customer),
        "discounts": [] if takes_money else None,
        "expires_at": params.get("expires_at", unit.now + DAY_SECONDS),
        "invoice_creation": _invoice_creation(params) if mode == "payment" else None,
        "metadata": value_of(params, "metadata") or {},
        "mode": mode,
        "payment_method_collection": _collection(params, mode),
        "payment_method_options": {"card": {"request_three_d_secure": _three_d_secure(params)}},
        "payment_method_types": allowed_types(
            currency if takes_money else None, params.get("allowed_payment_method_types")
        ),
        "payment_status": "no_payment_required",
        "phone_number_collection": {"enabled": False},
        "redirect_on_completion": None if is_hosted else params.get("redirect_on_completion", "always"),
        "shipping_options": [],
        "status": "open",
        "tax_id_collection": {"enabled": False, "required": "never", **params.get("tax_id_collection", {})},
        "total_details": zero if takes_money else None,
        "ui_mode": ui_mode,
        "url": f"{unit.settings.public_url}/c/pay/{session_id}" if is_hosted else None,
        "wallet_options": None,
    }
    stored = {
        name: value_of(params, name) for name in STORED if name in params and name != "customer_creation"
    }
    if customer is not None:
        known_customer = unit.get("customer", customer).data
        stored["customer_details"] = customer_details(email=known_customer["email"])
        stored["customer_details"]["address"] = known_customer["address"]
    elif stored.get("customer_email"):
        stored["customer_details"] = customer_details(email=stored["customer_email"])
    if "saved_payment_method_options" in stored:
        stored["saved_payment_method_options"] = _saved_options(stored["saved_payment_method_options"])
    return complete("checkout.session", {**stored, **known})


def _automatic_tax(params: Parameters) -> Json:
    enabled = bool((params.get("automatic_tax") or {}).get("enabled"))
    liability = {"account": None, "type": "self"} if enabled else None
    provider = "stripe" if enabled else None
    return {"enabled": enabled, "liability": liability, "provider": provider, "status": None}


def _customer_creation(params: Parameters, mode: str, customer: str | None) -> str | None:
    if customer or mode == "subscription":
        return None
    return str(params.get("customer_creation", "if_required"))


def _collection(params: Parameters, mode: str) -> str | None:
    if mode == "subscription":
        return str(params.get("payment_method_collection", "always"))
    return "if_required" if mode == "payment" else "always"


def customer_details(*, email: str | None, name: str | None = None) -> Json:
    """Return what a session shows of its customer; only what the customer or the merchant gave."""
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": None,
    }


def _saved_options(given: Json) -> Json:
    return {
        "allow_redisplay_filters": given.get("allow_redisplay_filters") or ["always"],
        "payment_method_remove": given.get("payment_method_remove", "disabled"),
        "payment_method_save": given.get("payment_method_save"),
    }


def _three_d_secure(params: Parameters) -> str:
    options = params.get("payment_method_options") or {}
    only(options, ("card",), "payment_method_options")
    only(options.get("card") or {}, ("request_three_d_secure",), "payment_method_options[card]")
    return str((options.get("card") or {}).get("request_three_d_secure", "automatic"))


def _invoice_creation(params: Parameters) -> Json:
    given = params.get("invoice_creation") or {}
    data = given.get("invoice_data") or {}
    names = (
        "account_tax_ids",
        "custom_fields",
        "description",
        "footer",
        "issuer",
        "metadata",
        "rendering_options",
    )
    return {"enabled": given.get("enabled", False), "invoice_data": {name: data.get(name) for name in names}}
