"""``snapshot create``: one consistent state of the database as an archive, with what was in it beside it.

One transaction exports its snapshot; pg_dump and the sessions that digest the tables import it, so that the manifest
says of the very rows that the archive has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from workbench.audit import own_digest
from workbench.database.address import redact
from workbench.database.connection import SPELLING, Database, session
from workbench.database.encoding import encoding_for
from workbench.database.programs import Advance, Program, entries_of, program_for, script_of
from workbench.documents import Target
from workbench.errors import Refused, WorkbenchError
from workbench.murmurant.schema import Schema
from workbench.snapshots.archive import digest_of
from workbench.snapshots.contents import Connection, Contents, Digesting, SequenceState, joined, tables_of
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.store import Part, part

COMPRESSIONS = ("zstd", "gzip")
"""What pg_dump compresses with: the first that its build knows. Before PostgreSQL 16 there is gzip alone."""

_TIMELINE = """
SELECT s.system_identifier::text, c.timeline_id::text, d.oid::text,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text
FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d WHERE d.datname = current_database()
"""

_TABLE = re.compile(r'dumping contents of table "(.*)"')
_NAME = r'((?:"(?:[^"]|"")+"|[^".])+)'
_SEQUENCE = re.compile(
    rf"^SELECT pg_catalog\.setval\('{_NAME}\.{_NAME}', (-?\d+), (true|false)\);$", re.MULTILINE
)


@dataclass(frozen=True)
class State:
    """An exported state of a database, which others see through `connect`.

    Attributes
    ----------
    connection : psycopg.Connection
        In the transaction that exported it.
    snapshot : str
        What others import it by.
    transaction, server_version, timeline, database_size
        See `workbench.snapshots.manifest.Manifest`.
    tables : dict
        Every table with rows of its own, by schema, the largest first.
    """

    database: Database
    connection: Connection
    snapshot: str
    transaction: str
    server_version: str
    timeline: dict[str, str]
    database_size: int
    tables: dict[str, list[str]]

    def connect(self) -> Connection:
        """Open a session that sees this state."""
        connection = _session(self.database)
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(self.snapshot))
        return connection


def create_snapshot(
    database: Database,
    schema: Schema,
    target: Target,
    folder: Path,
    *,
    by: str,
    precedes: str | None = None,
    reason: str | None = None,
    tools: Path | None = None,
    advance: Advance,
) -> Manifest:
    """Take a snapshot with pg_dump: written under a temporary name, flushed, then listed.

    Parameters
    ----------
    database : Database
        The database.
    schema : Schema
        Murmurant's tables there.
    target : Target
        Which database that is, for the manifest.
    folder : Path
        The backups.
    by, precedes, reason : str
        Who takes it, before which run, and why.
    tools : Path or None
        The configured folder of client programs.
    advance : callable
        Told what begins, how many tables are done, and how many there are.

    Raises
    ------
    Refused
        When every pg_dump is older than the server or cannot connect, or somebody holds a lock too long.
    SnapshotError
        When no pg_restore here reads what pg_dump wrote.
    WorkbenchError
        When pg_dump fails, or there is no room; nothing is kept then.
    """
    moment = datetime.now(UTC).replace(microsecond=0)
    with exported(database) as state, part(folder, moment) as made:
        parameters = _parameters(database, encoding_for(state.connection))
        program = program_for("pg_dump", state.server_version, tools, parameters)
        digesting = Digesting(state.connect, state.tables)
        try:
            compression = _dump(program, parameters, state, made, advance)
            total = sum(map(len, state.tables.values()))
            advance("checking what was written", total, total)
            sha256, sequences = digest_of(made.path), sequences_in(made.path, tools)
            contents = joined(digesting.states(), sequences)
        except BaseException:
            digesting.stop()
            raise
        main = contents.pop(target.schema, Contents())
        return made.publish(
            Manifest(
                compression=compression,
                sha256=sha256,
                size=made.path.stat().st_size,
                tool_version=program.version,
                server_version=state.server_version,
                target=target,
                dialect=schema.dialect,
                created_at=moment,
                created_by=by,
                precedes=precedes,
                reason=reason,
                transaction=state.transaction,
                timeline=state.timeline,
                database_size=state.database_size,
                log=own_digest(state.connection, schema),
                tables=main.tables,
                sequences=main.sequences,
                elsewhere=contents,
            )
        )


@contextmanager
def exported(database: Database) -> Iterator[State]:
    """Hold one state of a database for as long as the block lasts.

    Raises
    ------
    DatabaseUnreachable
        When there is no connection, or it is lost. Other errors of the server are told likewise.
    """
    with database.speaking_plainly("lock_timeout"), _session(database) as connection:
        names = [
            sql.SQL("ONLY {}").format(sql.Identifier(schema, name))
            for schema, tables in tables_of(connection).items()
            for name in tables
        ]
        connection.rollback()
        if names:
            # Before the state is chosen, so that no TRUNCATE comes between it and pg_dump's own lock.
            connection.execute(
                sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.SQL(", ").join(names))
            )
        row = connection.execute(
            "SELECT pg_export_snapshot(), pg_current_snapshot()::text, current_setting('server_version'),"
            " pg_database_size(current_database())"
        ).fetchone()
        facts = connection.execute(_TIMELINE).fetchone()
        assert row
        assert facts
        timeline = dict(
            zip(("system_identifier", "timeline", "database_oid", "wal_position"), facts, strict=True)
        )
        snapshot, transaction, version, size = row
        tables = tables_of(connection)
        yield State(database, connection, snapshot, transaction, version, timeline, size, tables)
        connection.rollback()


def _session(database: Database) -> Connection:
    """Open a session without limits of time, whose transactions are repeatable-read and read-only."""
    connection = session(_parameters(database))
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return connection


def _parameters(database: Database, encoding: str = "UTF8") -> dict[str, str]:
    limits = f"-c statement_timeout=0 -c lock_timeout={_lock_timeout(database)}"
    return database.address.parameters(f"{limits}{SPELLING} -c client_encoding={encoding}")


def _lock_timeout(database: Database) -> int:
    return max(1, int(database.lock_timeout * 1000))


def _dump(program: Program, parameters: dict[str, str], state: State, made: Part, advance: Advance) -> str:
    """Run pg_dump on a state, and return how it has compressed."""
    total = sum(map(len, state.tables.values()))
    options = ["--format=custom", "--verbose", f"--file={made.path}", f"--snapshot={state.snapshot}"]
    options.append(f"--lock-wait-timeout={_lock_timeout(state.database)}")
    for compression in COMPRESSIONS:
        # Level 6 is gzip's own; before PostgreSQL 16 a number alone says so.
        method = f"--compress={'6' if compression == 'gzip' else compression}"
        begun, errors = 0, []
        # Files with the data of people; pg_dump holds the lock too, and may outlive us.
        how = {"pass_fds": (made.lock,), "umask": 0o077}
        with program.started(*options, method, to=parameters, **how) as process:
            assert process.stderr is not None
            for line in process.stderr:
                text = line.decode(errors="replace").rstrip()
                if match := _TABLE.search(text):
                    begun += 1
                    advance(f"dumping {match.group(1)}", min(begun, total), total)
                elif "error:" in text or "FATAL:" in text or "ERROR:" in text:
                    errors.append(text)
        if process.returncode == 0:
            return compression
        if not any("compress" in each for each in errors):  # else this build does not know it
            break
    raise _failed(redact("\n".join(errors), parameters.get("password", "")), process.returncode, made)


def _failed(errors: str, code: int, made: Part) -> WorkbenchError:
    said = (errors.splitlines() or [f"it ended with {code}"])[0].rstrip(".")
    if "No space left on device" in errors:
        return WorkbenchError(
            f"There is no room for the snapshot in {made.path.parent}.",
            "Make room there, or set `backups` to another folder. Nothing was kept of it.",
        )
    if "lock timeout" in said or "could not obtain lock" in said:
        return Refused(
            f"Somebody holds a lock that pg_dump waited for in vain: {said}.",
            "Try again in a moment, or raise lock_timeout for this environment.",
        )
    return WorkbenchError(f"pg_dump failed: {said}.", "Nothing was kept of it.")


def sequences_in(archive: Path, tools: Path | None) -> dict[str, dict[str, SequenceState]]:
    """Read from an archive where its sequences stand, by schema and name: no transaction holds them still."""
    entries = [line for line in entries_of(archive, tools) if " SEQUENCE SET " in line]
    script = script_of(archive, tools, entries) if entries else ""
    states: dict[str, dict[str, SequenceState]] = {}
    for schema, name, last, called in _SEQUENCE.findall(script):
        states.setdefault(_bare(schema), {})[_bare(name)] = SequenceState(int(last), called == "true")
    return states


def _bare(name: str) -> str:
    name = name.replace("''", "'")
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
