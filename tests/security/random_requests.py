"""Random requests to PostgREST, well-formed and not: every table, operator, embedding, function and header.

A request is made from a seed and its number alone, so a failure names all that is needed to see it again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import UUID

from tests.security.cast import Cast
from tests.security.catalogue import Function, Relation
from tests.security.matrix import Matrix, fill
from tests.security.preparing import PREPARED

_OPERATORS = (
    *("eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch", "in", "is", "isdistinct"),
    *("fts", "plfts", "phfts", "wfts", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj"),
    *("not.eq", "not.in", "eq(any)", "like(all)", "gt(any)", "all", "", "eq.eq", "nonsense"),
)
_VALUES = (
    *(
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1",
        "1e400",
        "NaN",
        "Infinity",
        "9223372036854775808",
        "2147483648",
    ),
    *("", " ", "*", "%", "_", ",", "()", "(1,2)", "(a,b", "{}", "{a,b}", "{", "[1,2]", "[1,", '"', "'", "\\"),
    *("a'b--", "1; select 1", "\u0000", "\u202e", "é" * 50, "x" * 3000, "2026-01-01", "2026-13-45", "now"),
    *("infinity", "-infinity", "2026-02-30T25:61:00Z", "00000000-0000-0000-0000-000000000000", "not-a-uuid"),
    *('{"a": 1}', '{"a":', "[]", "(2026-01-01,2027-01-01)", "&", "a&b", "%zz", "../..", "1::text", "0x10"),
)
_JSON: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.1, 1e18, 10**30, "", " ", "x", "x" * 300, "x" * 5000, "NaN", "1e400"),
    *(
        "infinity",
        "a\nb",
        "\u0000",
        "\ud800",
        "é" * 100,
        [],
        [[]],
        [None],
        {},
        {"a": None},
        {"a": {"b": [1]}},
    ),
    *("00000000-0000-0000-0000-000000000000", "not-a-uuid", "2026-01-01", "2026-13-45", "1 day", "-1 day"),
    *(
        "100000000 years",
        "UTC",
        "Mars/Olympus",
        "day",
        "hard",
        "owner",
        "customer",
        "purchase",
        [1, "a", None],
    ),
)
_HEADERS = (
    *(("Prefer", value) for value in ("count=exact", "count=planned", "count=estimated", "count=no")),
    *(("Prefer", value) for value in ("return=representation", "return=minimal", "return=headers-only")),
    *(("Prefer", value) for value in ("tx=rollback", "tx=commit", "handling=strict", "missing=default", "x")),
    *(("Prefer", value) for value in ("params=single-object", "params=multiple-objects", "max-affected=1")),
    *(("Prefer", value) for value in ("timezone=Mars/Olympus", "resolution=merge-duplicates", ",,=;")),
    *(("Range", value) for value in ("0-9", "5-", "9-5", "-5", "x", "0-99999999999999999999")),
    *(("Accept", value) for value in ("text/csv", "application/octet-stream", "text/plain", "*/*", "x", "")),
    *(("Accept", value) for value in ("application/vnd.pgrst.object+json", "application/geo+json")),
    *(("Accept", value) for value in ("application/vnd.pgrst.plan+json; options=analyze", "text/xml")),
    *(("Accept", value) for value in ("application/openapi+json", "application/vnd.pgrst.array+json")),
    *(("Content-Type", value) for value in ("text/csv", "application/x-www-form-urlencoded", "text/plain")),
    *(("Content-Type", value) for value in ("application/octet-stream", "application/json; charset=x", "x")),
    *(
        ("Accept-Profile", value)
        for value in ("public", "billing_private", "auth", "", "pg_catalog", "x" * 200)
    ),
    *(("Content-Profile", value) for value in ("public", "billing_private", "auth", "", "pg_catalog")),
    *(("x-agent-key", value) for value in ("", "x", "tb_test_0_0_0", "tb_" * 500, "null", "'", "{}")),
    *(("X-HTTP-Method-Override", value) for value in ("DELETE", "PATCH")),
    ("Range-Unit", "bytes"),
    ("If-None-Match", "*"),
    ("role", "service_role"),
    ("request.jwt.claims", "{}"),
)
_PLACES = (
    *(
        "",
        "/",
        "rpc",
        "rpc/",
        "rpc/pg_sleep",
        "rpc/version",
        "pg_user",
        "users",
        "*",
        "billing.organizations",
    ),
    *("organizations/1", "organizations;", "%2e%2e/auth/v1/admin/users", "%00", "%F0%9F%92%A9", "x" * 3000),
    *("rpc/consume_credits/", "rpc/billing_private.settle_organization", "settings", "stripe_events"),
)


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        method: HTTP verb.
        path: what follows `/rest/v1/`.
        body: text of the body, or None.
        headers: in addition to the principal's.
    """

    method: str
    path: str
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Chance(random.Random):
    """The dice of one request, of which half are calm: well-formed as far as they go.

    Attributes:
        is_wild: whether anything may stand anywhere.
    """

    def __init__(self, seed: str) -> None:
        """Throw for the mood first."""
        super().__init__(seed)
        self.is_wild = self.random() < 0.5


class Requests:
    """A source of random requests about two organizations."""

    def __init__(
        self, seed: str, relations: Sequence[Relation], functions: Sequence[Function], cast: Cast
    ) -> None:
        """Remember what there is to ask for.

        Args:
            seed: names the sequence.
            relations: tables and views.
            functions: exposed functions.
            cast: whose ids are named in them, Acme's and Globex's.
        """
        self._seed = seed
        self._relations = relations
        self._functions = functions
        self._matrix = Matrix.load()
        self._cast = cast
        self._foreign = {str(cast.globex), str(cast.users["stranger"])}
        self._foreign |= {value for name, value in cast.ids.items() if name.startswith("foreign_")}
        self._ids = [str(cast.acme), str(cast.globex), *map(str, cast.users.values()), *cast.ids.values()]

    def number(self, number: int) -> Request:
        """Return one request of the sequence."""
        chance = Chance(f"{self._seed}:{number}")
        kinds = (self._reading, self._reading, self._writing, self._calling, self._calling, self._stray)
        request = chance.choice(kinds)(chance)
        headers = dict(request.headers)
        for _ in range(chance.choice((0, 0, 1, 1, 2)) if chance.is_wild else 0):
            name, value = chance.choice(_HEADERS)
            headers[name] = value
        return Request(request.method, request.path, request.body, headers)

    def _reading(self, chance: Chance) -> Request:
        relation = chance.choice(self._relations)
        parts = [self._filter(chance, relation) for _ in range(chance.choice((0, 1, 1, 2, 4)))]
        if chance.random() < 0.5:
            parts.append(f"select={self._selection(chance, relation, 2)}")
        if chance.random() < 0.4:
            direction = chance.choice(
                ("", ".asc", ".desc", ".desc.nullslast", ".sideways")[: 5 if chance.is_wild else 4]
            )
            parts.append(f"order={self._column(chance, relation)}{direction}")
        if chance.is_wild and chance.random() < 0.4:
            parts.append(f"limit={chance.choice(('0', '1', '10', '-1', 'x', '99999999999', ''))}")
        if chance.is_wild and chance.random() < 0.2:
            parts.append(f"offset={chance.choice(('0', '1', '-1', 'x', '99999999999999999999'))}")
        if chance.is_wild and chance.random() < 0.2:
            inner = ",".join(self._condition(chance, relation) for _ in range(2))
            parts.append(f"{chance.choice(('and', 'or', 'not.and', 'not.or', 'xor'))}=({inner})")
        method = chance.choice(("GET", "GET", "GET", "HEAD", "OPTIONS"))
        return Request(method, f"{relation.name}?{'&'.join(parts)}")

    def _writing(self, chance: Chance) -> Request:
        relation = chance.choice(self._relations)
        rows: Any = [
            {self._column(chance, relation): self._json(chance) for _ in range(chance.randint(0, 6))}
            for _ in range(chance.choice((1, 1, 2)))
        ]
        body = json.dumps(rows if chance.random() < 0.4 else rows[0])
        if chance.random() < 0.1:
            body = body[: chance.randint(0, len(body))]
        parts = [self._filter(chance, relation) for _ in range(chance.choice((0, 1, 2)))]
        if chance.random() < 0.3:
            parts.append(f"on_conflict={self._column(chance, relation)}")
        if chance.random() < 0.3:
            parts.append(f"columns={self._column(chance, relation)}")
        return Request(
            chance.choice(("POST", "PATCH", "PUT", "DELETE")), f"{relation.name}?{'&'.join(parts)}", body
        )

    def _calling(self, chance: Chance) -> Request:
        function = chance.choice(self._functions)
        names = dict.fromkeys(PREPARED, str(self._cast.acme))
        cast = Cast(self._cast.acme, self._cast.globex, self._cast.users, "x", names | self._cast.ids)
        arguments: dict[str, Any] = fill(self._matrix.functions[function.name].arguments, cast)
        for _ in range(chance.choice((0, 1, 1, 2, 3)) if chance.is_wild else chance.choice((0, 1))):
            name = chance.choice([*function.arguments, "surprise"])
            if chance.random() < 0.15:
                arguments.pop(name, None)
            else:
                arguments[name] = self._argument(chance, function.arguments.get(name, "text"))
        if chance.random() < 0.2:
            text = "&".join(
                f"{name}={quote(str(value), errors='replace')}" for name, value in arguments.items()
            )
            return Request(chance.choice(("GET", "HEAD")), f"rpc/{function.name}?{text}")
        body = json.dumps(arguments, default=str)
        if chance.random() < 0.08:
            body = chance.choice(
                (body[: chance.randint(0, len(body))], f"[{body}]", "null", '"x"', "[]", "1")
            )
        query = (
            f"?select={chance.choice(('*', 'x', 'amount', 'organization_id'))}"
            if chance.random() < 0.1
            else ""
        )
        method = chance.choice(("POST",) * 9 + ("PATCH",))
        return Request(method, f"rpc/{function.name}{query}", body)

    def _stray(self, chance: Chance) -> Request:
        method = chance.choice(
            ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
        )
        body = chance.choice((None, "", "{}", "[]", "null", "{", "\x00", "a,b\n1,2", "x=1"))
        query = chance.choice(
            ("", "?", "?select=*", "?x", "?=", "?&&", "?select=(", "?%", "?and=(", "?columns=")
        )
        return Request(method, chance.choice(_PLACES) + query, body)

    def _column(self, chance: Chance, relation: Relation) -> str:
        odd = (
            "x",
            "",
            "*",
            "a.b",
            "metadata->>x",
            "metadata->0->x",
            "id::text",
            "id::regclass",
            'a"b',
            "sum()",
        )
        if not chance.is_wild or chance.random() < 0.85:
            return chance.choice(relation.columns)
        return chance.choice(odd)

    def _value(self, chance: Chance) -> str:
        return chance.choice(self._ids) if chance.random() < 0.4 else chance.choice(_VALUES)

    def _json(self, chance: Chance) -> Any:
        value = chance.choice(self._ids) if chance.random() < 0.4 else chance.choice(_JSON)
        return str(value) if isinstance(value, UUID) else value

    def _argument(self, chance: Chance, type_name: str) -> Any:
        """A value for an argument; Globex's ids stand where ids do, not in texts that Acme shows."""
        value = self._json(chance)
        is_foreign = isinstance(value, str) and value in self._foreign
        return "x" if is_foreign and type_name != "uuid" else value

    def _filter(self, chance: Chance, relation: Relation) -> str:
        if not chance.is_wild:
            operator = chance.choice(("eq", "neq", "gt", "not.eq", "isdistinct", "lte"))
            column = chance.choice([name for name in relation.columns if name.endswith("id")] or ["id"])
            return f"{column}={operator}.{chance.choice(self._ids)}"
        value = (
            quote(self._value(chance)) if chance.random() < 0.9 else self._value(chance).replace("\x00", "")
        )
        return f"{self._column(chance, relation)}={chance.choice(_OPERATORS)}.{value}"

    def _condition(self, chance: Chance, relation: Relation) -> str:
        column, operator = self._column(chance, relation), chance.choice(_OPERATORS)
        return f"{column}.{operator}.{quote(self._value(chance))}"

    def _selection(self, chance: Chance, relation: Relation, depth: int) -> str:
        parts = [self._column(chance, relation) for _ in range(chance.randint(1, 3))]
        if depth and chance.random() < (0.7 if chance.is_wild else 0.3):
            inner = chance.choice(self._relations)
            joined = chance.choice(("", "!inner", "!left", "!x", f"!{inner.name}_organization_fkey"))
            prefix = chance.choice(("", "", "x:", "..."))
            parts.append(f"{prefix}{inner.name}{joined}({self._selection(chance, inner, depth - 1)})")
        return ",".join(parts) + (chance.choice(("",) * 9 + ("(", ")", ",")) if chance.is_wild else "")
