"""Serves `workers/main.py` as the cloud does: functions-framework under gunicorn, in one process.

`python -m stack.workers` listens on the workers' port. Each entry point NAME is at `/workers/v1/NAME`, and
the entry point `api` at `/api` too. In the cloud every entry point is a function of its own.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import functions_framework
from gunicorn.app.base import BaseApplication
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from stack.settings import HOST, REPOSITORY, StackSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

THREADS = 8
_GRACE_SECONDS = 6


def entry_points(source: Path) -> list[str]:
    """Return the names of the functions that `source` marks with `@functions_framework.http`.

    Args:
        source: a functions-framework source file.
    """
    tree = ast.parse(source.read_text(), filename=str(source))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return [function.name for function in functions if any(map(_is_http, function.decorator_list))]


def create_app(source: Path) -> WSGIApplication:
    """Mount every entry point of `source`.

    Args:
        source: a functions-framework source file; its folder must be on `sys.path`.

    Returns:
        A WSGI application; paths that belong to no entry point are 404.
    """
    mounts: dict[str, WSGIApplication] = {}
    for name in entry_points(source):
        app = _with_path(functions_framework.create_app(name, str(source)))  # type: ignore[no-untyped-call]
        mounts[f"/workers/v1/{name}"] = app
        if name == "api":
            mounts["/api"] = app
    return DispatcherMiddleware(NotFound(), mounts)


class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """gunicorn with the settings of the functions-framework: one process, several threads."""

    def __init__(self, load_app: Callable[[], WSGIApplication], options: dict[str, Any]) -> None:
        """Prepare to serve.

        Args:
            load_app: makes the application, in the process that will serve it.
            options: gunicorn's settings by name.
        """
        self._load_app = load_app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its settings; no file and no command line is read."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        """Return the application."""
        return self._load_app()


def main() -> int:
    """Serve until asked to stop.

    Returns:
        The exit status.
    """
    source = REPOSITORY / "workers" / "main.py"
    os.chdir(source.parent)
    sys.path.insert(0, str(source.parent))
    options = {
        "bind": f"{HOST}:{StackSettings.load().ports.workers}",
        "workers": 1,
        "worker_class": "gthread",
        "threads": THREADS,
        "timeout": 60,
        "graceful_timeout": _GRACE_SECONDS,
        "proc_name": "tallybase-workers",
        "control_socket_disable": True,
    }
    Server(lambda: create_app(source), options).run()
    return 0


def _is_http(decorator: ast.expr) -> bool:
    return (
        isinstance(decorator, ast.Attribute)
        and decorator.attr == "http"
        and isinstance(decorator.value, ast.Name)
    )


def _with_path(app: WSGIApplication) -> WSGIApplication:
    """Call an entry point named without a further path at `/`; werkzeug would redirect a POST otherwise."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["PATH_INFO"] = environ.get("PATH_INFO") or "/"
        return app(environ, start_response)

    return call


if __name__ == "__main__":
    sys.exit(main())
