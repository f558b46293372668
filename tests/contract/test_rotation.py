"""A leaked secret is replaced by one command; the old one opens nothing afterwards, and the data stays."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import psycopg
import pytest

from stack.testing.instance import running_instance, stack_command
from tests.conftest import PASSWORD

_ADDRESS = "rotation@tests.test"


def _environment(base: Mapping[str, str]) -> dict[str, str]:
    """What `stack env` prints, without what the environment itself would answer for it."""
    own = {name: value for name, value in base.items() if not name.startswith(("SUPABASE_", "STRIPE_"))}
    lines = stack_command(own, "env").stdout.splitlines()
    return {**own, **dict(line.split("=", 1) for line in lines)}


def _rotated(environment: Mapping[str, str], key_file: Path, *names: str) -> dict[str, str]:
    """Stop, rotate, start again: the worker that signs agents' tokens then has the new signing key."""
    assert stack_command(environment, "rotate", names[0]).returncode != 0, "not under a running stack"
    assert stack_command(environment, "down").returncode == 0
    for name in names:
        done = stack_command(environment, "rotate", name)
        assert done.returncode == 0, done.stderr
    worker = {"AGENT_TOKEN_SIGNING_KEY": json.dumps(_keys(key_file)["signing_key"])}
    started = stack_command({**environment, **worker}, "up")
    assert started.returncode == 0, started.stdout + started.stderr
    return _environment(environment)


def _keys(key_file: Path) -> dict[str, Any]:
    keys: dict[str, Any] = json.loads(key_file.read_text())
    return keys


def _sign_in(environment: Mapping[str, str]) -> str:
    answer = httpx.post(
        f"{environment['SUPABASE_URL']}/auth/v1/token?grant_type=password",
        headers={"apikey": environment["SUPABASE_PUBLISHABLE_KEY"]},
        json={"email": _ADDRESS, "password": PASSWORD},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def _organizations(environment: Mapping[str, str], **headers: str) -> httpx.Response:
    address = f"{environment['SUPABASE_URL']}/rest/v1/organizations?select=organization_id&limit=1"
    return httpx.get(address, headers={"Accept-Profile": "billing", **headers})


@pytest.mark.serial
@pytest.mark.timeout(300)
def test_every_secret_of_an_instance_is_replaced_alone(tmp_path: Path) -> None:
    key_file = tmp_path / "stack" / "keys.json"
    with running_instance(tmp_path / "stack") as old:
        made = httpx.post(
            f"{old['SUPABASE_URL']}/auth/v1/admin/users",
            headers={"apikey": old["SUPABASE_SECRET_KEY"]},
            json={"email": _ADDRESS, "password": PASSWORD, "email_confirm": True},
        )
        assert made.status_code in (200, 201), made.text
        token = _sign_in(old)
        role_token = _role_token(key_file)
        assert _organizations(old, apikey=old["SUPABASE_SECRET_KEY"]).json() != []
        agent_key = _agent_key(old)
        agent_token, service_token = _signed_tokens(key_file, agent_key)
        assert _describe(old, agent_token).json()["scopes"] == ["consume"], "what the worker signs"
        key = old["SUPABASE_PUBLISHABLE_KEY"]
        leaked = _organizations(old, apikey=key, Authorization=f"Bearer {service_token}")
        assert leaked.json() != [], "and what its key can sign as well"
        leaked_urls = _database_urls(old, key_file)
        for url in leaked_urls:
            psycopg.connect(url).close()

        new = _rotated(
            old,
            key_file,
            "secret_key",
            "publishable_key",
            "signing_key",
            "role_token_secret",
            "webhook_secret",
            "database_passwords",
        )

        for name in ("SUPABASE_SECRET_KEY", "SUPABASE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET"):
            assert new[name] != old[name], name
        for name in ("SUPABASE_SECRET_KEY", "SUPABASE_PUBLISHABLE_KEY"):
            assert _organizations(new, apikey=old[name]).status_code == 401, name
        key = new["SUPABASE_PUBLISHABLE_KEY"]
        for forged in (token, role_token, service_token):
            assert _organizations(new, apikey=key, Authorization=f"Bearer {forged}").status_code == 401
        fresh = _sign_in(new)
        assert _organizations(new, apikey=key, Authorization=f"Bearer {fresh}").status_code == 200
        assert _organizations(new, apikey=new["SUPABASE_SECRET_KEY"]).json() != [], "the data is still there"
        assert _describe(new, agent_token).status_code == 401
        exchanged = httpx.post(
            f"{new['WORKERS_URL']}/workers/v1/exchange_agent_key",
            headers={"X-Agent-Key": agent_key},
            json={"scopes": ["read"]},
        )
        assert exchanged.status_code == 200, exchanged.text
        assert _describe(new, exchanged.json()["access_token"]).json()["scopes"] == ["read"]
        for url in leaked_urls:
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(url)
        for url in _database_urls(new, key_file):
            psycopg.connect(url).close()


def _role_token(key_file: Path) -> str:
    """A token of the service, as somebody who read the key file could sign one."""
    secret = _keys(key_file)["role_token_secret"]
    return jwt.encode({"role": "service_role", "exp": 2**31}, secret, "HS256", headers={"kid": "role-tokens"})


def _database_urls(environment: Mapping[str, str], key_file: Path) -> list[str]:
    """How everybody who has a password logs in: the one that `make env` prints, and the stack's own roles."""
    address = environment["DATABASE_URL"].rpartition("@")[2]
    passwords: dict[str, str] = _keys(key_file)["database_passwords"]
    return [
        environment["DATABASE_URL"],
        *(f"postgresql://{role}:{quote(password)}@{address}" for role, password in passwords.items()),
    ]


def _agent_key(environment: Mapping[str, str]) -> str:
    """A key of an organization of its own, and the setting that lets tokens stand for keys."""
    with psycopg.connect(environment["DATABASE_URL"]) as database:
        database.execute("insert into billing_private.settings (name, value) values ('agent_tokens', 'on')")
        row = database.execute(
            "select (billing.create_agent_key(o.organization_id, 'rotation')).key"
            " from billing.organizations as o order by o.created_at limit 1"
        ).fetchone()
    assert row is not None
    return str(row[0])


def _signed_tokens(key_file: Path, agent_key: str) -> tuple[str, str]:
    """An agent's token and one of the service, as whoever has AGENT_TOKEN_SIGNING_KEY can sign both."""
    jwk = _keys(key_file)["signing_key"]
    claims = {"aud": "billing_agent", "exp": int(time.time()) + 600, "iat": int(time.time())}
    agent = {"role": "billing_agent", "agent_key_id": agent_key.split("_")[2], "scopes": ["consume"]}
    signing_key = jwt.PyJWK(jwk, "ES256").key

    def signed(more: Mapping[str, object]) -> str:
        return jwt.encode({**claims, **more}, signing_key, "ES256", headers={"kid": jwk["kid"]})

    return signed(agent), signed({"role": "service_role", "aud": "authenticated"})


def _describe(environment: Mapping[str, str], token: str) -> httpx.Response:
    return httpx.post(
        f"{environment['SUPABASE_URL']}/rest/v1/rpc/describe_agent_key",
        headers={
            "apikey": environment["SUPABASE_PUBLISHABLE_KEY"],
            "Authorization": f"Bearer {token}",
            "Content-Profile": "billing",
        },
        json={},
    )
