"""Key material of one stack instance: made once, kept in a file that only its owner may read.

Nothing here is printed except by `make env`; the role tokens made from `role_token_secret` never leave
the state folder (the gateway's configuration holds them).
"""

from __future__ import annotations

import json
import os
import secrets
import time
from pathlib import Path
from typing import Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict

ROLE_TOKEN_KEY_ID = "role-tokens"
ROLE_TOKEN_LIFETIME_SECONDS = 10 * 365 * 24 * 3600

#: Database roles that log in with a password of their own. `postgres` has the well-known one of
#: `supabase start`, because people type it; the others are random.
LOGIN_ROLES = ("supabase_admin", "supabase_auth_admin", "supabase_realtime_admin", "authenticator")

#: The secrets that can be replaced alone; passwords of the database's roles live in the database too.
Rotatable = Literal[
    "signing_key",
    "publishable_key",
    "secret_key",
    "role_token_secret",
    "webhook_secret",
    "database_passwords",
]


class Keys(BaseModel):
    """Secrets of one instance.

    Attributes:
        signing_key: private ES256 key as a JWK (with `kid`, `alg` and `use`); signs users' access tokens.
        publishable_key: the `sb_publishable_…` key, safe in a browser.
        secret_key: the `sb_secret_…` key, for servers.
        role_token_secret: HMAC-SHA-256 secret of the anon and service_role tokens that replace those keys.
        webhook_secret: the `whsec_…` secret that the Stripe twin signs its deliveries with.
        database_passwords: password of each role in `LOGIN_ROLES`, and of `postgres` once it was rotated.
    """

    model_config = ConfigDict(frozen=True)

    signing_key: dict[str, str]
    publishable_key: str
    secret_key: str
    role_token_secret: str
    webhook_secret: str
    database_passwords: dict[str, str]

    def public_signing_key(self) -> dict[str, str]:
        """Return the public half of the signing key as a JWK."""
        return {name: value for name, value in self.signing_key.items() if name != "d"}

    def role_token(self, role: str) -> str:
        """Return an HS256 token that makes PostgREST and the auth server act as `role`.

        Args:
            role: `anon` or `service_role`.
        """
        now = int(time.time())
        claims = {"iss": "supabase", "role": role, "iat": now, "exp": now + ROLE_TOKEN_LIFETIME_SECONDS}
        return jwt.encode(claims, self.role_token_secret, "HS256", headers={"kid": ROLE_TOKEN_KEY_ID})

    def verification_jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the key set that checks both kinds of token. It holds the HMAC secret: never serve it."""
        encoded = jwt.utils.base64url_encode(self.role_token_secret.encode()).decode()
        role_key = {"kty": "oct", "k": encoded, "alg": "HS256", "kid": ROLE_TOKEN_KEY_ID}
        return {"keys": [self.public_signing_key(), role_key]}


def load_or_create(path: Path) -> Keys:
    """Read the instance's keys, or make them when the file is not there.

    Args:
        path: the key file; it is created with mode 0600.

    Returns:
        The keys.
    """
    if path.exists():
        return Keys.model_validate_json(path.read_text())
    keys = _generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, keys)
    return keys


def write(path: Path, keys: Keys) -> None:
    """Put keys into the key file (mode 0600), in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(keys.model_dump_json(indent=2))
    temporary.replace(path)


def rotated(kept: Keys, name: Rotatable) -> Keys:
    """Return the keys with one secret replaced: what the old one signed or opened is worth nothing then.

    Args:
        kept: the instance's keys.
        name: which secret; `database_passwords` are all of them, `postgres`' well-known one included.
    """
    fresh: object = getattr(_generate(), name)
    if name == "database_passwords":
        fresh = {role: secrets.token_urlsafe(24) for role in (*LOGIN_ROLES, "postgres")}
    return kept.model_copy(update={name: fresh})


def write_signing_key(keys: Keys, path: Path) -> None:
    """Write the private signing key alone to `path` (mode 0600), for tests that mint users' tokens."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(keys.signing_key, file)


def _generate() -> Keys:
    private = ec.generate_private_key(ec.SECP256R1())
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(private))
    jwk |= {"kid": secrets.token_hex(16), "alg": "ES256", "use": "sig", "key_ops": None}
    signing_key = {name: value for name, value in jwk.items() if isinstance(value, str)}
    return Keys(
        signing_key=signing_key,
        publishable_key=f"sb_publishable_{secrets.token_urlsafe(24)}",
        secret_key=f"sb_secret_{secrets.token_urlsafe(24)}",
        role_token_secret=secrets.token_urlsafe(48),
        webhook_secret=f"whsec_{secrets.token_urlsafe(24)}",
        database_passwords={role: secrets.token_urlsafe(24) for role in LOGIN_ROLES},
    )
