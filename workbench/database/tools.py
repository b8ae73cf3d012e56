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

from workbench.database.address import NOT_FOLLOWED, redact
from workbench.database.embedded import client_tools
from workbench.errors import Refused

TOOLS = ("psql", "pg_dump", "pg_restore")

_QUICK = ("zstd:1", "lz4", "none", "0")
"""Compressions by how soon a dump is done; gzip takes longer than to write what it would save. Until 15 none is 0."""

# What a program does that only connects.
_CONNECTING = {
    "pg_dump": ("--schema-only", "--table=nothing of this name"),
    "psql": ("--no-psqlrc", "--command=\\restrict x"),  # which the workbench's own scripts begin with
    "pg_restore": ("--use-list=/dev/null",),
}


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


def tool_for(
    name: str, server: str, configured: Path | None = None, to: Mapping[str, str] | None = None
) -> Tool:
    """Return the first program of a name that is no older than the server, and connects to it.

    Parameters
    ----------
    name : str
        Such as ``pg_dump``.
    server : str
        The server's version, such as ``18.4``.
    configured : Path, optional
        The folder that the settings name.
    to : mapping of str to str, optional
        libpq's parameters of a database that it is to connect to; that is tried.

    Raises
    ------
    Refused
        When each that there is is older, or cannot connect; it names them.
    """
    major = int(re.split(r"\D", server, maxsplit=1)[0])
    refused, able = [], "is new enough for"
    for each in _tools(name, configured):
        if each.major < major:
            refused.append(f"{each.path} is {name} {each.version}")
        elif to is not None and (reason := unconnected(each, to)):
            refused.append(f"{each.path} ({each.version}) cannot connect: {reason}")
            able = "can connect to"
        else:
            return each
    raise Refused(
        f"No {name} here {able} the server's PostgreSQL {server}: {'; '.join(refused) or 'there is none at all'}.",
        f"Install the client programs of PostgreSQL {major}, and name their folder in the settings: client_tools.",
    )


def unconnected(tool: Tool, to: Mapping[str, str], *more: str) -> str:
    """Return why a program cannot connect, with SSL for instance where it was built without; empty when it can.

    Parameters
    ----------
    to : mapping of str to str
        libpq's parameters.
    *more : str
        The archive, for pg_restore, which asks for one first.
    """
    dbname, secret = connected(to)
    command = [str(tool.path), *_CONNECTING[tool.name], "--no-password", dbname, *more]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, env=plain_english(**secret), check=False
    )
    said = done.stderr.decode(errors="replace").strip()
    if (
        "no matching tables" in said
        or "could not execute query" in said
        or (done.returncode == 0 and "invalid command" not in said)
    ):
        return ""
    lines = (
        [each for each in said.splitlines() if "error:" in each] or said.splitlines() or ["no reason given"]
    )
    return redact(lines[0].partition("error: ")[2] or lines[0], secret.get("PGPASSWORD", "")).rstrip(".")


def quickest_compression(tool: Tool) -> str:
    """Return what makes pg_dump's ``--compress`` quickest: zstd where it has that, then lz4, else none at all."""
    return next(each for each in _QUICK if each == "0" or can_compress(tool, each))


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


def paths_of(name: str, configured: Path | None) -> Iterator[Path]:
    """Find the programs of a name: those of the configured folder first, of the embedded wheel, on the PATH."""
    folders = [each for each in (configured, client_tools()) if each]
    paths = dict.fromkeys((*(each / name for each in folders), Path(shutil.which(name) or name)))
    return (each for each in paths if each.is_file() and os.access(each, os.X_OK))


def _tools(name: str, configured: Path | None) -> Iterator[Tool]:
    for path in paths_of(name, configured):
        if version := _version(path):
            yield Tool(name, path, version)


def _version(path: Path) -> str | None:
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\b(\d+(?:\.\d+)*)", said)
    return match.group(1) if match else None
