"""Runs the SQL linters and holds their findings against `lints.toml`: `python -m stack.testing.lints WHAT`.

`files` needs no server: sqlfluff and squawk. `database` asks the running instance: Supabase's advisors and
pgrls. plpgsql_check has a server of its own, see `stack.testing.plpgsql`.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from stack.install import SUPABASE_CLI, VENV
from stack.settings import REPOSITORY, StackSettings

_WAIVERS = Path(__file__).with_name("lints.toml")
_SQL = ("supabase/migrations", "supabase/seed.sql")
_SCHEMAS = "billing,billing_private"


class LintError(Exception):
    """A linter did not do its work; the text is what it said."""


class Waiver(BaseModel):
    """A rule that is off, wholly or for some objects.

    Attributes:
        rule: the linter's name for it.
        reason: why.
        objects: patterns of the objects that it does not apply to; all when there is none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    reason: str
    objects: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Finding:
    """What a linter objects to.

    Attributes:
        rule: its name.
        place: object or file.
        text: what it says.
    """

    rule: str
    place: str
    text: str


def waivers(tool: str) -> list[Waiver]:
    """Return what `lints.toml` says of a tool."""
    return [Waiver.model_validate(entry) for entry in tomllib.loads(_WAIVERS.read_text()).get(tool, [])]


def problems(tool: str, findings: Iterable[Finding]) -> list[str]:
    """Return the findings that nothing waives, and the waivers that waive nothing.

    Args:
        tool: section of `lints.toml`.
        findings: what the tool found.
    """
    patterns = {(waiver.rule, pattern): 0 for waiver in waivers(tool) for pattern in waiver.objects}
    lines = []
    for finding in findings:
        matching = [
            key for key in patterns if key[0] == finding.rule and fnmatch.fnmatchcase(finding.place, key[1])
        ]
        for key in matching:
            patterns[key] += 1
        if not matching:
            lines.append(f"{tool}: {finding.rule} {finding.place}: {finding.text}")
    stale = [
        f"{tool}: the waiver of {rule} for {pattern} waives nothing"
        for (rule, pattern), n in patterns.items()
        if not n
    ]
    return lines + stale


def advisors(database_url: str) -> list[Finding]:
    """Return what Supabase's advisors find at any level.

    Args:
        database_url: connection of the role `postgres`. The database must carry `pgrst.db_schemas`, or the
            lints of the API silently find nothing.

    Raises:
        LintError: the command line did not answer with findings.
    """
    command = [
        str(SUPABASE_CLI),
        "db",
        "advisors",
        f"--remote={database_url}",
        "--level",
        "info",
        "--fail-on",
        "none",
    ]
    answer = json.loads(_output([*command, "--output-format", "json"]))
    return [
        Finding(found["name"], _object(found.get("metadata") or {}), found["detail"])
        for found in answer["results"]
    ]


def _object(metadata: dict[str, str]) -> str:
    return f"{metadata.get('schema')}.{metadata.get('name')}"


def pgrls(database_url: str) -> list[Finding]:
    """Return what pgrls finds at any level.

    Raises:
        LintError: it did not answer with findings.
    """
    command = [str(VENV / "bin" / "pgrls"), "lint", "--database-url", database_url, "--schemas", _SCHEMAS]
    answer = json.loads(_output([*command, "--format", "json"], expected=(0, 1)))
    return [
        Finding(found["rule_id"], found["location"], found["message"].partition(". ")[0])
        for found in answer["violations"]
    ]


def squawk(files: Sequence[str]) -> list[Finding]:
    """Return what squawk finds in migration files.

    Raises:
        LintError: it did not answer with findings.
    """
    command = [str(VENV / "bin" / "squawk"), "--reporter", "json", "--pg-version", "15.0", *files]
    answer = json.loads(_output(command, expected=(0, 1)) or "[]")
    return [
        Finding(found["rule_name"], f"{found['file']}:{found['line'] + 1}", found["message"])
        for found in answer
    ]


def sqlfluff(paths: Sequence[str]) -> list[str]:
    """Return what sqlfluff finds in files or folders, less the rules that are off."""
    off = ",".join(waiver.rule for waiver in waivers("sqlfluff"))
    command = [
        str(VENV / "bin" / "sqlfluff"),
        "lint",
        "--processes",
        "2",
        "--format",
        "json",
        "--exclude-rules",
        off,
    ]
    answer = json.loads(_output([*command, *paths], expected=(0, 1)))
    return [
        f"sqlfluff: {found['code']} {file['filepath']}:{found['start_line_no']}: {found['description']}"
        for file in answer
        for found in file["violations"]
    ]


def _output(command: Sequence[str], expected: tuple[int, ...] = (0,)) -> str:
    quiet = {"PGSSLMODE": "disable", "SUPABASE_TELEMETRY_DISABLED": "1", "SUPABASE_NO_UPDATE_NOTIFIER": "1"}
    home = {"SUPABASE_HOME": str(REPOSITORY / ".stack" / "cli")}
    done = subprocess.run(
        list(command),
        cwd=REPOSITORY,
        env=os.environ | quiet | home,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in expected:
        raise LintError(
            f"{command[0]} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def in_files() -> list[str]:
    """Return the problems of the SQL files."""
    migrations = [str(file.relative_to(REPOSITORY)) for file in sorted((REPOSITORY / _SQL[0]).glob("*.sql"))]
    return problems("squawk", squawk(migrations)) + sqlfluff(_SQL)


def in_database(database_url: str) -> list[str]:
    """Return the problems of a database."""
    return problems("advisors", advisors(database_url)) + problems("pgrls", pgrls(database_url))


def main(arguments: list[str]) -> int:
    """Print every problem.

    Returns:
        The exit status: 1 when there is one.
    """
    parser = argparse.ArgumentParser(description="SQL linters.")
    parser.add_argument("what", choices=("files", "database"))
    if parser.parse_args(arguments).what == "files":
        found = in_files()
    else:
        found = in_database(os.environ.get("DATABASE_URL") or StackSettings.load().database_url())
    print("\n".join(found) or "no problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
