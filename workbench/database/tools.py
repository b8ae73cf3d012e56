"""PostgreSQL's own client programs: where they are, how old, and how they are called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from workbench.database.address import NOT_FOLLOWED
from workbench.database.embedded import client_tools
from workbench.errors import Refused

TOOLS = ("psql", "pg_dump", "pg_restore")

_QUICK = ("zstd:1", "lz4", "none")
"""Compressions by how soon a dump is done; gzip takes longer than to write what it would save."""


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


def find_tools(configured: Path | None = None) -> list[Tool]:
    """Find every client program: those of the configured folder first, of the embedded wheel, on the PATH."""
    return [each for name in TOOLS for each in _tools(name, configured)]


def tool_for(name: str, server: str, configured: Path | None = None) -> Tool:
    """Return the first program of a name that is no older than the server.

    Parameters
    ----------
    name : str
        Such as ``pg_dump``.
    server : str
        The server's version, such as ``18.4``.
    configured : Path, optional
        The folder that the settings name.

    Raises
    ------
    Refused
        When each that there is is older; it names them.
    """
    major = int(re.split(r"\D", server, maxsplit=1)[0])
    found = []
    for each in _tools(name, configured):
        if each.major >= major:
            return each
        found.append(each)
    old = "; ".join(f"{each.path} is {name} {each.version}" for each in found)
    raise Refused(
        f"No {name} here is new enough for the server's PostgreSQL {server}: {old or 'there is none at all'}.",
        f"Install the client programs of PostgreSQL {major}, and name their folder in the settings: client_tools.",
    )


def quickest_compression(tool: Tool) -> str:
    """Return what makes pg_dump's ``--compress`` quickest: zstd where it has that, then lz4, else none."""
    return next(each for each in _QUICK if each == "none" or can_compress(tool, each))


def can_compress(tool: Tool, method: str) -> bool:
    """Whether this pg_dump knows a ``--compress`` such as ``zstd:1``; asked of itself, without a server."""
    # Before it looks for a server it refuses what it cannot do; where there is none it says so then.
    nowhere = "host=/nonexistent dbname=nowhere"
    command = [str(tool.path), "--format=custom", f"--compress={method}", f"--dbname={nowhere}"]
    done = subprocess.run(command, capture_output=True, text=True, env=plain_english(), check=False)
    return "connection to server" in done.stderr


def connected(parameters: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return how a program is told where to connect: its ``--dbname``, and variables for what is secret."""
    shown = dict(parameters)
    secret = {"PGPASSWORD": shown.pop("password")} if "password" in shown else {}
    return f"--dbname={make_conninfo('', **shown)}", secret


def plain_english(**more: str) -> dict[str, str]:
    """Return the environment in which the programs' messages are plain English."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_FOLLOWED}
    return kept | {"LC_ALL": "C", "PG_COLOR": "never"} | more


def _tools(name: str, configured: Path | None) -> Iterator[Tool]:
    folders = [each for each in (configured, client_tools()) if each]
    for path in dict.fromkeys((*(each / name for each in folders), Path(shutil.which(name) or name))):
        if version := _version(path):
            yield Tool(name, path, version)


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
