"""Checks every PL/pgSQL body with plpgsql_check: `python -m stack.testing.plpgsql`.

plpgsql_check (what `supabase db lint` runs) is packaged for PostgreSQL 15 alone, so the migrations are
applied to a server of that version (`stack.testing.postgres15`): which also proves that they are valid there.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import psycopg

from stack.testing import postgres15
from stack.testing.lints import Finding, problems

EXTENSION = "plpgsql_check"
#: Its messages name the rule; what they quote is an object's name.
_QUOTED = re.compile(r' ?"[^"]*"')
#: Every function of both schemas; bodies of triggers are checked with their tables.
_CHECK = """
select p.oid::regprocedure::text as function, c.level, c.lineno, c.message
from pg_proc as p
inner join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
left join pg_trigger as t on t.tgfoid = p.oid and t.tgparentid = 0
cross join lateral extensions.plpgsql_check_function_tb(
  p.oid, coalesce(t.tgrelid, 0), performance_warnings => false
) as c
where p.pronamespace in ('billing'::regnamespace, 'billing_private'::regnamespace)
order by 1, 3
"""


def findings(home: Path, further: str = "") -> list[Finding]:
    """Apply the migrations to a PostgreSQL 15 and return what plpgsql_check finds there, waived or not.

    Args:
        home: the server's folder.
        further: statements to run after the migrations.
    """
    with postgres15.server(home) as url:
        with psycopg.connect(postgres15.migrate(url), autocommit=True) as connection:
            connection.execute(further.encode())
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create extension plpgsql_check with schema extensions")
            # Immutable, a refusal of constants would be raised when the check plans it, and end it.
            connection.execute("alter function billing_private.fail(integer, text, jsonb, text) volatile")
            rows = connection.execute(_CHECK).fetchall()
    return [
        Finding(_QUOTED.sub("", text), function.partition("(")[0], f"{level} in line {line}: {text}")
        for function, level, line, text in rows
    ]


def main() -> int:
    """Print what is found.

    Returns:
        The exit status: 1 when something is.
    """
    home = postgres15.home(EXTENSION)
    if home is None:
        print(f"NOT RUN: {postgres15.NOT_HERE.format(EXTENSION)}")
        return 0
    found = problems("plpgsql", findings(home))
    print("\n".join(found) or "no problems, on PostgreSQL 15")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
