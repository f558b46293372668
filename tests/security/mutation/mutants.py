"""The mutants: every right given, policy opened, guard left out, lock not taken, from the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

Connection = psycopg.Connection[tuple[str, ...]]

_GUARD = re.compile(r"\n\s*perform billing_private\.require_[a-z_]+\([^;]*\);")
#: A whole `if … then perform fail(…); end if;` without another statement in it.
_REFUSAL = re.compile(
    r"\n\s*if (?:(?!\bthen\b)[^;])*\bthen\s+perform billing_private\.fail\([^;]*\);\s+end if;", re.DOTALL
)
#: The memberships on which a condition in a body or a policy rests.
_MEMBERSHIP = re.compile(
    r"[\w.]+ = any\s*\(\s*array\s*\(\s*select billing_private\.my_(?:organization|department)_ids"
    r"\([^()]*\)(?: as \w+(?:\s?\([^()]*\))?)?\s*\)\s*\)",
    re.IGNORECASE,
)
_ROLES = re.compile(r"billing_private\.my_organization_ids\('\{[a-z,]+\}'(?:::text\[\])?\)")
_LOCKS = (
    re.compile(r"\n\s*perform billing_private\.(?:lock_organization|wait_for_lock)\([^;]*\);"),
    re.compile(r"\n\s*perform pg_catalog\.pg_advisory_xact_lock\([^;]*\);"),
    re.compile(r"\s+for (?:no key )?update(?: of \w+)?(?: skip locked)?(?=\s*(?:;|\)|loop|limit))"),
    re.compile(r"not pg_catalog\.pg_try_advisory_xact_lock\([^()]*(?:\([^()]*\)[^()]*)*\)"),
)
#: Parts of the helpers on which every guard rests: function, what stands there, what would stand there.
_PARTS = (
    ("require_role", "not billing_private.caller_is_first_party()", "false"),
    ("require_role", "billing_private.caller_is_service()", "true"),
    ("require_service", "billing_private.caller_is_service()", "true"),
    ("caller_is_service", "in ('service_role', 'postgres', 'supabase_admin')", "is not null"),
    ("caller_is_first_party", "and not coalesce((v_claims ->> 'is_anonymous')::boolean, false)", ""),
    ("caller_is_first_party", "and v_claims ->> 'client_id' is null", ""),
    ("caller_is_first_party", "and v_claims ->> 'sub' is not null", ""),
    ("caller_is_first_party", "billing_private.caller_role() = 'authenticated'", "true"),
    ("current_user_id", "billing_private.caller_role() <> 'authenticated'", "false"),
    ("my_organization_ids", "m.user_id = (select billing_private.current_user_id())", "true"),
    ("my_organization_ids", "(p_roles is null or m.role = any(p_roles))", "true"),
    ("my_department_ids", "m.user_id = (select billing_private.current_user_id())", "true"),
)


@dataclass(frozen=True)
class Mutant:
    """One guard taken away.

    Attributes:
        kind: right, policy, guard or lock.
        subject: the table or function, without its schema.
        name: what is missing.
        change: the statement that takes it away.
        repair: the statement that brings it back.
    """

    kind: str
    subject: str
    name: str
    change: str
    repair: str


def mutants(connection: Connection) -> Iterator[Mutant]:
    """Yield every mutant of the schema that the connection sees."""
    yield from _rights(connection)
    yield from _policies(connection)
    for subject, definition in _definitions(connection):
        yield from _without("guard", subject, definition, (_GUARD, _REFUSAL), "\n  null;")
        yield from _without("guard", subject, definition, (_MEMBERSHIP,), "true")
        yield from _without("guard", subject, definition, (_ROLES,), "billing_private.my_organization_ids()")
        yield from _without("lock", subject, definition, _LOCKS[:2], "\n  null;")
        yield from _without("lock", subject, definition, _LOCKS[2:3], "")
        yield from _without("lock", subject, definition, _LOCKS[3:], "false")
        for function, part, instead in _PARTS:
            if function == subject:
                if part not in definition:
                    raise RuntimeError(f"{function} has no more: {part}")
                yield Mutant(
                    "guard",
                    subject,
                    f"{function}: {part} -> {instead or 'nothing'}",
                    definition.replace(part, instead, 1),
                    definition,
                )


def _rights(connection: Connection) -> Iterator[Mutant]:
    relations = connection.execute(
        "select c.oid::regclass::text, c.relkind::text, c.relrowsecurity::text from pg_class as c "
        "where c.relnamespace in ('billing'::regnamespace, 'billing_private'::regnamespace) "
        "and c.relkind in ('r', 'p', 'v') and not c.relispartition order by 1"
    ).fetchall()
    for name, kind, _ in relations:
        subject = name.partition(".")[2]
        right = "insert, update, delete, truncate, references, trigger"
        role = "service_role" if kind == "v" else "authenticated"
        change = f"grant {right} on {name} to {role}"
        yield Mutant("right", subject, change, change, f"revoke {right} on {name} from {role}")
        if kind != "v":
            statement = f"alter table {name} disable row level security"
            yield Mutant("right", subject, statement, statement, statement.replace("disable", "enable"))
    functions = connection.execute(
        "select p.proname::text, p.oid::regprocedure::text from pg_proc as p "
        "where p.pronamespace in ('billing'::regnamespace, 'billing_private'::regnamespace) order by 2"
    ).fetchall()
    for subject, signature in functions:
        change = f"grant execute on function {signature} to public"
        yield Mutant("right", subject, change, change, f"revoke execute on function {signature} from public")
    for schema in ("billing", "billing_private"):
        change = f"grant create on schema {schema} to public"
        yield Mutant("right", schema, change, change, f"revoke create on schema {schema} from public")


def _policies(connection: Connection) -> Iterator[Mutant]:
    policies = connection.execute(
        "select format('%I.%I', schemaname, tablename), policyname, qual from pg_policies "
        "where schemaname in ('billing', 'billing_private') order by 1, 2"
    ).fetchall()
    for table, policy, condition in policies:
        statement = f"alter policy {policy} on {table} using "
        subject, repair = table.partition(".")[2], f"{statement}({condition})"
        yield Mutant("policy", subject, f"policy {policy} opened", f"{statement}(true)", repair)
        for pattern, instead, what in (
            (_MEMBERSHIP, "true", "without"),
            (_ROLES, "billing_private.my_organization_ids()", "for any role:"),
        ):
            for number, found in enumerate(pattern.finditer(condition)):
                weaker = f"{condition[: found.start()]}{instead}{condition[found.end() :]}"
                name = f"policy {policy} {what} {' '.join(found[0].split())} (place {number + 1})"
                yield Mutant("policy", subject, name, f"{statement}({weaker})", repair)


def _definitions(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute(
        "select p.proname::text, pg_get_functiondef(p.oid) from pg_proc as p "
        "where p.pronamespace in ('billing'::regnamespace, 'billing_private'::regnamespace) "
        "and p.prokind = 'f' order by 1"
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


def _without(
    kind: str, subject: str, definition: str, patterns: tuple[re.Pattern[str], ...], instead: str
) -> Iterator[Mutant]:
    for pattern in patterns:
        for number, found in enumerate(pattern.finditer(definition)):
            changed = f"{definition[: found.start()]}{instead}{definition[found.end() :]}"
            name = f"{subject}: {' '.join(found[0].split())} (place {number + 1})"
            yield Mutant(kind, subject, name, changed, definition)
