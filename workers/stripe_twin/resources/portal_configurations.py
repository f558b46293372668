"""Portal configurations: what customers may do on their own page.

Source: https://docs.stripe.com/api/customer_portal/configurations
"""

from __future__ import annotations

from typing import Any

from stripe_twin.errors import invalid
from stripe_twin.identifiers import new_id
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.resources.common import list_objects, merged_metadata, only, update, value_of
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import Record, UnitOfWork

_KIND = "billing_portal.configuration"
_PATH = "/v1/billing_portal/configurations"
_ONE = _PATH + "/<configuration_id>"
DEFAULT_ID = "bpc_twindefault"
_FIELDS = ("business_profile", "default_return_url", "features", "login_page", "metadata", "name")
_DEFAULT_FEATURES: Json = {
    "customer_update": {"allowed_updates": ["email", "address"], "enabled": True},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {
            "enabled": False,
            "feedback_options": None,
            "options": ["too_expensive", "missing_features", "switched_service", "unused", "other"],
        },
        "enabled": True,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_pause": {"duration": {"interval_options": [], "type": "indefinite"}, "enabled": False},
    "subscription_update": {
        "billing_cycle_anchor": None,
        "default_allowed_updates": ["price"],
        "enabled": True,
        "products": [],
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}


def keep_default_configuration(unit: UnitOfWork) -> None:
    """Create the configuration that portal sessions have when they name none."""
    if unit.find(_KIND, DEFAULT_ID) is None:
        unit.insert(_shape(unit, {"features": {}}, DEFAULT_ID))


def configuration_of(unit: UnitOfWork, given: str | None) -> Record:
    """Return the configuration that a portal session names, or the default one.

    Raises:
        StripeError: 400 when there is none, or it is switched off.
    """
    keep_default_configuration(unit)
    record = unit.get(_KIND, given or DEFAULT_ID, param="configuration")
    if not record.data["active"]:
        raise invalid("This configuration is not active.", param="configuration")
    return record


def _shape(unit: UnitOfWork, params: Parameters, configuration_id: str) -> Json:
    profile = params.get("business_profile") or {}
    wants_login = bool((params.get("login_page") or {}).get("enabled"))
    return complete(
        _KIND,
        {
            "id": configuration_id,
            "active": True,
            "business_profile": {
                "headline": value_of(profile, "headline"),
                "privacy_policy_url": profile.get("privacy_policy_url"),
                "terms_of_service_url": profile.get("terms_of_service_url"),
            },
            "created": unit.now,
            "default_return_url": value_of(params, "default_return_url"),
            "features": _features(_DEFAULT_FEATURES, params.get("features") or {}),
            "is_default": configuration_id == DEFAULT_ID,
            "login_page": {"enabled": wants_login, "url": _login_url(unit, wants_login)},
            "metadata": value_of(params, "metadata") or {},
            "name": value_of(params, "name"),
            "updated": unit.now,
        },
    )


def _login_url(unit: UnitOfWork, wanted: bool) -> str | None:
    return f"{unit.settings.public_url}/p/login" if wanted else None


def _features(current: Json, given: Any) -> Json:
    """Lay what a request says over what is there, feature by feature."""
    merged: Json = {}
    for name, known in current.items():
        said = given.get(name)
        if isinstance(known, dict) and isinstance(said, dict):
            merged[name] = {**known, **_features(known, said)}
        else:
            merged[name] = known if said is None else ([] if said == "" else said)
    for product in merged.get("products") or []:
        product.setdefault("adjustable_quantity", {"enabled": False, "maximum": None, "minimum": 1})
    return merged


@operation("POST", _PATH, "billing_portal._configuration_create_params.ConfigurationCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create a configuration and emit `billing_portal.configuration.created`."""
    only(params, _FIELDS, "portal configuration creation")
    configuration = _shape(unit, params, new_id("bpc"))
    unit.insert(configuration)
    unit.emit("billing_portal.configuration.created", configuration)
    return configuration


@operation("GET", _PATH, "billing_portal._configuration_list_params.ConfigurationListParams")
def list_configurations(unit: UnitOfWork, params: Parameters) -> Json:
    """List configurations."""
    keep_default_configuration(unit)
    return list_objects(unit, _KIND, params, _PATH)


@operation("GET", _ONE, "billing_portal._configuration_retrieve_params.ConfigurationRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, configuration_id: str) -> Json:
    """Return a configuration."""
    keep_default_configuration(unit)
    return unit.get(_KIND, configuration_id).data


@operation("POST", _ONE, "billing_portal._configuration_update_params.ConfigurationUpdateParams")
def update_configuration(unit: UnitOfWork, params: Parameters, configuration_id: str) -> Json:
    """Change a configuration and emit `billing_portal.configuration.updated`."""
    only(params, (*_FIELDS, "active"), "portal configuration update")
    keep_default_configuration(unit)
    record = unit.get(_KIND, configuration_id, lock=True)
    data = record.data
    changes: Json = {
        name: value_of(params, name) for name in ("active", "default_return_url", "name") if name in params
    }
    if "business_profile" in params:
        changes["business_profile"] = {**data["business_profile"], **(params["business_profile"] or {})}
    if "features" in params:
        changes["features"] = _features(data["features"], params["features"] or {})
    if "login_page" in params:
        wanted = bool(params["login_page"]["enabled"])
        changes["login_page"] = {"enabled": wanted, "url": _login_url(unit, wanted)}
    if "metadata" in params:
        changes["metadata"] = merged_metadata(data["metadata"], params["metadata"])
    changes["updated"] = unit.now
    return update(unit, record, changes, "billing_portal.configuration.updated")
