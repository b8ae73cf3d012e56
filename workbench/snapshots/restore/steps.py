"""A restore and its steps: into a new database that is renamed, in place, and the way back (guide §3, level 2).

Until the swap the live database is only read; the swap is one transaction; after it nothing is left but to start
the application and to look. So killed at any moment, the live name holds a whole database: the old one or the new.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from psycopg import sql

from workbench.database import archives, databases
from workbench.database.archives import read_listing, restore_within
from workbench.database.connection import Database, Session
from workbench.database.exclusion import HALF_MADE, mark_of, read_mark
from workbench.errors import DatabaseUnreachable, DocumentError, Drift, Refused, WorkbenchError
from workbench.session import Session as Workbench
from workbench.snapshots.application import Application, Say
from workbench.snapshots.contents import (
    WORKERS,
    Connect,
    Tables,
    changed,
    contents_of,
    differences,
    live_tables,
)
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.request import DONE, FAILED, GO_ON, Record, Request, Way
from workbench.snapshots.restore.settling import journal_of, settle, settled_before
from workbench.snapshots.restore.swapping import connected, refuse_who_stays, swap

Progress = Callable[[str, int, int], None]
"""Told what begins, how many steps are done, and how many there are."""

_OWN_SCHEMAS = """
    SELECT n.oid FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
"""

_TABLES = f"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN ({_OWN_SCHEMAS}) ORDER BY 1, 2
"""

# What no extension brought and the system does not own: it goes, also what is newer than the snapshot.
_OBJECTS = f"""
    SELECT format('DROP %s IF EXISTS %s CASCADE', replace(i.type, 'composite ', ''), i.identity), i.identity, o.owner
    FROM (
        SELECT 1, 'pg_class'::regclass, oid, relnamespace, relowner FROM pg_class WHERE relkind = ANY ('{{r,p,v,m,f,S,c}}')
        UNION ALL SELECT 2, 'pg_proc'::regclass, oid, pronamespace, proowner FROM pg_proc
        UNION ALL SELECT 3, 'pg_type'::regclass, oid, typnamespace, typowner FROM pg_type WHERE typtype IN ('e', 'd', 'r')
    ) o (place, class, oid, schema, owner), pg_identify_object(o.class, o.oid, 0) i
    WHERE o.schema IN ({_OWN_SCHEMAS})
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype IN ('e', 'i'))
    ORDER BY o.place, i.identity
"""

_NOT_OURS = (
    f"SELECT identity, pg_get_userbyid(owner) FROM ({_OBJECTS}) o WHERE NOT pg_has_role(owner, 'USAGE')"
)

# How an archive's list speaks of the schemas and extensions that stay.
_KEPT = f"""
    SELECT format(' %s - %s ', kind, name), format(' COMMENT - %s %s ', kind, name) FROM (
        SELECT 'SCHEMA', nspname FROM pg_namespace WHERE oid IN ({_OWN_SCHEMAS})
        UNION ALL SELECT 'EXTENSION', extname FROM pg_extension) kept (kind, name)
"""


@dataclass
class Restore:
    """A restore that is under way.

    Attributes
    ----------
    create_snapshot : callable
        Takes the safety backup.
    beside : psycopg.Connection
        A session at another database of the server, which holds the lock.
    progress, say : callable
        Told every step, and what the application's commands write.
    place : int
        The step that it is at.
    """

    wb: Workbench
    app: Application
    create_snapshot: Callable[..., Manifest]
    request: Request
    record: Record
    beside: Session
    progress: Progress
    say: Say | None
    place: int = 0

    @property
    def steps(self) -> list[Step]:
        """Its steps."""
        return STEPS[self.request.way]

    @property
    def archive(self) -> Path:
        """The snapshot's archive."""
        return Path(self.request.file)

    @property
    def standing(self) -> dict[str, databases.Standing]:
        """The databases of the server."""
        return databases.standing(self.beside)

    @property
    def live(self) -> databases.Standing | None:
        """The database that has the live name, if there is one."""
        return self.standing.get(self.record.live)

    @property
    def new(self) -> Database:
        """The database that is made beside the live one."""
        return self.at(str(self.record.facts["new"]))

    def at(self, name: str) -> Database:
        """Return a database of the server."""
        return self.wb.database.at(name)

    def properties(self) -> tuple[str, list[str], str]:
        """Return what the live database itself is like, for the new one: as its safety backup has it, if there is one."""
        archive = Path(self.record.facts.get("safety", self.request.file))
        listing = read_listing(archive, self.wb.settings.client_tools)
        return listing.properties_for(self.new.address.database)

    def tell(self, what: str, done: int = 0, of: int = 0) -> None:
        """Tell what is under way within a step."""
        share = f" ({done:,} of {of:,})" if of else ""
        self.progress(f"{what}{share}", self.place, len(self.steps))

    def carry_out(self) -> Record:
        """Do the steps that are not done yet; after a failure before the swap put everything back.

        A server that was lost, and ctrl-C, leave what was done, to be resumed; the message says what stands.
        """
        record = self.record
        for place, step in enumerate(self.steps):
            if step.name in record.done:
                continue
            self.place, begun = place, perf_counter()
            try:
                self.tell(step.called)
                with self.wb.database.translate_errors():
                    step.carry_out(self)
                seconds = {**record.facts.get("seconds", {}), step.name: round(perf_counter() - begun, 3)}
                record.note(step.name, seconds=seconds)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"Interrupted while {step.called}. {self._state()}") from None
            except WorkbenchError as error:
                stays = record.swapped or isinstance(error, DatabaseUnreachable)
                error.next_step = f"{error.next_step} {self._state() if stays else self._fail(error)}".strip()
                error.args = (f"{error.what} {error.next_step}",)
                raise
        self.progress("done", len(self.steps), len(self.steps))
        record.outcome = DONE
        record.note(ended=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", snapshot=self.request.snapshot)
        return record

    def put_back(self) -> None:
        """Drop what was made, and start the application."""
        facts = self.record.facts
        with self.wb.database.translate_errors():
            self.drop_half_made()
        if facts.get("stopped") and self.wb.options.app_start and not facts.get("restarted"):
            self.start()

    def _fail(self, error: WorkbenchError) -> str:
        """After a failure before the swap: put everything back, and say how it stands."""
        record = self.record
        try:
            self.put_back()
        except WorkbenchError as trouble:
            return f"Putting things back failed as well: {trouble} {self._state()}"
        record.outcome = FAILED
        record.note(error=error.what)
        started = " The application was started again." if record.facts.get("restarted") else ""
        return f"Nothing was changed: {record.live} is as it was.{started}"

    def _state(self) -> str:
        """Say what stands, and what can be done: one that has swapped is not given up any more."""
        record, live, go_on = self.record, "as it was", GO_ON
        if record.swapped:
            live = "what was restored"
            go_on = "`workbench snapshot restore --resume` finishes it; then --undo leads back."
        elif self.steps[self.place].name in {"swap", "replace"}:
            live = "whole: the one that was there, or the restored one"
        stopped = record.facts.get("stopped") and not record.facts.get("restarted")
        application = " The application is stopped." if stopped else ""
        return f"The live database {record.live} is {live}.{application} {go_on}"

    def stop(self) -> None:
        """Stop the application; where nobody said how, tell who is connected. Refuse early whoever would keep the swap off."""
        live = [self.record.live]
        if self.wb.options.app_stop:
            # Noted first: what may have stopped must be started again.
            self.record.note(stopped=True, restarted=False)
            self.app.stop(self.say)
        else:
            sessions = len(connected(self.beside, live))
            self.record.note(stopped=False, connected=sessions)
            self.tell(f"no app_stop is configured; {sessions} sessions are connected")
        if self.request.way != "in place":
            refuse_who_stays(self.beside, live)

    def back_up(self) -> None:
        """Back the live database up, and refuse when it is not what whoever approved saw."""
        record, request = self.record, self.request
        if not request.oid:
            return
        with self.at(record.live).session() as connection:
            tables = live_tables(connection, request.target.schema)
        self._refuse_changes("what a restore would lose was shown", request.tables, tables)
        if record.safety_tables is None or changed(record.safety_tables, tables):
            backup = self.create_snapshot(
                reason=f"before a restore of {record.environment}", of_anything=True
            )
            states = {name: asdict(state) for name, state in tables.items()}
            record.note(safety=str(backup.archive), safety_tables=states)

    def _refuse_changes(self, since: str, was: Tables, now: Tables) -> None:
        """Raise `Drift` where somebody has written to the live database since."""
        if different := changed(was, now):
            raise Drift(
                f"{self.record.live} has changed since {since}: {', '.join(different)}.",
                f"{self.request.remedy} It shows what would be lost now; stop the application first (`workbench app stop`).",
                tuple((table, "", f"was {was}, is {now}") for table, (was, now) in different.items()),
            )

    def fill(self) -> None:
        """Make a new database beside the live one, with its encoding and locale, and restore the archive into it."""
        record = self.record
        self.drop_half_made()
        # Noted first, so that one whose mark was never written can be found and dropped.
        name = databases.name_beside(record.live, f"_{record.request[-6:]}_{secrets.token_hex(3)}")
        record.note(new=name, new_oid=None)
        databases.create(self.beside, name, self.properties()[0])
        self._mark_half_made()
        record.note(new_oid=self.standing[name].oid)
        unchecked = archives.restore(
            *(self.archive, self.new, self.wb.settings.client_tools, "--jobs=2"),
            advance=lambda what, done, of: self.tell(f"restoring {what}", done, of),
        )
        # It did not wait for the disk. One commit that does takes everything before it along: without that a crash of
        # the server could lose the last indexes after the record has called this step done.
        self._mark_half_made()
        record.note(unchecked_keys=unchecked)

    def verify(self) -> None:
        """Compare the new database with the manifest: tables, rows, digests, sequences."""
        with ThreadPoolExecutor(1) as pool, self.new.session(autocommit=True) as connection:
            analysed = pool.submit(connection.execute, "ANALYZE")
            self._refuse_differences(self.new.session)
            analysed.result()

    def _refuse_differences(self, connect: Connect, workers: int = WORKERS) -> None:
        """Raise `DocumentError` where a database does not hold what the manifest says."""
        manifest = Manifest.read(self.archive)
        if wrong := differences(manifest.contents, contents_of(connect, workers), manifest.target.schema):
            raise DocumentError(
                f"What {manifest.snapshot} holds is not what its manifest says: {wrong}.",
                "Use another snapshot.",
            )

    def settle(self) -> None:
        """Write into the new database, or the one that is put back, what it must say of itself."""
        back = self.request.way == "swap back"
        if back and self.request.kept not in self.standing:
            return  # there is nothing to go back to, as is said next
        before = journal_of(self.at(self.record.live)) if back or self.live else None
        with (self.at(self.request.kept) if back else self.new).writing() as connection:
            settled = settle(connection, self.request, self.record, before)
        self.record.note(settled=settled)

    def liken(self) -> None:
        """Give the new database the live one's owner, rights and settings, as its safety backup has them."""
        live, beside = self.live, self.beside
        _, statements, comment = self.properties()
        text = live.comment if live else ""
        with beside.transaction():
            for statement in statements:
                beside.execute(statement.encode())
            if live is None and comment:
                # For a moment, so that the server takes the text out of its quotes; until the swap it says something else.
                with beside.transaction(force_rollback=True):
                    beside.execute(comment.encode())
                    text = self.standing[self.new.address.database].comment
        self.record.note(comment=text)

    def swap(self) -> None:
        """Let the new database, or the one that is put back, be the live one; keep what was live under a dated name."""
        record, request, live = self.record, self.request, self.live
        back, now = request.way == "swap back", f"{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"
        coming = request.kept if back else str(record.facts["new"])
        new = self.standing.get(coming)
        if (live.oid if live else 0) != request.oid or new is None:
            raise Drift(
                f"{record.live} and {coming} are not the databases that they were when this was asked for.",
                f"Somebody put others in their place. {request.remedy}",
            )
        renames = {coming: record.live}
        comments = {record.live: live.comment if live and back else str(record.facts.get("comment", ""))}
        if live is not None:
            kept = databases.name_beside(record.live, f"_{'undone' if back else 'before'}_{now}")
            renames = {record.live: kept, **renames}
            comments[kept] = mark_of(record.request, record.live, f"kept at {now} UTC")
            record.note(kept=kept)
        record.note(new_oid=new.oid)
        record.note(swap_seconds=round(swap(self.wb.database, self.beside, renames, comments), 4))

    def start(self) -> None:
        """Start the application, where the environment says how."""
        if not self.wb.options.app_start:
            self.tell("no app_start is configured; start the application yourself")
            return
        self.app.start(self.say)
        self.record.note(restarted=True)

    def health(self) -> None:
        """Ask the application how it is, and remember what it said."""
        findings = [
            {
                "check": finding.check,
                "status": finding.status,
                "configured": finding.configured,
                "reason": finding.reason or "; ".join(finding.rows.get("answer", [])),
            }
            for finding in self.app.health()
        ]
        self.record.note(health=findings)

    def look_back(self) -> None:
        """Look whether somebody wrote to the old database after its backup: that is in neither of the two."""
        kept, was = self.record.facts.get("kept"), self.record.safety_tables
        if was is not None and kept in self.standing:
            with self.at(str(kept)).session() as connection:
                late = changed(was, live_tables(connection, self.request.target.schema))
            self.record.note(written_late=list(late))

    def drop_half_made(self) -> None:
        """Drop the databases that this restore made and did not finish."""
        facts = self.record.facts
        for database in self.standing.values():
            request, what = read_mark(database.comment, self.record.live)
            ours = request == self.record.request and what.startswith(HALF_MADE)
            # One that was killed before it could mark its database as its own had noted the name.
            unmarked = database.name == facts.get("new") and facts.get("new_oid") is None
            if ours or (unmarked and not database.comment):
                databases.drop(self.beside, database.name)

    def _mark_half_made(self) -> None:
        """Let the new database say whose it is, committed to the disk."""
        record = self.record
        whose = f"{HALF_MADE}, begun by {record.operator} at {record.facts['begun']}"
        mark = mark_of(record.request, record.live, whose)
        databases.rename(self.beside, {}, {str(record.facts["new"]): mark})

    def replace(self) -> None:
        """Drop everything, restore everything, compare, settle, commit: one transaction, where nothing may be renamed.

        It is ours and not pg_restore's own (``--single-transaction``): what is newer than the snapshot goes as well, and what
        came out is compared before the commit. Nobody can look at the tables meanwhile.
        """
        record, live = self.record, self.at(self.record.live)
        listing = read_listing(self.archive, self.wb.settings.client_tools)
        before = journal_of(live)
        settings = {"lock_timeout": str(int(live.lock_timeout * 1000)), "maintenance_work_mem": "256MB"}
        with live.translate_errors("apply_timeout"), live.session(settings) as driver:
            if (settled := settled_before(driver, record)) is None:
                self.tell("keeping everybody else out")
                if tables := driver.execute(_TABLES).fetchall():
                    names = sql.SQL(", ").join(sql.Identifier(*table) for table in tables)
                    driver.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
                # What was written after the safety backup would be nowhere any more.
                tables_now = live_tables(driver, live.address.schema)
                self._refuse_changes("its safety backup was taken", record.safety_tables or {}, tables_now)
                self.tell("dropping what is there")
                refuse_what_is_not_ours(driver)
                for statement, *_ in driver.execute(_OBJECTS).fetchall():
                    driver.execute(statement)
                kept = [mark for marks in driver.execute(_KEPT) for mark in marks]
                entries = [
                    entry for entry in listing.entries if not any(mark in f"{entry} " for mark in kept)
                ]
                record.facts["unchecked_keys"] = restore_within(
                    driver, listing, live, "--clean", "--if-exists", entries=entries, advance=self.tell
                )
                driver.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(live.address.schema)))
                self.tell("comparing the contents with the manifest")
                self._refuse_differences(lambda: nullcontext(driver), 1)
                settled = settle(driver, self.request, record, before)
                self.tell("committing")
        record.note(settled=settled)

    def find_out(self) -> None:
        """Find out whether the server committed what the record does not know."""
        record, live = self.record, self.live
        if self.request.way == "in place":
            with self.at(record.live).writing() as connection:
                settled = settled_before(connection, record)
            if settled is not None and "replace" not in record.done:
                record.note("stop", "safety", "replace", settled=settled)
        elif live is not None and live.oid == record.facts.get("new_oid"):
            record.note("swap")


def refuse_what_is_not_ours(connection: Session) -> None:
    """Refuse where something belongs to others, and could not be dropped."""
    if others := connection.execute(_NOT_OURS).fetchall():
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise Refused(
            f"{others[0][0]}{more} belongs to {others[0][1]}, so the database user may not replace it.",
            "Restore as its owner. Nothing was changed.",
        )


@dataclass(frozen=True)
class Step:
    """One step: its name in the record, what it is called while it runs, and how it is done."""

    name: str
    called: str
    carry_out: Callable[[Restore], None]


_STOP = Step("stop", "stopping the application", Restore.stop)
_SAFETY = Step("safety", "backing the live database up", Restore.back_up)
_AFTER = [
    Step("start", "starting the application", Restore.start),
    Step("health", "asking the application how it is", Restore.health),
]

STEPS: dict[Way, list[Step]] = {
    "swap": [
        _STOP,
        _SAFETY,
        Step("fill", "restoring into a new database", Restore.fill),
        Step("verify", "comparing it with the manifest", Restore.verify),
        Step("settle", "writing what was done into it", Restore.settle),
        Step("liken", "giving it the live one's owner, rights and settings", Restore.liken),
        Step("swap", "swapping", Restore.swap),
        *_AFTER,
        Step("look back", "looking for late writes", Restore.look_back),
    ],
    "swap back": [
        _STOP,
        Step("settle", "writing what was done into the database that was kept", Restore.settle),
        Step("swap", "swapping back", Restore.swap),
        *_AFTER,
    ],
    "in place": [
        _STOP,
        _SAFETY,
        Step("replace", "replacing the contents in one transaction", Restore.replace),
        *_AFTER,
    ],
}
