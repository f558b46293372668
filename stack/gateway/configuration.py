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
    )
    return write_private(settings.run_dir / "Caddyfile", text)
