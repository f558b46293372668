"""Checkout sessions: the calls.

Source: https://docs.stripe.com/api/checkout/sessions

The page that customers see is in `stripe_twin.pages.checkout`; what paying does to a session is in
`checkout_payment`, what completes it in `checkout_completion`.
"""

from __future__ import annotations

from stripe_twin.errors import invalid, missing_parameter, unexpected_state
from stripe_twin.identifiers import random_text
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.checkout_payment import expire_session
from stripe_twin.resources.checkout_shapes import DAY_SECONDS, STORED, session_shape
from stripe_twin.resources.checkout_totals import price_session
from stripe_twin.resources.common import (
    check_limit,
    list_objects,
    not_supported,
    only,
    simple_changes,
    update,
)
from stripe_twin.resources.discounts import find_coupon
from stripe_twin.resources.invoice_drafts import has_location
from stripe_twin.resources.line_items import make_lines
from stripe_twin.shapes import Json, listing
from stripe_twin.timers import set_timer
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/checkout/sessions"
_ONE = _PATH + "/<session_id>"
_SUPPORTED = (
    *STORED,
    "automatic_tax",
    "currency",
    "custom_text",
    "customer_update",
    "discounts",
    "expires_at",
    "invoice_creation",
    "line_items",
    "metadata",
    "mode",
    "payment_intent_data",
    "payment_method_collection",
    "payment_method_options",
    "phone_number_collection",
    "redirect_on_completion",
    "setup_intent_data",
    "subscription_data",
    "tax_id_collection",
    "ui_mode",
)
_INTENT_DATA = (
    "capture_method",
    "description",
    "metadata",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
_SUBSCRIPTION_DATA = (
    "billing_cycle_anchor",
    "billing_mode",
    "description",
    "invoice_settings",
    "metadata",
    "proration_behavior",
    "trial_end",
    "trial_period_days",
    "trial_settings",
)
_DATA_OF_MODE = {
    "payment": "payment_intent_data",
    "setup": "setup_intent_data",
    "subscription": "subscription_data",
}
_SHORTEST_SECONDS = 30 * 60


@operation("POST", _PATH, "checkout._session_create_params.SessionCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a checkout session with a page of its own, or for a page of the merchant's."""
    only(params, _SUPPORTED, "checkout session creation")
    _check_creation(unit, params)
    mode = params["mode"]
    trial = params.get("subscription_data") or {}
    is_trial = bool(trial.get("trial_period_days") or trial.get("trial_end"))
    lines = (
        []
        if mode == "setup"
        else make_lines(unit, params.get("line_items") or [], mode=mode, is_trial=is_trial)
    )
    currency = lines[0]["currency"] if lines else params.get("currency")
    if params.get("currency", currency) != currency:
        raise invalid("The currency must be that of the line items.", param="currency")
    session = unit.insert(
        session_shape(unit, params, currency),
        {
            "customer_update": params.get("customer_update") or {},
            "form_token": random_text(32),
            "payment_intent_data": params.get("payment_intent_data") or {},
            "setup_intent_data": params.get("setup_intent_data") or {},
            "subscription_data": trial,
        },
    )
    for line in lines:
        unit.insert(line, {"session": session.id})
    if mode != "setup":
        _take_discounts(unit, session, params)
        price_session(unit, session)
    expires_at = session.data["expires_at"]
    set_timer(unit, session.id, "checkout_session_expires", expires_at, session.data["customer"])
    return session.data


def _take_discounts(unit: UnitOfWork, session: Record, params: Parameters) -> None:
    given = params.get("discounts") or []
    if len(given) > 1:
        raise invalid("You can only specify one discount.", param="discounts")
    if given and params.get("allow_promotion_codes"):
        raise invalid("You may only specify one of these parameters: allow_promotion_codes, discounts.")
    for one in given:
        coupon, code = find_coupon(unit, one, session.data["customer"], "discounts[0]")
        session.data["discounts"] = [{"coupon": coupon.id, "promotion_code": code}]


def _check_creation(unit: UnitOfWork, params: Parameters) -> None:
    mode = params.get("mode")
    if mode is None:
        raise missing_parameter("mode")
    _check_mode(params, mode)
    _check_addresses(params)
    if (params.get("phone_number_collection") or {}).get("enabled"):
        raise not_supported("phone_number_collection", "phone_number_collection[enabled]")
    # Tax ids may be asked for, since no customer has to give one; its page has no field for them.
    if (params.get("tax_id_collection") or {}).get("required", "never") != "never":
        raise not_supported("tax ids that must be given", "tax_id_collection[required]")
    _check_customer(unit, params)
    only(params.get("payment_intent_data") or {}, _INTENT_DATA, "payment_intent_data")
    if (params.get("payment_intent_data") or {}).get("capture_method") == "manual":
        raise not_supported("manual capture", "payment_intent_data[capture_method]")
    only(params.get("subscription_data") or {}, _SUBSCRIPTION_DATA, "subscription_data")
    expires_at = params.get("expires_at", unit.now + DAY_SECONDS)
    if not unit.now + _SHORTEST_SECONDS - 60 <= expires_at <= unit.now + DAY_SECONDS + 60:
        raise invalid(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session "
            "creation.",
            param="expires_at",
        )


def _check_mode(params: Parameters, mode: str) -> None:
    for other, name in _DATA_OF_MODE.items():
        if other != mode and params.get(name):
            raise invalid(f"You can not pass `{name}` in `{mode}` mode.", param=name)
    if mode != "subscription" and params.get("payment_method_collection"):
        raise invalid(
            "`payment_method_collection` can only be set in `subscription` mode.",
            param="payment_method_collection",
        )
    if mode != "payment":
        for name in ("customer_creation", "invoice_creation"):
            if mode == "subscription" and params.get(name):
                raise invalid(f"`{name}` can only be used in `payment` mode.", param=name)
    if mode == "setup":
        if params.get("line_items"):
            raise invalid("`line_items` cannot be used in `setup` mode.", param="line_items")
        if not params.get("currency") and not params.get("allowed_payment_method_types"):
            raise missing_parameter("currency")


def _check_addresses(params: Parameters) -> None:
    ui_mode = params.get("ui_mode", "hosted_page")
    if ui_mode == "form":
        raise not_supported("checkout with ui_mode form", "ui_mode")
    wanted = "success_url" if ui_mode == "hosted_page" else "return_url"
    for name in ("success_url", "cancel_url"):
        if ui_mode != "hosted_page" and params.get(name):
            raise invalid(f"`{name}` can not be used when `ui_mode` is `{ui_mode}`.", param=name)
    if ui_mode == "hosted_page" and params.get("return_url"):
        raise invalid("`return_url` can not be used when `ui_mode` is `hosted_page`.", param="return_url")
    if not params.get(wanted):
        raise missing_parameter(wanted)
    for name in ("success_url", "cancel_url", "return_url"):
        if params.get(name) and not params[name].startswith(("http://", "https://")):
            raise invalid("Not a valid URL", param=name, code="url_invalid")


def _check_customer(unit: UnitOfWork, params: Parameters) -> None:
    if params.get("customer") and params.get("customer_email"):
        raise invalid("You may only specify one of these parameters: customer, customer_email.")
    if params.get("customer") and params.get("customer_creation"):
        raise invalid(
            "`customer_creation` can only be used when no `customer` is passed.", param="customer_creation"
        )
    if params.get("customer_update") and not params.get("customer"):
        raise invalid("`customer_update` can only be used with `customer`.", param="customer_update")
    if params.get("customer"):
        customer = unit.get("customer", params["customer"], param="customer")
        _check_location(customer, params)
    reference = params.get("client_reference_id") or ""
    if len(reference) > 200:
        raise invalid("client_reference_id can have up to 200 characters.", param="client_reference_id")


def _check_location(customer: Record, params: Parameters) -> None:
    is_taxed = (params.get("automatic_tax") or {}).get("enabled")
    may_update = (params.get("customer_update") or {}).get("address") == "auto"
    if is_taxed and not may_update and not has_location(customer.data):
        raise invalid(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid "
            "address to the Customer or set `customer_update[address]` to 'auto' to save the address entered "
            "in Checkout to the Customer.",
            param="automatic_tax",
            code="customer_tax_location_invalid",
        )


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
