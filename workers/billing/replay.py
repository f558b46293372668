"""Runs stored Stripe events through the ingest again: `python -m billing.replay EVENT_ID…`."""

from __future__ import annotations

import sys

from billing import logs
from billing.errors import WorkerError
from billing.webhook import replay


def main(event_ids: list[str]) -> int:
    """Replay each event and print what became of it.

    Args:
        event_ids: Stripe's ids, as `billing.list_stripe_events` shows them.

    Returns:
        The exit status: 0 when every event was applied or is only stored, 1 when one failed, 2 without an id.
    """
    if not event_ids:
        print("usage: python -m billing.replay EVENT_ID…", file=sys.stderr)
        return 2
    failed = False
    for event_id in event_ids:
        try:
            outcome = replay(event_id)
        except WorkerError as error:
            print(f"{event_id}\t{error.slug}")
            failed = True
        else:
            print(f"{event_id}\t{outcome.status}")
            failed = failed or outcome.status == "parked"
    return int(failed)


if __name__ == "__main__":
    logs.configure()
    sys.exit(main(sys.argv[1:]))
