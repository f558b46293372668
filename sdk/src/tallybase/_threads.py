"""Lets threads that are started inside a run be part of it, as `asyncio` tasks are by themselves.

Agent frameworks call tools in threads of their own, and a context variable does not follow a new thread (PEP
567; from Python 3.14 on it can). While at least one run is open, `threading.Thread.start` and
`ThreadPoolExecutor.submit` therefore hand the current run on, and nothing else; when the last run ends, they
are as they were.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")

_lock = threading.Lock()
_open_runs = 0
_restore: Callable[[], None] | None = None


def inherit(variable: contextvars.ContextVar[V | None]) -> None:
    """Start handing the variable on to new threads. Every call needs its `release`."""
    global _open_runs, _restore
    with _lock:
        _open_runs += 1
        if _restore is None:
            restore_start = _replace(threading.Thread, "start", _starting(variable, threading.Thread.start))
            restore_submit = _replace(
                ThreadPoolExecutor, "submit", _submitting(variable, ThreadPoolExecutor.submit)
            )
            _restore = functools.partial(_call_all, restore_start, restore_submit)


def release() -> None:
    """Undo one `inherit`; the last one restores both methods."""
    global _open_runs, _restore
    with _lock:
        _open_runs -= 1
        if _open_runs == 0 and _restore is not None:
            _restore()
            _restore = None


def _replace(owner: type, name: str, replacement: Callable[..., Any]) -> Callable[[], None]:
    """Replace a method; return what puts it back, unless somebody else has replaced it meanwhile."""
    original = getattr(owner, name)
    setattr(owner, name, replacement)

    def restore() -> None:
        if getattr(owner, name) is replacement:
            setattr(owner, name, original)

    return restore


def _call_all(*functions: Callable[[], None]) -> None:
    for function in functions:
        function()


def _carry(variable: contextvars.ContextVar[V | None], value: V, function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def carried(*args: P.args, **keywords: P.kwargs) -> R:
        token = variable.set(value)
        try:
            return function(*args, **keywords)
        finally:
            variable.reset(token)

    return carried


def _starting(
    variable: contextvars.ContextVar[V | None], start: Callable[[threading.Thread], None]
) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def start_inside(thread: threading.Thread) -> None:
        value = variable.get()
        if value is not None:
            setattr(thread, "run", _carry(variable, value, thread.run))  # noqa: B010
        start(thread)

    return start_inside


def _submitting(
    variable: contextvars.ContextVar[V | None], submit: Callable[..., Future[R]]
) -> Callable[..., Future[R]]:
    @functools.wraps(submit)
    def submit_inside(
        pool: ThreadPoolExecutor, function: Callable[..., R], /, *args: Any, **keywords: Any
    ) -> Future[R]:
        value = variable.get()
        if value is None:
            return submit(pool, function, *args, **keywords)
        # A worker thread that the pool starts now outlives the run, so only the task is carried, not the
        # worker.
        token = variable.set(None)
        try:
            return submit(pool, _carry(variable, value, function), *args, **keywords)
        finally:
            variable.reset(token)

    return submit_inside
