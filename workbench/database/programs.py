"""PostgreSQL's own client programs: found, run, and their messages understood.

Every call of psql, pg_dump and pg_restore goes through a `Program`. What a program reports is turned into a SQLSTATE
by one table, and from there on told like an error of the driver's: see `workbench.database.connection.Database.explained`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo

from workbench.database.address import NOT_FOLLOWED, redact
from workbench.database.connection import Database
from workbench.database.embedded import client_tools
from workbench.errors import DocumentError, Refused, WorkbenchError

PROGRAMS = ("psql", "pg_dump", "pg_restore")
AGAIN = "Use another snapshot, or copy this one anew from where it was made."

_COMPRESSIONS = {"zstd": "zstd", "gzip": "6"}
"""What pg_dump compresses with: the first that its build knows. Before PostgreSQL 16 there is gzip alone, by a number."""

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

_DUMPING = re.compile(r'dumping contents of table "(.*)"')


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

    def unconnected(self, to: Mapping[str, str], *more: str | Path) -> str:
        """Return why it cannot connect, with SSL for instance where it was built without; empty when it can."""
        done = self.run(*_CONNECTING[self.name], *more, to=to)
        said = done.stderr.decode(errors="replace")
        if _CONNECTED.search(said) or (done.returncode == 0 and "invalid command" not in said):
            return ""
        return redact(failure(done.stderr), to.get("password", "")).rstrip(".")

    def _called(
        self, arguments: tuple[str | Path, ...], to: Mapping[str, str] | None
    ) -> tuple[list[str], dict[str, str]]:
        kept = {name: value for name, value in os.environ.items() if name not in NOT_FOLLOWED}
        variables = kept | {"LC_ALL": "C", "PG_COLOR": "never"}  # its messages are read
        command = [str(self.path)]
        if to is not None:
            shown = dict(to)
            if "password" in shown:
                variables["PGPASSWORD"] = shown.pop("password")
            command += ["--no-password", f"--dbname={make_conninfo('', **shown)}"]
        return [*command, *map(str, arguments)], variables


def programs(name: str, configured: Path | None) -> Iterator[Program]:
    """Find the programs of a name: in the configured folder, the embedded server's, on the PATH."""
    paths = [folder / name for folder in (configured, client_tools()) if folder]
    for path in dict.fromkeys([*paths, Path(shutil.which(name) or name)]):
        if path.is_file() and os.access(path, os.X_OK) and (version := _version(path)):
            yield Program(name, path, version)


@cache
def _version(path: Path) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([path, "--version"], capture_output=True, timeout=10, check=True).stdout
        if match := re.search(rb"\b(\d+(?:\.\d+)*)", said):
            return match[1].decode()
    return ""


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
    refused = []
    for program in programs(name, configured):
        why = f"it is of PostgreSQL {program.version}"
        if int(program.version.partition(".")[0]) >= major:
            why = "" if to is None else program.unconnected(to)
        if not why:
            return program
        refused.append(f"{program.path}: {why}")
    raise Refused(
        f"No {name} here will do for the server's PostgreSQL {server}: {'; '.join(refused) or 'there is none at all'}.",
        f"Install the client programs of PostgreSQL {major}, and name their folder in the settings: client_tools.",
    )


def dump(
    program: Program,
    database: Database,
    to: Mapping[str, str],
    path: Path,
    *options: str,
    lock: int,
    advance: Callable[[str], None],
) -> str:
    """Dump a database into an archive of the custom format, and return how that is compressed.

    Parameters
    ----------
    to : mapping of str to str
        libpq's parameters of the database.
    *options : str
        Of pg_dump.
    lock : int
        The descriptor of a lock on the file, which pg_dump holds too: it may outlive us.
    advance : callable
        Told of every table.
    """
    wait = f"--lock-wait-timeout={max(1, int(database.lock_timeout * 1000))}"
    errors: list[str] = []
    for compression, spelled in _COMPRESSIONS.items():
        errors.clear()
        command = "--format=custom", "--verbose", f"--file={path}", wait, f"--compress={spelled}", *options
        # Of people's data nobody else reads the file.
        with program.started(*command, to=to, pass_fds=(lock,), umask=0o077) as process:
            assert process.stderr is not None
            for line in process.stderr:
                text = line.decode(errors="replace").rstrip()
                if match := _DUMPING.search(text):
                    advance(f"dumping {match.group(1)}")
                elif re.search("error:|FATAL:|ERROR:", text):
                    errors.append(database.redacted(text))
        if process.returncode == 0:
            return compression
        if not any("compress" in error for error in errors):  # else this build does not know it
            break
    said = (errors or [f"it ended with {process.returncode}"])[0]
    if _MEANINGS["55P03"].search(said):
        raise database.explained(said, "55P03")
    hint = f"Nothing was kept of it. `backups` may name another folder than {path.parent}."
    raise WorkbenchError(f"pg_dump failed: {said}.", hint)


def explain(archive: Path, said: str, database: Database) -> WorkbenchError:
    """Make the error of what a program said of an archive: the server's fault, or else the archive's."""
    reason = failure(said.encode())
    for state, pattern in _MEANINGS.items():
        if (match := pattern.search(said)) is None:
            continue
        if state == _LACKING:
            return Refused(
                f"The server of {database.environment} lacks what {archive.name} needs: {match.group()}.",
                "Provide it there, as the server that the snapshot was taken from has it.",
            )
        return database.explained(reason, state)
    return DocumentError(
        f"The snapshot {archive} cannot be restored, it is cut short or damaged: {database.redacted(reason)}.",
        AGAIN,
    )


def failure(said: bytes) -> str:
    """Return why a program failed, from what it wrote to stderr: of an error of the server's its words alone."""
    text = said.decode(errors="replace").strip()
    first = re.search(r"^.*(?:error|warning|ERROR|FATAL): +(.*)", text, re.MULTILINE)
    return first[1] if first else (text.splitlines() or ["it did not say why"])[0]
