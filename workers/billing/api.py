"""api: plain REST paths for callers without a Supabase client. Each is a thin door; the database decides."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Any

from flask import Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from billing import exact_json, http, rest, webhook
from billing.errors import InvalidArgumentError, MethodNotAllowedError, NotFoundError, WorkerError
from billing.settings import get_settings

#: Beyond these exponents a number is no amount of anything, and only costs memory.
_LARGEST_EXPONENT = 100
#: Catalogue pages may be kept for a moment by anybody.
_PUBLIC_CACHE = {"Cache-Control": "public, max-age=60"}

_PLAN_COLUMNS = (
    "id,key,name,description,unit_amount,currency,billing_interval,credits_per_period,rollover_cap,rollover_share,"
    "credit_expiry,trial_days,trial_credits,grace_days,features,sort_order"
)
_PACKAGE_COLUMNS = "id,key,name,description,credits,unit_amount,currency,credit_expiry,sort_order"


def _plain_number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    if isinstance(value, Decimal) and value and abs(value.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError("is out of range")
    return value


Number = Annotated[Decimal, BeforeValidator(_plain_number)]


class UseRequest(BaseModel):
    """Body of POST /api/credits/use: the arguments of `billing.consume_credits`.

    Attributes:
        agent_type: which agent acts.
        action: what it does; its price is in `agent_action_costs`.
        amount: credits, for actions whose price the caller names.
        quantities: metered amounts by metric; {"call": 1} is implied.
        organization_id: who pays; implied by an agent key and by a single membership.
        department_id: which department's budget.
        run_id: groups the consumptions of one run.
        idempotency_key: the same key charges once; the header Idempotency-Key does the same.
        metadata: at most 8 kB of your own.
    """

    model_config = ConfigDict(extra="forbid")

    agent_type: str
    action: str
    amount: Number | None = None
    quantities: dict[str, Number] | None = None
    organization_id: uuid.UUID | None = None
    department_id: uuid.UUID | None = None
    run_id: str | None = None
    idempotency_key: str | None = None
    metadata: dict[str, Any] | None = None


class BalanceQuery(BaseModel):
    """Query of GET /api/credits/balance.

    Attributes:
        organization_id: whose balance; implied by an agent key and by a single membership.
        as_of: the balance at a past instant; now when left out.
    """

    model_config = ConfigDict(extra="forbid")

    organization_id: uuid.UUID | None = None
    as_of: AwareDatetime | None = None


class Catalogue(BaseModel):
    """What GET /api/billing/plans answers.

    Attributes:
        plans: rows of `billing.subscription_plans` on offer.
        packages: rows of `billing.credit_packages` on offer.
    """

    plans: list[dict[str, Any]]
    packages: list[dict[str, Any]] = Field(default_factory=list)


def get_balance(request: Request) -> http.Answer:
    """GET /api/credits/balance: the credits of the caller's organization, now or at a past instant."""
    credential = rest.credential_headers(request)
    query = http.validate(BalanceQuery, request.args.to_dict())
    parameters = query.model_dump(mode="json", exclude_none=True)
    return http.Answer(rest.read("rpc/get_credit_balance", parameters, credential))


def get_plans(request: Request) -> http.Answer:
    """GET /api/billing/plans: the active plans and packs, for everybody."""
    catalogue = Catalogue(
        plans=_rows("subscription_plans", _PLAN_COLUMNS),
        packages=_rows("credit_packages", _PACKAGE_COLUMNS),
    )
    return http.Answer(catalogue.model_dump(), headers=_PUBLIC_CACHE)


def _rows(table: str, columns: str) -> list[dict[str, Any]]:
    content = rest.read(table, {"select": columns, "is_active": "is.true", "order": "sort_order,key"}, {})
    rows = exact_json.decode(content)
    return rows if isinstance(rows, list) else []


def use_credits(request: Request) -> http.Answer:
    """POST /api/credits/use: consumes credits and answers the receipt; asks for an approval where needed."""
    credential = rest.credential_headers(request)
    body = http.parse(request, UseRequest)
    arguments = body.model_dump(mode="python", exclude_none=True)
    key = request.headers.get("Idempotency-Key")
    if key is not None:
        if body.idempotency_key not in (None, key):
            raise InvalidArgumentError(
                "idempotency_key", "The header Idempotency-Key and the body name different keys."
            )
        arguments["idempotency_key"] = key
    try:
        return http.Answer(rest.call_function("consume_credits", arguments, credential))
    except WorkerError as refusal:
        if refusal.slug == "approval_required":
            with suppress(WorkerError):  # the refusal stands, whether or not it can be put before people now
                rest.call_function("request_approval", arguments, credential)
        raise


def get_health(request: Request) -> http.Answer:
    """GET /api/health: whether the worker runs and how it is configured."""
    settings = get_settings()
    return http.Answer(
        {"status": "ok", "stripe_mode": settings.mode, "webhook_configured": bool(settings.webhook_secrets)}
    )


def get_openapi(request: Request) -> http.Answer:
    """GET /api/openapi.json: this API, described for machines."""
    from billing.openapi import document

    return http.Answer(document(), headers=_PUBLIC_CACHE)


#: Every path below /api, with what it takes.
ROUTES: dict[str, dict[str, Callable[[Request], http.Answer]]] = {
    "/credits/balance": {"GET": get_balance},
    "/credits/use": {"POST": use_credits},
    "/billing/plans": {"GET": get_plans},
    "/billing/stripe/webhook": {"POST": webhook.receive},
    "/health": {"GET": get_health},
    "/openapi.json": {"GET": get_openapi},
}
_LARGE_BODIES = frozenset({"/billing/stripe/webhook"})


def route(request: Request) -> http.Answer:
    """Answer a request below /api.

    The prefix may be part of the path (a function of its own in the cloud) or stripped already (a mount).

    Raises:
        WorkerError: 404 for an unknown path, 405 with `Allow` for a wrong method, and what the path's handler
            raises.
    """
    path = request.path.removeprefix("/api").rstrip("/")
    methods = ROUTES.get(path)
    if methods is None:
        raise NotFoundError("There is no such path; see /api/openapi.json.", details={"what": "path"})
    handler = methods.get(request.method)
    if handler is None:
        raise MethodNotAllowedError(tuple(methods))
    if path not in _LARGE_BODIES:
        http.refuse_large_body(request, http.MAX_JSON_BYTES)
    return handler(request)
