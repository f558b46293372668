"""One WSGI application for all entry points of `workers/main.py`, as the functions-framework loads each."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import functions_framework
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


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
