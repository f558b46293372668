"""Webhook endpoints: who is told about events.

Source: https://docs.stripe.com/api/webhook_endpoints
"""

from __future__ import annotations

from urllib.parse import urlsplit

from stripe_twin.errors import invalid
from stripe_twin.identifiers import new_id, random_text
from stripe_twin.operations import operation
from stripe_twin.parameters import Parameters
from stripe_twin.renderings import VERSIONS
from stripe_twin.resources.common import list_objects, not_supported, simple_changes, update, value_of
from stripe_twin.shapes import Json, complete
from stripe_twin.unit import UnitOfWork

_PATH = "/v1/webhook_endpoints"
DEFAULT_ENDPOINT_ID = "we_twindefault"


def keep_default_endpoint(unit: UnitOfWork) -> None:
    """Create the endpoint that the environment names, or bring it up to date."""
    settings = unit.settings
    if settings.webhook_url is None or settings.webhook_secret is None:
        return
    record = unit.find("webhook_endpoint", DEFAULT_ENDPOINT_ID, lock=True)
    hidden = {"secret": settings.webhook_secret}
    if record is None:
        ours: Parameters = {"api_version": VERSIONS[-1]}
        data = _shape(unit, DEFAULT_ENDPOINT_ID, settings.webhook_url, ["*"], ours)
        data["description"] = "The workers' stripe_webhook, from WORKERS_URL and STRIPE_WEBHOOK_SECRET"
        unit.insert(data, hidden)
    elif (record.data["url"], record.hidden) != (settings.webhook_url, hidden):
        record.data["url"], record.hidden = settings.webhook_url, hidden
        unit.save(record)


def _shape(
    unit: UnitOfWork, endpoint_id: str, url: str, enabled_events: list[str], params: Parameters
) -> Json:
    return complete(
        "webhook_endpoint",
        {
            "id": endpoint_id,
            "api_version": params.get("api_version"),
            "created": unit.now,
            "description": value_of(params, "description"),
            "enabled_events": enabled_events,
            "metadata": value_of(params, "metadata") or {},
            "status": "enabled",
            "url": url,
        },
    )


@operation("POST", _PATH, "_webhook_endpoint_create_params.WebhookEndpointCreateParams")
def create(unit: UnitOfWork, params: Parameters) -> Json:
    """Create an endpoint; its signing secret is shown this once."""
    if params.get("connect"):
        raise not_supported("endpoints for connected accounts", "connect")
    if params.get("api_version") not in (None, *VERSIONS):
        raise not_supported(f"API versions other than {', '.join(VERSIONS)}", "api_version")
    endpoint = _shape(unit, new_id("we"), _checked_url(params["url"]), params["enabled_events"], params)
    secret = f"whsec_{random_text(32)}"
    unit.insert(endpoint, {"secret": secret})
    return {**endpoint, "secret": secret}


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid(
            "Invalid URL: An explicit scheme (such as https) must be provided.",
            param="url",
            code="url_invalid",
        )
    return url


@operation("GET", _PATH, "_webhook_endpoint_list_params.WebhookEndpointListParams")
def list_endpoints(unit: UnitOfWork, params: Parameters) -> Json:
    """List endpoints."""
    return list_objects(unit, "webhook_endpoint", params, _PATH)


@operation("GET", _PATH + "/<endpoint_id>", "_webhook_endpoint_retrieve_params.WebhookEndpointRetrieveParams")
def retrieve(unit: UnitOfWork, _params: Parameters, endpoint_id: str) -> Json:
    """Return an endpoint, without its secret."""
    return unit.get("webhook_endpoint", endpoint_id).data


@operation("POST", _PATH + "/<endpoint_id>", "_webhook_endpoint_update_params.WebhookEndpointUpdateParams")
def update_endpoint(unit: UnitOfWork, params: Parameters, endpoint_id: str) -> Json:
    """Change an endpoint, or switch it off and on."""
    record = unit.get("webhook_endpoint", endpoint_id, lock=True)
    changes = simple_changes(params, record.data, ("description", "enabled_events"))
    if "url" in params:
        changes["url"] = _checked_url(params["url"])
    if "disabled" in params:
        changes["status"] = "disabled" if params["disabled"] else "enabled"
    return update(unit, record, changes, None)


@operation("DELETE", _PATH + "/<endpoint_id>", "_webhook_endpoint_delete_params.WebhookEndpointDeleteParams")
def delete(unit: UnitOfWork, _params: Parameters, endpoint_id: str) -> Json:
    """Delete an endpoint; deliveries on their way to it are canceled."""
    record = unit.get("webhook_endpoint", endpoint_id, lock=True)
    record.deleted = True
    unit.save(record)
    unit.connection.execute(
        "update deliveries set state = 'canceled' where endpoint_id = %s and state = 'pending'",
        (endpoint_id,),
    )
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}
