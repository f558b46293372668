"""Looks for a test that notices a mutant: golden rights, the matrix, pgTAP stories, then tests over HTTP."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from pathlib import Path

import psycopg
import pytest

from stack.settings import REPOSITORY
from stack.testing.pgtap import TESTS_DIR, run_file
from tests.security.acl import GOLDEN, RIGHTS_QUERY
from tests.security.mutation.asking import Questioner
from tests.security.mutation.calls import CallGraph, files_that_mention
from tests.security.mutation.mutants import Connection, Mutant

#: Stories of the catalogue find any change of rights, and none of behaviour.
STORIES = [file for file in sorted(TESTS_DIR.glob("*.sql")) if file.name >= "10"]
_ROOMS = ("security", "tenancy", "ledger", "money")
_FILES = [file for room in _ROOMS for file in sorted((REPOSITORY / "tests" / room).glob("test_*.py"))]
#: The story with a line a check, and so the first to ask.
_REFUSALS = "27_refused_arguments.sql"
#: Two calls at once; a test is named by the function whose lock, or second look, it is about.
_AT_ONCE = "tests/security/test_at_once.py"
#: Run with a choice of their cases, or of no use here.
_OTHERWISE = (
    "test_access_matrix.py",
    "test_isolation.py",
    "test_locks.py",
    "test_lints.py",
    "test_golden_acl.py",
    "test_described_apis.py",
    "test_random_requests.py",
    "test_soak.py",
    "test_timing.py",
)
_PYTEST = ("-q", "-x", "-p", "no:cacheprovider", "--timeout=30")
_NEAREST = 6
_NEAREST_STORIES = 5
_NEAREST_FILES = 2
_PATIENCE_SECONDS = 60


def by_rights(connection: Connection, mutant: Mutant) -> str:
    """Return `golden rights` when the checked-in rights differ under the mutant, else ''."""
    golden = GOLDEN.read_text().splitlines()
    with connection.transaction(force_rollback=True):
        connection.execute(mutant.change.encode())
        rights = sorted(row[0] for row in connection.execute(RIGHTS_QUERY.encode()))
    return "" if rights == golden else "golden rights"


class Stories:
    """The pgTAP stories, told on a mutated copy of the database."""

    def __init__(self, url: str, calls: CallGraph) -> None:
        """Take a database that has the helpers."""
        self._url = url
        self._calls = calls
        self._last: Path | None = None

    def first_to_notice(self, mutant: Mutant) -> str:
        """Return the story that fails, '' when all that speak of the function are told to the end."""
        names = [mutant.subject, *self._calls.exposed_callers(mutant.subject)]
        stories = files_that_mention(names, STORIES)
        stories.sort(key=lambda file: file.name != _REFUSALS)
        for story in sorted(stories[:_NEAREST_STORIES], key=lambda file: file != self._last):
            # Twice: once, a machine too busy may have been the reason.
            if run_file(self._url, story).failed and run_file(self._url, story).failed:
                self._last = story
                return story.name
        return ""


def by_matrix(mutant: Mutant, questioner: Questioner, calls: CallGraph) -> str:
    """Ask the access matrix, the locks and what is foreign, in a session on the mutated copy."""
    if mutant.kind == "policy":
        return questioner.notices_reading(mutant.subject)
    for name in calls.exposed_callers(mutant.subject)[:_NEAREST]:
        if noticed := questioner.notices_calling(name):
            return noticed
    return ""


def over_http(mutant: Mutant, calls: CallGraph) -> str:
    """Return the tests that notice a mutant of the running instance, '' when the nearest do not.

    Args:
        mutant: what is missing there now.
        calls: who calls whom.
    """
    if _run(_AT_ONCE, "-k", mutant.subject):
        return _AT_ONCE
    names = [mutant.subject, *calls.exposed_callers(mutant.subject)[:_NEAREST]]
    whole = [file for file in _FILES if file.name not in _OTHERWISE]
    chosen = files_that_mention(names, whole)
    if mutant.kind == "lock":
        chosen.sort(key=lambda file: "concurrency" not in file.name and "at_once" not in file.name)
    for file in chosen[:_NEAREST_FILES]:
        if noticed := _run(str(file.relative_to(REPOSITORY))):
            return noticed
    return ""


@functools.cache
def fails_anyway(file: str) -> bool:
    """Tell whether tests fail without any mutant too, as on a machine too busy for their patience."""
    return bool(_run(file))


def _run(file: str, *options: str) -> str:
    """Run tests in a fork of this process, which has the imports done; return the file if one fails.

    Args:
        file: where they are.
        options: of pytest, which choose some of them.
    """
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        status = pytest.main([*_PYTEST, *options, file])
        os._exit(int(status))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return file if os.waitstatus_to_exitcode(status) == 1 else ""
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(f"{file} did not end", file=sys.stderr)
    return ""


def copy_is_sound(url: str) -> bool:
    """Tell the stories without any mutant."""
    with psycopg.connect(url, autocommit=True):
        return not any(run_file(url, story).failed for story in STORIES)
