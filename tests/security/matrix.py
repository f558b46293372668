"""Reads `access_matrix.toml`: what every principal must be answered by every table and function."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tests.security.cast import PRINCIPALS, Cast
from tests.security.catalogue import Function

PATH = Path(__file__).with_name("access_matrix.toml")
#: Which API role a principal arrives as.
API_ROLES = dict.fromkeys(PRINCIPALS, "authenticated") | {
    "anon": "anon",
    "agent": "anon",
    "agent_token": "billing_agent",
    "service": "service_role",
}
_ABSENT = "null"


class TableRule(BaseModel):
    """How a table is read.

    Attributes:
        profile: name of the row of levels.
        own: the level that stands for `own` in it.
        filter: PostgREST filter of what is compared, where a table is everybody's.
        condition: the same as SQL.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str
    own: str = "own"
    filter: str = ""
    condition: str = "true"


class FunctionRule(BaseModel):
    """How a function answers.

    Attributes:
        arguments: of the rightful call; `{name}` is filled in from the cast, "null" is null.
        as_service: arguments that only the service gives.
        allowed: for whom it succeeds.
        denied: the slug for all others whose role may execute it.
        answers: exceptions: principal → slug.
        platform_admin: whether it succeeds for a platform admin who is no member.
        in_person: it only reads, and is refused to applications and anonymous sessions all the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: dict[str, Any]
    as_service: dict[str, Any] = {}
    allowed: tuple[str, ...]
    denied: str = "not_authorized"
    answers: dict[str, str] = {}
    platform_admin: bool = False
    in_person: bool = False

    def expected(self, principal: str, function: Function) -> str:
        """Return the slug (or SQLSTATE) that refuses a principal; '' when the call succeeds."""
        if principal in self.allowed:
            return ""
        if API_ROLES[principal] not in function.roles:
            return "42501"
        return self.answers.get(principal, self.denied)


class Matrix(BaseModel):
    """The whole file.

    Attributes:
        levels: level → SQL condition.
        profiles: profile → principal → level.
        tables: how each is read.
        functions: how each answers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    levels: dict[str, str]
    profiles: dict[str, dict[str, str]]
    tables: dict[str, TableRule]
    functions: dict[str, FunctionRule]

    @classmethod
    def load(cls) -> Matrix:
        """Read the file.

        Raises:
            ValueError: it names an unknown profile, level or principal, or leaves one out.
        """
        matrix = cls.model_validate(tomllib.loads(PATH.read_text()))
        for name, profile in matrix.profiles.items():
            if set(profile) != set(PRINCIPALS) or not set(profile.values()) <= set(matrix.levels):
                raise ValueError(f"profile {name} does not give every principal a level")
        for name, table in matrix.tables.items():
            if table.profile not in matrix.profiles or table.own not in matrix.levels:
                raise ValueError(f"table {name} names an unknown profile or level")
        for name, function in matrix.functions.items():
            if not {*function.allowed, *function.answers} <= set(PRINCIPALS):
                raise ValueError(f"function {name} names an unknown principal")
        return matrix

    def level(self, table: str, principal: str) -> str:
        """Return the level at which a principal reads a table."""
        rule = self.tables[table]
        level = self.profiles[rule.profile][principal]
        return rule.own if level == "own" else level


def fill(value: Any, cast: Cast) -> Any:
    """Return arguments with the cast's ids in place of `{name}`.

    Args:
        value: a value of `arguments`, of any shape.
        cast: whose ids.
    """
    if isinstance(value, Mapping):
        return {name: fill(inner, cast) for name, inner in value.items()}
    if isinstance(value, list):
        return [fill(inner, cast) for inner in value]
    if not isinstance(value, str):
        return value
    if value == _ABSENT:
        return None
    names = {name: str(user_id) for name, user_id in cast.users.items()}
    names |= {
        "acme": str(cast.acme),
        "globex": str(cast.globex),
        "unique": secrets.token_hex(8).upper(),
    } | cast.ids
    return value.format_map(names)
