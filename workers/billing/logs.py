"""Structured logs: one event a line, as JSON, with the request's id; never a secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer

#: Never printed, whatever a log call passes.
_SECRET_NAMES = frozenset(
    {
        "authorization",
        "apikey",
        "api_key",
        "token",
        "jwt",
        "secret",
        "password",
        "client_secret",
        "x_agent_key",
        "agent_key",
        "access_token",
        "invitation_token",
        "stripe_signature",
    }
)


def _hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if name.lower().replace("-", "_") in _SECRET_NAMES:
            event[name] = "[hidden]"
    return event


def configure() -> None:
    """Set structlog up; called once when the entry points are loaded."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _hide_secrets,
            # Where it broke, without the frames' variables: those hold keys and tokens.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines carry the module's name."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(module=name))
