"""A restore and its steps: into a new database that is renamed, in place, and the way back (guide §3, level 2).

Until the swap the live database is only read; the swap is one transaction; after it only the application is started and
checks are made. So if killed at any moment, the live name leads to a complete database: the old one or the new one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import psycopg
from psycopg import sql

from workbench.audit.entries import write_entry
from workbench.database import archives, databases
from workbench.database.archives import read_listing, restore_within
from workbench.database.connection import Database, Session
from workbench.database.databases import Standing
from workbench.database.exclusion import HALF_MADE, mark_of
from workbench.errors import DatabaseUnreachable, DocumentError, Drift, NotMurmurant, WorkbenchError
from workbench.murmurant.importers import RESTORED, SYNC_STATE_WAS
from workbench.murmurant.schema import Schema, read_schema
from workbench.plans.journal import Entry, Restored, applied_here, note_restore, restores
from workbench.session import Session as Workbench
from workbench.snapshots import contents
from workbench.snapshots.application import Application, Say
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.request import DONE, FAILED, GO_ON, Record, Request, Way
from workbench.snapshots.restore.swapping import connected, refuse_permanent, swap

Progress = Callable[[str, int, int], None]
"""Called with what begins, how many steps are done, and how many there are."""

_OWN_SCHEMAS = """
    SELECT n.oid FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
"""

# Everything that belongs to no extension and not to the system is dropped, including what is newer than the snapshot.
_OBJECTS = f"""
    SELECT format('DROP %s IF EXISTS %s CASCADE', replace(i.type, 'composite ', ''), i.identity)
    FROM (
        SELECT 1, 'pg_class'::regclass, oid, relnamespace FROM pg_class WHERE relkind = ANY ('{{r,p,v,m,f,S,c}}')
        UNION ALL SELECT 2, 'pg_proc'::regclass, oid, pronamespace FROM pg_proc
        UNION ALL SELECT 3, 'pg_type'::regclass, oid, typnamespace FROM pg_type WHERE typtype IN ('e', 'd', 'r')
    ) o (place, class, oid, schema), pg_identify_object(o.class, o.oid, 0) i
    WHERE o.schema IN ({_OWN_SCHEMAS})
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype IN ('e', 'i'))
    ORDER BY o.place, i.identity
"""

# How an archive lists the schemas and extensions, which are not dropped.
_KEPT = f"""
    SELECT format(' %s - %s ', kind, name), format(' COMMENT - %s %s ', kind, name) FROM (
        SELECT 'SCHEMA', nspname FROM pg_namespace WHERE oid IN ({_OWN_SCHEMAS})
        UNION ALL SELECT 'EXTENSION', extname FROM pg_extension) kept (kind, name)
"""


@dataclass
class Restore:
    """A restore in progress.

    Attributes
    ----------
    create_snapshot : callable
        Takes the safety backup.
    server : psycopg.Connection
        A session at another database of the server, which holds the lock.
    progress, say : callable
        Called for every step, and with the output of the application's commands.
    position : int
        The index of the current step.
    """

    wb: Workbench
    app: Application
    create_snapshot: Callable[..., Manifest]
    request: Request
    record: Record
    server: Session
    progress: Progress
    say: Say | None
    position: int = 0

    @property
    def existing(self) -> dict[str, Standing]:
        """The databases of the server."""
        return databases.standing(self.server)

    @property
    def live(self) -> Standing | None:
        """The database that has the live name, if there is one."""
        return self.existing.get(self.record.live)

    @property
    def new(self) -> Database:
        """The database that is created next to the live one."""
        return self.at(self.record.facts["new"])

    def at(self, name: str) -> Database:
        """Return a database of the server."""
        return self.wb.database.at(name)

    def tell(self, what: str, done: int = 0, of: int = 0) -> None:
        """Report progress within a step."""
        share = f" ({done:,} of {of:,})" if of else ""
        self.progress(f"{what}{share}", self.position, len(STEPS[self.request.way]))

    def carry_out(self) -> Record:
        """Run the steps that are not done yet; after a failure before the swap, clean up.

        If the connection is lost, or after Ctrl-C, the restore can be resumed.
        """
        record, steps = self.record, STEPS[self.request.way]
        for self.position, step in enumerate(steps):
            if step.name in record.done:
                continue
            begun = perf_counter()
            try:
                self.tell(step.called)
                with self.wb.database.translate_errors():
                    step.carry_out(self)
                seconds = {**record.facts.get("seconds", {}), step.name: round(perf_counter() - begun, 3)}
                record.note(step.name, seconds=seconds)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"Interrupted while {step.called}. {self._state()}") from None
            except WorkbenchError as error:
                with suppress(WorkbenchError, psycopg.Error):
                    self.catch_up()  # the record may be what failed, after the swap
                resumable = record.swapped or isinstance(error, DatabaseUnreachable)
                state = self._state() if resumable else self._fail(error)
                error.next_step = f"{error.next_step} {state}".strip()
                error.args = (f"{error.what} {error.next_step}",)
                raise
        self.progress("done", len(steps), len(steps))
        record.outcome = DONE
        record.note(ended=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", snapshot=self.request.snapshot)
        return record

    def clean_up(self) -> None:
        """Drop what was created, and start the application again."""
        facts = self.record.facts
        with self.wb.database.translate_errors():
            self.drop_half_made()
        if facts.get("stopped") and self.wb.options.app_start and not facts.get("restarted"):
            self.start()

    def _fail(self, error: WorkbenchError) -> str:
        """Clean up after a failure before the swap, and describe the result."""
        record = self.record
        try:
            self.clean_up()
        except WorkbenchError as trouble:
            return f"Cleaning up failed too: {trouble} {self._state()}"
        record.outcome = FAILED
        record.note(error=error.what)
        started = " The application was started again." if record.facts.get("restarted") else ""
        return f"Nothing was changed: {record.live} is as it was.{started}"

    def _state(self) -> str:
        """Describe the live database, and how to continue."""
        record, live, go_on = self.record, "as it was", GO_ON
        if record.swapped:
            live = "the restored one"
            go_on = "`workbench snapshot restore --resume` finishes; then --undo leads back."
        elif STEPS[self.request.way][self.position].name in {"swap", "replace"}:
            live = "complete: the previous or the restored one"
        stopped = record.facts.get("stopped") and not record.facts.get("restarted")
        application = " The application is stopped." if stopped else ""
        return f"The live database {record.live} is {live}.{application} {go_on}"

    def stop(self) -> None:
        """Stop the application if a command is configured; refuse early if a session would block the swap."""
        live = [self.record.live]
        if self.wb.options.app_stop:
            # Noted first: what may have stopped must be started again.
            self.record.note(stopped=True, restarted=False)
            self.app.stop(self.say)
        else:
            self.tell(
                f"no app_stop is configured; {len(connected(self.server, live))} sessions are connected"
            )
        if self.request.way != "in place":
            refuse_permanent(self.server, live)

    def back_up(self) -> None:
        """Take a safety backup of the live database, unless it has changed since the request was made."""
        record, request = self.record, self.request
        if not request.oid:
            return
        with self.at(record.live).session() as connection:
            tables = contents.live_tables(connection, request.target.schema)
        self._refuse_changes("the request was made", request.tables, tables)
        if record.safety_tables is None or contents.changed(record.safety_tables, tables):
            reason = f"before a restore of {record.environment}"
            backup = self.create_snapshot(reason=reason, of_anything=True)
            states = {name: asdict(state) for name, state in tables.items()}
            record.note(safety=str(backup.archive), safety_tables=states)

    def _refuse_changes(self, since: str, before: contents.Tables, after: contents.Tables) -> None:
        if different := contents.changed(before, after):
            raise Drift(
                f"{self.record.live} has changed since {since}: {', '.join(different)}.",
                f"{self.request.remedy} Stop the application first (`workbench app stop`).",
                tuple((table, "", f"was {old}, is {new}") for table, (old, new) in different.items()),
            )

    def fill(self) -> None:
        """Create a database with the live one's encoding and locale, and restore the archive into it."""
        record = self.record
        self.drop_half_made()
        # Noted first, so that the database is dropped even if this is killed right after creating it.
        name = databases.name_beside(record.live, f"_{record.request[-6:]}_{secrets.token_hex(3)}")
        record.note(new=name, new_oid=None)
        databases.create(self.server, name, self._properties()[0])
        self._mark_half_made()
        record.note(new_oid=self.existing[name].oid)
        unchecked = archives.restore(
            *(Path(self.request.file), self.new, self.wb.settings.client_tools, "--jobs=2"),
            advance=lambda what, done, of: self.tell(f"restoring {what}", done, of),
        )
        # pg_restore's commits were asynchronous. This synchronous one flushes them all, or a crash of the server could
        # lose the last indexes after the record has called this step done.
        self._mark_half_made()
        record.note(unchecked_keys=unchecked)

    def _properties(self) -> tuple[str, list[str], str]:
        """Return options, statements and comment for the new database: the live one's, as its safety backup has them."""
        archive = Path(self.record.facts.get("safety", self.request.file))
        return read_listing(archive, self.wb.settings.client_tools).properties_for(self.record.facts["new"])

    def _mark_half_made(self) -> None:
        record = self.record
        what = f"{HALF_MADE}, begun by {record.operator} at {record.facts['begun']}"
        comment = mark_of(record.request, record.live, what)
        databases.rename(self.server, {}, {record.facts["new"]: comment})

    def drop_half_made(self) -> None:
        """Drop the new database, if it was not swapped in: then none has its name any more."""
        if name := self.record.facts.get("new"):
            databases.drop(self.server, name)

    def verify(self) -> None:
        """Compare the new database with the manifest: tables, rows, digests."""
        with ThreadPoolExecutor(1) as pool, self.new.session(autocommit=True) as connection:
            analyzed = pool.submit(connection.execute, "ANALYZE")
            self._refuse_differences(self.new.session)
            analyzed.result()

    def _refuse_differences(self, connect: contents.Connect, workers: int = contents.WORKERS) -> None:
        manifest = Manifest.read(Path(self.request.file))
        actual = contents.contents_of(connect, manifest.target.schema, workers)
        if wrong := contents.differences(manifest.contents, actual):
            raise DocumentError(
                f"{manifest.snapshot} differs from its manifest: {wrong}.", "Use another snapshot."
            )

    def record_restore(self) -> None:
        """Record the restore in the database that will be the live one, before it is."""
        back = self.request.way == "swap back"
        if back and self.request.file not in self.existing:
            return  # the swap will say so
        journal = journal_of(self.at(self.record.live)) if back or self.live else None
        with (self.at(self.request.file) if back else self.new).writing() as connection:
            settled = self._record_in(connection, journal)
        self.record.note(settled=settled)

    def _record_in(self, connection: Session, journal: tuple[Entry, ...] | None) -> dict[str, Any]:
        """Reset the sync state (guide §7.3), write the audit entry (§5.1), and note which plans are no longer applied.

        Parameters
        ----------
        journal : tuple of Entry or None
            That of the database that is replaced.
        """
        request, record = self.request, self.record
        if (done := recorded(connection, record)) is not None:
            return done
        schema: Schema | None = None
        with suppress(NotMurmurant):
            schema = read_schema(connection, request.target.schema)
        known = {entry.approval for entry in applied_here(connection)}
        moments = {} if request.keep_sync_state or schema is None else moments_of(connection, schema)
        restored = Restored(
            request=request.id,
            approval=record.approval,
            approved_by=record.approved_by,
            restored_by=record.operator,
            restored_at=datetime.now(UTC).replace(microsecond=0),
            snapshot=request.snapshot,
            gone=None
            if journal is None
            else tuple(entry for entry in journal if entry.approval not in known),
        )
        emptied = _empty_sync_state(connection, schema, moments) if moments and schema else 0
        note_restore(connection, restored)
        file = Path(request.file).name
        facts = {
            "backup_file": file,
            "restored_from": file,
            "restore_time": restored.restored_at.isoformat(),
            "backup_sha256": request.sha256,
            "backup_created_at": request.created_at,
            "safety_backup": Path(record.facts.get("safety", "")).name,
            "operator": record.operator,
            "approved_by": record.approved_by,
            "request": request.id,
            "digest": request.digest,
        } | ({SYNC_STATE_WAS: moments} if moments else {})
        not_logged = "" if schema else "The restored database is not Murmurant's and has no audit log."
        try:
            if schema:
                about = str(uuid5(NAMESPACE_OID, request.digest))
                write_entry(connection, schema, RESTORED, facts, about=about)
        except NotMurmurant as error:
            not_logged = str(error)
        return _settled(restored) | {"sync_state": emptied, "not_logged": not_logged}

    def copy_properties(self) -> None:
        """Give the new database the live one's owner, rights and settings."""
        with self.server.transaction():
            for statement in self._properties()[1]:
                self.server.execute(statement.encode())

    def swap(self) -> None:
        """Make the new or the kept database the live one, and keep the previous one under a dated name."""
        record, request, live = self.record, self.request, self.live
        back, now = request.way == "swap back", f"{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"
        coming = request.file if back else record.facts["new"]
        new = self.existing.get(coming)
        if (live.oid if live else 0) != request.oid or new is None:
            raise Drift(
                f"{record.live} and {coming} are not the databases of the request.",
                f"They were replaced since. {request.remedy}",
            )
        renames = {coming: record.live}
        comments = {record.live: live.comment if live else ""}
        if live is not None:
            kept = databases.name_beside(record.live, f"_{'undone' if back else 'before'}_{now}")
            renames = {record.live: kept, **renames}
            comments[kept] = mark_of(record.request, record.live, f"kept at {now} UTC")
            record.note(kept=kept)
        record.note(new_oid=new.oid)
        record.note(swap_seconds=round(swap(self.wb.database, self.server, renames, comments), 4))

    def start(self) -> None:
        """Start the application if a command is configured."""
        if self.wb.options.app_start:
            self.app.start(self.say)
            self.record.note(restarted=True)

    def health(self) -> None:
        """Check the application's health, and note the findings."""
        findings = [
            {
                "check": finding.check,
                "status": finding.status,
                "reason": finding.reason or "; ".join(finding.rows.get("answer", [])),
            }
            for finding in self.app.health()
        ]
        self.record.note(health=findings)

    def find_late_writes(self) -> None:
        """Note which tables of the old database were written to after its backup: neither has these changes."""
        kept, before = self.record.facts.get("kept"), self.record.safety_tables
        if before is not None and kept in self.existing:
            with self.at(str(kept)).session() as connection:
                late = contents.changed(before, contents.live_tables(connection, self.request.target.schema))
            self.record.note(written_late=list(late))

    def replace(self) -> None:
        """Drop everything, restore, compare, record and commit in one transaction, if databases cannot be renamed.

        It is not pg_restore's own (``--single-transaction``), so that newer objects are dropped too and the result is
        compared before the commit. Nobody can read the tables meanwhile.
        """
        record, live = self.record, self.at(self.record.live)
        listing = read_listing(Path(self.request.file), self.wb.settings.client_tools)
        journal = journal_of(live)
        settings = {"lock_timeout": str(int(live.lock_timeout * 1000)), "maintenance_work_mem": "256MB"}
        with live.translate_errors("apply_timeout"), live.session(settings) as connection:
            if (settled := recorded(connection, record)) is None:
                self.tell("locking the tables")
                contents.lock_tables(connection, "ACCESS EXCLUSIVE")
                # What was written after the safety backup would be lost.
                tables = contents.live_tables(connection, live.address.schema)
                self._refuse_changes("its safety backup was taken", record.safety_tables or {}, tables)
                self.tell("dropping the contents")
                for (statement,) in connection.execute(_OBJECTS).fetchall():
                    connection.execute(statement)
                kept = [mark for marks in connection.execute(_KEPT) for mark in marks]
                entries = [
                    entry for entry in listing.entries if not any(mark in f"{entry} " for mark in kept)
                ]
                record.facts["unchecked_keys"] = restore_within(
                    connection, listing, live, "--clean", "--if-exists", entries=entries, advance=self.tell
                )
                connection.execute(
                    sql.SQL("SET search_path TO {}").format(sql.Identifier(live.address.schema))
                )
                self.tell("comparing the contents with the manifest")
                self._refuse_differences(lambda: nullcontext(connection), 1)
                settled = self._record_in(connection, journal)
                self.tell("committing")
        record.note(settled=settled)

    def catch_up(self) -> None:
        """Update the record with what the server committed before the restore was killed."""
        record, live = self.record, self.live
        if self.request.way == "in place":
            with self.at(record.live).writing() as connection:
                settled = recorded(connection, record)
            if settled is not None and "replace" not in record.done:
                record.note("stop", "safety", "replace", settled=settled)
        elif live is not None and live.oid == record.facts.get("new_oid"):
            record.note("swap")


def journal_of(live: Database) -> tuple[Entry, ...] | None:
    """Return every apply in the journal of the database that is replaced; None if it cannot be read."""
    try:
        with live.writing() as connection:
            return applied_here(connection)
    except WorkbenchError:
        return None  # it may be broken in any way, which is why it is replaced


def recorded(connection: Session, record: Record) -> dict[str, Any] | None:
    """Return what a restore that was then killed has recorded in a database; None if it has not."""
    own = (restore for restore in restores(connection) if restore.approval == record.approval)
    return next((_settled(restore) for restore in own), None)


def _settled(restored: Restored) -> dict[str, Any]:
    gone = None if restored.gone is None else len(restored.gone)
    return {
        "restore_time": restored.restored_at.isoformat(),
        "gone": gone,
        "sync_state": None,
        "not_logged": "",
    }


def moments_of(connection: Session, schema: Schema) -> dict[str, str]:
    """Return the latest value of each moment of the sync state, by its column; empty ones are left out."""
    if not (names := schema.sync_moments):
        return {}
    columns = sql.SQL(", ").join(sql.SQL("max({})::text").format(sql.Identifier(name)) for name in names)
    statement = sql.SQL("SELECT {} FROM {}").format(columns, _sync_state(schema))
    [latest] = connection.execute(statement)
    return {name: value for name, value in zip(names, latest, strict=True) if value}


def _empty_sync_state(connection: Session, schema: Schema, moments: dict[str, str]) -> int:
    columns = [sql.Identifier(name) for name in moments]
    statement = sql.SQL("UPDATE {} SET {} WHERE num_nonnulls({}) > 0").format(
        _sync_state(schema),
        sql.SQL(", ").join(sql.SQL("{} = NULL").format(column) for column in columns),
        sql.SQL(", ").join(columns),
    )
    return connection.execute(statement).rowcount


def _sync_state(schema: Schema) -> sql.Identifier:
    return sql.Identifier(schema.catalogue.schema, schema.resolved["sync_state"].table)


@dataclass(frozen=True)
class Step:
    """A step: its name in the record, its description while it runs, and its method."""

    name: str
    called: str
    carry_out: Callable[[Restore], None]


_ALL = [
    Step("stop", "stopping the application", Restore.stop),
    Step("safety", "backing up the live database", Restore.back_up),
    Step("replace", "replacing the contents in one transaction", Restore.replace),
    Step("fill", "restoring into a new database", Restore.fill),
    Step("verify", "comparing it with the manifest", Restore.verify),
    Step("record", "recording the restore in it", Restore.record_restore),
    Step("properties", "copying owner, rights and settings", Restore.copy_properties),
    Step("swap", "swapping", Restore.swap),
    Step("start", "starting the application", Restore.start),
    Step("health", "checking the application's health", Restore.health),
    Step("late writes", "looking for late writes", Restore.find_late_writes),
]

STEPS: dict[Way, list[Step]] = {
    "swap": [step for step in _ALL if step.name != "replace"],
    "swap back": [step for step in _ALL if step.name in ("stop", "record", "swap", "start", "health")],
    "in place": [step for step in _ALL if step.name in ("stop", "safety", "replace", "start", "health")],
}
