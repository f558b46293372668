"""The twin as a process of its own, for tests."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import httpx
import pytest
import stripe

from tests.money.twin.shop import KEY


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One twin on a port, which can die and come back.

    Attributes:
        port: where it listens.
        url: its address.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {**environment, "STRIPE_TWIN_URL": self.url}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "stripe_twin", "--port", str(self.port)]
        self._process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the twin did not start"
            try:
                if httpx.get(f"{self.url}/_twin/health").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        pytest.fail("the twin did not answer in time")

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask it to end; return its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)

    @property
    def client(self) -> stripe.StripeClient:
        """The official library, talking to it over HTTP."""
        return stripe.StripeClient(KEY, base_addresses={"api": self.url}, max_network_retries=2)
