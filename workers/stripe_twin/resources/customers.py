"""Customers.

Source: https://docs.stripe.com/api/customers
"""

from __future__ import annotations

from typing import Any

from stripe_twin.errors import invalid, no_such
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, only, simple_changes, update, value_of
from stripe_twin.resources.payment_methods import attach, is_attached_to
from stripe_twin.shapes import Json, address, complete
from stripe_twin.unit import Record, UnitOfWork

_PATH = "/v1/customers"
_FIELDS = (
    "business_name",
    "description",
    "email",
    "individual_name",
    "name",
    "phone",
    "preferred_locales",
    "tax_exempt",
)
_SUPPORTED = (*_FIELDS, "address", "balance", "invoice_prefix", "invoice_settings", "metadata", "shipping")


def create_customer(unit: UnitOfWork, params: Parameters) -> Record:
    """Store a new customer and emit `customer.created`; the parameters are those of the API."""
    customer = complete(
        "customer",
        {
            "id": new_id("cus"),
            "address": _address(params.get("address")),
            "balance": params.get("balance", 0),
            "created": unit.now,
            "delinquent": False,
            "invoice_prefix": params.get("invoice_prefix") or random_text(8).upper(),
            "invoice_settings": _invoice_settings({}, params.get("invoice_settings")),
            "metadata": value_of(params, "metadata") or {},
            "next_invoice_sequence": params.get("next_invoice_sequence", 1),
            "preferred_locales": params.get("preferred_locales") or [],
            "shipping": _shipping(params.get("shipping")),
            "tax_exempt": value_of(params, "tax_exempt") or "none",
            "test_clock": params.get("test_clock"),
            **{name: value_of(params, name) for name in _FIELDS[:6] if name in params},
        },
    )
    record = unit.insert(customer)
    unit.emit("customer.created", customer)
    return record


def _address(given: Any) -> Json | None:
    return address(given) if given else None


def _shipping(given: Any) -> Json | None:
    if not given:
        return None
    return {
        "address": address(given.get("address")),
        "carrier": None,
        "name": given.get("name"),
        "phone": value_of(given, "phone"),
        "tracking_number": None,
    }


def _invoice_settings(current: Json, given: Any) -> Json:
    names = ("custom_fields", "default_payment_method", "footer", "rendering_options")
    merged = {name: current.get(name) for name in names}
    for name, value in (given or {}).items():
        merged[name] = None if value == "" else value
    return merged


@operation("POST", _PATH, "_customer_create_params.CustomerCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a customer, with a payment method if one is given."""
    only(params, (*_SUPPORTED, "next_invoice_sequence", "payment_method", "test_clock"), "customer creation")
    if params.get("test_clock"):
        clock = unit.get("test_helpers.test_clock", params["test_clock"], param="test_clock")
        unit.now = clock.data["frozen_time"]
    method = params.pop("payment_method", None)
    record = create_customer(unit, params)
    if method:
        attached = attach(unit, method, record.id)
        return update(unit, record, _default_if_named(record, params, attached), None)
    return record.data


def _default_if_named(record: Record, params: Parameters, attached: str) -> Json:
    settings = dict(record.data["invoice_settings"])
    named = (params.get("invoice_settings") or {}).get("default_payment_method")
    if named:
        settings["default_payment_method"] = attached
    return {"invoice_settings": settings}


@operation("GET", _PATH, "_customer_list_params.CustomerListParams")
def list_customers(unit: UnitOfWork, params: Parameters) -> Json:
    """List customers, by e-mail address if one is given."""
    supported = ("email", "limit", "starting_after", "ending_before", "created", "test_clock")
    only(params, supported, "the list of customers")
    return list_objects(unit, "customer", params, _PATH)


@operation("GET", _PATH + "/<customer_id>", "_customer_retrieve_params.CustomerRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, customer_id: str) -> Json:
    """Return a customer; a deleted one as `{deleted: true}`."""
    record = unit.find("customer", customer_id)
    if record is None:
        raise no_such("customer", customer_id)
    return deleted_form(customer_id) if record.deleted else record.data


def deleted_form(customer_id: str) -> Json:
    """Return what Stripe shows of a deleted customer."""
    return {"id": customer_id, "object": "customer", "deleted": True}


@operation("POST", _PATH + "/<customer_id>", "_customer_update_params.CustomerUpdateParams")
def update_customer(unit: UnitOfWork, params: Parameters, customer_id: str) -> Json:
    """Change a customer and emit `customer.updated`."""
    only(params, _SUPPORTED, "customer update")
    record = unit.get("customer", customer_id, lock=True)
    changes = simple_changes(params, record.data, (*_FIELDS, "balance", "invoice_prefix"))
    if "address" in params:
        changes["address"] = _address(params["address"])
    if "shipping" in params:
        changes["shipping"] = _shipping(params["shipping"])
    if "invoice_settings" in params:
        changes["invoice_settings"] = _invoice_settings(
            record.data["invoice_settings"], params["invoice_settings"]
        )
        _check_default_method(unit, customer_id, changes["invoice_settings"]["default_payment_method"])
    return update(unit, record, changes, "customer.updated")


def _check_default_method(unit: UnitOfWork, customer_id: str, method_id: str | None) -> None:
    if method_id and not is_attached_to(unit, method_id, customer_id):
        raise invalid(
            f"The customer does not have a payment method with the ID {method_id}. The payment method "
            "must be attached to the customer.",
            param="invoice_settings[default_payment_method]",
            code="resource_missing",
        )


@operation("DELETE", _PATH + "/<customer_id>", "_customer_delete_params.CustomerDeleteParams")
def delete(unit: UnitOfWork, _params: Parameters, customer_id: str) -> Json:
    """Delete a customer: subscriptions end, payment methods go, `customer.deleted` says so."""
    delete_customer(unit, customer_id)
    return deleted_form(customer_id)


def delete_customer(unit: UnitOfWork, customer_id: str) -> None:
    """Delete a customer, with everything that would go on charging it.

    Raises:
        StripeError: 404 when there is none.
    """
    from stripe_twin.resources.collection import stop_collecting  # subscriptions need customers
    from stripe_twin.resources.subscription_states import FINAL, end_subscription

    for found in unit.all("subscription", {"customer": customer_id}):
        subscription = unit.get("subscription", found.id, lock=True)
        if subscription.data["status"] not in FINAL:
            end_subscription(unit, subscription, reason="cancellation_requested")
            stop_collecting(unit, subscription.id)
    attached = unit.all("payment_method", {"customer": customer_id})
    methods = [unit.get("payment_method", method.id, lock=True) for method in attached]
    record = unit.get("customer", customer_id, lock=True)
    for method in methods:
        method.data["customer"] = None
        method.hidden["detached"] = True
        unit.save(method)
        unit.emit("payment_method.detached", method.data, {"customer": customer_id})
    record.deleted = True
    unit.save(record)
    unit.emit("customer.deleted", record.data)


@operation(
    "GET",
    _PATH + "/<customer_id>/payment_methods",
    "_customer_payment_method_list_params.CustomerPaymentMethodListParams",
)
def list_payment_methods(unit: UnitOfWork, params: Parameters, customer_id: str) -> Json:
    """List a customer's saved payment methods."""
    unit.get("customer", customer_id)
    url = f"{_PATH}/{customer_id}/payment_methods"
    return list_objects(unit, "payment_method", params, url, customer=customer_id)
