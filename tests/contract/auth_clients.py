"""One interface over both real auth clients, so that every promise is tested through each of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel
from supabase_auth.errors import AuthError

import supabase
from tests.contract.node_driver import NodeDriver
from tests.contract.target import Json, Target

Flow = Literal["implicit", "pkce"]


class AuthRefusedError(Exception):
    """The server refused a call.

    Args:
        status: HTTP status, or None if the client does not tell.
        code: error code.
        message: sentence for a person.
        reasons: rules that a weak password breaks.
    """

    def __init__(self, status: int | None, code: str | None, message: str, reasons: list[str] | None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.reasons = reasons


@dataclass(frozen=True)
class Answer:
    """What a call returned: a session if there is one, and the user."""

    session: Json | None
    user: Json | None

    @property
    def access_token(self) -> str:
        """The session's access token."""
        assert self.session is not None
        return str(self.session["access_token"])

    @property
    def refresh_token(self) -> str:
        """The session's refresh token."""
        assert self.session is not None
        return str(self.session["refresh_token"])

    @property
    def user_id(self) -> str:
        """The user's id."""
        assert self.user is not None
        return str(self.user["id"])


class AuthClient(Protocol):
    """What the tests call. Methods have the Python client's names; `options` are the same for both."""

    def call(self, method: str, *arguments: Any) -> Answer:
        """Call a method of the client's `auth`, e.g. `sign_in_with_password`; raises AuthRefusedError."""

    def admin(self, method: str, *arguments: Any) -> Json:
        """Call a method of `auth.admin` and return its bare data; raises AuthRefusedError."""

    def claims(self, token: str) -> Json:
        """Verify a token with the published keys, as `get_claims` does."""

    def set_session(self, access_token: str, refresh_token: str) -> Answer:
        """Continue a session that was opened elsewhere."""


class PythonAuthClient:
    """supabase-py."""

    def __init__(self, target: Target, key: str, flow: Flow = "implicit") -> None:
        options = supabase.ClientOptions(auto_refresh_token=False, persist_session=False, flow_type=flow)
        self._auth = supabase.create_client(target.url, key, options).auth

    def call(self, method: str, *arguments: Any) -> Answer:
        """See AuthClient."""
        return _answer(_plain(_refusing(getattr(self._auth, method), *arguments)))

    def admin(self, method: str, *arguments: Any) -> Json:
        """See AuthClient."""
        answer = _plain(_refusing(getattr(self._auth.admin, method), *arguments))
        return {"users": answer} if isinstance(answer, list) else answer or {}

    def claims(self, token: str) -> Json:
        """See AuthClient."""
        answer = _refusing(self._auth.get_claims, token)
        assert answer is not None
        claims: Json = dict(answer["claims"])
        return claims

    def set_session(self, access_token: str, refresh_token: str) -> Answer:
        """See AuthClient."""
        return self.call("set_session", access_token, refresh_token)


def _refusing(method: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return method(*arguments)
    except AuthError as error:
        raise AuthRefusedError(
            getattr(error, "status", None), error.code, error.message, getattr(error, "reasons", None)
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _answer(data: Json | None) -> Answer:
    if data is None:
        return Answer(None, None)
    if "access_token" in data:
        return Answer(data, data["user"])
    return Answer(data.get("session"), data.get("user"))


class JavaScriptAuthClient:
    """supabase-js."""

    _names = itertools.count()

    def __init__(self, driver: NodeDriver, key: str, flow: Flow = "implicit") -> None:
        self._driver = driver
        self._name = f"auth-{next(self._names)}"
        driver.ask("client", name=self._name, key=key, flow=flow)

    def call(self, method: str, *arguments: Any) -> Answer:
        """See AuthClient."""
        return _answer(self._call(f"auth.{_camel(method)}", *arguments))

    def admin(self, method: str, *arguments: Any) -> Json:
        """See AuthClient."""
        data = self._call(f"auth.admin.{_camel(method)}", *arguments)
        return data or {}

    def claims(self, token: str) -> Json:
        """See AuthClient."""
        claims: Json = self._call("auth.getClaims", token)["claims"]
        return claims

    def set_session(self, access_token: str, refresh_token: str) -> Answer:
        """See AuthClient."""
        return self.call("set_session", {"access_token": access_token, "refresh_token": refresh_token})

    def _call(self, path: str, *arguments: Any) -> Any:
        if path == "auth.admin.listUsers" and arguments:
            arguments = ({"page": arguments[0], "perPage": arguments[1]},)
        answer = self._driver.ask(
            "call", name=self._name, path=path, args=[_camel_options(argument) for argument in arguments]
        )
        if error := answer["error"]:
            # supabase-js turns `session_not_found` into an error of its own, without the code.
            ended = error["name"] == "AuthSessionMissingError"
            code = "session_not_found" if ended else error.get("code")
            raise AuthRefusedError(error.get("status"), code, error["message"], error.get("reasons"))
        return answer.get("data")


_OPTION_NAMES = {
    "email_redirect_to": "emailRedirectTo",
    "redirect_to": "redirectTo",
    "should_create_user": "shouldCreateUser",
}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _camel_options(argument: Any) -> Any:
    """The few option names that the two clients spell differently."""
    if not isinstance(argument, dict):
        return argument
    return {_OPTION_NAMES.get(key, key): _camel_options(value) for key, value in argument.items()}
