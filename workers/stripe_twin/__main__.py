"""Serves the twin on a port: `python -m stripe_twin --port 12111`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from types import FrameType

import structlog
import waitress

from stripe_twin.app import create_app, twin_of
from stripe_twin.settings import StripeKeyRefusedError, TwinSettings


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted.

    Args:
        arguments: Command-line arguments; those of the process when left out.

    Returns:
        Exit status: 2 when the settings forbid or prevent the start.
    """
    parser = argparse.ArgumentParser(prog="stripe_twin", description="A local stand-in for Stripe.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=12111, help="port to listen on (default: 12111)")
    parser.add_argument("--threads", type=int, default=16, help="requests served at once (default: 16)")
    chosen = parser.parse_args(arguments)
    _log_as_json()
    try:
        settings = TwinSettings.from_environment()
    except (StripeKeyRefusedError, ValueError) as error:
        print(f"stripe_twin: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _leave)
    app = create_app(settings)
    print(f"stripe_twin: listening on http://{chosen.host}:{chosen.port}", flush=True)
    try:
        waitress.serve(app, host=chosen.host, port=chosen.port, threads=chosen.threads, ident="stripe-twin")
    finally:
        twin_of(app).stop()
    return 0


def _log_as_json() -> None:
    """Write one JSON object a line, with plain tracebacks that show no values of variables."""
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """Turn the request to stop into an orderly end."""
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main())
