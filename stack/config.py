"""Reads `supabase/config.toml`, whose settings the local stack shares with Supabase's CLI."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

_ENV_REFERENCE = re.compile(r"^env\((\w+)\)$")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Section(BaseModel):
    """A table of config.toml: known keys are typed, the CLI's other keys are kept as they are."""

    model_config = ConfigDict(frozen=True, extra="allow")


class ApiConfig(_Section):
    """`[api]`: what PostgREST serves."""

    schemas: tuple[str, ...] = ("public",)
    extra_search_path: tuple[str, ...] = ("public", "extensions")
    max_rows: int = 1000
    auto_expose_new_tables: bool = True


class SeedConfig(_Section):
    """`[db.seed]`: files that `db push --include-seed` and `db reset` run."""

    enabled: bool = True
    sql_paths: tuple[str, ...] = ("./seed.sql",)


class DatabaseConfig(_Section):
    """`[db]`."""

    major_version: int = 17
    seed: SeedConfig = SeedConfig()


class EmailConfig(_Section):
    """`[auth.email]`. `enabled` was called `enable_signup` before version 3.1 of the CLI; both are read."""

    enable_signup: bool = Field(default=True, validation_alias=AliasChoices("enabled", "enable_signup"))
    double_confirm_changes: bool = True
    enable_confirmations: bool = False
    secure_password_change: bool = False
    max_frequency: str = "1s"
    otp_length: int = 6
    otp_expiry: int = 3600


class HookConfig(_Section):
    """`[auth.hook.NAME]`: a Postgres function that the auth server calls."""

    enabled: bool = False
    uri: str = ""


class AuthConfig(_Section):
    """`[auth]`."""

    site_url: str = "http://127.0.0.1:3000"
    additional_redirect_urls: tuple[str, ...] = ()
    jwt_expiry: int = 3600
    enable_signup: bool = True
    enable_anonymous_sign_ins: bool = False
    enable_manual_linking: bool = False
    enable_refresh_token_rotation: bool = True
    refresh_token_reuse_interval: int = 10
    minimum_password_length: int = 6
    password_requirements: str = ""
    email: EmailConfig = EmailConfig()
    hook: Mapping[str, HookConfig] = Field(default_factory=dict)


class FunctionConfig(_Section):
    """`[functions.NAME]`."""

    enabled: bool = True
    verify_jwt: bool = True
    import_map: str | None = None
    entrypoint: str | None = None
    static_files: tuple[str, ...] = ()


class EdgeRuntimeConfig(_Section):
    """`[edge_runtime]`."""

    enabled: bool = True
    secrets: Mapping[str, str] = Field(default_factory=dict)


class ProjectConfig(_Section):
    """The whole of config.toml, as far as the local stack reads it."""

    project_id: str
    api: ApiConfig = ApiConfig()
    db: DatabaseConfig = DatabaseConfig()
    auth: AuthConfig = AuthConfig()
    edge_runtime: EdgeRuntimeConfig = EdgeRuntimeConfig()
    functions: Mapping[str, FunctionConfig] = Field(default_factory=dict)


def load(path: Path) -> ProjectConfig:
    """Read config.toml; `env(NAME)` values are taken from the environment, as the CLI does.

    Args:
        path: the file `supabase/config.toml`.

    Returns:
        The typed settings.

    Raises:
        pydantic.ValidationError: a key has the wrong type.
        tomllib.TOMLDecodeError: the file is not TOML.
    """
    with path.open("rb") as file:
        return ProjectConfig.model_validate(_resolve(tomllib.load(file)))


def parse_duration(text: str) -> timedelta:
    """Turn a Go duration of config.toml (`1s`, `1m30s`, `24h`) into a timedelta.

    Raises:
        ValueError: `text` is not such a duration.
    """
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"not a duration such as 30s or 1h: {text!r}")
    return timedelta(seconds=sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts))


def _resolve(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item) for item in value]
    if isinstance(value, str) and (match := _ENV_REFERENCE.match(value)):
        return os.environ.get(match[1], "")
    return value
