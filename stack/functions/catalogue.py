"""Which edge functions there are, and how config.toml says each is run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from stack.config import FunctionConfig, ProjectConfig

_NAME = re.compile(r"^[a-zA-Z][a-zA-Z0-9_-]*$")
_SERVES_ITSELF = re.compile(r"\bDeno\s*\.\s*serve\s*\(")
_ENTRY_NAMES = ("index.ts", "index.js", "index.tsx")


@dataclass(frozen=True)
class EdgeFunction:
    """One deployable function.

    Attributes:
        name: its name in the address.
        entrypoint: the file that Deno runs.
        deno_config: its deno.json, None without one.
        verify_jwt: whether a valid token is asked for before the function is called.
        sources: folders whose changes restart it.
    """

    name: str
    entrypoint: Path
    deno_config: Path | None
    verify_jwt: bool
    sources: tuple[Path, ...]

    def exports_handler(self) -> bool:
        """Tell whether it is of the `export default { fetch }` kind, which `deno serve` runs."""
        return not _SERVES_ITSELF.search(self.entrypoint.read_text())

    def version(self) -> int:
        """Return a number that changes when a source file does: the newest modification time, nanoseconds."""
        files = (file for folder in self.sources if folder.is_dir() for file in folder.rglob("*"))
        return max((file.stat().st_mtime_ns for file in files if file.is_file()), default=0)


def find(project: ProjectConfig, supabase_dir: Path, name: str) -> EdgeFunction | None:
    """Return the function of that name, None when there is none or config.toml disables it.

    Args:
        project: the parsed config.toml.
        supabase_dir: the folder that holds `functions/`.
        name: a name as it came in the address.
    """
    if not _NAME.match(name):
        return None
    config = project.functions.get(name, FunctionConfig())
    folder = supabase_dir / "functions" / name
    candidates = [folder / entry for entry in _ENTRY_NAMES]
    if config.entrypoint:
        candidates = [(supabase_dir / config.entrypoint).resolve()]
    entrypoint = next((file for file in candidates if file.is_file()), None)
    if entrypoint is None or not config.enabled or not project.edge_runtime.enabled:
        return None
    chosen = (supabase_dir / config.import_map).resolve() if config.import_map else folder / "deno.json"
    return EdgeFunction(
        name=name,
        entrypoint=entrypoint,
        deno_config=chosen if chosen.is_file() else None,
        verify_jwt=config.verify_jwt,
        sources=(entrypoint.parent, supabase_dir / "functions" / "_shared"),
    )
