"""Writes the reference pages that come from checked facts: `python -m tests.security.pages`.

docs/reference/access.md is the access matrix for people; docs/reference/database.md is what the database says
about itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from stack.settings import REPOSITORY, StackSettings
from tests.security.cast import PRINCIPALS
from tests.security.catalogue import Database, functions
from tests.security.matrix import Matrix

_HERE = Path(__file__).parent
ACCESS_PAGE = REPOSITORY / "docs" / "reference" / "access.md"
DATABASE_PAGE = REPOSITORY / "docs" / "reference" / "database.md"
_PEOPLE = {
    "anon": "visitor",
    "stranger": "stranger",
    "former_member": "former member",
    "member": "member",
    "department_member": "department member",
    "billing": "billing",
    "admin": "admin",
    "owner": "owner",
    "agent": "agent key",
    "agent_token": "agent token",
    "service": "service",
}
_LEVELS = {
    "no": "–",
    "none": "nothing",
    "active": "on offer",
    "everything": "all",
    "listed": "price list",
    "listed_and_own": "price list, own",
    "organization": "all",
    "self": "own row",
    "own": "own",
    "own_consumption": "own spends",
    "own_limits": "own",
    "own_department": "own department",
}
_ACCESS_HEAD = (_HERE / "texts/access.md").read_text()
_READING = (_HERE / "texts/reading.md").read_text()
_CALLING = (_HERE / "texts/calling.md").read_text()


def access_page(matrix: Matrix) -> str:
    """Return docs/reference/access.md."""
    reading = [
        [f"`{name}`", *(_LEVELS[matrix.level(name, principal)] for principal in PRINCIPALS)]
        for name in sorted(matrix.tables)
    ]
    calling = [
        [
            f"`{name}`",
            *("✓" if principal in rule.allowed else "–" for principal in PRINCIPALS),
            f"`{rule.denied}`",
        ]
        for name, rule in sorted(matrix.functions.items())
    ]
    people = [_PEOPLE[principal] for principal in PRINCIPALS]
    return "\n".join(
        [
            _ACCESS_HEAD + _READING,
            *_table(["table or view", *people], reading),
            _CALLING,
            *_table(["function", *people, "refused with"], calling),
            *_exceptions(matrix),
            "",
        ]
    )


def _exceptions(matrix: Matrix) -> Iterator[str]:
    answers: dict[tuple[str, str], list[str]] = {}
    for name, rule in sorted(matrix.functions.items()):
        for principal, slug in rule.answers.items():
            answers.setdefault((principal, slug), []).append(f"`{name}`")
    yield "\nExceptions:\n"
    for (principal, slug), names in sorted(answers.items()):
        yield f"- {_PEOPLE[principal]}: `{slug}` from {', '.join(names)}"


def _table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


_DATABASE_HEAD = (_HERE / "texts/database.md").read_text()
_COLUMNS = (_HERE / "sql/columns.sql").read_text()


def database_page(database: Database) -> str:
    """Return docs/reference/database.md."""
    lines = [_DATABASE_HEAD, "## Tables and views", ""]
    rows = database.execute(_COLUMNS).fetchall()
    for name, group in groupby(rows, key=lambda row: str(row["relation"])):
        columns = list(group)
        lines += [f"### {name}{' (view)' if columns[0]['is_view'] else ''}", "", str(columns[0]["about"]), ""]
        cells = [
            [
                f"`{c['name']}`",
                f"{c['type']}{' not null' if c['is_required'] else ''}",
                _cell(str(c["comment"])),
            ]
            for c in columns
        ]
        lines += [*_table(["column", "type", ""], cells), ""]
    lines += ["## Functions", ""]
    for function in functions(database):
        arguments = ", ".join(f"{name} {type_}" for name, type_ in function.arguments.items())
        lines += [f"### {function.name}", "", f"`{function.name}({arguments})`", "", function.comment, ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Write both pages; the running instance is asked for the second."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    _write(ACCESS_PAGE, access_page(Matrix.load()))
    with psycopg.connect(StackSettings.load().database_url(), row_factory=dict_row) as connection:
        _write(DATABASE_PAGE, database_page(connection))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"wrote {path.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
