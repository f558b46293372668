"""The database as the workers see it: RPCs granted to the service role, through supabase-py."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar, cast

import httpx
from postgrest.exceptions import APIError
from pydantic import BaseModel, ValidationError

from billing import exact_json
from billing.errors import DatabaseRefusalError, DatabaseUnavailableError
from billing.logs import get_logger
from billing.settings import Settings, get_settings
from supabase import Client, ClientOptions, create_client

SCHEMA = "billing"
TIMEOUT_SECONDS = 10

_log = get_logger("database")
_lock = threading.Lock()

Row = TypeVar("Row", bound=BaseModel)


@lru_cache(maxsize=4)
def _client(settings: Settings) -> Client:
    options = ClientOptions(
        schema=SCHEMA,
        auto_refresh_token=False,
        persist_session=False,
        httpx_client=httpx.Client(timeout=TIMEOUT_SECONDS),
    )
    return create_client(settings.supabase_url, settings.supabase_secret_key.get_secret_value(), options)


def _service() -> Client:
    with _lock:  # client and connection pool are made on first use, and gunicorn's threads come at once
        client = _client(get_settings())
        _ = client.postgrest
        return client


def call(function: str, arguments: Mapping[str, object]) -> object:
    """Call a function of schema `billing` as the service.

    Every function that the workers call is safe to call again, so a connection that broke is tried once more.

    Args:
        function: its name.
        arguments: by name; values that JSON can carry.

    Returns:
        The decoded answer.

    Raises:
        DatabaseRefusalError: the function refused, with its status, slug and details.
        DatabaseUnavailableError: no answer that says anything about the call.
    """
    for is_last in (False, True):
        try:
            return cast("object", _service().rpc(function, dict(arguments)).execute().data)
        except APIError as error:
            raise _refusal(function, error) from None
        except httpx.TransportError as error:
            _log.warning(
                "database_call_broke", function=function, error=type(error).__name__, is_last=is_last
            )
    raise DatabaseUnavailableError


def call_for(row: type[Row], function: str, arguments: Mapping[str, object]) -> Row:
    """Call a function that answers one row; see `call`.

    Raises:
        DatabaseUnavailableError: also for an answer that is no such row (workers and migrations differ).
    """
    answer = call(function, arguments)
    try:
        return row.model_validate(answer)
    except ValidationError as error:
        _log.error(
            "database_answer_unexpected",
            function=function,
            problems=error.errors(include_input=False, include_url=False),
        )
        raise DatabaseUnavailableError("The database and the workers are of different versions.") from None


def _refusal(function: str, error: APIError) -> DatabaseRefusalError | DatabaseUnavailableError:
    refusal = refusal_of(error.json())
    if refusal is None:
        _log.error("database_call_failed", function=function, code=error.code, message=error.message)
        return DatabaseUnavailableError()
    return refusal


def refusal_of(body: Mapping[str, object]) -> DatabaseRefusalError | None:
    """Read a refusal of the product: SQLSTATE PTnnn, the slug, details as JSON text (ledger.md, section 7).

    Args:
        body: PostgREST's error body.

    Returns:
        The refusal, with its details decoded; None when it is another kind of error.
    """
    code = str(body.get("code") or "")
    if len(code) != 5 or not code.startswith("PT") or not code[2:].isdigit():
        return None
    details = _details(body.get("details"))
    retry_after = details.get("retry_after")
    return DatabaseRefusalError(
        str(body.get("hint") or ""),
        details=details,
        status=int(code[2:]),
        slug=str(body.get("message") or ""),
        headers={} if retry_after is None else {"Retry-After": str(retry_after)},
    )


def _details(text: object) -> dict[str, object]:
    if not isinstance(text, str) or not text:
        return {}
    try:
        value = exact_json.decode(text.encode())
    except ValueError:
        return {"text": text}
    return value if isinstance(value, dict) else {"value": value}
