"""The access matrix asked in a session instead of over HTTP: a hundred times faster, for the mutants alone.

What PostgREST does with a role, claims and headers is proven by the tests over HTTP; here they are set as it
does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from tests.security.cast import PRINCIPALS, Cast, make_cast, speak
from tests.security.catalogue import Database, Function, functions
from tests.security.matrix import Matrix, fill
from tests.security.preparing import prepared_cast
from tests.security.test_isolation import foreign_and_unknown, foreign_names, same_each_time, with_foreign_ids
from tests.security.test_locks import UNLOCKED, call_in_session, held_locks, lock_key

#: Private tables that people read through: their place, and the table whose levels they have.
_PRIVATE = {
    "credit_usage_runs": ("billing_private.credit_usage_runs", "credit_usage_daily"),
    "credit_usage_watermarks": ("billing_private.credit_usage_watermarks", "credit_balances"),
    "credit_grant_lots": ("billing.credit_grants", "credit_grants"),
    "credit_limit_counters": ("billing.department_credit_limits", "department_credit_limits"),
}

_TOKENS_ON = "insert into billing_private.settings (name, value) values ('agent_tokens', 'on')"
_SPEND = "select billing.consume_credits(%s, 'do', amount => 1, organization_id => %s, run_id => 'r')"


class Questioner:
    """Asks a database as every principal and compares with the matrix."""

    def __init__(self, url: str) -> None:
        """Make a cast there, with rows in every table, spends of a run among them."""
        self._session: Database = psycopg.connect(url, row_factory=dict_row)
        self._matrix = Matrix.load()
        with self._session.transaction():
            self._session.execute(_TOKENS_ON)
            self._cast = make_cast(self._session, furnished=True)
            for organization in (self._cast.acme, self._cast.globex):
                self._session.execute(_SPEND, (self._cast.ids["agent_type"], organization))
                self._session.execute("select billing_private.fold_usage(%s)", (organization,))
        self._functions = {function.name: function for function in functions(self._session)}
        self._session.commit()

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def notices_reading(self, subject: str) -> str:
        """Return who reads other rows of a table than the matrix says, '' when nobody does."""
        place, table = _PRIVATE.get(subject, (f"billing.{subject}", subject))
        if table not in self._matrix.tables:
            return ""
        rule = self._matrix.tables[table]
        for principal in PRINCIPALS:
            level = self._matrix.level(table, principal)
            if principal != "service" and level != "no":
                wanted = self._matrix.levels[level]
                if principal == "stranger" and level != "active":
                    wanted = f"({wanted}) or (organization_id = %(globex)s)"
                if self._rows(place, f"({wanted}) and ({rule.condition})", principal, "") != self._rows(
                    place, rule.condition, principal, principal
                ):
                    return f"matrix: {table} read by {principal}"
        return ""

    def _rows(self, place: str, condition: str, about: str, speaker: str) -> list[str]:
        bound = {"user": self._cast.users.get(about), "is_bound": about == "department_member"}
        parameters = self._cast.parameters | bound | {"agent_type": self._cast.ids["agent_type"]}
        with self._session.transaction(force_rollback=True):
            speak(self._session, self._cast, speaker)
            query = f"select to_jsonb(t)::text as row from {place} as t where {condition} order by 1"
            return [str(row["row"]) for row in self._session.execute(query.encode(), parameters)]

    def notices_calling(self, name: str) -> str:
        """Return who is answered by a function otherwise than the matrix says, '' when nobody is."""
        if name not in self._matrix.functions:
            return ""
        function, rule = self._functions[name], self._matrix.functions[name]
        with self._session.transaction():
            cast = prepared_cast(self._session, rule)
        for principal in PRINCIPALS:
            arguments = rule.arguments | (rule.as_service if principal == "service" else {})
            expected = rule.expected(principal, function)
            answer, has_lock = self._answer(function, fill(arguments, cast), cast, principal)
            if answer != expected:
                return f"matrix: {name} called by {principal}"
            is_first_or_last = principal in (rule.allowed[:1] + rule.allowed[-1:])
            if is_first_or_last and has_lock is (function.is_read_only or name in UNLOCKED):
                return f"locks: {name} called by {principal}"
        return self._notices_foreign(function, cast)

    def _notices_foreign(self, function: Function, cast: Cast) -> str:
        rule = self._matrix.functions[function.name]
        used = foreign_names(function.name)
        foreign, unknown = foreign_and_unknown(function.name, self._with_furniture(cast))
        for changed in [[own] for own in used]:
            for principal in ("anon", "agent", "former_member", "member", "billing", "admin", "owner"):
                answers = [
                    self._answer(
                        function,
                        fill(
                            with_foreign_ids(rule.arguments, {own: ids[own] for own in changed}),
                            same_each_time(cast),
                        ),
                        cast,
                        principal,
                    )[0]
                    for ids in (foreign, unknown)
                ]
                if answers[0] != answers[1] or not answers[0]:
                    return f"isolation: {function.name} with foreign {changed[0]} by {principal}"
        return ""

    def _with_furniture(self, cast: Cast) -> Cast:
        return Cast(cast.acme, cast.globex, cast.users, "", {"foreign_checkout": str(uuid4())} | cast.ids)

    def _answer(
        self, function: Function, arguments: dict[str, Any], cast: Cast, principal: str
    ) -> tuple[str, bool]:
        """Return the slug or SQLSTATE of a refusal ('' for success), and whether Acme's lock is held then."""
        slug, held = "", False
        with suppress(psycopg.Error), self._session.transaction(force_rollback=True):
            speak(self._session, cast, principal)
            try:
                call_in_session(self._session, function, arguments)
            except psycopg.Error as error:
                state = str(error.sqlstate)
                slug = str(error.diag.message_primary) if state.startswith("PT") else state
                raise
            speak(self._session, cast, "")
            held = lock_key(self._session, cast) in held_locks(self._session)
        return slug, held


def sound(questioner: Questioner, names: Iterator[str]) -> list[str]:
    """Return what the questioner notices of these functions and tables without any mutant."""
    found = []
    for name in names:
        found += [questioner.notices_reading(name), questioner.notices_calling(name)]
    return [text for text in found if text]
