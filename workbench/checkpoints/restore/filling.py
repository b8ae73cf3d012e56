"""Fill a new, empty database from a dump, with several jobs at once."""

from __future__ import annotations

import re
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from psycopg.conninfo import make_conninfo

from workbench.checkpoints.archive import AGAIN, GREETING, failure, pg_restore, reader
from workbench.checkpoints.restore.broken_keys import broken_by, listed, make_unchecked
from workbench.checkpoints.restore.cluster import Cluster
from workbench.database.tools import plain_english
from workbench.errors import DatabaseUnreachable, Refused, SnapshotError, WorkbenchError

Advance = Callable[[str, int, int], None]
"""Told what is under way, how many parts of it are done, and how many there are."""

_FAILED = re.compile(r"^pg_restore: (?:\[[^]]*\] )?error: ")
_MADE = re.compile(r"^pg_restore: (?:finished item|creating) (.*)")

# What pg_restore says when it is not the archive's fault.
_NO_ROOM = ("No space left on device", "could not extend file", "disk full")
_LOST = (
    "server closed the connection",
    "terminating connection",
    "no connection to the server",
    "connection to server",
    "the database system is",
    "SSL connection has been closed",
    "cannot drop the currently open database",
)
_MISSING = re.compile(
    r'(role "[^"]+" does not exist|extension "[^"]+" is not available|could not open extension control file.*'
    r"|permission denied.*|must be (?:superuser|owner|able).*|unrecognized configuration parameter.*"
    r"|tablespace \"[^\"]+\" does not exist)"
)


def fill(cluster: Cluster, name: str, archive: Path, jobs: int, advance: Advance) -> list[str]:
    """Restore a whole archive into an empty database; the first error ends it.

    Parameters
    ----------
    name : str
        The database, empty.
    archive : Path
        In pg_dump's custom or directory format.
    jobs : int
        How many sessions work at once.
    advance : callable
        Told of every table, index and key that is made.

    Returns
    -------
    list of str
        The foreign keys that rows of the snapshot break: made, but not checked against these.

    Raises
    ------
    SnapshotError
        When the archive is damaged.
    Refused
        When there is no room, or the server lacks a role, an extension or a right that the archive needs.
    DatabaseUnreachable
        When the connection is lost.
    """
    lines = listed(archive, cluster.tools)
    parameters = cluster.parameters(name, "-c synchronous_commit=off -c maintenance_work_mem=256MB")
    tool = reader(archive, cluster.tools, parameters)
    secret = {"PGPASSWORD": parameters.pop("password")} if "password" in parameters else {}
    command = pg_restore(
        archive,
        tool,
        f"--dbname={make_conninfo('', **parameters)}",
        "--verbose",  # one line for each thing that is made: what else would tell how far it is?
        f"--jobs={jobs}",
        "--no-password",
    )
    said: deque[str] = deque(maxlen=200)
    broken: set[tuple[str, str]] = set()
    greeted = False
    with _running(command, plain_english(**secret)) as process:
        assert process.stderr is not None
        done = 0
        for line in _lines(process.stderr):
            said.append(line)
            if made := _MADE.match(line):
                done += 1
                advance(_short(made.group(1)), min(done, len(lines)), len(lines))
            elif key := broken_by(line):
                broken.add(key)
            elif (
                GREETING in line or "must be owner of extension" in line
            ):  # to say what it says of itself anyway
                greeted = True
            elif _FAILED.match(line):
                # Not by --exit-on-error, which would end it at a foreign key that rows break.
                raise explained(archive, _with_what_follows(line, process), cluster)
        ended = process.wait()
    if ended not in ((0, 1) if broken or greeted else (0,)):
        raise explained(archive, "\n".join(said), cluster)
    if broken:
        with cluster.connect(name, autocommit=True) as connection:
            make_unchecked(connection, archive, cluster.tools, lines, broken)
    return sorted(key for _, key in broken)


def _with_what_follows(line: str, process: subprocess.Popen[bytes]) -> str:
    process.terminate()
    assert process.stderr is not None
    return "\n".join([line, *_lines(process.stderr)][:50])


def explained(archive: Path, said: str, cluster: Cluster) -> WorkbenchError:
    """Make the error of what pg_restore or psql said in the end: the archive's fault, or the server's."""
    reason = cluster.redacted(RuntimeError(_reason(said)))
    where = cluster.database.environment
    if any(each in said for each in _NO_ROOM):
        return Refused(
            f"There is no room on the server of {where} for what {archive.name} holds: {reason}.",
            "Make room there.",
        )
    if missing := _MISSING.search(said):
        return Refused(
            f"The server of {where} lacks what {archive.name} needs: {missing.group(1)}.",
            "Provide it there, as the server that the snapshot was taken from has it.",
        )
    if any(each in said for each in _LOST):
        return DatabaseUnreachable(
            f"The connection to the server of {where} was lost: {reason}.", "Check that it runs."
        )
    return SnapshotError(f"The snapshot {archive} cannot be restored: {reason}.", AGAIN)


def _reason(said: str) -> str:
    """Find the first error, and of one that the server reported its words alone: what follows quotes rows."""
    first = next((line for line in said.splitlines() if "error:" in line or "ERROR:" in line), "")
    return re.sub(r"^.*?(?:ERROR: +|error: )", "", first) or failure(said.encode())


@contextmanager
def _running(command: list[str], surroundings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that is ended when the block is left early."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=surroundings
    )
    with process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


def _lines(stream: IO[bytes]) -> Iterator[str]:
    for line in stream:
        yield line.decode(errors="replace").rstrip("\n")


def _short(item: str) -> str:
    return re.sub(r"^\d+ ", "", item).strip()
