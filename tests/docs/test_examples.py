"""The examples of docs/reference/rpc.md run as they stand, top to bottom, each language as one program."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from stack.install import install_npm_project, npm_environment
from stack.settings import REPOSITORY
from tests.conftest import PASSWORD, Organization, StackUnderTest

_PAGE = REPOSITORY / "docs" / "reference" / "rpc.md"
_NODE_PROJECT = "tests/contract/node"  # where supabase-js is installed
_SECONDS = 60


def _program(language: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    return "\n".join(blocks)


@pytest.fixture
def environment(stack: StackUnderTest, new_organization: Callable[..., Organization]) -> dict[str, str]:
    """The variables that the page asks its reader to set, for an organization of the test's own."""
    organization = new_organization(credits=1000)
    return npm_environment() | {
        "SUPABASE_URL": stack.supabase_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SUPABASE_SECRET_KEY": stack.secret_key,
        "EMAIL": organization.owner.email,
        "PASSWORD": PASSWORD,
        "ORGANIZATION_ID": str(organization.organization_id),
    }


def test_the_python_examples_run(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input=_program("python"),
        env=environment,
        text=True,
        capture_output=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stderr


def test_the_javascript_examples_run(environment: dict[str, str]) -> None:
    install_npm_project(_NODE_PROJECT, report=print)
    end = "\nawait person.auth.signOut();\nprocess.exit(0);\n"
    done = subprocess.run(
        ["node", "--input-type=module", "-"],
        input=_program("js") + end,
        env=environment | {"NODE_NO_WARNINGS": "1"},
        cwd=REPOSITORY / _NODE_PROJECT,
        text=True,
        capture_output=True,
        timeout=_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr  # console.assert only prints
