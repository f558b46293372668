"""What the twin has to know to start, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


class StripeKeyRefusedError(RuntimeError):
    """Raised when a Stripe key is set: the twin must never stand beside the real Stripe."""


def refuse_stripe_key(key: str | None) -> None:
    """Stop the start when a real Stripe key is configured.

    Args:
        key: The value of `STRIPE_SECRET_KEY`; empty and None mean "no key", that is mock mode.

    Raises:
        StripeKeyRefusedError: When any key is set; the message names the kind of key, never the key.
    """
    if key is None or not key.strip():
        return
    if key.strip().startswith(("sk_live_", "rk_live_")):
        raise StripeKeyRefusedError(
            "STRIPE_SECRET_KEY holds a live key: real money moves at Stripe. The twin refuses to start "
            "beside it. Unset STRIPE_SECRET_KEY to work with the twin."
        )
    raise StripeKeyRefusedError(
        "STRIPE_SECRET_KEY is set, so the workers talk to Stripe itself and the twin has nothing to "
        "stand in for. Unset STRIPE_SECRET_KEY to work with the twin."
    )


@dataclass(frozen=True)
class TwinSettings:
    """Settings of one twin.

    Attributes:
        database_url: Postgres connection URL; the role must own, or be able to create, `schema`.
        schema: Database schema that holds the twin's tables.
        public_url: Address at which browsers reach the twin, without a trailing slash.
        webhook_url: Where the default webhook endpoint listens; None for no default endpoint.
        webhook_secret: Signing secret of the default endpoint; None for no default endpoint.
        merchant_name: Shown on the twin's pages and receipts.
        run_deliveries: Whether this process also runs the delivery loop.
        retry_pauses_seconds: Pause before the second, third, ... attempt of a delivery; after the last one
            delivery has failed for good. Stripe's own pauses grow to hours; here a developer waits for them.
        delivery_timeout_seconds: How long an endpoint may take to answer.
        redirect_wait_seconds: How long the checkout page waits for the answer to `checkout.session.completed`
            before it redirects, as Stripe's hosted page does.
        delivery_threads: Deliveries in flight at once.
        pool_size: Most database connections used at once.
    """

    database_url: str
    schema: str = "stripe_twin"
    public_url: str = "http://127.0.0.1:12111"
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    merchant_name: str = "Tallybase"
    run_deliveries: bool = True
    retry_pauses_seconds: tuple[float, ...] = (1, 2, 4, 8, 15, 30, 60, 120, 300, 600, 1800, 3600)
    delivery_timeout_seconds: float = 20.0
    redirect_wait_seconds: float = 10.0
    delivery_threads: int = 4
    pool_size: int = 12

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> TwinSettings:
        """Read the settings.

        Args:
            environment: Variables to read; the process environment when left out. Used are `DATABASE_URL`,
                `STRIPE_SECRET_KEY` (must be empty), `STRIPE_TWIN_URL`, `STRIPE_TWIN_SCHEMA`,
                `STRIPE_TWIN_MERCHANT_NAME`, `WORKERS_URL` and `STRIPE_WEBHOOK_SECRET` (of a comma-separated
                list the first one signs).

        Returns:
            The settings.

        Raises:
            StripeKeyRefusedError: When `STRIPE_SECRET_KEY` is set.
            ValueError: When `DATABASE_URL` is missing.
        """
        values = os.environ if environment is None else environment
        refuse_stripe_key(values.get("STRIPE_SECRET_KEY"))
        database_url = values.get("DATABASE_URL", "").strip()
        if not database_url:
            raise ValueError("DATABASE_URL is not set: the twin keeps its state in Postgres")
        workers_url = values.get("WORKERS_URL", "").strip().rstrip("/")
        secrets = [
            part.strip() for part in values.get("STRIPE_WEBHOOK_SECRET", "").split(",") if part.strip()
        ]
        return cls(
            database_url=database_url,
            schema=values.get("STRIPE_TWIN_SCHEMA", "").strip() or cls.schema,
            public_url=(values.get("STRIPE_TWIN_URL", "").strip() or cls.public_url).rstrip("/"),
            webhook_url=f"{workers_url}/workers/v1/stripe_webhook" if workers_url else None,
            webhook_secret=secrets[0] if secrets else None,
            merchant_name=values.get("STRIPE_TWIN_MERCHANT_NAME", "").strip() or cls.merchant_name,
        )
