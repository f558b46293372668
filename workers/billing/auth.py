"""Who is calling: verifies a user's access token against the project's public keys."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from functools import lru_cache

import httpx
import jwt
from flask import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from billing.errors import NotAuthenticatedError, NotAuthorizedError, WorkerError
from billing.logs import get_logger
from billing.settings import Settings, get_settings

#: Asymmetric only: whoever could verify with a shared secret could also sign with it.
ALGORITHMS = ("ES256", "RS256", "EdDSA")
AUDIENCE = "authenticated"
KEYS_LIVE_SECONDS = 600
#: An unknown key id asks for the keys again, but not more often than this, whatever anybody sends.
KEYS_REFRESH_PAUSE_SECONDS = 30
CLOCK_SKEW_SECONDS = 5

_log = get_logger("auth")


class User(BaseModel):
    """A signed-in person, from the claims of a verified token. `user_metadata` is never read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sub: uuid.UUID
    role: str
    email: str | None = Field(default=None, max_length=320)
    is_anonymous: bool = False
    client_id: str | None = None


@dataclass
class KeyRing:
    """The project's public signing keys, fetched from its JWKS address and kept for a while.

    Args:
        url: address of the JWKS.
    """

    url: str
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict)
    _fetched_at: float = -KEYS_LIVE_SECONDS
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def find(self, key_id: str) -> jwt.PyJWK:
        """Return the key with this id.

        Raises:
            NotAuthenticatedError: the project has no such key.
            WorkerError: 503 `auth_unavailable`, the keys cannot be fetched and none are at hand.
        """
        with self._lock:
            age = time.monotonic() - self._fetched_at
            if age > KEYS_LIVE_SECONDS or (key_id not in self._keys and age > KEYS_REFRESH_PAUSE_SECONDS):
                self._fetch()
            key = self._keys.get(key_id)
        if key is None:
            raise NotAuthenticatedError("The access token is not valid.")
        return key

    def _fetch(self) -> None:
        try:
            answer = httpx.get(self.url, timeout=5)
            answer.raise_for_status()
            keys = jwt.PyJWKSet.from_dict(answer.json()).keys
        except (httpx.HTTPError, ValueError, jwt.PyJWKSetError, jwt.PyJWKError) as error:
            _log.error("signing_keys_unavailable", error=type(error).__name__)
            if not self._keys:
                raise WorkerError(
                    "Sign-in cannot be verified just now. Try again.",
                    status=503,
                    slug="auth_unavailable",
                    headers={"Retry-After": "2"},
                ) from error
            return
        self._keys = {key.key_id: key for key in keys if key.key_id is not None}
        self._fetched_at = time.monotonic()


@lru_cache(maxsize=4)
def _key_ring(url: str) -> KeyRing:
    return KeyRing(url)


def bearer_token(request: Request) -> str | None:
    """Return what stands after `Authorization: Bearer`, or None."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token else None


def require_user(request: Request) -> User:
    """Return the person behind a request.

    Raises:
        NotAuthenticatedError: no token, or none that this project has signed and that is in force.
        NotAuthorizedError: an anonymous sign-in, or a third party's OAuth token (`client_id`): neither may.
    """
    token = bearer_token(request)
    if token is None:
        raise NotAuthenticatedError("Sign in first: this call needs a user's access token.")
    user = verify(token, get_settings())
    if user.role != "authenticated" or user.is_anonymous or user.client_id is not None:
        raise NotAuthorizedError("This sign-in may not manage billing.")
    return user


def verify(token: str, settings: Settings) -> User:
    """Verify signature, algorithm, audience, issuer and times of an access token.

    Args:
        token: a JWT.
        settings: names the issuer and the project.

    Raises:
        NotAuthenticatedError: anything about it is wrong; the answer does not say what.
    """
    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS or not isinstance(header.get("kid"), str):
            raise NotAuthenticatedError("The access token is not valid.")
        key = _key_ring(f"{settings.supabase_url}/auth/v1/.well-known/jwks.json").find(header["kid"])
        if key.algorithm_name != header["alg"]:
            raise NotAuthenticatedError("The access token is not valid.")
        claims = jwt.decode(
            token,
            key,
            algorithms=list(ALGORITHMS),
            audience=AUDIENCE,
            issuer=settings.jwt_issuer,
            leeway=CLOCK_SKEW_SECONDS,
            options={"require": ["exp", "sub", "aud", "iss"]},
        )
        return User.model_validate(claims)
    except (jwt.PyJWTError, ValidationError, ValueError):
        raise NotAuthenticatedError("The access token is not valid.") from None
