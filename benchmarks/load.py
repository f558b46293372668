"""Closed-loop load: so many clients, each sending its next call when the last one is answered."""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

PROCESSES = 2


def _nothing() -> None:
    """What most clients have to do at the end."""


@dataclass(frozen=True)
class Client:
    """One caller of a load.

    Attributes:
        call: sends one call and waits for its answer; raises when it was refused.
        finish: settles what calls have left open; after the clock has stopped.
    """

    call: Callable[[], None]
    finish: Callable[[], None] = _nothing


#: Makes the client of a number. Runs inside the worker process.
ClientFactory = Callable[[int], Client]

#: The work of one process: prepares itself, waits in the call that it is given until all are ready, and then
#: answers the latency of each of its calls, in seconds.
Worker = Callable[[Callable[[], None]], list[float]]


@dataclass(frozen=True)
class Measurement:
    """What one run gave.

    Attributes:
        seconds: wall time.
        latencies: of each answered call, in seconds.
    """

    seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in milliseconds at a share such as 0.99."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def threads(factory: ClientFactory, numbers: Sequence[int], seconds: float) -> Worker:
    """A worker with one thread a client.

    Args:
        factory: makes the clients; each is called once before the clock starts, for connections and plans.
        numbers: of the clients.
        seconds: how long.
    """

    def work(ready: Callable[[], None]) -> list[float]:
        made = [factory(number) for number in numbers]
        for client in made:
            client.call()
        latencies: list[list[float]] = [[] for _ in made]
        failures: list[BaseException] = []
        ready()
        running = [
            threading.Thread(target=_loop, args=(client.call, seconds, mine, failures))
            for client, mine in zip(made, latencies, strict=True)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        if failures:
            raise failures[0]
        for client in made:
            client.finish()
        return [latency for mine in latencies for latency in mine]

    return work


def _loop(
    call: Callable[[], None], seconds: float, latencies: list[float], failures: list[BaseException]
) -> None:
    began = time.perf_counter()
    deadline = began + seconds
    try:
        while began < deadline:
            call()
            ended = time.perf_counter()
            latencies.append(ended - began)
            began = ended
    except Exception as error:  # the worker raises it once the others have stopped
        failures.append(error)


def spread(factory: ClientFactory, clients: int, seconds: float) -> list[Worker]:
    """The workers of so many clients, spread over two processes."""
    shares = [list(range(which, clients, PROCESSES)) for which in range(min(PROCESSES, clients))]
    return [threads(factory, numbers, seconds) for numbers in shares]


def run(factory: ClientFactory, clients: int, seconds: float) -> Measurement:
    """Drive a load and return what it gave.

    Args:
        factory: makes a client.
        clients: how many at once, spread over two processes.
        seconds: how long.

    Raises:
        RuntimeError: a call failed; a benchmark of failing calls measures nothing.
    """
    return run_workers(spread(factory, clients, seconds))[0]


def run_workers(*loads: Sequence[Worker]) -> list[Measurement]:
    """Drive loads beside each other, each of one or more processes.

    Returns:
        What each load gave, in order.

    Raises:
        RuntimeError: a worker failed.
    """
    started = [[_start(worker) for worker in load] for load in loads]
    everyone = [pair for load in started for pair in load]
    try:
        for pipe, _ in everyone:
            _receive(pipe)
        began = time.perf_counter()
        for pipe, _ in everyone:
            pipe.send("go")
        return [_collect([pipe for pipe, _ in load], began) for load in started]
    finally:
        for pipe, process in everyone:
            pipe.close()  # a worker that still waits for its start ends
            process.join()


def _start(worker: Worker) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(worker, theirs, ours))
    process.start()
    theirs.close()
    return ours, process


def _serve(worker: Worker, pipe: Connection, parents_end: Connection) -> None:
    parents_end.close()

    def ready() -> None:
        pipe.send(("ready", None))
        pipe.recv()

    try:
        latencies = worker(ready)
    except (EOFError, BrokenPipeError):
        return  # another worker failed, and nobody waits for this one
    except Exception as error:  # reported to the parent, which raises
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
    else:
        pipe.send(("done", latencies))


def _receive(pipe: Connection) -> list[float]:
    what, content = pipe.recv()
    if what == "failed":
        raise RuntimeError(f"a client failed with {content}")
    return content or []


def _collect(pipes: list[Connection], began: float) -> Measurement:
    latencies = [latency for pipe in pipes for latency in _receive(pipe)]
    return Measurement(time.perf_counter() - began, latencies)


def median_rate(measurements: Sequence[Measurement]) -> float:
    """The median of the rates of interleaved repetitions."""
    return statistics.median(measurement.rate for measurement in measurements)


def median_percentile(measurements: Sequence[Measurement], share: float) -> float:
    """The median of a latency percentile, in milliseconds."""
    return statistics.median(measurement.percentile(share) for measurement in measurements)
