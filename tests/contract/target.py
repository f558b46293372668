"""Which Supabase the contract tests talk to: the local stack, `supabase start`, or a hosted project."""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from stack.keys import load_or_create
from stack.settings import state_directory

Json = dict[str, Any]

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Target:
    """Addresses and keys, as `make env` prints them.

    Args:
        url: base address of the project.
        publishable_key: key for browsers.
        secret_key: key for servers.
        database_url: connection as `postgres`.
        mailbox_url: Mailpit or the stack's own mailbox.
        signing_jwk: private key of users' tokens, for tests that mint some.
    """

    url: str
    publishable_key: str
    secret_key: str
    database_url: str
    mailbox_url: str
    signing_jwk: Json

    @classmethod
    def from_environment(cls) -> Target:
        """Read the variables of `make env`.

        Raises:
            KeyError: one is missing; `set -a; eval "$(make env)"` sets them all.
        """
        return cls(
            url=os.environ["SUPABASE_URL"],
            publishable_key=os.environ["SUPABASE_PUBLISHABLE_KEY"],
            secret_key=os.environ["SUPABASE_SECRET_KEY"],
            database_url=os.environ["DATABASE_URL"],
            mailbox_url=os.environ["MAILBOX_URL"],
            signing_jwk=json.loads(Path(os.environ["TALLYBASE_SIGNING_KEY_FILE"]).read_text()),
        )

    @property
    def auth_url(self) -> str:
        """Base address of the auth API."""
        return f"{self.url}/auth/v1"

    def sign(self, claims: Json) -> str:
        """Sign claims with the project's own key, as only its auth server should."""
        key = jwt.PyJWK.from_dict(self.signing_jwk, algorithm="ES256").key
        return jwt.encode(claims, key, algorithm="ES256", headers={"kid": self.signing_jwk["kid"]})


def is_local_stack() -> bool:
    """Whether the tests talk to this clone's own stack, so that files about the stand-ins apply too."""
    key_file = state_directory() / "keys.json"
    if not key_file.exists():
        return False
    return load_or_create(key_file).publishable_key == os.environ.get("SUPABASE_PUBLISHABLE_KEY")


def new_email(person: str = "somebody") -> str:
    """An address that no other test uses."""
    return f"{person}-{secrets.token_hex(6)}@contract.test"


def user_claims(user_id: str, **changes: object) -> Json:
    """Claims of a plausible access token, an hour from expiry, with some changed."""
    now = int(time.time())
    return {
        "sub": user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "iat": now,
        "exp": now + 3600,
        "email": "",
        "phone": "",
        "app_metadata": {},
        "user_metadata": {},
        "aal": "aal1",
        "amr": [],
        "is_anonymous": False,
        **changes,
    }
