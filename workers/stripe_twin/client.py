"""Lets the official `stripe` library talk to a twin in the same process, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import stripe
from werkzeug.test import Client

from stripe_twin.api_faults import ConnectionCutError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class TwinHTTPClient(stripe.HTTPClient):
    """A transport, sync and async: `stripe.StripeClient(key, http_client=TwinHTTPClient(app))`."""

    name = "stripe_twin"

    def __init__(self, wsgi_app: WSGIApplication) -> None:
        super().__init__()
        self._wsgi_app = wsgi_app

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Run one request through the WSGI application; return body, status and headers.

        Raises:
            stripe.APIConnectionError: When the connection is cut on demand.
        """
        parts = urlsplit(url)
        try:
            answer = Client(self._wsgi_app).open(
                path=parts.path,
                query_string=parts.query,
                base_url=f"{parts.scheme}://{parts.netloc}",
                method=method.upper(),
                headers=dict(headers or {}),
                data=post_data,
                environ_overrides={"REMOTE_ADDR": "127.0.0.1"},
            )
            with closing(answer):
                return answer.get_data(as_text=True), answer.status_code, dict(answer.headers)
        except ConnectionCutError as error:
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call]
                "Connection aborted.", should_retry=True
            ) from error

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Do the same off the event loop's thread."""
        body, status, answer_headers = await asyncio.to_thread(self.request, method, url, headers, post_data)
        return body.encode(), status, answer_headers

    async def sleep_async(self, secs: float) -> None:
        """Wait between retries."""
        await asyncio.sleep(secs)

    def close(self) -> None:
        """Nothing is held open."""

    async def close_async(self) -> None:
        """Nothing is held open."""
