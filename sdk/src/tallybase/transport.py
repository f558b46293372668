"""How requests travel: the interface of a transport, and the two over httpx that are used by default."""

from __future__ import annotations

from typing import Protocol

import httpx

from tallybase._wire import Request, Response, TransportFailure

__all__ = [
    "AsyncHttpxTransport",
    "AsyncTransport",
    "HttpxTransport",
    "Request",
    "Response",
    "Transport",
    "TransportFailure",
]

#: Idle connections are closed before common proxies (60 s) close them on us.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0)


class Transport(Protocol):
    """Sends one request and waits for the answer. Used from several threads at once."""

    def send(self, request: Request, time_limit: float) -> Response:
        """Send a request once, without retries.

        Args:
            request: what to send.
            time_limit: seconds until giving up.

        Raises:
            TransportFailure: when no answer came.
        """
        ...

    def close(self) -> None:
        """Release connections."""
        ...


class AsyncTransport(Protocol):
    """As `Transport`, for asyncio."""

    async def send(self, request: Request, time_limit: float) -> Response:
        """Send a request once, without retries. Raises TransportFailure when no answer came."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class HttpxTransport:
    """Requests over a pooled `httpx.Client`.

    Args:
        client: a client of your own (proxy, certificates); it is then yours to close.
    """

    def __init__(self, client: httpx.Client | None = None) -> None:
        self._client = client or httpx.Client(limits=_LIMITS)
        self._owned = client is None

    def send(self, request: Request, time_limit: float) -> Response:
        """See `Transport.send`."""
        try:
            answer = self._client.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.content,
                timeout=time_limit,
            )
        except httpx.HTTPError as error:
            raise TransportFailure(_describe(error)) from error
        return Response(answer.status_code, _lower(answer.headers), answer.content)

    def close(self) -> None:
        """Close the connections, unless the client was given."""
        if self._owned:
            self._client.close()


class AsyncHttpxTransport:
    """Requests over a pooled `httpx.AsyncClient`, for one event loop.

    Args:
        client: a client of your own (proxy, certificates); it is then yours to close.
    """

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self._client = client or httpx.AsyncClient(limits=_LIMITS)
        self._owned = client is None

    async def send(self, request: Request, time_limit: float) -> Response:
        """See `Transport.send`."""
        try:
            answer = await self._client.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.content,
                timeout=time_limit,
            )
        except httpx.HTTPError as error:
            raise TransportFailure(_describe(error)) from error
        return Response(answer.status_code, _lower(answer.headers), answer.content)

    async def aclose(self) -> None:
        """Close the connections, unless the client was given."""
        if self._owned:
            await self._client.aclose()


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _describe(error: httpx.HTTPError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
