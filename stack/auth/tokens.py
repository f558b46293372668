"""Access tokens: signing with the project's ES256 key, verifying, and the public key set."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jwt
from jwt import PyJWK

from stack.keys import ROLE_TOKEN_KEY_ID

Claims = dict[str, Any]

ADMIN_ROLES = frozenset({"service_role", "supabase_admin"})


class InvalidTokenError(Exception):
    """The token is not signed by a key of this project, or its claims do not hold."""


class MalformedTokenError(InvalidTokenError):
    """The text is no JSON Web Token at all."""


class ExpiredTokenError(InvalidTokenError):
    """The token was good until its `exp`."""


@dataclass(frozen=True)
class TokenKeys:
    """The two keys of a project.

    Args:
        signing_jwk: private EC P-256 JWK with a `kid`; signs user tokens with ES256.
        role_secret: shared secret of the HS256 role tokens that the gateway puts in for API keys.
    """

    signing_jwk: dict[str, str]
    role_secret: str

    @property
    def key_id(self) -> str:
        """The `kid` under which the public half is published."""
        return str(self.signing_jwk["kid"])

    def sign(self, claims: Claims) -> str:
        """Sign a user's access token.

        Args:
            claims: the complete claim set; `exp` and `iat` are seconds since 1970.

        Returns:
            A compact JWS with `alg` ES256 and our `kid`.
        """
        return jwt.encode(claims, self._private_key, algorithm="ES256", headers={"kid": self.key_id})

    def verify(self, token: str) -> Claims:
        """Check a token's signature and times and read its claims.

        The header only chooses between our two keys, each bound to its one algorithm: `none`, an
        HS256 token made with the public key, or an unknown `kid` never reach a key that accepts them.

        Args:
            token: compact JWS.

        Returns:
            The claims.

        Raises:
            InvalidTokenError: or a more exact subclass, with a reason that may be shown to the caller.
        """
        try:
            header = jwt.get_unverified_header(token)
            key, algorithm = self._key_for(header)
            claims: Claims = jwt.decode(
                token, key, algorithms=[algorithm], options={"verify_aud": False, "require": ["exp"]}
            )
        except jwt.ExpiredSignatureError as error:
            raise ExpiredTokenError("token has invalid claims: token is expired") from error
        except jwt.DecodeError as error:
            if isinstance(error, jwt.InvalidSignatureError):
                raise InvalidTokenError("unable to parse or verify signature") from error
            raise MalformedTokenError("unable to parse or verify signature") from error
        except jwt.PyJWTError as error:
            raise InvalidTokenError("unable to parse or verify signature") from error
        return claims

    def _key_for(self, header: dict[str, Any]) -> tuple[Any, str]:
        algorithm = header.get("alg")
        if algorithm == "ES256" and header.get("kid") == self.key_id:
            return self._public_key, "ES256"
        if algorithm == "HS256" and header.get("kid", ROLE_TOKEN_KEY_ID) == ROLE_TOKEN_KEY_ID:
            return self.role_secret, "HS256"
        raise jwt.InvalidTokenError("no key of this project fits the token's header")

    @cached_property
    def _private_key(self) -> Any:
        return PyJWK.from_dict(self.signing_jwk, algorithm="ES256").key

    @cached_property
    def _public_key(self) -> Any:
        return PyJWK.from_dict(self.public_jwk(), algorithm="ES256").key

    def public_jwk(self) -> dict[str, Any]:
        """The public half, as published."""
        public = {name: self.signing_jwk[name] for name in ("kty", "crv", "x", "y", "kid")}
        return {**public, "alg": "ES256", "use": "sig", "key_ops": ["verify"], "ext": True}

    def key_set(self) -> dict[str, Any]:
        """The JSON Web Key Set served at `/.well-known/jwks.json`; the shared secret is never in it."""
        return {"keys": [self.public_jwk()]}
