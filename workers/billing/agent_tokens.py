"""exchange_agent_key: a short-lived token in place of an agent key. Off unless a signing key is configured.

What a token may do is decided by the database in every statement, from the key's row
(docs/decisions/0017-agent-tokens.md); here only its end and its scopes are written into it.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import datetime
from typing import Any, Literal

import jwt
from flask import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from billing import exact_json, http, rest
from billing.errors import (
    DatabaseUnavailableError,
    NotAuthenticatedError,
    NotAuthorizedError,
    NotConfiguredError,
    NotFoundError,
)
from billing.rows import Row
from billing.settings import Settings, get_settings

ROLE = "billing_agent"
#: Not that of users' tokens, so that nothing takes one for the other.
AUDIENCE = "billing_agent"
LONGEST_SECONDS = 900

Scope = Literal["check", "consume", "hold", "read"]


class ExchangeRequest(BaseModel):
    """Body of exchange_agent_key.

    Attributes:
        lifetime_seconds: how long the token lives; it never outlives its key.
        scopes: what it may be used for; all scopes of the key when omitted.
    """

    model_config = ConfigDict(extra="forbid")

    lifetime_seconds: int = Field(default=300, ge=30, le=LONGEST_SECONDS)
    scopes: list[Scope] | None = Field(default=None, min_length=1, max_length=4)


class AgentKeyFacts(Row):
    """`billing.agent_key_facts`, as far as it matters here."""

    key_id: str
    organization_id: uuid.UUID
    scopes: list[Scope]
    expires_at: datetime | None


class TokenAnswer(BaseModel):
    """What exchange_agent_key answers.

    Attributes:
        access_token: goes in `Authorization: Bearer`, beside the publishable key in `apikey`.
        expires_in: seconds.
    """

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    organization_id: uuid.UUID
    scopes: list[Scope]


def exchange(request: Request) -> http.Answer:
    """Handle POST exchange_agent_key.

    Raises:
        WorkerError: 404 when tokens are off; 401 for any key that is not good; 403 for a scope that the key
            lacks; 422, 500 `not_configured`, 503.
    """
    settings = get_settings()
    if settings.agent_token_signing_key is None:
        raise NotFoundError("This installation exchanges no agent keys.")
    body = http.parse(request, ExchangeRequest)
    credential = rest.credential_headers(request)
    if set(credential) != {"x-agent-key"}:
        raise NotAuthenticatedError("Send an agent key, and nothing else.")
    facts = _facts(rest.call_function("describe_agent_key", {}, credential))
    scopes = facts.scopes if body.scopes is None else sorted(set(body.scopes))
    if not set(scopes) <= set(facts.scopes):
        raise NotAuthorizedError("The key has not all of these scopes.")
    now = int(time.time())
    end = now + body.lifetime_seconds
    if facts.expires_at is not None:
        end = min(end, int(facts.expires_at.timestamp()))
    answer = TokenAnswer(
        access_token=sign(settings, facts, scopes, now, end),
        expires_in=end - now,
        organization_id=facts.organization_id,
        scopes=scopes,
    )
    return http.Answer(answer.model_dump(mode="json"))


def sign(settings: Settings, facts: AgentKeyFacts, scopes: list[Scope], now: int, end: int) -> str:
    """Sign a token.

    Args:
        settings: with the signing key.
        facts: of the key that the token stands for.
        scopes: what it may be used for.
        now: when it is made, in seconds since the epoch.
        end: when it ends.

    Raises:
        NotConfiguredError: AGENT_TOKEN_SIGNING_KEY is no private ES256 key with an id.
    """
    key, key_id = _signing_key(settings)
    claims = {
        "iss": settings.jwt_issuer,
        "aud": AUDIENCE,
        "role": ROLE,
        "iat": now,
        "exp": end,
        "agent_key_id": facts.key_id,
        "scopes": scopes,
    }
    return jwt.encode(claims, key, "ES256", headers={"kid": key_id})


def _facts(answer: bytes) -> AgentKeyFacts:
    try:
        return AgentKeyFacts.model_validate(exact_json.decode(answer))
    except (ValidationError, ValueError):
        raise DatabaseUnavailableError("The database and the workers are of different versions.") from None


def _signing_key(settings: Settings) -> tuple[Any, str]:
    secret = settings.agent_token_signing_key
    try:
        jwk = json.loads(secret.get_secret_value() if secret is not None else "")
        if jwk["kty"] == "EC" and jwk["crv"] == "P-256" and jwk["d"] and isinstance(jwk["kid"], str):
            return jwt.PyJWK(jwk, "ES256").key, jwk["kid"]
    except (ValueError, KeyError, TypeError, jwt.PyJWTError):
        pass
    raise NotConfiguredError("AGENT_TOKEN_SIGNING_KEY must be a private ES256 key as a JWK, with its kid.")
