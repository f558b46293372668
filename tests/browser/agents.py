"""The two example agents in a process of their own, with an agent key and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stack.settings import REPOSITORY
from tests.conftest import StackUnderTest

PROGRAM = REPOSITORY / "sdk" / "examples" / "two_agents.py"
STOP_SECONDS = 10


@contextmanager
def two_agents(
    stack: StackUnderTest, agent_key: str, pause_seconds: float
) -> Iterator[subprocess.Popen[str]]:
    """Run both agents until they are refused, for as long as the context is open.

    Args:
        stack: whose credits they spend.
        agent_key: as the page has shown it.
        pause_seconds: between two actions.

    Yields:
        The process; its output is text.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY / "sdk" / "src"),
        "TALLYBASE_URL": stack.supabase_url,
        "TALLYBASE_KEY": stack.publishable_key,
        "TALLYBASE_AGENT_KEY": agent_key,
    }
    command = [sys.executable, str(PROGRAM), "--pause", str(pause_seconds)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=STOP_SECONDS)
