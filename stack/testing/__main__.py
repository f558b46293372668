"""`python -m stack.testing`: static checks beside the tests on a fresh instance, then a summary.

With SUPABASE_URL in the environment only the contract tests run, against that project.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from stack.install import VENV, InstallError, install_npm_project, npm_environment
from stack.settings import INSTALL_DIR, REPOSITORY
from stack.testing.instance import InstanceError, running_instance
from stack.testing.jobs import Job, Result, run

_PYTHON_ROOMS = ("stack", "workers", "sdk", "tests", "benchmarks")
_NPM_PROJECTS = ("frontend", "tests/contract/node")
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped)")
#: More than the cores of a small machine, since most tests wait for servers.
_PARALLEL = "4"
_BROWSERS = "2"


def main() -> int:
    """Run what the arguments ask for.

    Returns:
        The exit status: 0 when every check passed.
    """
    parser = argparse.ArgumentParser(description="Tallybase's checks and tests.")
    parser.add_argument("--only", choices=("lint", "tests"), help="one half of the checks")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest instead of the whole suite")
    arguments = parser.parse_args()
    began = time.monotonic()
    if os.environ.get("SUPABASE_URL"):
        results = [run(_pytest("contract tests", ["tests/contract"]), os.environ)]
        return _summarize(results, began)
    lanes: list[Callable[[], list[Result]]] = []
    if arguments.only != "tests" and not arguments.pytest:
        lanes.append(_static_checks)
    if arguments.only != "lint":
        lanes.append(lambda: _tests(arguments.pytest))
    try:
        for project in _NPM_PROJECTS:
            if (REPOSITORY / project / "package-lock.json").exists():
                install_npm_project(project, report=print)
    except InstallError as error:
        print(f"FAILED install: {error}")
        return 1
    with ThreadPoolExecutor(len(lanes)) as pool:
        results = [result for lane in pool.map(lambda lane: lane(), lanes) for result in lane]
    return _summarize(results, began, tests_wanted=arguments.only != "lint")


def static_jobs() -> Iterable[Job]:
    """Return the checks that need no server."""
    rooms = [room for room in _PYTHON_ROOMS if (REPOSITORY / room).is_dir()]
    tools = VENV / "bin"
    yield Job("ruff format", [str(tools / "ruff"), "format", "--check", "--quiet", *rooms])
    yield Job("ruff", [str(tools / "ruff"), "check", *rooms])
    yield Job("mypy", [str(tools / "mypy"), *rooms])
    yield Job("SQL linters", [sys.executable, "-m", "stack.testing.lints", "files"])
    # On a server of their own, of PostgreSQL 15.
    yield Job("plpgsql_check", [sys.executable, "-m", "stack.testing.plpgsql"], show=True)
    yield Job("pgTAP, PostgreSQL 15", [sys.executable, "-m", "stack.testing.postgres15"], show=True)
    if (REPOSITORY / "frontend" / "package.json").exists():
        yield Job("front end", [str(tools / "npm"), "run", "check", "--silent"], REPOSITORY / "frontend")


def _static_checks() -> list[Result]:
    return [run(job, npm_environment()) for job in static_jobs()]


def _tests(chosen: list[str]) -> list[Result]:
    together = ["-n", _PARALLEL, "--dist", "loadgroup", "-m", "not serial and not browser"]
    try:
        with running_instance(INSTALL_DIR / "test") as environment:
            variables = npm_environment() | environment
            if chosen:
                return [run(_pytest("pytest", chosen), variables)]
            results = [
                run(job, variables)
                for job in (
                    Job("pgTAP", [sys.executable, "-m", "stack.testing.pgtap"], show=True),
                    Job("SQL linters, database", [sys.executable, "-m", "stack.testing.lints", "database"]),
                    _pytest("pytest, side by side", together),
                )
            ]
            with ThreadPoolExecutor(1) as pool:
                # Tests that run one by one leave a processor idle.
                pages = pool.submit(_tests_of_pages)
                results.append(run(_pytest("pytest, one by one", ["-m", "serial"]), variables))
                return results + pages.result()
    except InstanceError as error:
        return [_did_not_come_up(error)]


def _tests_of_pages() -> list[Result]:
    """Run what needs a browser, on an instance of its own."""
    jobs = [
        # Playwright keeps an event loop: no asynchronous test and no second Playwright runs beside it.
        _pytest("pytest, the page", ["-n", _BROWSERS, "-m", "not serial", "tests/browser"]),
        _pytest("pytest, other pages", ["-m", "browser and not serial", "--ignore", "tests/browser"]),
    ]
    try:
        with running_instance(INSTALL_DIR / "test-pages") as environment:
            return [run(job, npm_environment() | environment) for job in jobs]
    except InstanceError as error:
        return [_did_not_come_up(error)]


def _did_not_come_up(error: InstanceError) -> Result:
    print(f"FAILED the test instance\n{error}", flush=True)
    return Result("test instance", passed=False, seconds=0, output="did not come up")


def _pytest(name: str, arguments: list[str]) -> Job:
    return Job(name, [sys.executable, "-m", "pytest", "-q", "--durations=10", *arguments], show=True)


def _summarize(results: list[Result], began: float, *, tests_wanted: bool = True) -> int:
    print("\nSummary")
    for result in results:
        verdict = "ok    " if result.passed else "FAILED"
        print(f"  {verdict} {result.name:<24} {result.seconds:6.1f} s  {result.last_line[:90]}")
    counts = _counts(results)
    failed_checks = sum(not result.passed for result in results)
    failed = max(counts["failed"] + counts["error"], failed_checks)
    print(f"{time.monotonic() - began:.0f} s, {len(results)} checks, {failed_checks} of them failed")
    print(f"{counts['passed']} passed, {failed} failed", flush=True)
    return 0 if not failed and (counts["passed"] or not tests_wanted) else 1


def _counts(results: list[Result]) -> Mapping[str, int]:
    counts = {"passed": 0, "failed": 0, "error": 0, "skipped": 0}
    for result in results:
        if result.name.startswith(("pytest", "pgTAP", "contract")):
            for number, word in _COUNT.findall(result.last_line):
                counts[word.rstrip("s") if word.startswith("error") else word] += int(number)
    return counts


if __name__ == "__main__":
    sys.exit(main())
