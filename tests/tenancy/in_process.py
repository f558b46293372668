"""Workers inside the test's process, with settings that the shared stack does not have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Request, Response
from werkzeug.test import EnvironBuilder

from billing import http
from billing.settings import get_settings
from tests.conftest import StackUnderTest

Handler = Callable[[Request], http.Answer]


@contextmanager
def settings_of(stack: StackUnderTest, **variables: str) -> Iterator[None]:
    """Give the workers of this process the stack's settings and some of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRONTEND_URL", stack.frontend_url)
        for name, value in variables.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        try:
            yield
        finally:
            get_settings.cache_clear()


def post(handler: Handler, body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int, Any]:
    """Call an entry point.

    Returns:
        HTTP status and parsed body.
    """
    builder = EnvironBuilder(method="POST", json=body, headers=list(headers.items()))
    response: Response = http.endpoint("test", handler, methods=("POST",))(Request(builder.get_environ()))
    return response.status_code, json.loads(response.get_data())
