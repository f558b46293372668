"""How deliveries misbehave on demand, because bugs live where networks misbehave."""

from __future__ import annotations

from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field, field_validator

from stripe_twin.database import Connection
from stripe_twin.renderings import VERSIONS


class Faults(BaseModel):
    """The faults that are switched on; all zero means well-behaved.

    Attributes:
        duplicates: Every attempt is sent this many times more.
        delay_seconds: Every new delivery waits this long.
        shuffle_seconds: Every new delivery waits a random time up to this, so that events overtake one
            another.
        drop_attempts: The first attempts of every delivery are lost, then retried as usual.
        wrong_secret_attempts: The first attempts of every delivery are signed with a secret that nobody has.
        api_version: Every event is rendered in this version of the API, whatever the endpoint asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    duplicates: int = Field(default=0, ge=0, le=20)
    delay_seconds: float = Field(default=0, ge=0, le=3600)
    shuffle_seconds: float = Field(default=0, ge=0, le=3600)
    drop_attempts: int = Field(default=0, ge=0, le=20)
    wrong_secret_attempts: int = Field(default=0, ge=0, le=20)
    api_version: str | None = None

    @field_validator("api_version")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in VERSIONS:
            raise ValueError(f"known versions: {', '.join(VERSIONS)}")
        return value


def read_faults(connection: Connection) -> Faults:
    """Return the faults that are switched on."""
    row = connection.execute("select settings from faults").fetchone()
    return Faults() if row is None else Faults.model_validate(row["settings"])


def write_faults(connection: Connection, faults: Faults) -> None:
    """Switch to exactly these faults."""
    connection.execute(
        "insert into faults (settings) values (%s) "
        "on conflict (only_row) do update set settings = excluded.settings",
        (Jsonb(faults.model_dump()),),
    )
