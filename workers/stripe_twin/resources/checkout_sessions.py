"""Checkout sessions in payment mode: the calls and the shape.

Source: https://docs.stripe.com/api/checkout/sessions

The page that customers see is in `stripe_twin.pages.checkout`; what paying does to a session is in
`checkout_payment`.
"""

from __future__ import annotations

from stripe_twin.errors import invalid, missing_parameter, unexpected_state
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.checkout_payment import expire_session
from stripe_twin.resources.common import (
    check_limit,
    list_objects,
    not_supported,
    only,
    simple_changes,
    update,
    value_of,
)
from stripe_twin.resources.line_items import price_lines
from stripe_twin.resources.payments import check_amount
from stripe_twin.shapes import Json, complete, listing
from stripe_twin.unit import UnitOfWork

_PATH = "/v1/checkout/sessions"
_ONE = _PATH + "/<session_id>"
_STORED = (
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
    "saved_payment_method_options",
    "submit_type",
    "success_url",
)
_SUPPORTED = (
    *_STORED,
    "automatic_tax",
    "currency",
    "custom_text",
    "customer_update",
    "expires_at",
    "invoice_creation",
    "line_items",
    "metadata",
    "mode",
    "payment_intent_data",
    "payment_method_options",
    "phone_number_collection",
    "tax_id_collection",
    "ui_mode",
)
_INTENT_DATA = (
    "capture_method",
    "description",
    "metadata",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
_DAY_SECONDS = 24 * 3600
_SHORTEST_SECONDS = 30 * 60
_CUSTOM_TEXTS = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")


@operation("POST", _PATH, "checkout._session_create_params.SessionCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a checkout session with a page of its own."""
    only(params, _SUPPORTED, "checkout session creation")
    _check_creation(unit, params)
    lines = price_lines(unit, params.get("line_items") or [])
    total = sum(line["amount_total"] for line in lines)
    currency = lines[0]["currency"]
    if params.get("currency", currency) != currency:
        raise invalid("The currency must be that of the line items.", param="currency")
    if total:
        check_amount(total, currency, "line_items")
    session = _shape(unit, params, total, currency)
    secret = random_text(32)
    unit.insert(
        session, {"payment_intent_data": params.get("payment_intent_data") or {}, "form_token": secret}
    )
    for line in lines:
        unit.insert(line, {"session": session["id"]})
    return session


def _check_creation(unit: UnitOfWork, params: Parameters) -> None:
    mode = params.get("mode")
    if mode is None:
        raise missing_parameter("mode")
    if mode != "payment":
        raise not_supported(f"checkout sessions in {mode} mode", "mode")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise not_supported(f"checkout with ui_mode {params['ui_mode']}", "ui_mode")
    if not params.get("success_url"):
        raise missing_parameter("success_url")
    for name in ("success_url", "cancel_url"):
        if params.get(name) and not params[name].startswith(("http://", "https://")):
            raise invalid("Not a valid URL", param=name, code="url_invalid")
    for name in ("automatic_tax", "tax_id_collection", "phone_number_collection"):
        if (params.get(name) or {}).get("enabled"):
            raise not_supported(name, f"{name}[enabled]")
    _check_customer(unit, params)
    _check_intent_data(params.get("payment_intent_data") or {})
    expires_at = params.get("expires_at", unit.now + _DAY_SECONDS)
    if not unit.now + _SHORTEST_SECONDS - 60 <= expires_at <= unit.now + _DAY_SECONDS + 60:
        raise invalid(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session "
            "creation.",
            param="expires_at",
        )


def _check_customer(unit: UnitOfWork, params: Parameters) -> None:
    if params.get("customer") and params.get("customer_email"):
        raise invalid("You may only specify one of these parameters: customer, customer_email.")
    if params.get("customer") and params.get("customer_creation"):
        raise invalid(
            "`customer_creation` can only be used when no `customer` is passed.", param="customer_creation"
        )
    if params.get("customer"):
        unit.get("customer", params["customer"], param="customer")
    reference = params.get("client_reference_id") or ""
    if len(reference) > 200:
        raise invalid("client_reference_id can have up to 200 characters.", param="client_reference_id")


def _check_intent_data(given: Parameters) -> None:
    only(given, _INTENT_DATA, "payment_intent_data")
    if given.get("capture_method") == "manual":
        raise not_supported("manual capture", "payment_intent_data[capture_method]")


def _shape(unit: UnitOfWork, params: Parameters, total: int, currency: str) -> Json:
    session_id = new_id("cs_test")
    customer = value_of(params, "customer")
    known = {
        "id": session_id,
        "adaptive_pricing": {"enabled": False},
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "created": unit.now,
        "currency": currency,
        "custom_fields": [],
        "custom_text": {name: (params.get("custom_text") or {}).get(name) or None for name in _CUSTOM_TEXTS},
        "customer_creation": None if customer else params.get("customer_creation", "if_required"),
        "expires_at": params.get("expires_at", unit.now + _DAY_SECONDS),
        "invoice_creation": _invoice_creation(params),
        "metadata": value_of(params, "metadata") or {},
        "mode": "payment",
        "payment_method_collection": "if_required",
        "payment_method_options": {"card": {"request_three_d_secure": _three_d_secure(params)}},
        "payment_method_types": ["card"],
        "payment_status": "unpaid" if total else "no_payment_required",
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "status": "open",
        "tax_id_collection": {"enabled": False, "required": "never"},
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{unit.settings.public_url}/c/pay/{session_id}",
        "wallet_options": None,
    }
    stored = {
        name: value_of(params, name) for name in _STORED if name in params and name != "customer_creation"
    }
    if customer is not None:
        email = unit.get("customer", customer).data["email"]
        stored["customer_details"] = customer_details(email=email)
    elif stored.get("customer_email"):
        stored["customer_details"] = customer_details(email=stored["customer_email"])
    if "saved_payment_method_options" in stored:
        stored["saved_payment_method_options"] = _saved_options(stored["saved_payment_method_options"])
    return complete("checkout.session", {**stored, **known})


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


@operation("GET", _PATH, "checkout._session_list_params.SessionListParams")
def list_sessions(unit: UnitOfWork, params: Parameters) -> Json:
    """List sessions, by status, customer, customer's e-mail address or payment intent."""
    return list_objects(unit, "checkout.session", params, _PATH)


@operation("GET", _ONE, "checkout._session_retrieve_params.SessionRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, session_id: str) -> Json:
    """Return a session."""
    return unit.get("checkout.session", session_id).data


@operation("POST", _ONE, "checkout._session_update_params.SessionUpdateParams")
def update_session(unit: UnitOfWork, params: Parameters, session_id: str) -> Json:
    """Change a session's metadata."""
    only(params, ("metadata",), "checkout session update")
    record = unit.get("checkout.session", session_id, lock=True)
    return update(unit, record, simple_changes(params, record.data, ()), None)


@operation("POST", _ONE + "/expire", "checkout._session_expire_params.SessionExpireParams")
def expire(unit: UnitOfWork, _params: Parameters, session_id: str) -> Json:
    """Close an open session and emit `checkout.session.expired`."""
    record = unit.get("checkout.session", session_id, lock=True)
    if record.data["status"] != "open":
        raise unexpected_state(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a '
            f"status of `{record.data['status']}`.",
            "checkout_session_unexpected_state",
        )
    return expire_session(unit, record)


@operation("GET", _ONE + "/line_items", "checkout._session_line_item_list_params.SessionLineItemListParams")
def list_line_items(unit: UnitOfWork, params: Parameters, session_id: str) -> Json:
    """List a session's line items, in the order they were given."""
    unit.get("checkout.session", session_id)
    check_limit(params)
    url = f"{_PATH}/{session_id}/line_items"
    turned = {"limit": params.get("limit", 10)}
    if params.get("starting_after"):  # items run oldest first, the other lists newest first
        turned["ending_before"] = params["starting_after"]
    elif params.get("ending_before"):
        turned["starting_after"] = params["ending_before"]
    else:
        return _first_lines(unit, session_id, int(turned["limit"]), url)
    page = unit.page("item", turned, hidden={"session": session_id})
    return listing([record.data for record in reversed(page.records)], url, has_more=page.has_more)


def _first_lines(unit: UnitOfWork, session_id: str, limit: int, url: str) -> Json:
    lines = unit.all("item", hidden={"session": session_id})
    return listing([line.data for line in lines[:limit]], url, has_more=len(lines) > limit)
