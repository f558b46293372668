"""Runs one edge function in a Deno process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from pathlib import Path

from dotenv import dotenv_values

from stack.functions.catalogue import EdgeFunction
from stack.install import INSTALL_DIR, VENV
from stack.settings import HOST, StackSettings

_START_SECONDS = 60
_STOP_SECONDS = 3
_HEAP_MEGABYTES = 256
_SHIM = Path(__file__).parent / "shim.ts"


class FunctionStartError(Exception):
    """The function's process ended, or did not listen in time; its log says why."""


class FunctionProcess:
    """A running edge function."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, version: int) -> None:
        """Keep what belongs to one process.

        Args:
            process: the Deno process, leader of its own group.
            port: where it listens.
            version: the sources' version that it runs.
        """
        self._process = process
        self.port = port
        self.version = version

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.returncode is None

    @classmethod
    async def start(cls, function: EdgeFunction, settings: StackSettings) -> FunctionProcess:
        """Start the function and wait until it listens.

        Args:
            function: what to run.
            settings: the instance.

        Returns:
            The running process.

        Raises:
            FunctionStartError: it ended early or did not listen within a minute (the first start downloads
                its packages).
        """
        port = _free_port()
        log_file = settings.log_dir / f"function-{function.name}.log"
        version = function.version()
        with log_file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command(function, port),
                cwd=function.entrypoint.parent,
                env=environment(settings) | {"DENO_SERVE_ADDRESS": f"tcp:{HOST}:{port}"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started = cls(process, port, version)
        if not await started._listens():
            await started.stop()
            raise FunctionStartError(f"the function {function.name} does not start; see {log_file.name}")
        return started

    async def stop(self) -> None:
        """End the process and everything it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
                return

    async def _listens(self) -> bool:
        """Probe by connecting: a request would run the function's handler."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while self.alive:
                    try:
                        _, writer = await asyncio.open_connection(HOST, self.port)
                    except OSError:
                        await asyncio.sleep(0.02)
                        continue
                    writer.close()
                    return True
        return False


def command(function: EdgeFunction, port: int) -> list[str]:
    """Return Deno's command line. Without `--node-modules-dir=none` a package.json above would be used."""
    flags = ["--allow-all", "--no-prompt", "--node-modules-dir=none", "--no-lock"]
    flags += [f"--v8-flags=--max-old-space-size={_HEAP_MEGABYTES}", "--preload", str(_SHIM)]
    flags += ["--config", str(function.deno_config)] if function.deno_config else ["--no-config"]
    deno = str(VENV / "bin" / "deno")
    if function.exports_handler():
        return [deno, "serve", "--host", HOST, "--port", str(port), *flags, str(function.entrypoint)]
    return [deno, "run", *flags, str(function.entrypoint)]


def environment(settings: StackSettings) -> dict[str, str]:
    """Return the variables that a hosted function finds, and the project's own secrets.

    The platform's variables win over `functions/.env` and `[edge_runtime.secrets]`, as they do there.
    """
    own = {
        name: value or ""
        for name, value in dotenv_values(settings.supabase_dir / "functions" / ".env").items()
    }
    keys = settings.keys
    platform = {
        "SUPABASE_URL": settings.gateway_url,
        "SUPABASE_DB_URL": settings.database_url(),
        "SUPABASE_PUBLISHABLE_KEYS": json.dumps({"default": keys.publishable_key}),
        "SUPABASE_SECRET_KEYS": json.dumps({"default": keys.secret_key}),
        "SUPABASE_JWKS": json.dumps({"keys": [keys.public_signing_key()]}),
        "SUPABASE_ANON_KEY": keys.publishable_key,
        "SUPABASE_SERVICE_ROLE_KEY": keys.secret_key,
        "SB_REGION": "local",
        "DENO_DIR": str(INSTALL_DIR / "deno"),
        "DENO_NO_UPDATE_CHECK": "1",
        "NO_COLOR": "1",
    }
    system = {name: os.environ[name] for name in _SYSTEM_VARIABLES if name in os.environ}
    return system | own | dict(settings.project.edge_runtime.secrets) | platform


#: Of the machine's own environment only what a process needs to run and to reach its package registry.
_SYSTEM_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "DENO_CERT",
    "DENO_TLS_CA_STORE",
    "NPM_CONFIG_REGISTRY",
    "NPM_CONFIG_USERCONFIG",
)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])
