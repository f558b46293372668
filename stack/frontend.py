"""Builds the front end when its sources changed and writes the `config.json` that names its servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from stack.files import hash_files
from stack.install import VENV, InstallError, install_npm_project, npm_environment
from stack.settings import INSTALL_DIR, StackSettings

_SOURCES = (
    "src/**/*",
    "public/**/*",
    "index.html",
    "package-lock.json",
    "*.ts",
    "*.mts",
    "*.js",
    "tsconfig*.json",
)
#: The twin takes any publishable key of test mode.
_TWIN_KEY = "pk_test_twin"
#: Builds are shared by all instances of a clone; each is named after a hash of its sources.
BUILDS = INSTALL_DIR / "builds"
_BUILDS_KEPT = 4


class FrontendError(Exception):
    """The build failed; the text holds its last lines."""


def prepare(settings: StackSettings) -> str:
    """Write `config.json`, and put the current build where the gateway serves it; as `build` otherwise."""
    write_config(settings)
    return build(settings)


def build(settings: StackSettings) -> str:
    """Put the current build where the gateway serves it, and build it first where sources have changed.

    Args:
        settings: the instance.

    Returns:
        What was done: `built`, `up to date`, or why nothing was.

    Raises:
        FrontendError: the build failed; what was served before still is.
    """
    source = settings.repository / "frontend"
    if os.environ.get("TALLYBASE_FRONTEND") == "0":
        return "left out, as TALLYBASE_FRONTEND=0 asks"
    if not (source / "package.json").exists():
        return "no front end in this tree"
    current = BUILDS / _fingerprint(source)
    fresh = not (current / "index.html").exists()
    if fresh:
        _build(source, current)
    _point(page_dir(settings), current)
    _remove_old(current)
    return "built" if fresh else "up to date"


def page_dir(settings: StackSettings) -> Path:
    """Return where the gateway finds the page: a link to the current build."""
    return settings.run_dir / "page"


def write_config(settings: StackSettings) -> Path:
    """Write what the page reads at its start; it holds nothing that is not public.

    Returns:
        The file's path.
    """
    folder = settings.run_dir / "frontend"
    folder.mkdir(parents=True, exist_ok=True)
    live = bool(os.environ.get("STRIPE_SECRET_KEY"))
    config = {
        "supabaseUrl": settings.gateway_url,
        "supabasePublishableKey": settings.keys.publishable_key,
        "workersUrl": settings.workers_url,
        "stripePublishableKey": os.environ.get("STRIPE_PUBLISHABLE_KEY", "") if live else _TWIN_KEY,
        "stripeScriptUrl": "" if live else f"{settings.stripe_twin_url}/v3/stripe.js",
        "mode": "stripe" if live else "mock",
    }
    file = folder / "config.json"
    file.write_text(json.dumps(config, indent=2))
    return file


def _fingerprint(source: Path) -> str:
    files = {file for pattern in _SOURCES for file in source.glob(pattern) if file.is_file()}
    return hash_files(files, source)[:16]


def _build(source: Path, build: Path) -> None:
    try:
        install_npm_project("frontend", report=lambda _: None)
    except InstallError as error:
        raise FrontendError(f"its packages could not be installed: {error}") from error
    vite = source / "node_modules" / "vite" / "bin" / "vite.js"
    unfinished = build.with_name(f"{build.name}.{os.getpid()}")
    build.parent.mkdir(exist_ok=True)
    command = [str(VENV / "bin" / "node"), str(vite), "build", "--outDir", str(unfinished), "--emptyOutDir"]
    done = subprocess.run(
        command, cwd=source, env=npm_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise FrontendError("\n".join(["the front end's build failed:", *lines[:15]]))
    try:
        unfinished.rename(build)
    except OSError:  # another instance has just built the same
        shutil.rmtree(unfinished)


def _point(link: Path, build: Path) -> None:
    temporary = link.with_name("page.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(build)
    temporary.replace(link)


def _remove_old(current: Path) -> None:
    others = [folder for folder in BUILDS.iterdir() if folder.is_dir() and folder != current]
    for folder in sorted(others, key=lambda f: f.stat().st_mtime, reverse=True)[_BUILDS_KEPT - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)
