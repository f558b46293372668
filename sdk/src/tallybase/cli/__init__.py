"""The command line `tallybase`. Needs the extra `cli`: `pip install 'tallybase[cli]'`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from tallybase.cli.app import app
    except ImportError as error:  # pragma: no cover - depends on the environment
        sys.exit(
            f"The command line needs typer and rich ({error.name} is missing): pip install 'tallybase[cli]'"
        )
    app()
