"""The environment variables that the stack hands out: to people (`make env`) and to the workers."""

from __future__ import annotations

import os

from stack.settings import StackSettings

#: Taken from the caller's environment or `.env`; unset means mock mode, with the Stripe twin.
STRIPE_VARIABLES = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_PUBLISHABLE_KEY")


def public_environment(settings: StackSettings) -> dict[str, str]:
    """Return what `make env` prints: addresses and keys of the instance."""
    return {
        "SUPABASE_URL": settings.gateway_url,
        "SUPABASE_PUBLISHABLE_KEY": settings.keys.publishable_key,
        "SUPABASE_SECRET_KEY": settings.keys.secret_key,
        "DATABASE_URL": settings.database_url(),
        "WORKERS_URL": settings.workers_url,
        "FRONTEND_URL": settings.frontend_url,
        "STRIPE_TWIN_URL": settings.stripe_twin_url,
        "STRIPE_WEBHOOK_SECRET": os.environ.get("STRIPE_WEBHOOK_SECRET") or settings.keys.webhook_secret,
        "MAILBOX_URL": settings.mailbox_url,
        "SMTP_URL": f"smtp://127.0.0.1:{settings.ports.smtp}",
        "TALLYBASE_SIGNING_KEY_FILE": str(settings.signing_key_file),
    }


def worker_environment(settings: StackSettings) -> dict[str, str]:
    """Return what the workers and the Stripe twin are started with; in the cloud the platform sets it."""
    stripe = {name: os.environ.get(name, "") for name in STRIPE_VARIABLES}
    return public_environment(settings) | {
        "STRIPE_SECRET_KEY": stripe["STRIPE_SECRET_KEY"],
        "STRIPE_PUBLISHABLE_KEY": stripe["STRIPE_PUBLISHABLE_KEY"],
        "PYTHONUNBUFFERED": "1",
    }


def load_dotenv(settings_file: str) -> None:
    """Add the variables of a `.env` file to the environment; what is already set there wins.

    Args:
        settings_file: path of the file; nothing happens when it does not exist.
    """
    from dotenv import dotenv_values

    for name, value in dotenv_values(settings_file).items():
        if value is not None:
            os.environ.setdefault(name, value)
