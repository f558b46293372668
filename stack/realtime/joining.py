"""What a client asks for when it joins a channel, and the token with which it asks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from stack.auth.tokens import Claims, ExpiredTokenError, InvalidTokenError, MalformedTokenError, TokenKeys
from stack.realtime.frames import Json

API_KEY_PREFIX = "sb_"


class RefusedError(Exception):
    """A join or a token is refused; the text is what the client is told, in the real server's words."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class BroadcastOptions(_Part):
    """`config.broadcast`."""

    ack: bool = False
    self_: bool = Field(False, alias="self")


class PresenceOptions(_Part):
    """`config.presence`."""

    key: Annotated[str, BeforeValidator(lambda value: "" if value is None else str(value))] = ""
    enabled: bool = True


class ChannelOptions(_Part):
    """`config` of a join."""

    broadcast: BroadcastOptions = Field(default_factory=lambda: BroadcastOptions.model_validate({}))
    presence: PresenceOptions = PresenceOptions()
    postgres_changes: list[Any] | None = None
    private: bool = False


class JoinRequest(_Part):
    """The payload of `phx_join`."""

    config: ChannelOptions = ChannelOptions()
    access_token: str | None = None
    user_token: str | None = None


@dataclass(frozen=True)
class ApiKeys:
    """What opens a connection, and whose rights it gives.

    Args:
        keys: verify tokens.
        publishable_key: stands for the role anon.
        secret_key: stands for the role service_role.
    """

    keys: TokenKeys
    publishable_key: str
    secret_key: str

    def claims_of_key(self, api_key: str) -> Claims | None:
        """The claims an API key stands for: one of the two `sb_` keys, or a role token; None if unknown."""
        if api_key == self.publishable_key:
            return {"role": "anon"}
        if api_key == self.secret_key:
            return {"role": "service_role"}
        try:
            return self.claims_of_token(api_key)
        except RefusedError:
            return None

    def claims_of_token(self, token: str) -> Claims:
        """Verify a user's token.

        Raises:
            RefusedError: with the code and the sentence of the real server.
        """
        try:
            claims = self.keys.verify(token)
        except ExpiredTokenError as error:
            raise RefusedError("InvalidJWTToken: Token has expired") from error
        except MalformedTokenError as error:
            raise RefusedError("MalformedJWT: The token provided is not a valid JWT") from error
        except InvalidTokenError as error:
            raise RefusedError("JwtSignatureError: Failed to validate JWT signature") from error
        if not isinstance(claims.get("role"), str) or not isinstance(claims.get("exp"), int):
            raise RefusedError("InvalidJWTToken: Fields `role` and `exp` are required in JWT")
        return claims


def parse_join(payload: Json) -> JoinRequest:
    """Read the payload of `phx_join`.

    Raises:
        RefusedError: a field has the wrong type.
    """
    try:
        return JoinRequest.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RefusedError(f"InvalidJoinPayload: {place}: {first['msg']}") from error


def seconds_left(claims: Claims) -> float | None:
    """How long a token still holds; None for the rights of an API key, which do not end."""
    return claims["exp"] - time.time() if "exp" in claims else None
