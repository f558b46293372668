"""Writes the Caddyfile of an instance from `Caddyfile.j2` and its settings."""

from __future__ import annotations

from pathlib import Path

import jinja2

from stack.files import write_private
from stack.frontend import page_dir
from stack.settings import StackSettings


def write_config(settings: StackSettings) -> Path:
    """Write the Caddyfile into the run folder (mode 0600: it holds the API keys and role tokens).

    Returns:
        The file's path.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)
    text = environment.get_template("Caddyfile.j2").render(
        ports=settings.ports,
        keys=settings.keys,
        anon_token=settings.keys.role_token("anon"),
        service_token=settings.keys.role_token("service_role"),
        run_dir=settings.run_dir,
        frontend_dir=page_dir(settings),
        page_policy=page_policy(settings),
    )
    return write_private(settings.run_dir / "Caddyfile", text)


def page_policy(settings: StackSettings) -> str:
    """Return the Content-Security-Policy of the page: what docs/how-to/page-headers.md shows, filled in.

    Stripe's own hosts are those that Stripe.js needs; from the twin's come its stand-in for Stripe.js and
    its frames.
    """
    socket = settings.gateway_url.replace("http", "ws", 1)
    directives = {
        "default-src": "'none'",
        "script-src": f"'self' https://js.stripe.com {settings.stripe_twin_url}",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: https://*.stripe.com",
        "font-src": "'self'",
        "connect-src": f"'self' {settings.gateway_url} {socket} {settings.workers_url} https://api.stripe.com"
        f" {settings.stripe_twin_url}",
        "frame-src": f"https://js.stripe.com https://hooks.stripe.com {settings.stripe_twin_url}",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())
