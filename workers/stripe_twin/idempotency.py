"""Idempotency keys as Stripe keeps them: the first answer is replayed, other parameters are refused.

The key's row is written in the transaction of the call itself, under an advisory lock on the key, so a crash
leaves neither an effect without an answer nor an answer without its effect. Source of the rules:
https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from stripe_twin.errors import StripeError
from stripe_twin.forms import FormValue
from stripe_twin.shapes import Json
from stripe_twin.unit import UnitOfWork

_LONGEST_KEY = 255


@dataclass(frozen=True)
class Answer:
    """What a call answered."""

    status: int
    body: Json
    request_id: str
    replayed: bool = False


@dataclass(frozen=True)
class Claim:
    """One request's hold on its idempotency key.

    Attributes:
        key: The Idempotency-Key, prefixed with the account's API key.
        request_hash: Digest of method, path and parameters.
    """

    key: str
    request_hash: str

    @classmethod
    def of(cls, key: str, account: str, method: str, path: str, values: dict[str, FormValue]) -> Claim:
        """Make the claim of a request.

        Raises:
            StripeError: 400 when the key is longer than 255 characters.
        """
        if len(key) > _LONGEST_KEY:
            raise StripeError(
                400, f"Idempotency keys can have up to {_LONGEST_KEY} characters.", kind="idempotency_error"
            )
        text = json.dumps([method, path, values], sort_keys=True)
        account_digest = hashlib.sha256(account.encode()).hexdigest()[:16]
        return cls(f"{account_digest}:{key}", hashlib.sha256(text.encode()).hexdigest())

    def earlier_answer(self, unit: UnitOfWork, path: str) -> Answer | None:
        """Take the key for this transaction and return the answer it already has.

        Raises:
            StripeError: 409 while another request with the key runs; 400 when the key was used for other
                parameters.
        """
        shown = self.key.partition(":")[2]
        held = unit.connection.execute(
            "select pg_try_advisory_xact_lock(hashtextextended(current_schema() || %s, 0)) as held",
            (self.key,),
        ).fetchone()
        if held is None or not held["held"]:
            raise StripeError(
                409,
                f"There is currently another in-progress request using this Idempotent Key: {shown}",
                kind="idempotency_error",
                code="idempotency_key_in_use",
            )
        row = unit.connection.execute(
            "select request_hash, request_id, status, body from idempotency_keys "
            "where key = %s and created > now() - interval '24 hours'",
            (self.key,),
        ).fetchone()
        if row is None:
            return None
        if row["request_hash"] != self.request_hash:
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first "
                f"used with. Try using a key other than '{shown}' if you meant to execute a different "
                f"request ({path}).",
                kind="idempotency_error",
            )
        return Answer(row["status"], json.loads(row["body"]), row["request_id"], replayed=True)

    def remember(self, unit: UnitOfWork, answer: Answer) -> None:
        """Store the answer beside the effect, and forget keys older than 24 hours."""
        unit.connection.execute("delete from idempotency_keys where created <= now() - interval '24 hours'")
        unit.connection.execute(
            "insert into idempotency_keys (key, request_hash, request_id, status, body) "
            "values (%s, %s, %s, %s, %s)",
            (self.key, self.request_hash, answer.request_id, answer.status, json.dumps(answer.body)),
        )
