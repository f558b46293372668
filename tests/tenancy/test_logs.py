"""No secret in the logs: whatever succeeds or fails, no key, token or password is written down anywhere.

Serial: these run when the logs of the instance hold everything that all other tests did.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from billing import logs
from stack.settings import state_directory
from tests.conftest import PASSWORD, Organization, StackUnderTest

pytestmark = pytest.mark.serial

#: Each kind of secret by its shape. A key id alone is public; an agent key is one with its secret.
_SHAPES = {
    "agent key": re.compile(r"tb_[a-z0-9]+_[0-9a-f]{16}_[0-9a-f]{16}"),
    "secret key": re.compile(r"sb_secret_[\w-]{8}"),
    "webhook secret": re.compile(r"whsec_[\w-]{8}"),
    "Stripe key": re.compile(r"[sr]k_(?:test|live)_(?!twin\b)\w{8}"),
    "signed token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    "private key": re.compile(r'"d"\s*:\s*"[\w-]{40,}"|BEGIN [A-Z ]*PRIVATE KEY'),
    "invitation": re.compile(r"invitation#[0-9a-f]{64}"),
    "bearer": re.compile(r"(?i)bearer +[\w.-]{20,}"),
    "password": re.compile(re.escape(PASSWORD)),
}

_POSTGRES_HEAD = re.compile(r"\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] (?:(?P<role>\w+) )?[A-Z]+: ")


def _log_files() -> list[Path]:
    files = sorted((state_directory() / "logs").glob("*"))
    assert {"gateway.log", "postgres.log", "postgrest.log", "workers.log"} <= {file.name for file in files}
    return [file for file in files if file.is_file()]


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; of Postgres' log, without the statements of the tests' own sessions.

    Those connect as `postgres` and write secrets into SQL themselves; everything of the product arrives as
    another role, with bound parameters.
    """
    is_of_a_test = False
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        if file.name.startswith("postgres.log"):
            head = _POSTGRES_HEAD.match(line)
            if head is not None:
                is_of_a_test = head["role"] == "postgres"
            if is_of_a_test:
                continue
        yield number, line


def _stir(stack: StackUnderTest, organization: Organization) -> list[str]:
    """Use every kind of secret, rightly and wrongly; returns them."""
    session = organization.owner.client.auth.get_session()
    assert session is not None
    token, key = session.access_token, organization.agent_key
    wrong_key = key[:-1] + ("0" if key[-1] != "0" else "1")
    rest = {"apikey": stack.publishable_key, "Content-Profile": "billing"}
    spend = {"agent_type": "TestAgent", "action": "test", "amount": 1}
    with httpx.Client(timeout=30) as http:
        for agent in (key, wrong_key):
            http.post(
                f"{stack.rest_url}/rpc/consume_credits", json=spend, headers=rest | {"x-agent-key": agent}
            )
            bearer = {"Authorization": f"Bearer {agent}"}
            http.post(f"{stack.workers_url}/api/credits/use", json=spend, headers=bearer)
            http.post(f"{stack.workers_url}/api/credits/use", content=b"{", headers=bearer)
        for bearer_token in (token, token[:-3] + "abc"):
            bearer = {"Authorization": f"Bearer {bearer_token}"}
            http.post(f"{stack.rest_url}/rpc/run_due_jobs", json={}, headers=rest | bearer)
            http.post(f"{stack.workers_url}/workers/v1/create_checkout_session", json={}, headers=bearer)
        invited = http.post(
            f"{stack.rest_url}/rpc/invite_member",
            json={
                "organization_id": str(organization.organization_id),
                "email": "logs@tests.test",
                "role": "member",
            },
            headers=rest | {"Authorization": f"Bearer {token}"},
        ).json()["token"]
        accept = f"{stack.rest_url}/rpc/accept_invitation"
        http.post(accept, json={"token": invited}, headers=rest | {"Authorization": f"Bearer {token}"})
        http.post(accept, json={"token": [invited]}, headers=rest | {"Authorization": f"Bearer {token}"})
        for secret in (stack.secret_key, stack.secret_key[:-2] + "xx"):
            http.get(f"{stack.rest_url}/organizations?limit=1", headers={"apikey": secret})
            http.post(
                f"{stack.workers_url}/workers/v1/sync_catalogue", json={"x": 1}, headers={"apikey": secret}
            )
        http.post(
            f"{stack.supabase_url}/auth/v1/token?grant_type=password",
            json={"email": organization.owner.email, "password": PASSWORD + "x"},
            headers={"apikey": stack.publishable_key},
        )
        # A gateway whose upstream breaks off logs the request that it could not pass on.
        http.post(
            f"{stack.supabase_url}/functions/v1/none", headers=rest | {"x-agent-key": key}, content=b"x"
        )
    return [key.split("_")[3], invited, token.split(".")[2], stack.secret_key, session.refresh_token]


def test_the_logs_of_everything_hold_no_secret(
    stack: StackUnderTest, new_organization: Callable[..., Organization]
) -> None:
    secrets = _stir(stack, new_organization(credits=10))
    secrets += [part for part in stack.stripe_webhook_secret.split(",") if part]
    found = {}
    for file in _log_files():
        for number, line in _lines(file):
            kinds = [kind for kind, shape in _SHAPES.items() if shape.search(line)]
            if kinds or any(secret in line for secret in secrets):
                found[f"{file.name}:{number}"] = kinds
    assert found == {}


def test_a_trace_says_where_it_broke_and_not_with_what(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    try:
        logs.configure()
        secret = "sb_secret_in_a_variable"

        def fail(presented: str) -> None:
            raise RuntimeError(len(presented))

        try:
            fail(secret)
        except RuntimeError:
            structlog.get_logger().bind().exception("request_failed", api_key=secret)
    finally:
        structlog.configure(**before)
    line: dict[str, Any] = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
    assert line["exception"][0]["frames"][-1]["name"] == "fail"
    assert line["api_key"] == "[hidden]"
    assert secret not in json.dumps(line)
