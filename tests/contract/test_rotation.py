"""A leaked secret is replaced by one command; the old one opens nothing afterwards, and the data stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import httpx
import jwt
import pytest

from stack.testing.instance import running_instance, stack_command
from tests.conftest import PASSWORD

_ADDRESS = "rotation@tests.test"


def _environment(base: Mapping[str, str]) -> dict[str, str]:
    """What `stack env` prints, without what the environment itself would answer for it."""
    own = {name: value for name, value in base.items() if not name.startswith(("SUPABASE_", "STRIPE_"))}
    lines = stack_command(own, "env").stdout.splitlines()
    return {**own, **dict(line.split("=", 1) for line in lines)}


def _rotated(environment: Mapping[str, str], *names: str) -> dict[str, str]:
    assert stack_command(environment, "rotate", names[0]).returncode != 0, "not under a running stack"
    assert stack_command(environment, "down").returncode == 0
    for name in names:
        assert stack_command(environment, "rotate", name).returncode == 0
    assert stack_command(environment, "up").returncode == 0
    return _environment(environment)


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
    with running_instance(tmp_path / "stack") as old:
        made = httpx.post(
            f"{old['SUPABASE_URL']}/auth/v1/admin/users",
            headers={"apikey": old["SUPABASE_SECRET_KEY"]},
            json={"email": _ADDRESS, "password": PASSWORD, "email_confirm": True},
        )
        assert made.status_code in (200, 201), made.text
        token = _sign_in(old)
        role_token = _role_token(tmp_path / "stack" / "keys.json")
        assert _organizations(old, apikey=old["SUPABASE_SECRET_KEY"]).json() != []

        new = _rotated(
            old, "secret_key", "publishable_key", "signing_key", "role_token_secret", "webhook_secret"
        )

        for name in ("SUPABASE_SECRET_KEY", "SUPABASE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET"):
            assert new[name] != old[name], name
        for name in ("SUPABASE_SECRET_KEY", "SUPABASE_PUBLISHABLE_KEY"):
            assert _organizations(new, apikey=old[name]).status_code == 401, name
        key = new["SUPABASE_PUBLISHABLE_KEY"]
        for forged in (token, role_token):
            assert _organizations(new, apikey=key, Authorization=f"Bearer {forged}").status_code == 401
        fresh = _sign_in(new)
        assert _organizations(new, apikey=key, Authorization=f"Bearer {fresh}").status_code == 200
        assert _organizations(new, apikey=new["SUPABASE_SECRET_KEY"]).json() != [], "the data is still there"


def _role_token(key_file: Path) -> str:
    """A token of the service, as somebody who read the key file could sign one."""
    secret = json.loads(key_file.read_text())["role_token_secret"]
    return jwt.encode({"role": "service_role", "exp": 2**31}, secret, "HS256", headers={"kid": "role-tokens"})
