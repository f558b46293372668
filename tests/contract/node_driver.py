"""Drives supabase-js in a Node process, one JSON command a line; see node/driver.mjs."""

from __future__ import annotations

import fcntl
import itertools
import json
import subprocess
import threading
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from stack.install import INSTALL_DIR, install_npm_project, npm_environment
from tests.contract.target import Target

FOLDER = Path(__file__).parent / "node"
ANSWER_SECONDS = 30.0


class DriverError(Exception):
    """supabase-js threw, or did not answer."""


def _install() -> None:
    """Install supabase-js; test processes that start together take turns."""
    with (INSTALL_DIR / "contract-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install_npm_project("tests/contract/node", report=print)


class NodeDriver:
    """A Node process that serves commands until closed; commands may overlap.

    Args:
        target: the project that supabase-js talks to.
    """

    def __init__(self, target: Target) -> None:
        _install()
        self._process = subprocess.Popen(
            ["node", "driver.mjs"],
            cwd=FOLDER,
            env=npm_environment() | {"SUPABASE_URL": target.url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ids = itertools.count()
        self._answers: dict[int, Queue[dict[str, Any]]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, op: str, **arguments: object) -> Any:
        """Run a command and wait for its answer.

        Args:
            op: an operation of driver.mjs.
            arguments: its arguments.

        Returns:
            What it answered.

        Raises:
            DriverError: it failed or did not answer in time.
        """
        return self.wait(self.start(op, **arguments))

    def start(self, op: str, **arguments: object) -> int:
        """Send a command without waiting; `wait` takes the returned number."""
        number = next(self._ids)
        self._answers[number] = Queue()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "op": op, **arguments}) + "\n")
        self._process.stdin.flush()
        return number

    def wait(self, number: int) -> Any:
        """Wait for the answer to a started command."""
        try:
            answer = self._answers[number].get(timeout=ANSWER_SECONDS)
        except Empty:
            raise DriverError(f"supabase-js did not answer within {ANSWER_SECONDS} s") from None
        finally:
            del self._answers[number]
        if failure := answer.get("failure"):
            raise DriverError(failure["message"])
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=ANSWER_SECONDS)
        self._reader.join(timeout=ANSWER_SECONDS)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            self._answers[answer["id"]].put(answer)
