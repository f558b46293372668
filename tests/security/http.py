"""Raw HTTP as each kind of caller: nothing that a client library would put right on the way."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import jwt


@dataclass(frozen=True)
class Answer:
    """An HTTP answer.

    Attributes:
        status: HTTP status.
        text: the body as it came.
        count: what Content-Range says there is in all, where it was asked for.
        headers: of the answer, but for the date.
    """

    status: int
    text: str
    count: str = ""
    headers: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def body(self) -> Any:
        """The body, parsed; None when it is empty. Amounts stay exact."""
        return json.loads(self.text, parse_float=Decimal) if self.text else None

    @property
    def slug(self) -> str:
        """The refusal's slug, the SQLSTATE where the database refused before any function, or ''."""
        body = self.body if self.status >= 400 else None
        if not isinstance(body, dict):
            return ""
        code = str(body.get("code") or "")
        return str(body.get("message")) if code.startswith("PT") else code

    @property
    def answer(self) -> tuple[int, str]:
        """All that a caller can tell two refusals apart by."""
        return self.status, self.text


class _Encoder(json.JSONEncoder):
    def default(self, value: Any) -> Any:
        return str(value) if isinstance(value, Decimal | UUID) else super().default(value)


class Caller:
    """One principal in front of PostgREST."""

    def __init__(self, name: str, client: httpx.Client, headers: Mapping[str, str]) -> None:
        """Remember who calls.

        Args:
            name: for messages.
            client: shared connections to the gateway's `/rest/v1`.
            headers: the principal's credentials.
        """
        self.name = name
        self._client = client
        self.headers = dict(headers)

    def send(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Send a request to schema `billing`.

        Args:
            method: HTTP verb.
            path: what follows `/rest/v1/`.
            body: sent as JSON; a str or bytes is sent as it is.
            headers: added, with `_` for `-`.
        """
        added = {name.replace("_", "-"): value for name, value in headers.items()}
        every = {
            "Accept-Profile": "billing",
            "Content-Profile": "billing",
            "Content-Type": "application/json",
            **self.headers,
            **added,
        }
        content = body if isinstance(body, str | bytes | None) else json.dumps(body, cls=_Encoder)
        response = self._client.request(method, f"/{path}", content=content, headers=every)
        count = response.headers.get("content-range", "").partition("/")[2]
        answered = {name: value for name, value in response.headers.items() if name != "date"}
        return Answer(response.status_code, response.text, count, answered)

    def get(self, path: str, **headers: str) -> Answer:
        """GET a table or view with a PostgREST query."""
        return self.send("GET", path, **headers)

    def call(self, function: str, arguments: Mapping[str, object] | str) -> Answer:
        """POST to a function; a str is sent as the body as it is."""
        return self.send("POST", f"rpc/{function}", arguments)


def user_token(signing_key: Mapping[str, str], user_id: object, **changes: object) -> str:
    """Return an access token as the project's auth server signs it.

    Args:
        signing_key: the project's private key as a JWK.
        user_id: whom it names; None for nobody.
        changes: claims to add, change or (None) leave out.
    """
    now = int(time.time())
    claims: dict[str, object] = {
        "sub": None if user_id is None else str(user_id),
        "aud": "authenticated",
        "role": "authenticated",
        "iat": now,
        "exp": now + 3600,
        "is_anonymous": False,
        "app_metadata": {},
        "user_metadata": {"role": "owner"},
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    key = jwt.PyJWK.from_dict(dict(signing_key), algorithm="ES256").key
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": signing_key["kid"]})
