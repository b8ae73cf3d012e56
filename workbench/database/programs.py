"""PostgreSQL's own client programs: found, run, and their messages understood.

Every call of psql, pg_dump and pg_restore goes through a `Program`. What a program reports is turned into a SQLSTATE
by one table, and from there on told like an error of the driver's: see `workbench.database.connection.Database.translate`.
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
AGAIN = "Use another snapshot, or copy this one anew from where it was made."

# What a program does that only connects.
_CONNECTING = {
    "pg_dump": ("--schema-only", "--table=nothing of this name"),
    "psql": ("--no-psqlrc", "--command=\\restrict x"),  # which the workbench's own scripts begin with
    "pg_restore": ("--use-list=/dev/null",),
}
_CONNECTED = re.compile("no matching tables|could not execute query")

_LACKING = "lacking"

# What a program's message means, as the server would say it: no room, the connection lost, something lacking there.
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
    """A client program: its name, where it is, and its version such as ``18.4``."""

    name: str
    path: Path
    version: str

    def run(
        self, *arguments: str | Path, to: Mapping[str, str] | None = None, given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end.

        Parameters
        ----------
        to : mapping of str to str, optional
            libpq's parameters of the database that it works on.
        given : bytes, optional
            What it reads from its standard input.
        """
        command, variables = self._called(arguments, to)
        return subprocess.run(command, input=given, capture_output=True, env=variables, check=False)

    @contextmanager
    def started(
        self, *arguments: str | Path, to: Mapping[str, str] | None = None, given: bytes = b"", **how: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run it for as long as the block lasts; a block that fails ends it. `how` goes to `subprocess.Popen`."""
        command, variables = self._called(arguments, to)
        nothing, pipe = subprocess.DEVNULL, subprocess.PIPE
        usual: dict[str, Any] = {"stdin": pipe if given else nothing, "stdout": nothing, "stderr": pipe}
        process: subprocess.Popen[bytes]
        with subprocess.Popen(command, env=variables, **(usual | how)) as process:
            try:
                if given and process.stdin:
                    with suppress(BrokenPipeError), process.stdin:
                        process.stdin.write(given)
                yield process
            except BaseException:
                process.kill()
                raise

    def unconnected(self, to: Mapping[str, str] | None, archive: Path | None = None) -> str:
        """Return why it cannot connect, with SSL for instance where it was built without; empty when it can, or need not."""
        if to is None:
            return ""
        done = self.run(*_CONNECTING[self.name], *([archive] if archive else []), to=to)
        messages = done.stderr.decode(errors="replace")
        if _CONNECTED.search(messages) or (done.returncode == 0 and "invalid command" not in messages):
            return ""
        return redact(failure(done.stderr), to.get("password", "")).rstrip(".")

    def _called(
        self, arguments: tuple[str | Path, ...], to: Mapping[str, str] | None
    ) -> tuple[list[str], dict[str, str]]:
        kept = {name: value for name, value in os.environ.items() if name not in IGNORED_VARIABLES}
        variables = kept | {"LC_ALL": "C", "PG_COLOR": "never"}  # its messages are read
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
    """Return the first program of a name that is no older than the server, and connects to it.

    Parameters
    ----------
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

    def too_old(program: Program) -> str:
        old = int(program.version.partition(".")[0]) < major
        return f"it is of PostgreSQL {program.version}" if old else ""

    task = f"the server's PostgreSQL {server}"
    return choose(name, task, configured, too_old, partial(Program.unconnected, to=to))


def choose(name: str, task: str, configured: Path | None, *obstacles: Callable[[Program], str]) -> Program:
    """Return the first program of a name that none of the obstacles keeps from a task: each says why, or nothing.

    Looked for in the configured folder, the embedded server's, and on the PATH.
    """
    on_path = shutil.which(name)
    folders = configured, client_tools(), Path(on_path).parent if on_path else None
    refused = []
    for path in dict.fromkeys(folder / name for folder in folders if folder):
        try:
            program = Program(name, path, _version(path))
        except (OSError, subprocess.SubprocessError):
            continue
        why = next(filter(None, (obstacle(program) for obstacle in obstacles)), "")
        if not why:
            return program
        refused.append(f"{path}: {why}")
    raise Refused(
        f"No {name} here will do for {task}: {'; '.join(refused) or 'there is none at all'}.",
        "Install PostgreSQL's client programs, no older than that, and name their folder in the settings: client_tools.",
    )


def explain(archive: Path, messages: str, database: Database) -> WorkbenchError:
    """Make the error of what a program reported of an archive: the server's fault, or else the archive's."""
    matches = ((state, pattern.search(messages)) for state, pattern in _MEANINGS.items())
    state, words = next(((state, words[0]) for state, words in matches if words), ("", ""))
    if state == _LACKING:
        return Refused(
            f"The server of {database.environment} lacks what {archive.name} needs: {words}.",
            "Provide it there, as the server that the snapshot was taken from has it.",
        )
    reason = failure(messages.encode())
    if state:
        return database.translate(reason, state)
    return damaged(archive, database.redacted(reason))


def damaged(archive: Path, why: str) -> DocumentError:
    """Make the error of an archive that cannot be restored."""
    return DocumentError(
        f"The snapshot {archive} cannot be restored, it is cut short or damaged: {why}.", AGAIN
    )


def failure(messages: bytes) -> str:
    """Return why a program failed, from what it wrote to stderr: of an error of the server's its words alone."""
    text = messages.decode(errors="replace").strip()
    first = re.search(r"^.*(?:error|warning|ERROR|FATAL): +(.*)", text, re.MULTILINE)
    return first[1] if first else (text.splitlines() or ["it did not say why"])[0]
