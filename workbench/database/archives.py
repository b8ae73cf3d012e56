"""Archives of ``pg_dump -Fc``: how they are made, what they list, the SQL in them, and how they are restored."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql

from workbench.database.connection import SESSION_OPTIONS, Database, Session
from workbench.database.programs import Program, choose, damaged, explain, failure
from workbench.errors import WorkbenchError

Advance = Callable[[str, int, int], None]
"""Told what is being made, how much of it is done, and how much there is."""

_QUICKLY = {"synchronous_commit": "off", "maintenance_work_mem": "256MB"}

# What pg_restore says of a file that it cannot read.
_TOO_NEW = re.compile(b"unsupported version|no data will be available")

# psql's own commands, and what the server may not know and has for its own.
_NOT_SENT = re.compile(rb"\\(?:un)?restrict |SET transaction_timeout = 0;$")
_ERROR = re.compile(r"^pg_restore: (?:\[[^]]*\] )?error: ")
_MADE = re.compile(r"^pg_restore: (?:finished item|creating) (?:\d+ )?(.*)")
_BROKEN = re.compile(r'on table "(.+)" violates foreign key constraint "(.+)"')
_KEY = re.compile(r"^ALTER TABLE .*?;$", re.MULTILINE | re.DOTALL)
# The entries that are about the database itself.
_OWN = re.compile(r"\d+; \d+ \d+ (?:DATABASE|DATABASE PROPERTIES|ACL - DATABASE|COMMENT - DATABASE) ")
# What a server before PostgreSQL 17 says to a newer pg_restore, which sets it to what it is anyway; and what every
# server says to whoever restores an extension's comment and does not own it.
_IDLE = re.compile('unrecognized configuration parameter "transaction_timeout"|must be owner of extension')


_COMPRESSIONS = {"zstd": "zstd", "gzip": "6"}
"""What pg_dump compresses with: the first that its build knows. Before PostgreSQL 16 there is gzip alone, by a number."""

_DUMPING = re.compile(r'dumping contents of table "(.*)"')


@dataclass(frozen=True)
class Listing:
    """What an archive lists.

    Attributes
    ----------
    path : Path
        The archive.
    program : Program
        A pg_restore that reads it.
    head : dict of str to str
        What it says of itself, such as ``dbname``.
    entries : list of str
        Line by line as pg_restore writes them.
    """

    path: Path
    program: Program
    head: dict[str, str]
    entries: list[str]

    def of(self, *kinds: str) -> list[str]:
        """Return the entries of some kinds, such as ``TABLE DATA``: regular expressions."""
        wanted = re.compile(rf"\d+; \d+ \d+ (?:{'|'.join(kinds)}) ")
        return [entry for entry in self.entries if wanted.match(entry)]

    def tables(self, kind: str, schema: str) -> dict[str, str]:
        """Return the entries of a kind by table, of one schema."""
        named = re.compile(rf"\d+; \d+ \d+ {kind} {re.escape(schema)} (.*) \S*$")  # the owner's name is last
        return {match[1]: entry for entry in self.entries if (match := named.match(entry))}

    def script(self, entries: Iterable[str], *options: str) -> str:
        """Return the SQL that makes some entries; not for rows, which would be held in memory."""
        listed = "--file=-", "--use-list=/dev/stdin", self.path.absolute()
        done = self.program.run(*options, *listed, given=_listed(entries))
        if done.returncode:
            raise damaged(self.path, failure(done.stderr))
        return done.stdout.decode(errors="surrogateescape")

    def properties_for(self, name: str) -> tuple[str, list[str], str]:
        """Read what belongs to the database itself and not to its contents, for one of another name.

        ``pg_restore`` into a new database leaves that out, unless it makes the database itself under the old name.

        Returns
        -------
        tuple of (str, list of str, str)
            The options of CREATE DATABASE, encoding and locale; the statements that set owner, rights and settings; the
            statement that comments on it, or "".
        """
        listed = self.program.run("--create", "--list", self.path.absolute()).stdout
        entries = list(filter(_OWN.match, listed.decode(errors="surrogateescape").splitlines()))
        script = self.script(entries, "--create")
        created = re.search(r"^CREATE DATABASE (.+?) WITH TEMPLATE = template0(.*);$", script, re.MULTILINE)
        if created is None:
            return " ENCODING 'UTF8'", [], ""
        old, options = created.groups()
        about = rf"^(?:ALTER (?:ROLE .+? IN )?|GRANT .+? ON |REVOKE .+? ON |COMMENT ON )DATABASE {re.escape(old)} .*?;$"
        new = f"DATABASE {sql.Identifier(name).as_string(None)} "
        statements = [
            statement.replace(f"DATABASE {old} ", new, 1)
            for statement in re.findall(about, script, re.MULTILINE | re.DOTALL)
        ]
        comment = next((statement for statement in statements if statement.startswith("COMMENT ")), "")
        return options, [statement for statement in statements if statement != comment], comment


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
                    advance(f"dumping {match[1]}")
                elif re.search("error:|FATAL:|ERROR:", text):
                    errors.append(database.redacted(text))
        if process.returncode == 0:
            return compression
        if not any("compress" in error for error in errors):  # else this build does not know it
            break
    reason = (errors or [f"it ended with {process.returncode}"])[0]
    if "lock timeout" in reason:
        raise database.translate(reason, "55P03")
    raise WorkbenchError(
        f"pg_dump failed: {reason}.",
        f"Nothing was kept of it. `backups` may name another folder than {path.parent}.",
    )


def read_listing(archive: Path, configured: Path | None, to: Mapping[str, str] | None = None) -> Listing:
    """Read an archive's list with the first pg_restore that reads it, its rows too.

    Parameters
    ----------
    configured : Path or None
        The configured folder of client programs.
    to : mapping of str to str, optional
        libpq's parameters of a database that the program is to connect to as well.

    Raises
    ------
    Refused
        When there is none: the archive is of a newer pg_dump, or compressed in a way that none here knows; or those that
        read it cannot connect.
    DocumentError
        When it is damaged.
    """
    lists: list[bytes] = []

    def unreadable(program: Program) -> str:
        done = program.run("--list", archive.absolute())
        if _TOO_NEW.search(done.stderr):
            return failure(done.stderr)
        if done.returncode:
            raise damaged(archive, failure(done.stderr))
        lists.append(done.stdout)
        return ""

    connects = partial(Program.unconnected, to=to, archive=archive.absolute())
    program = choose("pg_restore", f"the snapshot {archive}", configured, unreadable, connects)
    lines = lists[-1].decode(errors="surrogateescape").splitlines()
    head = dict(re.findall(r"^; +([A-Za-z _]+): (.*)$", "\n".join(lines), re.MULTILINE))
    return Listing(archive, program, head, [line for line in lines if line and line[0] != ";"])


def restore(
    archive: Path,
    database: Database,
    configured: Path | None,
    *options: str,
    entries: Iterable[str] | None = None,
    advance: Advance = lambda *_: None,
    failing: bool = False,
) -> list[str]:
    """Restore an archive into a database, and return the foreign keys that its rows break.

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
        Whether to go on after an error, as pg_restore does; else the first one ends it.

    Raises
    ------
    DocumentError
        When the archive is damaged.
    Refused
        When there is no room, or the server lacks a role, an extension or a right that the archive needs.
    DatabaseUnreachable
        When the connection is lost.
    """
    quickly = "".join(f" -c {name}={value}" for name, value in _QUICKLY.items())
    parameters = database.address.parameters(f"{SESSION_OPTIONS}{quickly}")
    listing = read_listing(archive, configured, parameters)
    lines = listing.entries if entries is None else list(entries)
    broken: set[tuple[str, ...]] = set()
    last, error, tolerated, done = "", "", failing, 0
    command = *options, "--use-list=/dev/stdin", "--verbose", str(archive.absolute())
    with listing.program.started(*command, to=parameters, given=_listed(lines)) as process:
        assert process.stderr is not None
        for raw in process.stderr:
            last = raw.decode(errors="replace").rstrip("\n")
            if item := _MADE.match(last):
                done += 1
                advance(item[1].strip(), min(done, len(lines)), len(lines))
            elif key := _BROKEN.search(last):
                broken.add(key.groups())
            elif _IDLE.search(last):
                tolerated = True
            elif _ERROR.match(last) and not failing and not error:
                # Not by --exit-on-error, which would end it at a foreign key that rows break.
                error = last
                process.terminate()
        code = process.wait()
    if error or (code and not (code == 1 and (broken or tolerated))):
        raise explain(archive, error or last, database)
    keys = [entry for entry in listing.of("FK CONSTRAINT") for key in broken if f" {' '.join(key)} " in entry]
    if keys:
        with database.translate_errors(), database.session(_QUICKLY, autocommit=True) as connection:
            make_keys(connection, listing, keys)
    return sorted(name for _, name in broken)


def make_keys(connection: Session, listing: Listing, keys: list[str]) -> list[str]:
    """Make foreign keys; return those that rows break, which are made without a check of the rows that are there."""
    broken = []
    for statement in _KEY.findall(listing.script(keys)) if keys else ():
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
    listing: Listing,
    database: Database,
    *options: str,
    entries: list[str],
    advance: Advance,
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
    keys = [entry for entry in entries if " FK CONSTRAINT " in entry]
    tables, done = sum(" TABLE DATA " in entry for entry in entries), 0
    command = *options, "--file=-", "--use-list=/dev/stdin", str(listing.path.absolute())
    statements: list[bytes] = []

    def send() -> None:
        if text := b"".join(statements).strip():
            connection.execute(text)
        statements.clear()

    try:
        given = _listed(entry for entry in entries if entry not in keys)
        with listing.program.started(*command, given=given, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                if not (line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n")):
                    if not _NOT_SENT.match(line):
                        statements.append(line)
                    continue
                send()
                done += 1
                advance("restoring rows", done, tables)
                with connection.cursor().copy(line) as copy:
                    for row in iter(process.stdout.readline, b"\\.\n"):
                        if not row:
                            raise damaged(listing.path, "rows have no end")
                        copy.write(row)
            messages = process.stderr.read()
            if process.wait():
                raise damaged(listing.path, failure(messages))
        advance("making keys and indexes", tables, tables)
        send()
        return make_keys(connection, listing, keys)
    except psycopg.Error as error:
        if connection.closed:
            raise database.translate(str(error), "08006") from None
        primary = error.diag.message_primary or str(error).split("\n")[0]
        raise explain(listing.path, f"ERROR: {primary}", database) from None


def _listed(entries: Iterable[str]) -> bytes:
    return "".join(f"{entry}\n" for entry in entries).encode(errors="surrogateescape")
