"""Reads `attacks.toml`: what is tried, how it is refused, and the control."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

_PATH = Path(__file__).with_name("attacks.toml")


class Ask(BaseModel):
    """A request.

    Attributes:
        path: table query or `rpc/name`.
        method: HTTP verb.
        body: JSON body; None for none.
        headers: in addition.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    method: str = "POST"
    body: Any = None
    headers: dict[str, str] = {}


class Attack(BaseModel):
    """What is tried.

    Attributes:
        name: in words.
        by: the principal.
        ask: the request.
        refused: statuses that refuse.
        control: a principal who may; '' where nobody may.
        control_ask: what they ask, where it is not the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    by: str
    ask: Ask
    refused: tuple[int, ...] = (401, 403, 404)
    control: str = ""
    control_ask: Ask | None = None


ATTACKS = tuple(Attack.model_validate(entry) for entry in tomllib.loads(_PATH.read_text())["attack"])
