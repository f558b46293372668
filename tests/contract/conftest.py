"""What the contract tests share: the project under test, both clients, its mailbox and its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.contract.auth_clients import AuthClient, JavaScriptAuthClient, PythonAuthClient
from tests.contract.mailbox import Mailbox
from tests.contract.node_driver import NodeDriver
from tests.contract.realtime_world import lines, new_person, rules
from tests.contract.target import PASSWORD, Target, is_local_stack, new_email

__all__ = ["lines", "new_person", "rules"]  # fixtures of realtime_world

#: What a real Supabase need not do: these files start the stand-ins inside the test.
STAND_INS_ONLY = ["test_auth_mailbox.py", "test_auth_variants.py"]
collect_ignore = [] if is_local_stack() else STAND_INS_ONLY

Database = psycopg.Connection[dict[str, Any]]
ClientFactory = Callable[[], AuthClient]


@pytest.fixture(scope="session")
def target() -> Target:
    """The project under test."""
    return Target.from_environment()


@pytest.fixture(scope="session")
def node(target: Target) -> Iterator[NodeDriver]:
    """A Node process with supabase-js."""
    driver = NodeDriver(target)
    yield driver
    driver.close()


@pytest.fixture(params=["supabase-py", "supabase-js"])
def make_client(request: pytest.FixtureRequest, target: Target) -> ClientFactory:
    """Makes fresh clients with the publishable key; each test runs once with each library."""
    if request.param == "supabase-py":
        return lambda: PythonAuthClient(target, target.publishable_key)
    node: NodeDriver = request.getfixturevalue("node")
    return lambda: JavaScriptAuthClient(node, target.publishable_key)


@pytest.fixture
def client(make_client: ClientFactory) -> AuthClient:
    """A visitor's client, not signed in."""
    return make_client()


@pytest.fixture(params=["supabase-py", "supabase-js"])
def service_client(request: pytest.FixtureRequest, target: Target) -> AuthClient:
    """A server's client with the secret key, once with each library."""
    if request.param == "supabase-py":
        return PythonAuthClient(target, target.secret_key)
    return JavaScriptAuthClient(request.getfixturevalue("node"), target.secret_key)


@pytest.fixture(scope="session")
def administrator(target: Target) -> AuthClient:
    """A server's client for preparing tests whose subject is something else."""
    return PythonAuthClient(target, target.secret_key)


@pytest.fixture
def mailbox(target: Target) -> Iterator[Mailbox]:
    """The project's mailbox."""
    box = Mailbox(target)
    yield box
    box.close()


@pytest.fixture
def http(target: Target) -> Iterator[httpx.Client]:
    """Plain HTTP to the auth API with the publishable key, for what no client library would send."""
    headers = {"apikey": target.publishable_key, "X-Supabase-Api-Version": "2024-01-01"}
    with httpx.Client(base_url=target.auth_url, headers=headers, timeout=30) as session:
        yield session


@pytest.fixture
def registered(administrator: AuthClient) -> str:
    """The address of a confirmed user with the password `PASSWORD`."""
    email = new_email()
    administrator.admin("create_user", {"email": email, "password": PASSWORD, "email_confirm": True})
    return email
