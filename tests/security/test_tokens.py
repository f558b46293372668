"""A token is believed only if the project's auth server signed it, as long as it lasts, for whom it names."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.conftest import StackUnderTest, User
from tests.security.cast import Cast
from tests.security.catalogue import Database, money_digest
from tests.security.conftest import SigningKey
from tests.security.http import Caller, user_token


def _claims(cast: Cast, **changes: object) -> dict[str, object]:
    now = int(time.time())
    claims = {
        "sub": str(cast.users["owner"]),
        "aud": "authenticated",
        "role": "authenticated",
        "iat": now,
        "exp": now + 3600,
    }
    return claims | changes


def _unsigned(header: dict[str, str], claims: dict[str, object]) -> str:
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    )
    return ".".join(parts) + "."


def _other_key(signing_key: SigningKey, cast: Cast, role: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(_claims(cast, role=role), key, algorithm="ES256", headers={"kid": signing_key["kid"]})


def _with_secret(secret: bytes, header: dict[str, str], claims: dict[str, object]) -> str:
    """HS256 by hand: the library refuses to make such tokens."""
    body = _unsigned({"alg": "HS256", "typ": "JWT"} | header, claims).rstrip(".")
    digest = hmac.new(secret, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _confused(signing_key: SigningKey, cast: Cast) -> str:
    """HS256 with the public key as its secret: the classic confusion of algorithms."""
    private = jwt.PyJWK.from_dict(dict(signing_key), algorithm="ES256").key
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return _with_secret(public, {"kid": signing_key["kid"]}, _claims(cast))


def _tampered(signing_key: SigningKey, cast: Cast) -> str:
    head, _, signature = user_token(signing_key, cast.users["stranger"]).split(".")
    _, body, _ = _unsigned({}, _claims(cast)).split(".")
    return f"{head}.{body}.{signature}"


FORGERIES: dict[str, Callable[[SigningKey, Cast], str]] = {
    "signed by another key": lambda key, cast: _other_key(key, cast, "authenticated"),
    "signed by another key for the service": lambda key, cast: _other_key(key, cast, "service_role"),
    "algorithm none": lambda key, cast: _unsigned({"alg": "none", "typ": "JWT"}, _claims(cast)),
    "algorithm none with the key's id": lambda key, cast: _unsigned(
        {"alg": "none", "kid": key["kid"]}, _claims(cast)
    ),
    "algorithm none for the service": lambda key, cast: _unsigned(
        {"alg": "none"}, _claims(cast, role="service_role")
    ),
    "algorithms confused": _confused,
    "an empty secret": lambda key, cast: _with_secret(b"", {"kid": "role-tokens"}, _claims(cast)),
    "tampered with": _tampered,
    "expired": lambda key, cast: user_token(key, cast.users["owner"], exp=int(time.time()) - 120),
    "expired an hour after the epoch": lambda key, cast: user_token(key, cast.users["owner"], exp=3600),
    "not yet valid": lambda key, cast: user_token(key, cast.users["owner"], nbf=int(time.time()) + 3600),
    "for a superuser": lambda key, cast: user_token(key, cast.users["owner"], role="supabase_admin"),
    "for the schema's owner": lambda key, cast: user_token(key, cast.users["owner"], role="postgres"),
    "for a role that is not": lambda key, cast: user_token(key, cast.users["owner"], role="root"),
    "without a signature": lambda key, cast: user_token(key, cast.users["owner"]).rpartition(".")[0] + ".",
    "no token at all": lambda key, cast: "owner",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_token_is_refused(
    forgery: str,
    cast: Cast,
    callers: dict[str, Caller],
    rest: httpx.Client,
    signing_key: SigningKey,
    owner_session: Database,
) -> None:
    token = FORGERIES[forgery](signing_key, cast)
    attacker = Caller(forgery, rest, callers["anon"].headers | {"Authorization": f"Bearer {token}"})
    before = money_digest(owner_session, str(cast.acme), str(cast.globex))
    spend = {"agent_type": cast.ids["agent_type"], "action": "do", "amount": 1, "organization_id": cast.acme}
    answers = [
        attacker.get("organizations"),
        attacker.get("credit_packages"),
        attacker.call("get_credit_balance", {}),
        attacker.call("consume_credits", spend),
        attacker.call("grant_credits", {"organization_id": cast.acme, "amount": 1, "source": "promotion"}),
    ]
    assert {answer.status for answer in answers} <= {400, 401, 403}
    assert not any(str(cast.acme) in answer.text for answer in answers)
    assert money_digest(owner_session, str(cast.acme), str(cast.globex)) == before


def test_the_same_calls_with_a_good_token_are_answered(
    cast: Cast, rest: httpx.Client, callers: dict[str, Caller], signing_key: SigningKey
) -> None:
    token = user_token(signing_key, cast.users["owner"])
    owner = Caller("owner", rest, callers["anon"].headers | {"Authorization": f"Bearer {token}"})
    assert [row["organization_id"] for row in owner.get("organizations").body] == [str(cast.acme)]
    assert owner.call("get_credit_balance", {}).status == 200


@pytest.mark.parametrize("sub", [None, "", "somebody", "null", "00000000-0000-0000-0000-000000000000"])
def test_a_token_of_nobody_is_nobody(
    sub: str | None, cast: Cast, rest: httpx.Client, callers: dict[str, Caller], signing_key: SigningKey
) -> None:
    """A null user is never taken for one without restrictions."""
    nobody = Caller(
        "nobody",
        rest,
        callers["anon"].headers | {"Authorization": f"Bearer {user_token(signing_key, '', sub=sub)}"},
    )
    assert nobody.get("organizations").body in ([], None) or nobody.get("organizations").status >= 400
    for name in ("get_credit_balance", "verify_ledger"):
        answer = nobody.call(name, {"organization_id": cast.acme})
        assert answer.status in (400, 403), answer
    spend = {"agent_type": cast.ids["agent_type"], "action": "do", "amount": 1, "organization_id": cast.acme}
    assert nobody.call("consume_credits", spend).status in (400, 403)


@pytest.mark.parametrize(
    "claim", [{"is_anonymous": True}, {"client_id": "some-app"}], ids=["anonymous", "an app"]
)
def test_a_session_that_is_not_the_persons_own_may_read_and_not_act(
    claim: dict[str, object],
    cast: Cast,
    rest: httpx.Client,
    callers: dict[str, Caller],
    signing_key: SigningKey,
) -> None:
    token = user_token(signing_key, cast.users["owner"], **claim)
    session = Caller("session", rest, callers["anon"].headers | {"Authorization": f"Bearer {token}"})
    assert session.get("organizations").status == 200
    refused: dict[str, dict[str, Any]] = {
        "consume_credits": {"agent_type": cast.ids["agent_type"], "action": "do", "amount": 1},
        "hold_credits": {"agent_type": cast.ids["agent_type"], "action": "do", "amount": 1},
        "invite_member": {"organization_id": cast.acme, "email": "a@security.test", "role": "member"},
        "create_agent_key": {"organization_id": cast.acme, "name": "x"},
        "create_organization": {"name": "x"},
        "set_credit_limit": {
            "subject_type": "organization",
            "subject_id": cast.acme,
            "amount": 1,
            "window": "day",
        },
        "set_member_role": {"organization_id": cast.acme, "user_id": cast.users["member"], "role": "admin"},
        "leave_organization": {"organization_id": cast.acme},
        "redeem_promotion_code": {"organization_id": cast.acme, "code": "CODE"},
    }
    for name, arguments in refused.items():
        assert session.call(name, arguments).slug == "not_authorized", name


def test_nobody_promotes_themselves_through_their_profile(
    stack: StackUnderTest, new_user: Callable[[], User]
) -> None:
    """Whatever a user writes about themselves stays a claim about themselves."""
    user = new_user()
    session = user.client.auth.get_session()
    assert session is not None
    headers = {"apikey": stack.publishable_key, "Authorization": f"Bearer {session.access_token}"}
    wishes = {
        "role": "service_role",
        "app_metadata": {"role": "service_role"},
        "data": {"role": "owner", "organization_id": "*"},
    }
    httpx.put(f"{stack.supabase_url}/auth/v1/user", json=wishes, headers=headers)
    renewed = user.client.auth.refresh_session().session
    assert renewed is not None
    claims = jwt.decode(renewed.access_token, options={"verify_signature": False})
    assert claims["role"] == "authenticated"
    assert "service_role" not in json.dumps(claims["app_metadata"])
    answer = httpx.get(
        f"{stack.rest_url}/organizations",
        headers={
            "apikey": stack.publishable_key,
            "Authorization": f"Bearer {renewed.access_token}",
            "Accept-Profile": "billing",
        },
    )
    assert (answer.status_code, answer.json()) == (200, [])
