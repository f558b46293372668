"""Whose word the workers take: a token that this project signed, for a person, in a first-party session."""

from __future__ import annotations

import base64
import hmac
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.money.conftest import Buyer
from tests.money.world import PACK_500, Workers

Claims = dict[str, Any]


@pytest.fixture
def signing_key() -> dict[str, Any]:
    """The project's private signing key, as a JWK; only a local stack gives it away."""
    path = os.environ.get("TALLYBASE_SIGNING_KEY_FILE", "")
    if not path:
        pytest.skip("only the local stack shows its signing key")
    return dict(json.loads(Path(path).read_text()))


@pytest.fixture
def claims(refused_buyer: Buyer) -> Claims:
    """What a right token says about the refused_buyer."""
    now = int(time.time())
    return {
        "sub": str(refused_buyer.user.user_id),
        "aud": "authenticated",
        "role": "authenticated",
        "iss": f"{refused_buyer.workers.stack.supabase_url}/auth/v1",
        "iat": now,
        "exp": now + 600,
        "email": refused_buyer.user.email,
        "is_anonymous": False,
        "session_id": str(uuid4()),
    }


def sign(claims: Claims, jwk: dict[str, Any], **header: Any) -> str:
    """Sign as the project does, or nearly."""
    return jwt.encode(claims, jwt.PyJWK(jwk), algorithm="ES256", headers={"kid": jwk["kid"], **header})


def answer_to(buyer: Buyer, token: str) -> tuple[int, str | None]:
    """Try to buy with a token: status and slug."""
    body = {"organization_id": str(buyer.organization_id), "package_key": PACK_500}
    answer = Workers(buyer.workers.stack, token).call("create_checkout_session", body)
    return answer.status_code, answer.json().get("message")


def test_a_right_token_is_taken(refused_buyer: Buyer, claims: Claims, signing_key: dict[str, Any]) -> None:
    """The control: past the token, this call is refused only because there is no such pack."""
    body = {"organization_id": str(refused_buyer.organization_id), "package_key": "no_such_pack"}
    token = sign(claims, signing_key)

    answer = Workers(refused_buyer.workers.stack, token).call("create_checkout_session", body)

    assert (answer.status_code, answer.json()["message"]) == (404, "not_found")


@pytest.mark.parametrize(
    "change",
    [
        {"exp": 1},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"aud": "somebody else"},
        {"aud": None},
        {"iss": "https://other.example/auth/v1"},
        {"iss": None},
        {"sub": None},
        {"sub": "not a uuid"},
    ],
    ids=lambda change: "-".join(f"{name} {value}" for name, value in change.items()),
)
def test_a_token_with_a_wrong_claim_is_401(
    refused_buyer: Buyer, claims: Claims, signing_key: dict[str, Any], change: Claims
) -> None:
    changed = {name: value for name, value in {**claims, **change}.items() if value is not None}

    assert answer_to(refused_buyer, sign(changed, signing_key)) == (401, "not_authenticated")


@pytest.mark.parametrize(
    "change",
    [{"is_anonymous": True}, {"client_id": str(uuid4())}, {"role": "service_role"}, {"role": "anon"}],
    ids=["anonymous sign-in", "third-party OAuth", "cross-role", "anon role"],
)
def test_a_sign_in_that_may_not_move_money_is_403(
    refused_buyer: Buyer, claims: Claims, signing_key: dict[str, Any], change: Claims
) -> None:
    assert answer_to(refused_buyer, sign({**claims, **change}, signing_key)) == (403, "not_authorized")


def _other_key(claims: Claims, jwk: dict[str, Any]) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": jwk["kid"]})


def _unsigned(claims: Claims, jwk: dict[str, Any]) -> str:
    return jwt.encode(claims, "", algorithm="none", headers={"kid": jwk["kid"]})


def _signed_with_the_public_key(claims: Claims, jwk: dict[str, Any]) -> str:
    """Made by hand: the library refuses to sign like this."""
    public = json.dumps({name: jwk[name] for name in ("kty", "crv", "x", "y")})
    head, body = (_base64(json.dumps(part)) for part in ({"alg": "HS256", "kid": jwk["kid"]}, claims))
    mac = hmac.digest(public.encode(), f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def _base64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _tampered(claims: Claims, jwk: dict[str, Any]) -> str:
    header, _, signature = sign(claims, jwk).split(".")
    other = sign({**claims, "sub": str(uuid4())}, jwk).split(".")[1]
    return f"{header}.{other}.{signature}"


@pytest.mark.parametrize(
    "forge",
    [
        _other_key,
        _unsigned,
        _signed_with_the_public_key,
        _tampered,
        lambda claims, jwk: sign(claims, {**jwk, "kid": "unknown"}),
        lambda claims, jwk: sign(claims, jwk)[:-8],
        lambda claims, jwk: "nonsense",
        lambda claims, jwk: "a.b.c",
    ],
    ids=["other key", "alg none", "HS256", "tampered", "unknown kid", "truncated", "nonsense", "three words"],
)
def test_a_forged_token_is_401(
    refused_buyer: Buyer,
    claims: Claims,
    signing_key: dict[str, Any],
    forge: Callable[[Claims, dict[str, Any]], str],
) -> None:
    assert answer_to(refused_buyer, forge(claims, signing_key)) == (401, "not_authenticated")
    assert refused_buyer.books.checkouts == []


def test_api_keys_and_agent_keys_are_no_people(refused_buyer: Buyer) -> None:
    stack = refused_buyer.workers.stack
    for key in (stack.secret_key, stack.publishable_key, refused_buyer.organization.agent_key):
        assert answer_to(refused_buyer, key) == (401, "not_authenticated")


def test_the_refusal_never_shows_the_token(
    refused_buyer: Buyer, claims: Claims, signing_key: dict[str, Any]
) -> None:
    token = sign({**claims, "exp": 1}, signing_key)

    answer = Workers(refused_buyer.workers.stack, token).call("fulfil_checkout", {"session_id": "cs_1"})

    assert token not in answer.text
    assert answer.json()["hint"] == "The access token is not valid."
