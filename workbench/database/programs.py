"""PostgreSQL's own client programs: found, run, and their messages understood.

Every call of psql, pg_dump and pg_restore goes through a `Program`. What a program reports is turned into a SQLSTATE
by one table, and from there on told like an error of the driver's: see `workbench.database.connection.Database.explained`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from workbench.database.address import NOT_FOLLOWED, redact
from workbench.database.connection import SPELLING, WITHOUT_LIMITS, Database, Session, session
from workbench.database.embedded import client_tools
from workbench.errors import DocumentError, Refused, WorkbenchError

PROGRAMS = ("psql", "pg_dump", "pg_restore")
HOW = "Take one of the whole database with pg_dump -Fc."
AGAIN = "Use another snapshot, or copy this one anew from where it was made."
_QUICKLY = f"{WITHOUT_LIMITS}{SPELLING} -c synchronous_commit=off -c maintenance_work_mem=256MB"

COMPRESSIONS = ("zstd", "gzip")
"""What pg_dump compresses with: the first that its build knows. Before PostgreSQL 16 there is gzip alone."""

Advance = Callable[[str, int, int], None]
"""Told what is being made, how much of it is done, and how much there is."""

# What a program does that only connects.
_CONNECTING = {
    "pg_dump": ("--schema-only", "--table=nothing of this name"),
    "psql": ("--no-psqlrc", "--command=\\restrict x"),  # which the workbench's own scripts begin with
    "pg_restore": ("--use-list=/dev/null",),
}

_LACKING = "lacking"

# What a program's message means, as the server would say it: no room, the connection lost, something lacking there.
_MEANINGS = (
    ("53100", re.compile("No space left on device|could not (?:extend|write to) file|disk full")),
    (
        "08006",
        re.compile(
            "server closed the connection|terminating connection|no connection to the server|connection to server"
            "|the database system is|SSL connection has been closed|cannot drop the currently open database|SSL support"
        ),
    ),
    ("57014", re.compile("canceling statement due to .*")),
    (
        _LACKING,
        re.compile(
            r'role "[^"]+" does not exist|extension "[^"]+" is not available|could not open extension control file.*'
            r"|permission denied.*|must be (?:superuser|owner|able).*|unrecognized configuration parameter.*"
            r'|tablespace "[^"]+" does not exist|this build does not support compression.*|out of memory'
        ),
    ),
)

# What pg_restore says of a file that it cannot read.
_TOO_NEW = ("unsupported version", "no data will be available")

_DUMPING = re.compile(r'dumping contents of table "(.*)"')
_ERROR = re.compile(r"^pg_restore: (?:\[[^]]*\] )?error: (.*)")
_ENTRY = re.compile(r"^pg_restore: from TOC entry (\d+);")
_MADE = re.compile(r"^pg_restore: (?:finished item|creating) (?:\d+ )?(.*)")
_BROKEN = re.compile(r'on table "(.+)" violates foreign key constraint "(.+)"')
_STATEMENT = re.compile(r"^ALTER TABLE .*?;$", re.MULTILINE | re.DOTALL)
# What a server before PostgreSQL 17 says to a newer pg_restore, which sets it to what it is anyway; and what every
# server says to whoever restores an extension's comment and does not own it.
_IDLE = ('unrecognized configuration parameter "transaction_timeout"', "must be owner of extension")


@dataclass(frozen=True)
class Program:
    """A client program: its name, where it is, and its version such as ``18.4``."""

    name: str
    path: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, which has to be at least the server's."""
        return int(self.version.split(".")[0])

    def run(
        self, *arguments: str | Path, to: Mapping[str, str] | None = None, given: bytes | None = None
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
        how: dict[str, Any] = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
        return subprocess.run(command, capture_output=True, env=variables, check=False, **how)

    @contextmanager
    def started(
        self, *arguments: str | Path, to: Mapping[str, str] | None = None, **how: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run it for as long as the block lasts; a block that fails ends it. `how` goes to `subprocess.Popen`."""
        command, variables = self._called(arguments, to)
        usual: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.PIPE,
        }
        process: subprocess.Popen[bytes]
        with subprocess.Popen(command, env=variables, **(usual | how)) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise

    def _called(
        self, arguments: Iterable[str | Path], to: Mapping[str, str] | None
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

    def unconnected(self, to: Mapping[str, str], *more: str | Path) -> str:
        """Return why it cannot connect, with SSL for instance where it was built without; empty when it can."""
        done = self.run(*_CONNECTING[self.name], *more, to=to)
        said = done.stderr.decode(errors="replace").strip()
        if "no matching tables" in said or "could not execute query" in said:
            return ""
        if done.returncode == 0 and "invalid command" not in said:
            return ""
        return redact(failure(done.stderr), to.get("password", "")).rstrip(".")


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
    refused, able = [], "is new enough for"
    for each in _programs(name, configured):
        if each.major < major:
            refused.append(f"{each.path} is {name} {each.version}")
        elif to is not None and (reason := each.unconnected(to)):
            refused.append(f"{each.path} ({each.version}) cannot connect: {reason}")
            able = "can connect to"
        else:
            return each
    raise Refused(
        f"No {name} here {able} the server's PostgreSQL {server}: {'; '.join(refused) or 'there is none at all'}.",
        f"Install the client programs of PostgreSQL {major}, and name their folder in the settings: client_tools.",
    )


class Unreadable(DocumentError):
    """No pg_restore here reads the archive: that says nothing against the archive."""


def read_list(
    archive: Path, configured: Path | None, to: Mapping[str, str] | None = None
) -> tuple[Program, str]:
    """Return the first pg_restore that reads an archive, its rows too, and the archive's list of contents.

    Parameters
    ----------
    configured : Path or None
        The configured folder of client programs.
    to : mapping of str to str, optional
        libpq's parameters of a database that it is to connect to as well.

    Raises
    ------
    Unreadable
        When there is none: the archive is of a newer pg_dump, or compressed in a way that none here knows.
    DocumentError
        When it is damaged.
    Refused
        When those that read it cannot connect.
    """
    unable, unreached, damaged = [], [], ""
    for path in _paths("pg_restore", configured):
        program = Program("pg_restore", path, "")
        done = program.run("--list", archive.absolute())
        said = done.stderr.decode(errors="replace")
        if any(each in said for each in _TOO_NEW):
            unable.append(f"{path}: {failure(done.stderr)}")
        elif done.returncode:
            damaged = damaged or failure(done.stderr)
        elif to is not None and (reason := program.unconnected(to, archive.absolute())):
            unreached.append(f"{path}: {reason}")
        else:
            return program, done.stdout.decode(errors="surrogateescape")
    if unreached:
        raise Refused(
            f"No pg_restore here can connect to where {archive.name} is to be restored: {'; '.join(unreached)}.",
            "Install the client programs of the server's PostgreSQL, and name their folder in the settings: client_tools.",
        )
    if damaged:
        raise DocumentError(f"The snapshot {archive} is cut short or damaged: {damaged}.", AGAIN)
    raise Unreadable(
        f"The snapshot {archive} is of a newer pg_dump than any pg_restore here, or compressed as none here can read:"
        f" {'; '.join(unable) or 'there is none at all'}.",
        "Install the client programs that it was made with, and name their folder in the settings: client_tools.",
    )


def entries_of(archive: Path, configured: Path | None) -> list[str]:
    """Return the entries of an archive, line by line as pg_restore lists them."""
    return [line for line in read_list(archive, configured)[1].splitlines() if line and line[0] != ";"]


def script_of(archive: Path, configured: Path | None, entries: Iterable[str], *options: str) -> str:
    """Return the SQL that makes some entries of an archive; not for rows, which would be held in memory."""
    program, _ = read_list(archive, configured)
    listed = "--file=-", "--use-list=/dev/stdin", archive.absolute()
    done = program.run(*options, *listed, given=_listed(entries))
    if done.returncode:
        raise DocumentError(f"The snapshot {archive} is cut short or damaged: {failure(done.stderr)}.", AGAIN)
    return done.stdout.decode(errors="surrogateescape")


def dump(
    program: Program,
    database: Database,
    to: Mapping[str, str],
    path: Path,
    *options: str,
    lock: int | None = None,
    advance: Callable[[str], None] = lambda _: None,
) -> str:
    """Dump a database into an archive of the custom format, and return how that is compressed.

    Parameters
    ----------
    to : mapping of str to str
        libpq's parameters of the database.
    *options : str
        Of pg_dump.
    lock : int, optional
        The descriptor of a lock on the file, which pg_dump holds too: it may outlive us.
    advance : callable
        Told of every table.
    """
    wait = f"--lock-wait-timeout={max(1, int(database.lock_timeout * 1000))}"
    # Files with the data of people.
    how = {"pass_fds": () if lock is None else (lock,), "umask": 0o077}
    for compression in COMPRESSIONS:
        # Level 6 is gzip's own; before PostgreSQL 16 a number alone says so.
        method = f"--compress={'6' if compression == 'gzip' else compression}"
        errors = []
        command = "--format=custom", "--verbose", f"--file={path}", wait, method, *options
        with program.started(*command, to=to, **how) as process:
            assert process.stderr is not None
            for line in process.stderr:
                text = line.decode(errors="replace").rstrip()
                if match := _DUMPING.search(text):
                    advance(f"dumping {match.group(1)}")
                elif "error:" in text or "FATAL:" in text or "ERROR:" in text:
                    errors.append(database.redacted(text))
        if process.returncode == 0:
            return compression
        if not any("compress" in each for each in errors):  # else this build does not know it
            break
    said = (errors or [f"it ended with {process.returncode}"])[0]
    if any("No space left on device" in each for each in errors):
        raise WorkbenchError(
            f"There is no room for the snapshot in {path.parent}.",
            "Make room there, or set `backups` to another folder. Nothing was kept of it.",
        )
    if "lock timeout" in said or "could not obtain lock" in said:
        raise database.explained(said, "55P03")
    raise WorkbenchError(f"pg_dump failed: {said}.", "Nothing was kept of it.")


def restore(
    archive: Path,
    database: Database,
    configured: Path | None,
    *options: str,
    entries: Iterable[str] | None = None,
    advance: Advance = lambda *_: None,
    failing: bool = False,
) -> tuple[list[str], dict[str, str]]:
    """Restore an archive into a database.

    A row can get past a foreign key while triggers are off, and stay. pg_restore checks all rows when it makes the
    key, and fails; here such a key is made without a check of what is there already (NOT VALID).

    Parameters
    ----------
    configured : Path or None
        The configured folder of client programs.
    *options : str
        Of pg_restore.
    entries : iterable of str, optional
        Which entries of the archive, as it lists them; else all.
    advance : callable, optional
        Told of every table, index and key.
    failing : bool
        Whether to go on after an error, and return it; else the first one ends it.

    Returns
    -------
    tuple of (list of str, dict of str to str)
        Foreign keys that rows of the archive break: made, but not checked against these rows. Where failing is
        allowed, the number of an entry to what pg_restore said of it, "" for what was of none.

    Raises
    ------
    DocumentError
        When the archive is damaged.
    Refused
        When there is no room, or the server lacks a role, an extension or a right that the archive needs.
    DatabaseUnreachable
        When the connection is lost.
    """
    parameters = database.address.parameters(_QUICKLY)
    program, listing = read_list(archive, configured, parameters)
    lines = (
        [line for line in listing.splitlines() if line and line[0] != ";"]
        if entries is None
        else list(entries)
    )
    broken: set[tuple[str, str]] = set()
    failures: dict[str, str] = {}
    tail: deque[str] = deque(maxlen=200)
    failed: list[str] = []
    done, entry, idle = 0, "", False
    command = *options, "--use-list=/dev/stdin", "--verbose", str(archive.absolute())
    with program.started(*command, to=parameters, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(_listed(lines))
        for raw in process.stderr:
            line = raw.decode(errors="replace").rstrip("\n")
            tail.append(line)
            if failed:
                failed.append(line)
            elif made := _MADE.match(line):
                done += 1
                advance(made[1].strip(), min(done, len(lines)), len(lines))
            elif named := _ENTRY.match(line):
                entry = named[1]
            elif key := _BROKEN.search(line):
                broken.add((key[1], key[2]))
            elif any(each in line for each in _IDLE):
                idle = True
            elif error := _ERROR.match(line):
                if failing:
                    failures.setdefault(entry, error[1])
                    continue
                # Not by --exit-on-error, which would end it at a foreign key that rows break.
                failed.append(line)
                process.terminate()
        code = process.wait()
    if failed or (code and not (code == 1 and (broken or idle or failures))):
        raise explain(archive, "\n".join(failed or tail), database)
    keys = [
        line
        for line in lines
        if " FK CONSTRAINT " in line and any(f" {table} {name} " in line for table, name in broken)
    ]
    if keys:
        with database.speaking_plainly(), session(parameters, autocommit=True) as connection:
            _make_keys(connection, archive, configured, keys)
    return sorted(name for _, name in broken), failures


def _make_keys(connection: Session, archive: Path, configured: Path | None, keys: list[str]) -> list[str]:
    """Make foreign keys; return those that rows break, which are made without a check of the rows that are there."""
    broken = []
    for statement in _STATEMENT.findall(script_of(archive, configured, keys)) if keys else ():
        try:
            with connection.transaction():
                connection.execute(statement.encode(errors="surrogateescape"))
        except psycopg.errors.ForeignKeyViolation as error:
            unchecked = f"{statement.removesuffix(';').removesuffix(' NOT VALID')} NOT VALID;"
            connection.execute(unchecked.encode(errors="surrogateescape"))
            broken.append(str(error.diag.constraint_name))
    return sorted(broken)


def restore_within(
    connection: Session,
    archive: Path,
    database: Database,
    configured: Path | None,
    *options: str,
    entries: Iterable[str],
    advance: Advance = lambda *_: None,
) -> list[str]:
    """Restore entries of an archive within a transaction that is open; pg_restore's own would end before it is compared.

    Returns
    -------
    list of str
        The foreign keys that rows of the archive break: made, but not checked against these rows.

    Raises
    ------
    DocumentError, Refused, DatabaseUnreachable
        As `restore`; whoever opened the transaction rolls it back.
    """
    lines = list(entries)
    keys = [line for line in lines if " FK CONSTRAINT " in line]
    rest = [line for line in lines if line not in keys]
    tables, done = sum(" TABLE DATA " in line for line in lines), 0
    program, _ = read_list(archive, configured)
    more = "--file=-", "--use-list=/dev/stdin", str(archive.absolute())
    gathered: list[bytes] = []

    def send() -> None:
        if text := b"".join(gathered).strip():
            connection.execute(text)
        gathered.clear()

    try:
        with program.started(*options, *more, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            with process.stdin:
                process.stdin.write(_listed(rest))
            for line in process.stdout:
                if line.startswith((b"\\restrict ", b"\\unrestrict ")):
                    continue  # psql's own commands, outside of any rows
                if line.startswith(b"SET transaction_timeout") and connection.info.server_version < 170000:
                    continue
                gathered.append(line)
                if not (line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n")):
                    continue
                copying = gathered.pop()
                send()
                done += 1
                advance("restoring rows", done, tables)
                with connection.cursor().copy(copying) as copy:
                    for row in process.stdout:
                        if row == b"\\.\n":
                            break
                        copy.write(row)
                    else:
                        raise DocumentError(
                            f"The snapshot {archive} is cut short or damaged: rows have no end.", AGAIN
                        )
            said = process.stderr.read()
            if process.wait():
                raise DocumentError(
                    f"The snapshot {archive} is cut short or damaged: {failure(said)}.", AGAIN
                )
            if done < tables:
                raise DocumentError(
                    f"The snapshot {archive} has its rows as INSERT statements.",
                    "Take one with pg_dump's defaults, without --inserts.",
                )
            advance("making keys and indexes", tables, tables)
            send()
        return _make_keys(connection, archive, configured, keys)
    except psycopg.Error as error:
        if connection.closed:
            raise database.explained(str(error), "08006") from None
        primary = error.diag.message_primary or str(error).split("\n")[0]
        raise explain(archive, f"ERROR: {primary}", database) from None


def explain(archive: Path, said: str, database: Database) -> WorkbenchError:
    """Make the error of what a program said of an archive: the server's fault, or else the archive's."""
    first = next((line for line in said.splitlines() if "error:" in line or "ERROR:" in line), "")
    # Of an error that the server reported its words alone: what follows quotes rows.
    reason = re.sub(r"^.*?(?:(?:ERROR|FATAL): +|error: )", "", first) or failure(said.encode())
    for state, pattern in _MEANINGS:
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
    """Return why a program failed, from what it wrote to stderr."""
    text = said.decode(errors="replace").strip()
    first = re.search(r"(?:error|warning): (.*)", text)
    return first.group(1) if first else (text.splitlines() or ["it did not say why"])[0]


def _listed(entries: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in entries).encode(errors="surrogateescape")


def _paths(name: str, configured: Path | None) -> Iterator[Path]:
    folders = [each for each in (configured, client_tools()) if each]
    paths = dict.fromkeys((*(each / name for each in folders), Path(shutil.which(name) or name)))
    return (each for each in paths if each.is_file() and os.access(each, os.X_OK))


def _programs(name: str, configured: Path | None) -> Iterator[Program]:
    for path in _paths(name, configured):
        with suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run([path, "--version"], capture_output=True, timeout=10, check=True).stdout
            if match := re.search(rb"\b(\d+(?:\.\d+)*)", said):
                yield Program(name, path, match[1].decode())
