"""Writes docs/reference/functions.md from the running database: `python -m tests.docs.functions`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import class_row

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "functions.md"

_HEAD = """\
# Functions of schema `billing`

Written by `python -m tests.docs.functions` from the database's catalogue; do not edit. How to call them, with
examples: [rpc.md](rpc.md). What they refuse: [errors.md](errors.md).
"""
_WORKERS_MARK = "Workers only: "
_LONGEST_LINE = 100


@dataclass(frozen=True)
class Function:
    """An exposed function.

    Attributes:
        name: its name, without the schema.
        arguments: as `pg_get_function_arguments` writes them.
        result: as `pg_get_function_result` writes it.
        comment: its comment; empty when there is none.
        for_agents: whether role `anon` may call it.
        for_people: whether role `authenticated` may.
        is_stable: whether it only reads, so that GET works.
    """

    name: str
    arguments: str
    result: str
    comment: str
    for_agents: bool
    for_people: bool
    is_stable: bool

    @property
    def for_workers(self) -> bool:
        """Whether it is a step of a worker of ours rather than an API."""
        return self.comment.startswith(_WORKERS_MARK)


@dataclass(frozen=True)
class Answer:
    """A composite type that a function answers.

    Attributes:
        name: the type's name.
        comment: its comment.
        attributes: "name type", in order.
    """

    name: str
    comment: str
    attributes: list[str]


_GROUPS: Mapping[str, Callable[[Function], bool]] = {
    "For agents, people and the service": lambda one: one.for_agents,
    "For people and the service": lambda one: one.for_people and not one.for_agents,
    "For the service alone": lambda one: not one.for_people and not one.for_workers,
    "For the workers of this repository": lambda one: one.for_workers,
}


def read_functions(database_url: str) -> list[Function]:
    """Return every function of schema `billing`, by name."""
    query = """
        select
          p.proname as name,
          pg_get_function_arguments(p.oid) as arguments, pg_get_function_result(p.oid) as result,
          coalesce(obj_description(p.oid, 'pg_proc'), '') as comment, p.provolatile = 's' as is_stable,
          has_function_privilege('anon', p.oid, 'execute') as for_agents,
          has_function_privilege('authenticated', p.oid, 'execute') as for_people
        from pg_proc as p
        where p.pronamespace = 'billing'::regnamespace and p.prorettype <> 'trigger'::regtype
        order by p.proname
    """
    with psycopg.connect(database_url) as connection:
        return connection.cursor(row_factory=class_row(Function)).execute(query).fetchall()


def read_answers(database_url: str) -> list[Answer]:
    """Return every composite type of schema `billing` that is no table's or view's row, by name."""
    query = """
        select c.relname as name, coalesce(obj_description(c.reltype, 'pg_type'), '') as comment,
          array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) order by a.attnum) as attributes
        from pg_class as c
        inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'billing'::regnamespace and c.relkind = 'c'
        group by c.oid, c.relname, c.reltype
        order by c.relname
    """
    with psycopg.connect(database_url) as connection:
        return connection.cursor(row_factory=class_row(Answer)).execute(query).fetchall()


def render(functions: Iterable[Function], answers: Iterable[Answer]) -> str:
    """Return the page's text."""
    known = list(functions)
    parts = [_HEAD]
    for title, belongs in _GROUPS.items():
        parts.append(f"\n## {title}\n")
        parts += [_render_function(one) for one in known if belongs(one)]
    used = " ".join(one.result for one in known if not one.for_workers)
    parts.append("\n## Answers\n")
    parts += [_render_answer(one) for one in answers if f"billing.{one.name}" in used]
    return "".join(parts)


def _render_function(one: Function) -> str:
    arguments = [_plain(argument) for argument in _split(one.arguments)]
    head, tail = f"{one.name}(", f") returns {_plain(one.result.replace('billing.', ''))}"
    line = head + ", ".join(arguments) + tail
    if len(line) > _LONGEST_LINE:
        line = head + "\n  " + ",\n  ".join(arguments) + "\n" + tail
    reads = " Reads only: GET works too." if one.is_stable else ""
    comment = one.comment.removeprefix(_WORKERS_MARK)
    return f"\n### {one.name}\n\n{comment[:1].upper()}{comment[1:]}{reads}\n\n```sql\n{line}\n```\n"


def _render_answer(one: Answer) -> str:
    attributes = ", ".join(f"`{_plain(attribute)}`" for attribute in one.attributes)
    return f"\n### {one.name}\n\n{one.comment}\n\n{attributes}\n"


def _split(arguments: str) -> list[str]:
    """Split at the commas between arguments: not inside quotes or braces."""
    return re.findall(r"(?:'[^']*'|[^,'])+", arguments.strip()) if arguments else []


def _plain(text: str) -> str:
    """Write types and defaults as people write them in migrations."""
    text = text.strip().replace("timestamp with time zone", "timestamptz").replace("DEFAULT", "default")
    text = re.sub(r"::[a-z ]+(?:\[\])?", "", text).replace("NULL", "null").replace("billing.", "")
    return text.replace("SETOF", "setof").replace("TABLE(", "table (")


def main() -> int:
    """Write the page."""
    from stack.environment import public_environment
    from stack.settings import StackSettings

    database_url = os.environ.get("DATABASE_URL") or public_environment(StackSettings.load())["DATABASE_URL"]
    PAGE.write_text(render(read_functions(database_url), read_answers(database_url)))
    print(f"wrote {PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
