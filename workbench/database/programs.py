"""Run psql, pg_dump and pg_restore, and translate their messages.

One table maps messages to SQLSTATEs, which `workbench.database.connection.Database.translate` turns into errors.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo

from workbench.database.address import IGNORED_VARIABLES, redact
from workbench.database.connection import Database
from workbench.database.embedded import client_tools
from workbench.errors import DocumentError, Refused, WorkbenchError

PROGRAMS = ("psql", "pg_dump", "pg_restore")
AGAIN = "Use another snapshot, or copy this one again from where it was made."

# Arguments that make a program do nothing but connect.
_CONNECTING = {
    "pg_dump": ("--schema-only", "--table=nothing of this name"),
    "psql": ("--no-psqlrc", "--command=\\restrict x"),  # our scripts begin with it
    "pg_restore": ("--use-list=/dev/null",),
}
_CONNECTED = re.compile("no matching tables|could not execute query")

_LACKING = "lacking"

# The SQLSTATE of a message, or _LACKING when the server lacks something that the archive needs.
_MEANINGS = {
    "53100": re.compile("No space left on device|could not (?:extend|write to) file|disk full"),
    "08006": re.compile(
        "server closed the connection|terminating connection|no connection to the server|connection to server"
        "|the database system is|SSL connection has been closed|cannot drop the currently open database|SSL support"
    ),
    "57014": re.compile("canceling statement due to .*"),
    "55P03": re.compile("lock timeout|could not obtain lock"),
    _LACKING: re.compile(
        r'role "[^"]+" does not exist|extension "[^"]+" is not available|could not open extension control file.*'
        r"|permission denied.*|must be (?:superuser|owner|able).*|unrecognized configuration parameter.*"
        r'|tablespace "[^"]+" does not exist|this build does not support compression.*|out of memory'
    ),
}


@dataclass(frozen=True)
class Program:
    """A client program: its name, its path, and its version such as ``18.4``."""

    name: str
    path: Path
    version: str

    def run(
        self, *arguments: str | Path, to: Mapping[str, str] | None = None, given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it and wait.

        Parameters
        ----------
        to : mapping of str to str, optional
            libpq's parameters of the database to connect to.
        given : bytes, optional
            Standard input.
        """
        command, variables = self._command(arguments, to)
        return subprocess.run(command, input=given, capture_output=True, env=variables, check=False)

    @contextmanager
    def started(
        self, *arguments: str | Path, to: Mapping[str, str] | None = None, given: bytes = b"", **options: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run it during the block, and kill it when the block fails. Keyword arguments go to `subprocess.Popen`."""
        command, variables = self._command(arguments, to)
        null, pipe = subprocess.DEVNULL, subprocess.PIPE
        defaults: dict[str, Any] = {"stdin": pipe if given else null, "stdout": null, "stderr": pipe}
        process: subprocess.Popen[bytes]
        with subprocess.Popen(command, env=variables, **(defaults | options)) as process:
            try:
                if given and process.stdin:
                    with suppress(BrokenPipeError), process.stdin:
                        process.stdin.write(given)
                yield process
            except BaseException:
                process.kill()
                raise

    def connection_failure(self, to: Mapping[str, str] | None, archive: Path | None = None) -> str:
        """Return why it cannot connect, for example without SSL support; empty when it can, or `to` is None."""
        if to is None:
            return ""
        done = self.run(*_CONNECTING[self.name], *([archive] if archive else []), to=to)
        messages = done.stderr.decode(errors="replace")
        if _CONNECTED.search(messages) or (done.returncode == 0 and "invalid command" not in messages):
            return ""
        return redact(failure(done.stderr), to.get("password", "")).rstrip(".")

    def _command(
        self, arguments: tuple[str | Path, ...], to: Mapping[str, str] | None
    ) -> tuple[list[str], dict[str, str]]:
        inherited = {name: value for name, value in os.environ.items() if name not in IGNORED_VARIABLES}
        variables = inherited | {"LC_ALL": "C", "PG_COLOR": "never"}  # for parsing messages
        command = [str(self.path)]
        if to is not None:
            shown = dict(to)
            if "password" in shown:
                variables["PGPASSWORD"] = shown.pop("password")
            command += ["--no-password", f"--dbname={make_conninfo('', **shown)}"]
        return [*command, *map(str, arguments)], variables


@cache
def _version(path: Path) -> str:
    output = subprocess.run([path, "--version"], capture_output=True, timeout=10, check=True).stdout
    version = re.search(rb"\b(\d+(?:\.\d+)*)", output)
    return version[1].decode() if version else "0"


def program_for(
    name: str, server: str, configured: Path | None = None, to: Mapping[str, str] | None = None
) -> Program:
    """Return the first program that is no older than the server and can connect to it.

    Parameters
    ----------
    server : str
        The server's version, such as ``18.4``.
    configured : Path, optional
        The folder that the settings name.
    to : mapping of str to str, optional
        libpq's parameters of a database; connecting is tried.

    Raises
    ------
    Refused
        When there is none.
    """
    major = int(re.split(r"\D", server, maxsplit=1)[0])

    def too_old(program: Program) -> str:
        old = int(program.version.partition(".")[0]) < major
        return f"it is of PostgreSQL {program.version}" if old else ""

    task = f"the server's PostgreSQL {server}"
    return choose(name, task, configured, too_old, partial(Program.connection_failure, to=to))


def choose(name: str, task: str, configured: Path | None, *checks: Callable[[Program], str]) -> Program:
    """Return the first program that passes all checks; a check returns the reason against a program, or "".

    Programs are searched in the configured folder, the embedded server's and on the PATH.
    """
    on_path = shutil.which(name)
    folders = configured, client_tools(), Path(on_path).parent if on_path else None
    refused = []
    for path in dict.fromkeys(folder / name for folder in folders if folder):
        try:
            program = Program(name, path, _version(path))
        except (OSError, subprocess.SubprocessError):
            continue
        why = next(filter(None, (check(program) for check in checks)), "")
        if not why:
            return program
        refused.append(f"{path}: {why}")
    raise Refused(
        f"No suitable {name} for {task}: {'; '.join(refused) or 'none is installed'}.",
        "Install PostgreSQL's client programs of that version or newer, and set client_tools to their folder.",
    )


def explain(archive: Path, messages: str, database: Database) -> WorkbenchError:
    """Return the error for what a program reported about an archive: the server's fault, or else the archive's."""
    matches = ((state, pattern.search(messages)) for state, pattern in _MEANINGS.items())
    state, words = next(((state, words[0]) for state, words in matches if words), ("", ""))
    if state == _LACKING:
        return Refused(
            f"The server of {database.environment} lacks what {archive.name} needs: {words}.",
            "Add it there, as on the server that the snapshot was taken from.",
        )
    reason = failure(messages.encode())
    if state:
        return database.translate(reason, state)
    return damaged(archive, database.redacted(reason))


def damaged(archive: Path, why: str) -> DocumentError:
    """Return the error for an archive that cannot be restored."""
    return DocumentError(
        f"The snapshot {archive} cannot be restored; it is cut short or damaged: {why}.", AGAIN
    )


def failure(messages: bytes) -> str:
    """Return the reason for a failure from a program's stderr."""
    text = messages.decode(errors="replace").strip()
    first = re.search(r"^.*(?:error|warning|ERROR|FATAL): +(.*)", text, re.MULTILINE)
    return first[1] if first else (text.splitlines() or ["no reason given"])[0]
