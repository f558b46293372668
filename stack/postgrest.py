"""PostgREST's configuration, with a hosted project's values; what config.toml says is read from there."""

from __future__ import annotations

import json
from pathlib import Path

from stack.files import write_private
from stack.settings import HOST, StackSettings

_POOL_SIZE = 20
_JWT_CACHE_SECONDS = 3600


def write_config(settings: StackSettings) -> Path:
    """Write `postgrest.conf` into the run folder (mode 0600: it holds a password and the key set).

    Returns:
        The file's path.
    """
    api = settings.project.api
    values: dict[str, str | int | bool] = {
        "db-uri": f"{settings.database_url('authenticator')}?application_name=postgrest",
        "db-schemas": ", ".join(api.schemas),
        "db-extra-search-path": ", ".join(api.extra_search_path),
        "db-anon-role": "anon",
        "db-max-rows": api.max_rows,
        "db-pool": _POOL_SIZE,
        "db-pool-acquisition-timeout": 10,
        "db-use-legacy-gucs": False,
        "jwt-secret": json.dumps(settings.keys.verification_jwks(), separators=(",", ":")),
        "jwt-cache-max-lifetime": _JWT_CACHE_SECONDS,
        "server-host": HOST,
        "server-port": settings.ports.postgrest,
        "admin-server-port": settings.ports.postgrest_admin,
        "openapi-server-proxy-uri": f"{settings.gateway_url}/rest/v1",
        "log-level": "error",
    }
    lines = [f"{name} = {_quote(value)}\n" for name, value in values.items()]
    return write_private(settings.run_dir / "postgrest.conf", "".join(lines))


def _quote(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else json.dumps(value)
