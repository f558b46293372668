"""Which exposed functions reach a body, and which tests speak of them: only those are run for its mutants."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

from tests.security.mutation.mutants import Connection

_NAME = re.compile(r"\bbilling(?:_private)?\.([a-z_0-9]+)\b")


class CallGraph:
    """Who calls whom among the functions of both schemas, read from their texts."""

    def __init__(self, connection: Connection) -> None:
        """Read every body, view and trigger."""
        rows = connection.execute(
            "select p.proname::text, p.pronamespace = 'billing'::regnamespace, pg_get_functiondef(p.oid) "
            "from pg_proc as p where p.prokind = 'f' "
            "and p.pronamespace in ('billing'::regnamespace, 'billing_private'::regnamespace)"
        ).fetchall()
        self._exposed = {str(name) for name, exposed, _ in rows if exposed}
        self._callers: dict[str, set[str]] = {}
        for name, exposed, text in rows:
            for called in _NAME.findall(str(text)):
                self._callers.setdefault(called, set()).add(f"{name}{'' if exposed else '*'}")
        triggers = connection.execute(
            "select distinct p.proname::text, c.relname::text from pg_trigger as t "
            "inner join pg_proc as p on p.oid = t.tgfoid inner join pg_class as c on c.oid = t.tgrelid "
            "where p.pronamespace = 'billing_private'::regnamespace"
        ).fetchall()
        for function, table in triggers:
            self._callers.setdefault(function, set()).update(self._callers.get(table, set()))

    def exposed_callers(self, name: str) -> list[str]:
        """Return the exposed functions from which a body is reached, nearest first."""
        found: dict[str, None] = {name: None} if name in self._exposed else {}
        seen, queue = {name}, deque([name])
        while queue:
            for caller in sorted(self._callers.get(queue.popleft(), ())):
                plain = caller.rstrip("*")
                if not caller.endswith("*"):
                    found[plain] = None
                elif plain not in seen:
                    seen.add(plain)
                    queue.append(plain)
        return list(found)


def files_that_mention(names: list[str], files: list[Path]) -> list[Path]:
    """Return the files in whose text one of the names stands, those that mention the first one first."""
    found = []
    for file in files:
        words = set(re.findall(r"[a-z_0-9]+", file.read_text()))
        ranks = [rank for rank, name in enumerate(names) if name in words]
        if ranks:
            found.append((ranks[0], file))
    return [file for _, file in sorted(found)]
