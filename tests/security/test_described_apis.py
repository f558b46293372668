"""Both descriptions of an API, PostgREST's and the workers' own, are tried by schemathesis: no server error.

TALLYBASE_SCHEMATHESIS_EXAMPLES is how many requests are made of each operation (1; 20 before a release).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from stack.install import VENV
from tests.conftest import StackUnderTest
from tests.security.cast import Cast
from tests.security.catalogue import Database, money_digest
from tests.security.http import Caller

EXAMPLES = os.environ.get("TALLYBASE_SCHEMATHESIS_EXAMPLES", "1")
#: They work on all organizations at once, for longer than a request may take on a full database.
_WHOLE = "^/rpc/(verify_ledger|run_due_jobs|rebuild_ledger)$"


def _try(
    document: Path, base_url: str, headers: Mapping[str, str], checks: str, *options: str
) -> subprocess.CompletedProcess[str]:
    sent = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command = [str(VENV / "bin" / "schemathesis"), "run", str(document), "--url", base_url, *sent]
    bounds = ["--checks", checks, "--phases", "fuzzing", "--max-examples", EXAMPLES, "--seed", "2026"]
    return subprocess.run(
        [*command, *bounds, "--workers", "2", "--no-color", *options],
        cwd=document.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("principal", ["owner", "service"])
def test_what_postgrest_describes_never_answers_with_a_server_error(
    principal: str,
    cast: Cast,
    callers: dict[str, Caller],
    stack: StackUnderTest,
    owner_session: Database,
    tmp_path: Path,
) -> None:
    caller, profile = callers[principal], {"Accept-Profile": "billing", "Content-Profile": "billing"}
    headers = {**callers["service"].headers, "Accept-Profile": "billing"}
    described = httpx.get(f"{stack.rest_url}/", headers={**headers, "Accept": "application/openapi+json"})
    assert len(described.json()["paths"]) > 90
    document = tmp_path / "postgrest.json"
    document.write_text(described.text)
    before = money_digest(owner_session, str(cast.globex))
    options = ("--exclude-path-regex", _WHOLE)
    done = _try(document, stack.rest_url, caller.headers | profile, "not_a_server_error", *options)
    print(done.stdout[-900:])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert money_digest(owner_session, str(cast.globex)) == before


@pytest.mark.timeout(3600)
def test_the_workers_answer_as_they_describe(
    stack: StackUnderTest, callers: dict[str, Caller], tmp_path: Path
) -> None:
    base_url = f"{stack.workers_url}/api"
    described = httpx.get(f"{base_url}/openapi.json")
    assert described.status_code == 200, described.text
    document = tmp_path / "workers.json"
    document.write_text(described.text)
    done = _try(document, base_url, callers["owner"].headers, "not_a_server_error,status_code_conformance")
    print(done.stdout[-900:])
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
