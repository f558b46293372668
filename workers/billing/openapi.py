"""The OpenAPI document of the plain REST paths, made from the models that check the calls."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from billing.api import BalanceQuery, Catalogue, UseRequest
from billing.webhook import MAX_BYTES

_SCHEMA_REFERENCE = "#/components/schemas/{model}"


class Refusal(BaseModel):
    """Every refusal, of the workers and of the database alike.

    Attributes:
        code: "PT" and the HTTP status.
        message: the slug that programs branch on.
        details: facts about this refusal; amounts are numbers.
        hint: one sentence for a person.
    """

    code: str
    message: str
    details: dict[str, Any]
    hint: str


class Receipt(BaseModel):
    """What a consumption returns: enough to explain and recompute it (`billing.credit_receipt`)."""

    transaction_id: str
    organization_id: str
    amount: Decimal
    balance: Decimal
    available: Decimal
    replayed: bool
    price: dict[str, Any]
    grants: list[dict[str, Any]]
    limits: list[dict[str, Any]]
    created_at: str


class Balance(BaseModel):
    """The credits of an organization (`billing.get_credit_balance`)."""

    organization_id: str
    balance: Decimal
    held: Decimal
    available: Decimal
    debt: Decimal
    pending: Decimal
    pending_grants: list[dict[str, Any]]
    expiring: list[dict[str, Any]]
    restricted_reason: str | None
    is_blocked: bool
    as_of: str


_PROBLEMS = {
    "401": "No credential, or none that is valid: `not_authenticated`, `agent_key_invalid`.",
    "402": "`insufficient_credits`, `limit_exceeded`, `approval_required` or `billing_restricted`.",
    "403": "`not_authorized`; the same for a foreign and an unknown organization.",
    "409": "`idempotency_conflict`: the key was used for another request.",
    "413": "`body_too_large` or `metadata_too_large`.",
    "415": "`unsupported_media_type`: send JSON.",
    "422": "`invalid_argument`, `invalid_amount` or `unknown_action`.",
    "429": "`rate_limited`.",
    "503": "`busy` or `database_unavailable`; safe to retry with the same idempotency key.",
}
_CREDENTIALS: list[dict[str, list[str]]] = [{"userToken": []}, {"agentKey": []}, {"agentKeyHeader": []}]


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """Return the document as JSON can carry it."""
    models: list[type[BaseModel]] = [UseRequest, Catalogue, Refusal, Receipt, Balance]
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=_SCHEMA_REFERENCE
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallybase",
            "version": "1",
            "description": "Credits for software whose users are AI agents, without a Supabase client.",
        },
        "paths": _paths(),
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "userToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "agentKey": {"type": "http", "scheme": "bearer", "bearerFormat": "tb_…"},
                "agentKeyHeader": {"type": "apiKey", "in": "header", "name": "x-agent-key"},
            },
        },
    }


def _paths() -> dict[str, Any]:
    return {
        "/api/credits/balance": {
            "get": _operation(
                "getCreditBalance",
                "The credits of the caller's organization",
                "Balance",
                ("401", "403", "422", "503"),
            )
            | {"parameters": _query_parameters(BalanceQuery), "security": _CREDENTIALS}
        },
        "/api/credits/use": {
            "post": _operation(
                "useCredits", "Consume credits for one action of an agent", "Receipt", tuple(_PROBLEMS)
            )
            | {
                "security": _CREDENTIALS,
                "parameters": [
                    {
                        "name": "Idempotency-Key",
                        "in": "header",
                        "schema": {"type": "string", "maxLength": 255},
                        "description": "The same key charges once, however often the call is made.",
                    }
                ],
                "requestBody": {"required": True, "content": _json_of("UseRequest")},
            }
        },
        "/api/billing/plans": {
            "get": _operation(
                "listPlans", "Plans and packs on offer; needs no credential", "Catalogue", ("503",)
            )
        },
        "/api/billing/stripe/webhook": {"post": _webhook_operation()},
        "/api/health": {
            "get": {
                "operationId": "getHealth",
                "summary": "Whether the worker runs",
                "responses": {"200": {"description": "It does."}},
            }
        },
        "/api/openapi.json": {
            "get": {
                "operationId": "getOpenapi",
                "summary": "This document",
                "responses": {"200": {"description": "OpenAPI 3.1."}},
            }
        },
    }


def _operation(operation_id: str, summary: str, answer: str, problems: tuple[str, ...]) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": summary, "content": _json_of(answer)}}
    for status in problems:
        responses[status] = {"description": _PROBLEMS[status], "content": _json_of("Refusal")}
    return {"operationId": operation_id, "summary": summary, "responses": responses}


def _webhook_operation() -> dict[str, Any]:
    return {
        "operationId": "receiveStripeEvent",
        "summary": "Stripe's webhook; its signature is the credential",
        "parameters": [
            {"name": "Stripe-Signature", "in": "header", "required": True, "schema": {"type": "string"}}
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {
            "200": {"description": "Processed, stored, parked or a duplicate."},
            "400": {"description": "`invalid_signature` or `invalid_event`.", "content": _json_of("Refusal")},
            "413": {
                "description": f"`body_too_large`: above {MAX_BYTES} bytes.",
                "content": _json_of("Refusal"),
            },
            "500": {"description": "`event_not_applied`: send it again.", "content": _json_of("Refusal")},
        },
    }


def _json_of(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _SCHEMA_REFERENCE.format(model=model)}}}


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    properties: dict[str, Any] = model.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in properties.items()
    ]
