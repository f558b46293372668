"""Builds the front end when its sources changed and writes the `config.json` that names its servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from stack.files import hash_files
from stack.install import VENV, InstallError, install_npm_project, npm_environment
from stack.settings import StackSettings

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
_BUILDS_KEPT = 3


class FrontendError(Exception):
    """The build failed; the text holds its last lines."""


def prepare(settings: StackSettings) -> str:
    """Write `config.json`, and put the current build where the gateway serves it.

    Args:
        settings: the instance.

    Returns:
        What was done, for the progress line.

    Raises:
        FrontendError: the build failed.
    """
    source = settings.repository / "frontend"
    write_config(settings)
    if not (source / "package.json").exists():
        return "no front end in this tree"
    builds = settings.state_dir / "frontend"
    build = builds / _fingerprint(source)
    fresh = not (build / "index.html").exists()
    if fresh:
        _build(source, build)
    _point(builds / "current", build)
    _remove_old(builds, build)
    return "built" if fresh else "up to date"


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
        "stripePublishableKey": os.environ.get("STRIPE_PUBLISHABLE_KEY", ""),
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
    unfinished = build.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [str(VENV / "bin" / "node"), str(vite), "build", "--outDir", str(unfinished), "--emptyOutDir"]
    done = subprocess.run(
        command, cwd=source, env=npm_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise FrontendError("\n".join(["the front end's build failed:", *lines[:15]]))
    unfinished.rename(build)


def _point(link: Path, build: Path) -> None:
    temporary = link.with_name("current.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(build.name)
    temporary.replace(link)


def _remove_old(builds: Path, current: Path) -> None:
    others = [
        folder
        for folder in builds.iterdir()
        if folder.is_dir() and not folder.is_symlink() and folder != current
    ]
    for folder in sorted(others, key=lambda f: f.stat().st_mtime, reverse=True)[_BUILDS_KEPT - 1 :]:
        shutil.rmtree(folder)
