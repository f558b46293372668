"""`python -m billing.endpoint URL`: the webhook endpoint at Stripe, at our version and with our events.

Stripe renders events for an endpoint at the version that it was made with, and never changes that: an
endpoint of another version is left as it is, and one of ours is made beside it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any

import stripe

from billing import logs
from billing.events import RULES
from billing.settings import get_settings
from billing.stripe_client import explain, get_client


@dataclass(frozen=True)
class Made:
    """What became of the endpoint.

    Attributes:
        id: Stripe's id of it; None for one that a dry run would make.
        action: create, update or none.
        secret: its signing secret, which Stripe shows this once; None when it was there already.
        others: enabled endpoints of the same address, which have another version.
    """

    id: str | None
    action: str
    secret: str | None
    others: tuple[str, ...]


def put(client: stripe.StripeClient, url: str, *, dry_run: bool = False) -> Made:
    """Make the endpoint of an address, or bring it up to date.

    Args:
        client: Stripe.
        url: where `stripe_webhook` listens.
        dry_run: whether to change nothing.

    Raises:
        stripe.StripeError: Stripe refused, or did not answer.
    """
    endpoints = client.v1.webhook_endpoints
    enabled = [
        endpoint
        for endpoint in endpoints.list({"limit": 100}).auto_paging_iter()
        if endpoint.url == url and endpoint.status == "enabled"
    ]
    ours = next((endpoint for endpoint in enabled if endpoint.api_version == stripe.api_version), None)
    others = tuple(endpoint.id for endpoint in enabled if endpoint.api_version != stripe.api_version)
    if ours is None:
        if dry_run:
            return Made(None, "create", None, others)
        wanted: Any = {"url": url, "api_version": stripe.api_version, "enabled_events": sorted(RULES)}
        made = endpoints.create(wanted)  # typed with literals that our names are checked against in a test
        return Made(made.id, "create", made.secret, others)
    if "*" in ours.enabled_events or set(RULES) <= set(ours.enabled_events):
        return Made(ours.id, "none", None, others)
    if not dry_run:
        changes: Any = {"enabled_events": sorted({*ours.enabled_events, *RULES})}
        endpoints.update(ours.id, changes)
    return Made(ours.id, "update", None, others)


def main(arguments: list[str] | None = None) -> int:
    """Say what was done, and print the secret of an endpoint that was made; 1 when Stripe refused."""
    parser = argparse.ArgumentParser(prog="python -m billing.endpoint", description=__doc__)
    parser.add_argument(
        "url", help="where stripe_webhook listens, such as https://api.example.com/stripe_webhook"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    options = parser.parse_args(arguments)
    if get_settings().livemode and not options.url.startswith("https://"):
        parser.error("Stripe delivers live events to https addresses only")
    try:
        made = put(get_client(), options.url, dry_run=options.dry_run)
    except stripe.StripeError as error:
        explain(error)
        print(f"✗ Stripe refused: {type(error).__name__} {error.code or ''}", file=sys.stderr)
        return 1
    done = {
        "create": "would be made" if options.dry_run else "made",
        "update": "would hear more events" if options.dry_run else "hears all our events now",
        "none": "is as it should be",
    }
    print(
        f"{made.id or 'The endpoint'} {done[made.action]}: version {stripe.api_version}, {len(RULES)} events"
    )
    if made.secret is not None:
        print(f"STRIPE_WEBHOOK_SECRET={made.secret}")
    for other in made.others:
        print(f"! {other} has another version. Put both secrets into STRIPE_WEBHOOK_SECRET, then disable it.")
    return 0


if __name__ == "__main__":
    logs.configure()
    sys.exit(main())
