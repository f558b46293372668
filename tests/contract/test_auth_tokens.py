"""Access tokens: what they say, who can verify them, and the forgeries that must fail."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.auth_clients import Answer, AuthClient
from tests.contract.target import PASSWORD, Json, Target, user_claims


@pytest.fixture
def session(client: AuthClient, registered: str) -> Answer:
    """A fresh sign-in."""
    return client.call("sign_in_with_password", {"email": registered, "password": PASSWORD})


def get_user(http: httpx.Client, token: str) -> httpx.Response:
    return http.get("/user", headers={"Authorization": f"Bearer {token}"})


def test_the_claims_are_those_that_supabase_documents(
    client: AuthClient, session: Answer, registered: str, target: Target
) -> None:
    claims = client.claims(session.access_token)
    assert claims["iss"] == target.auth_url
    assert claims["sub"] == session.user_id
    assert claims["aud"] == claims["role"] == "authenticated"
    assert claims["email"] == registered
    assert claims["phone"] == ""
    assert claims["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert claims["user_metadata"]["email_verified"] is True
    assert claims["aal"] == "aal1"
    assert [entry["method"] for entry in claims["amr"]] == ["password"]
    assert claims["is_anonymous"] is False
    assert session.session is not None
    assert claims["exp"] - claims["iat"] == session.session["expires_in"]
    assert UUID(claims["session_id"])


def test_anybody_can_verify_a_token_with_the_published_keys(session: Answer, target: Target) -> None:
    keys = httpx.get(f"{target.auth_url}/.well-known/jwks.json").json()
    header = jwt.get_unverified_header(session.access_token)
    [key] = [key for key in keys["keys"] if key["kid"] == header["kid"]]
    assert header["alg"] == key["alg"] == "ES256"
    public = jwt.PyJWK.from_dict(key).key
    claims = jwt.decode(session.access_token, public, algorithms=["ES256"], audience="authenticated")
    assert claims["sub"] == session.user_id


def test_the_published_keys_hold_no_secret(target: Target) -> None:
    keys = httpx.get(f"{target.auth_url}/.well-known/jwks.json").json()["keys"]
    assert keys
    for key in keys:
        assert key["kty"] != "oct"
        assert not {"d", "k", "p", "q"} & key.keys()


def b64(content: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def public_pem(target: Target) -> bytes:
    key = jwt.PyJWK.from_dict(target.signing_jwk, algorithm="ES256").key
    pem: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def hs256(claims: Json, secret: bytes, header: Json) -> str:
    """An HS256 token over any secret; PyJWT itself refuses to use a public key as one."""
    signed = f"{b64({'alg': 'HS256', 'typ': 'JWT', **header})}.{b64(claims)}"
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def forgeries(target: Target, session: Answer) -> dict[str, str]:
    """Tokens that must not be accepted, by what is wrong with them."""
    real = session.access_token
    claims = jwt.decode(real, options={"verify_signature": False})
    admin = {**claims, "role": "service_role"}
    kid = target.signing_jwk["kid"]
    stranger = ec.generate_private_key(ec.SECP256R1())
    header, _, signature = real.split(".")
    public_jwk = {name: target.signing_jwk[name] for name in ("kty", "crv", "x", "y")}
    return {
        "no signature": f"{b64({'alg': 'none', 'typ': 'JWT'})}.{b64(admin)}.",
        "no signature, our key id": f"{b64({'alg': 'none', 'kid': kid})}.{b64(admin)}.",
        "None in capitals": f"{b64({'alg': 'nOnE'})}.{b64(admin)}.",
        "signature cut off": f"{header}.{b64(claims)}.",
        "claims exchanged": f"{header}.{b64(admin)}.{signature}",
        "signed by a stranger under our key id": jwt.encode(
            claims, stranger, algorithm="ES256", headers={"kid": kid}
        ),
        "signed by a stranger under its own key id": jwt.encode(
            claims, stranger, algorithm="ES256", headers={"kid": "stranger"}
        ),
        "signed by a stranger who brings the key": jwt.encode(
            claims, stranger, algorithm="ES256", headers={"kid": kid, "jwk": public_jwk}
        ),
        "HMAC with the public key in PEM": hs256(admin, public_pem(target), {}),
        "HMAC with the public key, our key id": hs256(admin, public_pem(target), {"kid": kid}),
        "HMAC with the public key as JWK": hs256(admin, json.dumps(public_jwk).encode(), {"kid": kid}),
        "HMAC with an empty secret": hs256(admin, b"", {}),
        "HMAC with a secret found in tutorials": hs256(
            admin, b"super-secret-jwt-token-with-at-least-32-characters-long", {}
        ),
        "key id that is a path": jwt.encode(
            claims, stranger, algorithm="ES256", headers={"kid": "../../dev/null"}
        ),
        "signed by us under a key id that is not published": jwt.encode(
            claims,
            jwt.PyJWK.from_dict(target.signing_jwk, algorithm="ES256").key,
            algorithm="ES256",
            headers={"kid": "retired"},
        ),
        "expired": target.sign({**claims, "exp": int(time.time()) - 60}),
        "without an expiry": target.sign({key: value for key, value in claims.items() if key != "exp"}),
        "not before tomorrow": target.sign({**claims, "nbf": int(time.time()) + 86400}),
        "two parts": ".".join(real.split(".")[:2]),
        "five parts": f"{real}.a.b",
        "not base64": "a!.b!.c!",
        "a word": "token",
    }


FORGERIES = [
    "no signature", "no signature, our key id", "None in capitals", "signature cut off", "claims exchanged",
    "signed by a stranger under our key id", "signed by a stranger under its own key id",
    "signed by a stranger who brings the key", "HMAC with the public key in PEM",
    "HMAC with the public key, our key id", "HMAC with the public key as JWK", "HMAC with an empty secret",
    "HMAC with a secret found in tutorials", "key id that is a path",
    "signed by us under a key id that is not published", "expired", "without an expiry",
    "not before tomorrow", "two parts", "five parts", "not base64", "a word",
]  # fmt: skip


def test_every_forgery_is_listed(target: Target, session: Answer) -> None:
    assert set(forgeries(target, session)) == set(FORGERIES)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_token_is_refused(forgery: str, http: httpx.Client, target: Target, registered: str) -> None:
    session = sign_in_over_http(http, registered)
    assert get_user(http, session.access_token).status_code == 200
    token = forgeries(target, session)[forgery]
    for answer in (
        get_user(http, token),
        http.get("/admin/users", headers={"Authorization": f"Bearer {token}"}),
    ):
        assert answer.status_code in (401, 403)
        assert answer.json()["code"] in ("bad_jwt", "no_authorization")


def sign_in_over_http(http: httpx.Client, email: str) -> Answer:
    body = http.post("/token?grant_type=password", json={"email": email, "password": PASSWORD}).json()
    return Answer(body, body["user"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sub": str(uuid4())}, "user_not_found"),
        ({"sub": ""}, "bad_jwt"),
        ({"sub": "1; drop table auth.users"}, "bad_jwt"),
        ({"session_id": str(uuid4())}, "session_not_found"),
        ({"session_id": "nonsense"}, "bad_jwt"),
    ],
)
def test_a_well_signed_token_about_nobody_is_refused(
    http: httpx.Client, target: Target, registered: str, changes: Json, code: str
) -> None:
    session = sign_in_over_http(http, registered)
    answer = get_user(http, target.sign(user_claims(session.user_id) | changes))
    assert (answer.status_code, answer.json()["code"]) == (403, code)


ADMIN_CALLS = [
    ("GET", "/admin/users"),
    ("POST", "/admin/users"),
    ("GET", "/admin/users/{user_id}"),
    ("PUT", "/admin/users/{user_id}"),
    ("DELETE", "/admin/users/{user_id}"),
    ("POST", "/admin/generate_link"),
    ("POST", "/invite"),
]


@pytest.mark.parametrize(("method", "path"), ADMIN_CALLS)
def test_administration_is_for_the_service_role_alone(
    http: httpx.Client, target: Target, registered: str, method: str, path: str
) -> None:
    session = sign_in_over_http(http, registered)
    url = path.format(user_id=session.user_id)
    body = {"email": registered, "password": "changed by a stranger", "type": "recovery"}
    as_user = {"Authorization": f"Bearer {session.access_token}"}
    user_with_foreign_role = target.sign(user_claims(session.user_id, role="supabase_auth_admin"))
    for headers in (as_user, {"Authorization": f"Bearer {user_with_foreign_role}"}, {}):
        answer = http.request(method, url, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_admin")
    assert sign_in_over_http(http, registered).session is not None


def test_a_request_without_a_key_is_refused_by_the_gateway(target: Target) -> None:
    answer = httpx.get(f"{target.auth_url}/user")
    assert answer.status_code == 401
    answer = httpx.get(f"{target.auth_url}/admin/users", headers={"apikey": "sb_secret_made_up"})
    assert answer.status_code == 401
