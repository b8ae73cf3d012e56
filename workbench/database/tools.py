"""PostgreSQL's own client programs: where they are and how old."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from workbench.database.embedded import client_tools

TOOLS = ("psql", "pg_dump", "pg_restore")


@dataclass(frozen=True)
class Tool:
    """A client program: its name, where it is, and its version such as ``18.4``."""

    name: str
    path: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, which has to be at least the server's."""
        return int(self.version.split(".")[0])


def find_tools() -> list[Tool]:
    """Find every client program, those of the embedded wheel first, then those on the PATH."""
    found: list[Tool] = []
    for name in TOOLS:
        for path in (client_tools() / name, Path(shutil.which(name) or name)):
            version = _version(path)
            if version and all((name, path) != (each.name, each.path) for each in found):
                found.append(Tool(name, path, version))
    return found


def _version(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\b(\d+(?:\.\d+)*)", said)
    return match.group(1) if match else None
