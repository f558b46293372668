"""Forwards a caller's own credential to PostgREST: the database decides, its answers pass unrounded."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import httpx
from flask import Request

from billing import exact_json
from billing.auth import bearer_token
from billing.database import SCHEMA, TIMEOUT_SECONDS, refusal_of
from billing.errors import (
    DatabaseUnavailableError,
    InvalidArgumentError,
    NotAuthenticatedError,
    NotAuthorizedError,
    WorkerError,
)
from billing.logs import get_logger
from billing.settings import get_settings

#: How an agent key begins; anything else that a Bearer carries is a user's token.
AGENT_KEY_PREFIX = "tb_"
#: API keys of the project are no credential of a caller: they go in `apikey`, and that is ours.
API_KEY_PREFIX = "sb_"

_log = get_logger("rest")


@lru_cache(maxsize=1)
def _client() -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT_SECONDS)


def credential_headers(request: Request) -> dict[str, str]:
    """Return the caller's credential as PostgREST takes it: a user's token, or an agent key.

    Raises:
        NotAuthenticatedError: there is none.
    """
    token = bearer_token(request)
    agent_key = request.headers.get("X-Agent-Key", "").strip()
    if not agent_key and token is not None and token.startswith(AGENT_KEY_PREFIX):
        agent_key, token = token, None
    headers: dict[str, str] = {}
    if agent_key:
        headers["x-agent-key"] = agent_key
    if token is not None and not token.startswith(API_KEY_PREFIX):
        headers["Authorization"] = f"Bearer {token}"
    if not headers:
        raise NotAuthenticatedError("Send a user's access token or an agent key as Authorization: Bearer.")
    return headers


def call_function(name: str, arguments: Mapping[str, object], credential: Mapping[str, str]) -> bytes:
    """Call a function of schema `billing` as the caller.

    Args:
        name: the function.
        arguments: by name; Decimals stay exact.
        credential: from `credential_headers`.

    Returns:
        PostgREST's JSON, byte for byte.

    Raises:
        WorkerError: the database's refusal with its own status, slug and details; 401 for a token that it
            does not accept.
    """
    return _send("POST", f"rpc/{name}", credential, content=exact_json.encode(arguments))


def read(path: str, parameters: Mapping[str, str], credential: Mapping[str, str]) -> bytes:
    """Read a table, a view or a STABLE function of schema `billing` as the caller; see `call_function`."""
    return _send("GET", path, credential, parameters=parameters)


def _send(
    method: str,
    path: str,
    credential: Mapping[str, str],
    *,
    parameters: Mapping[str, str] | None = None,
    content: bytes | None = None,
) -> bytes:
    settings = get_settings()
    headers = {
        "apikey": settings.supabase_publishable_key,
        "Accept": "application/json",
        "Accept-Profile": SCHEMA,
        "Content-Profile": SCHEMA,
        "Content-Type": "application/json",
        **credential,
    }
    try:
        answer = _client().request(
            method,
            f"{settings.supabase_url}/rest/v1/{path}",
            params=parameters,
            content=content,
            headers=headers,
        )
    except httpx.TransportError as error:
        _log.error("database_unreachable", path=path, error=type(error).__name__)
        raise _unavailable(method) from error
    if answer.is_success:
        return answer.content
    raise _refusal(method, path, answer)


_MAYBE_DONE = (
    "The database did not answer. Try again with the same idempotency key: nothing is charged twice."
)
_UNREAD = "The database did not answer. Try again."


def _refusal(method: str, path: str, answer: httpx.Response) -> WorkerError:
    try:
        body = exact_json.decode(answer.content)
    except ValueError:
        body = None
    if isinstance(body, dict):
        refusal = refusal_of(body)
        if refusal is not None:
            return refusal
        code = str(body.get("code") or "")
        if code.startswith("22"):  # a value that Postgres cannot read as the argument's type
            return InvalidArgumentError("body", "An argument has a value that cannot be read.")
        if code == "42501":
            return NotAuthorizedError()
    if answer.status_code == 401:
        return NotAuthenticatedError("The access token is not valid.")
    if answer.status_code == 429:
        return WorkerError(
            "Too many requests.", status=429, slug="rate_limited", headers=_retry_after(answer)
        )
    _log.error(
        "database_answer_unexpected",
        path=path,
        status=answer.status_code,
        code=isinstance(body, dict) and body.get("code"),
    )
    return _unavailable(method)


def _unavailable(method: str) -> DatabaseUnavailableError:
    return DatabaseUnavailableError(_MAYBE_DONE if method == "POST" else _UNREAD)


def _retry_after(answer: httpx.Response) -> dict[str, str]:
    return {"Retry-After": answer.headers.get("Retry-After", "1")}
