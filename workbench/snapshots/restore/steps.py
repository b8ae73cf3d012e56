"""A restore and its steps: into a new database that is renamed, in place, and the way back (guide §3, level 2).

Until the swap the live database is only read; the swap is one transaction; after it nothing is left but to start
the application and to look. So killed at any moment, the live name holds a whole database: the old one or the new.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from workbench.database import archives, databases
from workbench.database.archives import read_listing, restore_within
from workbench.database.connection import Database, Session
from workbench.database.databases import name_beside
from workbench.database.exclusion import HALF_MADE, mark_of, read_mark
from workbench.errors import DocumentError, Drift, Refused
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
from workbench.snapshots.restore.request import Record, Request
from workbench.snapshots.restore.settling import journal_of, settle, settled_before

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

_PATIENCE = 3.0  # seconds for sessions to end when they are told to

_PAUSE = 0.05

# By the database's number: once it is renamed, whoever comes by the live name is in the new one. Of others' sessions a user
# without further rights sees little, not even their kind; but whose they are.
_OTHERS = """
    SELECT a.pid, a.usename::text, a.application_name,
        (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        OR NOT r.rolsuper AND (pg_has_role(r.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')) AS may_be_ended
    FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
    WHERE a.datid = ANY(%s::oid[]) AND a.pid <> pg_backend_pid()
"""

_END = f"SELECT count(pg_terminate_backend(pid)) FROM ({_OTHERS} OFFSET 0) others WHERE may_be_ended"

Sessions = list[tuple[int, str, str, bool]]


@dataclass
class Restore:
    """A restore that is under way: what its steps share.

    Attributes
    ----------
    create_snapshot : callable
        Takes the safety backup.
    beside : psycopg.Connection
        A session at another database of the server, which holds the lock.
    progress, say : callable
        Told every step, and what the application's commands write.
    """

    wb: Workbench
    app: Application
    create_snapshot: Callable[..., Manifest]
    request: Request
    record: Record
    beside: Session
    progress: Progress
    say: Say | None = None
    place: int = 0
    total: int = 0

    @property
    def tools(self) -> Path | None:
        """The configured folder of client programs."""
        return self.wb.settings.client_tools

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
        return archives.read_listing(archive, self.tools).properties_for(self.new.address.database)

    def tell(self, what: str, done: int = 0, of: int = 0) -> None:
        """Tell what is under way within a step."""
        share = f" ({done:,} of {of:,})" if of else ""
        self.progress(f"{what}{share}", self.place, self.total)


@dataclass(frozen=True)
class Step:
    """One step: its name in the record, what it is called while it runs, and how it is done."""

    name: str
    called: str
    carry_out: Callable[[Restore], None]


def stop(restore: Restore) -> None:
    """Stop the application; where nobody said how, tell who is connected. Refuse early whoever would keep the swap off."""
    live = [restore.record.live]
    if restore.wb.options.app_stop:
        # Noted first: what may have stopped must be started again.
        restore.record.note(stopped=True, restarted=False)
        restore.app.stop(restore.say)
    else:
        connected = len(others(restore.beside, live))
        restore.record.note(stopped=False, connected=connected)
        restore.tell(f"no app_stop is configured; {connected} sessions are connected")
    if restore.request.way != "in place":
        refuse_who_stays(restore.beside, live)


def back_up(restore: Restore) -> None:
    """Back the live database up, and refuse when it is not what whoever approved saw."""
    record, request = restore.record, restore.request
    if not request.oid:
        return
    with restore.at(record.live).session() as connection:
        now = live_tables(connection, request.target.schema)
    refuse_changes(
        f"{record.live} has changed since what a restore would lose was shown", request, request.tables, now
    )
    if record.safety_tables is None or changed(record.safety_tables, now):
        made = restore.create_snapshot(reason=f"before a restore of {record.environment}", of_anything=True)
        tables = {name: asdict(state) for name, state in now.items()}
        record.note(safety=str(made.archive), safety_tables=tables)


def refuse_changes(what: str, request: Request, was: Tables, now: Tables) -> None:
    """Raise `Drift` where somebody has written to the live database since; `what` says since when."""
    if different := changed(was, now):
        raise Drift(
            f"{what}: {', '.join(different)}.",
            f"{request.remedy} It shows what would be lost now; stop the application first (`workbench app stop`).",
            tuple((table, "", f"was {was}, is {now}") for table, (was, now) in different.items()),
        )


def fill(restore: Restore) -> None:
    """Make a new database beside the live one, with its encoding and locale, and restore the archive into it."""
    record = restore.record
    drop_half_made(restore)
    # Noted first, so that one whose mark was never written can be found and dropped.
    name = name_beside(record.live, f"_{record.request[-6:]}_{secrets.token_hex(3)}")
    record.note(new=name, new_oid=None)
    databases.create(restore.beside, name, restore.properties()[0])
    _mark_half_made(restore)
    record.note(new_oid=restore.standing[name].oid)
    unchecked = archives.restore(
        *(restore.archive, restore.new, restore.tools, "--jobs=2"),
        advance=lambda what, done, of: restore.tell(f"restoring {what}", done, of),
    )
    # It did not wait for the disk. One commit that does takes everything before it along: without that a crash of
    # the server could lose the last indexes after the record has called this step done.
    _mark_half_made(restore)
    record.note(unchecked_keys=unchecked)


def verify(restore: Restore) -> None:
    """Compare the new database with the manifest: tables, rows, digests, sequences."""

    def analyse() -> None:
        with restore.new.session(autocommit=True) as connection:
            connection.execute("ANALYZE")

    with ThreadPoolExecutor(1) as other:
        analysed = other.submit(analyse)
        refuse_differences(restore, restore.new.session)
        analysed.result()


def refuse_differences(restore: Restore, connect: Connect, workers: int = WORKERS) -> None:
    """Raise `DocumentError` where a database does not hold what the manifest says."""
    manifest = Manifest.read(restore.archive)
    if wrong := differences(manifest.contents, contents_of(connect, workers), manifest.target.schema):
        raise DocumentError(
            f"What {manifest.snapshot} holds is not what its manifest says: {wrong}.", "Use another snapshot."
        )


def settle_new(restore: Restore) -> None:
    """Write into the new database what it must say of itself."""
    _settle(restore, restore.new, restore.live is not None)


def settle_kept(restore: Restore) -> None:
    """Write into the kept database what it takes away in its turn: the plans that were applied since, and who did it."""
    if restore.request.kept in restore.standing:  # else there is nothing to go back to, as is said next
        _settle(restore, restore.at(restore.request.kept), True)


def _settle(restore: Restore, database: Database, replaces: bool) -> None:
    before = journal_of(restore.at(restore.record.live)) if replaces else None
    with database.writing() as connection:
        settled = settle(connection, restore.request, restore.record, before)
    restore.record.note(settled=settled)


def liken(restore: Restore) -> None:
    """Give the new database the live one's owner, rights and settings, as its safety backup has them."""
    beside, live = restore.beside, restore.live
    _, statements, comment = restore.properties()
    said = live.comment if live else ""
    with beside.transaction():
        for statement in statements:
            beside.execute(statement.encode())
        if live is None and comment:
            # For a moment, so that the server takes the text out of its quotes; until the swap it says something else.
            with beside.transaction(force_rollback=True):
                beside.execute(comment.encode())
                said = restore.standing[restore.new.address.database].comment
    restore.record.note(comment=said)


def swap_in(restore: Restore) -> None:
    """Let the new database, or the one that is put back, be the live one; keep what was live under a dated name."""
    record, request, live = restore.record, restore.request, restore.live
    back, now = request.way == "swap back", f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
    coming = request.kept if back else str(record.facts["new"])
    new = restore.standing.get(coming)
    if (live.oid if live else 0) != request.oid or new is None:
        raise Drift(
            f"{record.live} and {coming} are not the databases that they were when this was asked for.",
            f"Somebody put others in their place. {request.remedy}",
        )
    renames = {coming: record.live}
    comments = {record.live: live.comment if live and back else str(record.facts.get("comment", ""))}
    if live is not None:
        kept = name_beside(record.live, f"_{'undone' if back else 'before'}_{now}")
        renames = {record.live: kept, **renames}
        comments[kept] = mark_of(record.request, record.live, f"kept at {now} UTC")
        record.note(kept=kept)
    record.note(new_oid=new.oid)
    record.note(swap_seconds=round(swap(restore.wb.database, restore.beside, renames, comments), 4))


def start(restore: Restore) -> None:
    """Start the application, where the environment says how."""
    if not restore.wb.options.app_start:
        restore.tell("no app_start is configured; start the application yourself")
        return
    restore.app.start(restore.say)
    restore.record.note(restarted=True)


def health(restore: Restore) -> None:
    """Ask the application how it is, and remember what it said."""
    findings = [
        {
            **{name: getattr(each, name) for name in ("check", "status", "configured")},
            "reason": each.reason or "; ".join(each.rows.get("answer", [])),
        }
        for each in restore.app.health()
    ]
    restore.record.note(health=findings)


def look_back(restore: Restore) -> None:
    """Look whether somebody wrote to the old database after its backup: that is in neither of the two."""
    kept, was = restore.record.facts.get("kept"), restore.record.safety_tables
    if was is not None and kept in restore.standing:
        with restore.at(str(kept)).session() as connection:
            late = changed(was, live_tables(connection, restore.request.target.schema))
        restore.record.note(written_late=list(late))


def drop_half_made(restore: Restore) -> None:
    """Drop the databases that this restore made and did not finish."""
    record = restore.record
    for each in restore.standing.values():
        # One that was killed before it could mark its database as its own had noted the name.
        named = each.name == record.facts.get("new") and record.facts.get("new_oid") is None
        request, what = read_mark(each.comment, record.live)
        ours = request == record.request and what.startswith(HALF_MADE)
        if ours or (named and not each.comment):
            databases.drop(restore.beside, each.name)


def _mark_half_made(restore: Restore) -> None:
    """Let the new database say whose it is, committed to the disk."""
    record = restore.record
    whose = f"{HALF_MADE}, begun by {record.operator} at {record.facts['begun']}"
    mark = mark_of(record.request, record.live, whose)
    databases.rename(restore.beside, {}, {str(record.facts["new"]): mark})


def replace_contents(restore: Restore) -> None:
    """Drop everything, restore everything, compare, settle, commit: one transaction, where nothing may be renamed.

    It is ours and not pg_restore's own (``--single-transaction``): what is newer than the snapshot goes as well, and what
    came out is compared before the commit. Nobody can look at the tables meanwhile.
    """
    record, request = restore.record, restore.request
    live, listing = restore.at(record.live), read_listing(restore.archive, restore.tools)
    before = journal_of(live)
    settings = {"lock_timeout": str(int(live.lock_timeout * 1000)), "maintenance_work_mem": "256MB"}
    with live.speaking_plainly("apply_timeout"), live.session(settings) as driver:
        if (done := settled_before(driver, record)) is not None:
            record.note(settled=done)
            return
        restore.tell("keeping everybody else out")
        if tables := driver.execute(_TABLES).fetchall():
            names = sql.SQL(", ").join(sql.Identifier(*each) for each in tables)
            driver.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
        # What was written after the safety backup would be nowhere any more.
        since = f"Somebody wrote to {record.live} after its safety backup was taken"
        refuse_changes(since, request, record.safety_tables or {}, live_tables(driver, live.address.schema))
        restore.tell("dropping what is there")
        refuse_what_is_not_ours(driver)
        for statement, *_ in driver.execute(_OBJECTS).fetchall():
            driver.execute(statement)
        kept = [mark for marks in driver.execute(_KEPT) for mark in marks]
        entries = [entry for entry in listing.entries if not any(mark in f"{entry} " for mark in kept)]
        record.facts["unchecked_keys"] = restore_within(
            driver, listing, live, "--clean", "--if-exists", entries=entries, advance=restore.tell
        )
        driver.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(live.address.schema)))
        restore.tell("comparing the contents with the manifest")
        refuse_differences(restore, lambda: nullcontext(driver), 1)
        settled = settle(driver, request, record, before)
        restore.tell("committing")
    record.note(settled=settled)


def settle_replacement(restore: Restore) -> None:
    """Find out whether a replacement was committed of which the record does not know."""
    record = restore.record
    with restore.at(record.live).writing() as connection:
        done = settled_before(connection, record)
    if done is not None and "replace" not in record.done:
        record.note("stop", "safety", "replace", settled=done)


def refuse_what_is_not_ours(connection: Session) -> None:
    """Refuse where something belongs to others, and could not be dropped."""
    if others := connection.execute(_NOT_OURS).fetchall():
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise Refused(
            f"{others[0][0]}{more} belongs to {others[0][1]}, so the database user may not replace it.",
            "Restore as its owner. Nothing was changed.",
        )


def swap(
    database: Database, beside: Session, renames: Mapping[str, str], comments: Mapping[str, str]
) -> float:
    """Rename databases in one transaction, all or none.

    Parameters
    ----------
    database : Database
        The live one.
    beside : psycopg.Connection
        At a database that is not renamed.
    renames : mapping of str to str
        Old name to new, in order; the live one first, if it is there.
    comments : mapping of str to str
        New name to the database's comment from then on; empty for none.

    Returns
    -------
    float
        How long the live name was locked, seconds.

    Raises
    ------
    Refused
        When somebody cannot be disconnected, or a prepared transaction waits in one of them; nothing was renamed.
    """
    names = list(renames)
    refuse_prepared(beside, names)
    refuse_who_stays(beside, names)
    there = databases.standing(beside)
    numbers = [there[name].oid for name in names if name in there]
    beside.execute(_END, [numbers])
    done = threading.Event()

    def keep_out() -> None:
        # What could not be ended shows in the rename, which says so.
        with suppress(psycopg.Error), database.at(beside.info.dbname).session(autocommit=True) as connection:
            while not done.wait(0.01):
                connection.execute(_END, [numbers[:1]])

    guard = threading.Thread(target=keep_out)
    guard.start()
    try:
        deadline = time.monotonic() + _PATIENCE
        while others(beside, names) and time.monotonic() < deadline:
            time.sleep(0.002)
        begun = time.perf_counter()
        databases.rename(beside, renames, comments)
        return time.perf_counter() - begun
    except psycopg.errors.ObjectInUse:  # though the server waits some seconds for them
        raise _stayed(names, others(beside, names)) from None
    finally:
        done.set()
        guard.join()


def others(beside: Session, names: list[str]) -> Sessions:
    """Return who is connected to these databases: process, user, application, and whether this user may end that."""
    there = databases.standing(beside)
    return beside.execute(_OTHERS, [[there[name].oid for name in names if name in there]]).fetchall()


def refuse_who_stays(beside: Session, names: list[str]) -> None:
    """Refuse while somebody is connected whose session this user may not end."""
    deadline = time.monotonic() + _PATIENCE
    while staying := [each for each in others(beside, names) if not each[-1]]:
        if time.monotonic() > deadline:
            raise _stayed(names, staying)
        time.sleep(_PAUSE)


def _stayed(names: list[str], sessions: Sessions) -> Refused:
    who = "; ".join(f"{user} ({called or 'unnamed'}, pid {pid})" for pid, user, called, _ in sessions)
    return Refused(
        f"Somebody stayed connected to {names[0]}, and it could not be renamed: {who or 'gone by now'}.",
        "Stop what is connected; or let the database user end other people's sessions (GRANT pg_signal_backend;"
        " those of superusers a superuser alone can end). Nothing was renamed.",
    )


def refuse_prepared(beside: Session, names: list[str]) -> None:
    """Refuse while a prepared transaction waits in one of these databases: it holds its locks until somebody ends it."""
    rows = beside.execute(
        "SELECT gid, database::text, owner::text, prepared AT TIME ZONE 'UTC' FROM pg_prepared_xacts"
        " WHERE database = ANY(%s) ORDER BY prepared",
        [names],
    )
    for number, database, owner, since in rows:
        raise Refused(
            f"The prepared transaction {number!r} of {owner} waits in {database} since {since:%Y-%m-%d %H:%M:%S} UTC,"
            " which can neither be renamed nor replaced until it ends.",
            f"Whoever prepared it knows which: COMMIT PREPARED {number!r} or ROLLBACK PREPARED {number!r}, in"
            f" {database}. Nothing was changed.",
        )


STOP = Step("stop", "stopping the application", stop)
SAFETY = Step("safety", "backing the live database up", back_up)
AFTER = [
    Step("start", "starting the application", start),
    Step("health", "asking the application how it is", health),
]

SWAP = [
    STOP,
    SAFETY,
    Step("fill", "restoring into a new database", fill),
    Step("verify", "comparing it with the manifest", verify),
    Step("settle", "writing what was done into it", settle_new),
    Step("liken", "giving it the live one's owner, rights and settings", liken),
    Step("swap", "swapping", swap_in),
    *AFTER,
    Step("look back", "looking for late writes", look_back),
]

SWAP_BACK = [
    STOP,
    Step("settle", "writing what was done into the database that was kept", settle_kept),
    Step("swap", "swapping back", swap_in),
    *AFTER,
]

IN_PLACE = [
    STOP,
    SAFETY,
    Step("replace", "replacing the contents in one transaction", replace_contents),
    *AFTER,
]
