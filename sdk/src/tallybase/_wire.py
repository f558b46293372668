"""The HTTP of the billing API without input or output: how a call becomes a request, an answer a reply."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tallybase import _json

_PROFILE = "billing"
_MAX_QUOTED = 200


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    Attributes:
        method: `GET` or `POST`.
        url: absolute URL, with the query.
        headers: names and values; they carry keys, so they are never logged or shown.
        content: the body, or None.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer, with header names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)


class TransportFailure(Exception):
    """No answer came: refused, reset, timed out. Whether the request arrived is unknown."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as the rest of the package sees it.

    Attributes:
        status: HTTP status.
        payload: decoded JSON; None for an empty or undecodable body.
        retry_after: seconds that the server asks to wait, or None.
        text: beginning of a body that was not JSON, for the error message.
    """

    status: int
    payload: object
    retry_after: float | None = None
    text: str = ""

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return 200 <= self.status < 300

    @property
    def server_failed(self) -> bool:
        """Whether the server failed, so that it is not known whether it carried the call out.

        Besides 5xx that is a 400 with an empty `code` and `message`: so PostgREST answers when its connection
        to the database breaks during the COMMIT (tests/chaos/test_killed_processes.py).
        """
        if self.status >= 500:
            return True
        body = self.payload
        return (
            self.status == 400 and isinstance(body, Mapping) and body.get("code") == body.get("message") == ""
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the API is and as whom it is called.

    Attributes:
        url: base URL of the Supabase project, without `/rest/v1`.
        key: publishable key (with an agent key or an access token) or secret key.
        agent_key: key of one agent, sent as `x-agent-key`.
        access_token: JWT of a signed-in person.
    """

    url: str
    key: str = field(repr=False)
    agent_key: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)

    def rpc(self, function: str, arguments: Mapping[str, object]) -> Request:
        """Build the request that calls a function of the schema `billing`.

        Raises:
            TypeError: when an argument cannot be written as JSON.
        """
        headers = self._headers() | {"content-profile": _PROFILE, "content-type": "application/json"}
        content = _json.encode(arguments)
        return Request("POST", f"{self.url.rstrip('/')}/rest/v1/rpc/{function}", headers, content)

    def select(self, table_and_query: str) -> Request:
        """Build the request that reads rows, for example `credit_usage?order=sequence.desc&limit=5`."""
        headers = self._headers() | {"accept-profile": _PROFILE}
        return Request("GET", f"{self.url.rstrip('/')}/rest/v1/{table_and_query}", headers)

    def _headers(self) -> dict[str, str]:
        headers = {"apikey": self.key, "accept": "application/json"}
        if self.agent_key:
            headers["x-agent-key"] = self.agent_key
        if self.access_token:
            headers["authorization"] = f"Bearer {self.access_token}"
        return headers

    def redact(self, text: str) -> str:
        """Return the text without any of this endpoint's keys."""
        for secret in (self.key, self.agent_key, self.access_token):
            if secret:
                text = text.replace(secret, "[key]")
        return text


def read(response: Response) -> Reply:
    """Decode an answer. A body that is not JSON is kept as text, since proxies answer in HTML."""
    retry_after = _retry_after(response.headers.get("retry-after"))
    if not response.content.strip():
        return Reply(response.status, None, retry_after)
    try:
        return Reply(response.status, _json.decode(response.content), retry_after)
    except ValueError:
        text = response.content[:_MAX_QUOTED].decode("utf-8", "replace")
        return Reply(response.status, None, retry_after, text)


def _retry_after(value: str | None) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
