"""Where the client finds its settings: the environment variables TALLYBASE_*."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from tallybase.errors import ConfigurationError

URL = "TALLYBASE_URL"
KEY = "TALLYBASE_KEY"
AGENT_KEY = "TALLYBASE_AGENT_KEY"
ACCESS_TOKEN = "TALLYBASE_ACCESS_TOKEN"
ORGANIZATION_ID = "TALLYBASE_ORGANIZATION_ID"
OUTBOX = "TALLYBASE_OUTBOX"


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """The settings found in the environment; see `Credits` for their meaning."""

    url: str
    key: str = field(repr=False)
    agent_key: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    organization_id: str | None = None
    outbox: str | None = None


def from_environment(environment: Mapping[str, str] | None = None) -> EnvironmentSettings:
    """Read the settings.

    Raises:
        ConfigurationError: when TALLYBASE_URL or TALLYBASE_KEY is missing.
    """
    values = os.environ if environment is None else environment
    missing = [name for name in (URL, KEY) if not values.get(name)]
    if missing:
        raise ConfigurationError(f"Set {' and '.join(missing)} to reach the billing server.")
    return EnvironmentSettings(
        url=values[URL],
        key=values[KEY],
        agent_key=values.get(AGENT_KEY) or None,
        access_token=values.get(ACCESS_TOKEN) or None,
        organization_id=values.get(ORGANIZATION_ID) or None,
        outbox=values.get(OUTBOX) or None,
    )
