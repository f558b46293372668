"""Closed-loop load: so many clients, each sending its next call when the last one is answered."""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

PROCESSES = 2

# Makes one client: given its number, returns a call without arguments. Runs inside the worker process.
ClientFactory = Callable[[int], Callable[[], None]]


@dataclass(frozen=True)
class Measurement:
    """What one run gave.

    Attributes:
        calls: answered calls.
        seconds: wall time.
        latencies: of each call, in seconds.
    """

    calls: int
    seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in milliseconds at a share such as 0.99."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _run_threads(factory: ClientFactory, numbers: list[int], seconds: float, ready: Connection) -> None:
    calls = [factory(number) for number in numbers]
    for call in calls:
        call()  # connections and plans are made before the clock starts
    ready.send("ready")
    ready.recv()
    latencies: list[list[float]] = [[] for _ in calls]
    failures: list[str] = []

    def loop(place: int) -> None:
        mine, call, deadline = latencies[place], calls[place], time.perf_counter() + seconds
        began = time.perf_counter()
        try:
            while began < deadline:
                call()
                ended = time.perf_counter()
                mine.append(ended - began)
                began = ended
        except Exception as error:  # reported to the parent, which raises
            failures.append(repr(error))

    threads = [threading.Thread(target=loop, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ready.send((failures, [latency for mine in latencies for latency in mine]))


def run(factory: ClientFactory, clients: int, seconds: float) -> Measurement:
    """Drive a load and return what it gave.

    Args:
        factory: makes a client; must be importable (it crosses a process boundary by fork).
        clients: how many at once, spread over two processes.
        seconds: how long.

    Raises:
        RuntimeError: a call failed; a benchmark of failing calls measures nothing.
    """
    context = multiprocessing.get_context("fork")
    pipes, processes = [], []
    for which in range(min(PROCESSES, clients)):
        ours, theirs = context.Pipe()
        numbers = list(range(which, clients, PROCESSES))
        process = context.Process(target=_run_threads, args=(factory, numbers, seconds, theirs))
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    answers = [pipe.recv() for pipe in pipes]
    elapsed = time.perf_counter() - began
    for process in processes:
        process.join()
    failures = [failure for failed, _ in answers for failure in failed]
    if failures:
        raise RuntimeError(f"{len(failures)} clients failed, the first with {failures[0]}")
    latencies = [latency for _, measured in answers for latency in measured]
    return Measurement(len(latencies), elapsed, latencies)


def median_rate(measurements: list[Measurement]) -> float:
    """The median of the rates of interleaved repetitions."""
    return statistics.median(measurement.rate for measurement in measurements)


def median_percentile(measurements: list[Measurement], share: float) -> float:
    """The median of a latency percentile, in milliseconds."""
    return statistics.median(measurement.percentile(share) for measurement in measurements)
