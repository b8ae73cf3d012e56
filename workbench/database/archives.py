"""Archives of ``pg_dump -Fc``: make, list, read and restore them."""

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
"""Progress callback: what is being done, items done, items in all."""

_QUICKLY = {"synchronous_commit": "off", "maintenance_work_mem": "256MB"}

# Messages of pg_restore about a file that it cannot read.
_TOO_NEW = re.compile(b"unsupported version|no data will be available")

# Commands of psql, and a setting that older servers do not know.
_NOT_SENT = re.compile(rb"\\(?:un)?restrict |SET transaction_timeout = 0;$")
_ERROR = re.compile(r"^pg_restore: (?:\[[^]]*\] )?error: ")
_ITEM = re.compile(r"^pg_restore: (?:finished item|creating) (?:\d+ )?(.*)")
_VIOLATED = re.compile(r'on table "(.+)" violates foreign key constraint "(.+)"')
_KEY = re.compile(r"^ALTER TABLE .*?;$", re.MULTILINE | re.DOTALL)
# Entries about the database itself.
_OWN = re.compile(r"\d+; \d+ \d+ (?:DATABASE|DATABASE PROPERTIES|ACL - DATABASE|COMMENT - DATABASE) ")
# Harmless: servers before PostgreSQL 17 do not know the setting, and only an extension's owner may set its comment.
_IGNORED = re.compile('unrecognized configuration parameter "transaction_timeout"|must be owner of extension')


_COMPRESSIONS = {"zstd": "zstd", "gzip": "6"}
"""Compressions for pg_dump, the first that its build supports. Before PostgreSQL 16 there is only gzip, by number."""

_DUMPING = re.compile(r'dumping contents of table "(.*)"')


@dataclass(frozen=True)
class Listing:
    """The table of contents of an archive.

    Attributes
    ----------
    path : Path
        The archive.
    program : Program
        A pg_restore that can read it.
    head : dict of str to str
        Its header, such as ``dbname``.
    entries : list of str
        The lines of ``pg_restore --list``.
    """

    path: Path
    program: Program
    head: dict[str, str]
    entries: list[str]

    def of(self, *kinds: str) -> list[str]:
        """Return the entries of some kinds, such as ``TABLE DATA``, as regular expressions."""
        wanted = re.compile(rf"\d+; \d+ \d+ (?:{'|'.join(kinds)}) ")
        return [entry for entry in self.entries if wanted.match(entry)]

    def tables(self, kind: str, schema: str) -> dict[str, str]:
        """Return the entries of a kind in one schema, by table."""
        named = re.compile(rf"\d+; \d+ \d+ {kind} {re.escape(schema)} (.*) \S*$")  # the owner's name is last
        return {match[1]: entry for entry in self.entries if (match := named.match(entry))}

    def script(self, entries: Iterable[str], *options: str) -> str:
        """Return the SQL of some entries; not for rows, since it is held in memory."""
        listed = "--file=-", "--use-list=/dev/stdin", self.path.absolute()
        done = self.program.run(*options, *listed, given=_listed(entries))
        if done.returncode:
            raise damaged(self.path, failure(done.stderr))
        return done.stdout.decode(errors="surrogateescape")

    def properties_for(self, name: str) -> tuple[str, list[str], str]:
        """Return the SQL that gives a new database the archive's database properties.

        ``pg_restore`` sets them only when it creates the database under its old name.

        Returns
        -------
        tuple of (str, list of str, str)
            Options of CREATE DATABASE (encoding and locale), statements that set owner, rights and settings, and the
            statement that sets the comment, or "".
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
    """Dump a database into an archive of the custom format; return its compression.

    Parameters
    ----------
    to : mapping of str to str
        libpq's parameters of the database.
    *options : str
        Options of pg_dump.
    lock : int
        Descriptor of a lock on the file, inherited by pg_dump, which may outlive this process.
    advance : callable
        Called with each table.
    """
    wait = f"--lock-wait-timeout={max(1, int(database.lock_timeout * 1000))}"
    errors: list[str] = []
    for compression, spelled in _COMPRESSIONS.items():
        errors.clear()
        command = "--format=custom", "--verbose", f"--file={path}", wait, f"--compress={spelled}", *options
        # Only the owner can read the file.
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
        if not any("compress" in error for error in errors):  # else this build lacks it
            break
    reason = (errors or [f"it ended with {process.returncode}"])[0]
    if "lock timeout" in reason:
        raise database.translate(reason, "55P03")
    raise WorkbenchError(
        f"pg_dump failed: {reason}.",
        f"Nothing was kept. `backups` can be set to another folder than {path.parent}.",
    )


def read_listing(archive: Path, configured: Path | None, to: Mapping[str, str] | None = None) -> Listing:
    """Read an archive's table of contents with the first pg_restore that can also read its rows.

    Parameters
    ----------
    configured : Path or None
        The folder in the settings.
    to : mapping of str to str, optional
        libpq's parameters of a database that the program must be able to connect to.

    Raises
    ------
    Refused
        When there is none: the archive is newer or compressed differently, or the programs cannot connect.
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

    connects = partial(Program.connection_failure, to=to, archive=archive.absolute())
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
    """Restore an archive into a database, and return the foreign keys that its rows violate.

    Rows can violate a foreign key when they were written with triggers off. pg_restore fails to create such a key; here it
    is created without checking existing rows (NOT VALID).

    Parameters
    ----------
    configured : Path or None
        The folder in the settings.
    *options : str
        Options of pg_restore.
    entries : iterable of str, optional
        Entries of the archive; all by default.
    advance : callable, optional
        Called with each table, index and key.
    failing : bool
        Whether to continue after an error, as pg_restore does, instead of stopping.

    Raises
    ------
    DocumentError
        When the archive is damaged.
    Refused
        When the disk is full, or the server lacks a role, extension or right that the archive needs.
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
            if item := _ITEM.match(last):
                done += 1
                advance(item[1].strip(), min(done, len(lines)), len(lines))
            elif key := _VIOLATED.search(last):
                broken.add(key.groups())
            elif _IGNORED.search(last):
                tolerated = True
            elif _ERROR.match(last) and not failing and not error:
                # --exit-on-error would also stop at a violated foreign key.
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
    """Create foreign keys; those that rows violate are created NOT VALID and returned."""
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
    """Restore entries of an archive in an open transaction, so that the result can be compared before the commit.

    Returns
    -------
    list of str
        The foreign keys that rows violate, created NOT VALID.

    Raises
    ------
    DocumentError, Refused, DatabaseUnreachable
        As `restore`; the caller rolls back.
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
                            raise damaged(listing.path, "the rows are incomplete")
                        copy.write(row)
            messages = process.stderr.read()
            if process.wait():
                raise damaged(listing.path, failure(messages))
        advance("creating keys and indexes", tables, tables)
        send()
        return make_keys(connection, listing, keys)
    except psycopg.Error as error:
        if connection.closed:
            raise database.translate(str(error), "08006") from None
        primary = error.diag.message_primary or str(error).split("\n")[0]
        raise explain(listing.path, f"ERROR: {primary}", database) from None


def _listed(entries: Iterable[str]) -> bytes:
    return "".join(f"{entry}\n" for entry in entries).encode(errors="surrogateescape")
