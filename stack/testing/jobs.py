"""One check as a subprocess: its output is kept, and shown when it fails or is asked for."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.settings import REPOSITORY

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Job:
    """A check to run.

    Attributes:
        name: for the summary.
        command: program and arguments.
        folder: working directory.
        show: print the output in any case.
    """

    name: str
    command: Sequence[str]
    folder: Path = REPOSITORY
    show: bool = False


@dataclass(frozen=True)
class Result:
    """How a check ended.

    Attributes:
        name: the job's name.
        passed: whether its exit status was 0.
        seconds: wall time.
        output: everything it printed.
    """

    name: str
    passed: bool
    seconds: float
    output: str

    @property
    def last_line(self) -> str:
        """The last line that says anything."""
        plain = _COLOUR.sub("", self.output)
        return next((line for line in reversed(plain.splitlines()) if line.strip()), "").strip("= ")


def run(job: Job, environment: Mapping[str, str]) -> Result:
    """Run a job to its end; print one line, and its output where that is wanted.

    Args:
        job: the check.
        environment: its environment.
    """
    began = time.monotonic()
    done = subprocess.run(
        list(job.command),
        cwd=job.folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    result = Result(job.name, done.returncode == 0, time.monotonic() - began, done.stdout)
    line = f"{'ok    ' if result.passed else 'FAILED'} {job.name} ({result.seconds:.1f} s)"
    shown = f"\n{result.output.rstrip()}" if job.show or not result.passed else ""
    print(line + shown, flush=True)
    return result
