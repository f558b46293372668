"""Where one stack instance lives, which ports and URLs it has, and which keys: `StackSettings`."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from stack import config, keys

REPOSITORY = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

#: Installed programs are shared by all instances of a clone.
INSTALL_DIR = REPOSITORY / ".stack"

POSTGRES_PASSWORD = "postgres"

#: Ports for people and programs, before `TALLYBASE_PORT_OFFSET` is added.
PUBLIC_PORTS = {
    "gateway": 54321,
    "database": 54322,
    "mailbox": 54324,
    "smtp": 54325,
    "workers": 8000,
    "stripe_twin": 12111,
    "frontend": 5173,
}
_INTERNAL_PORTS = ("postgrest", "postgrest_admin", "services")


class SettingsError(Exception):
    """The environment asks for something impossible; the text says what to change."""


@dataclass(frozen=True)
class Ports:
    """TCP ports on the loopback address.

    The first seven are for people and programs (moved together by `TALLYBASE_PORT_OFFSET`), the others are
    used between the stack's own processes and chosen by the operating system.
    """

    gateway: int
    database: int
    mailbox: int
    smtp: int
    workers: int
    stripe_twin: int
    frontend: int
    postgrest: int
    postgrest_admin: int
    services: int

    def public(self) -> dict[str, int]:
        """Return the ports that users of the stack see, by name."""
        return {name: getattr(self, name) for name in PUBLIC_PORTS}


@dataclass(frozen=True)
class StackSettings:
    """Everything the parts of one instance must agree on.

    Attributes:
        state_dir: data, logs, keys and process records of this instance.
        port_offset: what is added to every public port.
        ports: see `Ports`.
        keys: see `stack.keys.Keys`.
        project: the parsed `supabase/config.toml`.
        repository: root of the clone.
        supabase_dir: the folder with config.toml, migrations, functions and the seed.
    """

    state_dir: Path
    port_offset: int
    ports: Ports
    keys: keys.Keys
    project: config.ProjectConfig
    repository: Path = REPOSITORY
    supabase_dir: Path = REPOSITORY / "supabase"

    @classmethod
    def load(cls, *, choose_ports: bool = False) -> StackSettings:
        """Read the settings of the instance that the environment names.

        Args:
            choose_ports: choose new internal ports (the supervisor does so at each start); without it the
                running instance's ports are read.

        Returns:
            The settings. Keys and ports are created on first use.

        Raises:
            SettingsError: a `TALLYBASE_…` variable has an impossible value.
        """
        state_dir = state_directory()
        offset = port_offset()
        ports_file = state_dir / "run" / "ports"
        internal = None if choose_ports else _read_ports(ports_file)
        if internal is None:
            internal = _choose_ports()
            ports_file.parent.mkdir(parents=True, exist_ok=True)
            ports_file.write_text("".join(f"{name}={port}\n" for name, port in internal.items()))
        public = {name: port + offset for name, port in PUBLIC_PORTS.items()}
        return cls(
            state_dir=state_dir,
            port_offset=offset,
            ports=Ports(**public, **internal),
            keys=keys.load_or_create(state_dir / "keys.json"),
            project=_project(),
        )

    @property
    def gateway_url(self) -> str:
        """The SUPABASE_URL."""
        return f"http://{HOST}:{self.ports.gateway}"

    @property
    def workers_url(self) -> str:
        """Base URL of the workers (`/api/…`, `/workers/v1/NAME`)."""
        return f"http://{HOST}:{self.ports.workers}"

    @property
    def frontend_url(self) -> str:
        """Where the page is served."""
        return f"http://{HOST}:{self.ports.frontend}"

    @property
    def mailbox_url(self) -> str:
        """Page and JSON API with the mails that the stack's parts sent."""
        return f"http://{HOST}:{self.ports.mailbox}"

    @property
    def stripe_twin_url(self) -> str:
        """Base URL of the local Stripe; it is only served while STRIPE_SECRET_KEY is unset."""
        return f"http://{HOST}:{self.ports.stripe_twin}"

    @property
    def jwt_issuer(self) -> str:
        """The `iss` claim of users' access tokens."""
        return f"{self.gateway_url}/auth/v1"

    @property
    def site_url(self) -> str:
        """`[auth] site_url`, moved with the port offset when it names this stack's own page."""
        return self.shift_ports(self.project.auth.site_url)

    @property
    def redirect_urls(self) -> tuple[str, ...]:
        """`[auth] additional_redirect_urls`, moved in the same way."""
        return tuple(self.shift_ports(url) for url in self.project.auth.additional_redirect_urls)

    def shift_ports(self, url: str) -> str:
        """Return `url` with the front end's standard port replaced by this instance's."""
        return url.replace(f":{PUBLIC_PORTS['frontend']}", f":{self.ports.frontend}")

    def database_url(self, role: str = "postgres") -> str:
        """Return the connection URL of a login role.

        Args:
            role: `postgres`, or one of `stack.keys.LOGIN_ROLES`.

        Raises:
            KeyError: the role has no password.
        """
        well_known = {"postgres": POSTGRES_PASSWORD}
        password = (well_known | self.keys.database_passwords)[role]
        return f"postgresql://{role}:{quote(password)}@{HOST}:{self.ports.database}/postgres"

    @property
    def data_dir(self) -> Path:
        """Postgres' data directory."""
        return self.state_dir / "postgres"

    @property
    def run_dir(self) -> Path:
        """Generated configuration, lock and process records."""
        return self.state_dir / "run"

    @property
    def log_dir(self) -> Path:
        """One log file a process."""
        return self.state_dir / "logs"

    @property
    def signing_key_file(self) -> Path:
        """The private signing key as a JWK, for tests that mint tokens."""
        return self.state_dir / "signing_key.json"


def state_directory() -> Path:
    """Return the folder of the instance that `TALLYBASE_STACK_DIR` names (default `.stack` of the clone)."""
    named = os.environ.get("TALLYBASE_STACK_DIR")
    return Path(named).expanduser().resolve() if named else INSTALL_DIR


def port_offset() -> int:
    """Return `TALLYBASE_PORT_OFFSET` (default 0).

    Raises:
        SettingsError: it is not a whole number that leaves every port within 1024…65535.
    """
    text = os.environ.get("TALLYBASE_PORT_OFFSET") or "0"
    try:
        offset = int(text)
    except ValueError:
        raise SettingsError(f"TALLYBASE_PORT_OFFSET must be a whole number, not {text!r}") from None
    if min(PUBLIC_PORTS.values()) + offset < 1024 or max(PUBLIC_PORTS.values()) + offset > 65535:
        raise SettingsError(f"TALLYBASE_PORT_OFFSET={offset} puts a port outside 1024…65535")
    return offset


def _project() -> config.ProjectConfig:
    """Read config.toml; TALLYBASE_AUTO_EXPOSE_NEW_TABLES wins over the key that projects differ in."""
    project = config.load(REPOSITORY / "supabase" / "config.toml")
    wanted = os.environ.get("TALLYBASE_AUTO_EXPOSE_NEW_TABLES")
    if not wanted:
        return project
    if wanted not in ("true", "false"):
        raise SettingsError(f"TALLYBASE_AUTO_EXPOSE_NEW_TABLES must be true or false, not {wanted!r}")
    api = project.api.model_copy(update={"auto_expose_new_tables": wanted == "true"})
    return project.model_copy(update={"api": api})


def _read_ports(path: Path) -> dict[str, int] | None:
    try:
        pairs = dict(line.split("=", 1) for line in path.read_text().splitlines())
        return {name: int(pairs[name]) for name in _INTERNAL_PORTS}
    except (OSError, KeyError, ValueError):
        return None


def _choose_ports() -> dict[str, int]:
    sockets = [socket.create_server((HOST, 0)) for _ in _INTERNAL_PORTS]
    try:
        return {name: opened.getsockname()[1] for name, opened in zip(_INTERNAL_PORTS, sockets, strict=True)}
    finally:
        for opened in sockets:
            opened.close()
