"""`python -m stack.workers --port N`: gunicorn with the settings that the functions-framework gives it.

Imports little, so that gunicorn's parent process, which only watches, stays small.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from stack.install import REPOSITORY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

THREADS = 8
_GRACE_SECONDS = 6
_SOURCE = REPOSITORY / "workers" / "main.py"


class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """One worker process with several threads; the parent starts it again when it dies."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Prepare to serve.

        Args:
            options: gunicorn's settings by name.
        """
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its settings; no file and no command line is read."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        """Load the application, in the process that will serve it."""
        from stack.workers.application import create_app

        return create_app(_SOURCE)


def main() -> int:
    """Serve until asked to stop.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(description="Serve the workers.")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    os.chdir(_SOURCE.parent)
    sys.path.insert(0, str(_SOURCE.parent))
    options = {
        "bind": f"127.0.0.1:{port}",
        "workers": 1,
        "worker_class": "gthread",
        "threads": THREADS,
        "timeout": 60,
        "graceful_timeout": _GRACE_SECONDS,
        "proc_name": "tallybase-workers",
        "control_socket_disable": True,
    }
    Server(options).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
