"""A restore and its steps: into a new database that is renamed, and the way back (guide §3, level 2).

Until the swap the live database is only read; the swap is one transaction; after it nothing is left but to start
the application and to look. So killed at any moment, the live name holds a whole database: the old one or the new.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.database import archives, databases
from workbench.database.connection import Database, Session
from workbench.database.databases import name_beside
from workbench.database.exclusion import HALF_MADE, mark_of, read_mark
from workbench.errors import DocumentError, Drift, Refused
from workbench.session import Session as Workbench
from workbench.snapshots.application import Application, Say
from workbench.snapshots.contents import SHOWN, WORKERS, Connect, contents_of, differences
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.request import Record, Request
from workbench.snapshots.restore.settling import settle
from workbench.snapshots.restore.swap import others, refuse_who_stays, swap
from workbench.snapshots.restore.tables import changed, tables_in

Progress = Callable[[str, int, int], None]
"""Told what begins, how many steps are done, and how many there are."""


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
    live = restore.record.live
    if restore.wb.options.app_stop:
        # Noted first: what may have stopped must be started again.
        restore.record.note(stopped=True, restarted=False)
        restore.app.stop(restore.say)
    else:
        connected = len(others(restore.beside, [live]))
        restore.record.note(stopped=False, connected=connected)
        restore.tell(f"no app_stop is configured; {connected} sessions are connected")
    if restore.request.way != "in place":
        refuse_who_stays(restore.beside, [live])


def back_up(restore: Restore) -> None:
    """Back the live database up, and refuse when it is not what whoever approved saw."""
    record, request = restore.record, restore.request
    if not request.oid:
        return
    with restore.at(record.live).session() as connection:
        now = tables_in(connection, request.target.schema)
    if different := changed(request.tables, now):
        more = f" and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
        raise Drift(
            f"{record.live} has changed since what a restore would lose was shown: {', '.join(list(different)[:SHOWN])}{more}.",
            f"{request.remedy} It shows what would be lost now; stop the application first (`workbench app stop`), or it"
            " will change again.",
            tuple(
                (table, "", f"was {_told(was)}, is {_told(is_)}") for table, (was, is_) in different.items()
            ),
        )
    if record.safety_tables is None or changed(record.safety_tables, now):
        made = restore.create_snapshot(reason=f"before a restore of {record.environment}", of_anything=True)
        tables = {name: asdict(state) for name, state in now.items()}
        record.note(safety=str(made.archive), safety_tables=tables)


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
    live = restore.at(restore.record.live) if restore.live else None
    restore.record.note(settled=settle(restore.new, restore.request, restore.record, live))


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


def swap_new(restore: Restore) -> None:
    """Let the new database be the live one, and keep the old one under a dated name."""
    record, live, now = restore.record, restore.live, datetime.now(UTC)
    renames, comments = {str(record.facts["new"]): record.live}, {record.live: str(record.facts["comment"])}
    if live is not None:
        if live.oid != restore.request.oid:
            raise Drift(
                f"{record.live} is not the database that it was when the restore was asked for.",
                f"Somebody put another one in its place. {restore.request.remedy}",
            )
        kept = name_beside(record.live, f"_before_{now:%Y%m%d_%H%M%S}")
        renames = {record.live: kept, **renames}
        comments[kept] = mark_of(record.request, record.live, f"kept at {now:%Y-%m-%d %H:%M:%S} UTC")
        record.note(kept=kept)
    seconds = swap(restore.wb.database, restore.beside, renames, comments)
    record.note(swap_seconds=round(seconds, 4), downtime_end=now.isoformat())


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
        {"check": each.check, "status": each.status, "configured": each.configured,
         "reason": each.reason or "; ".join(each.rows.get("answer", []))}
        for each in restore.app.health()
    ]  # fmt: skip
    restore.record.note(health=findings)


def look_back(restore: Restore) -> None:
    """Look whether somebody wrote to the old database after its backup: that is in neither of the two."""
    kept, was = restore.record.facts.get("kept"), restore.record.safety_tables
    if was is not None and kept in restore.standing:
        with restore.at(str(kept)).session() as connection:
            late = changed(was, tables_in(connection, restore.request.target.schema))
        restore.record.note(written_late=list(late))


def settle_kept(restore: Restore) -> None:
    """Write into the kept database what it takes away in its turn: the plans that were applied since, and who did it."""
    kept, record = restore.request.kept, restore.record
    if kept in restore.standing:  # else there is nothing to go back to, as is said next
        record.note(settled=settle(restore.at(kept), restore.request, record, restore.at(record.live)))


def swap_back(restore: Restore) -> None:
    """Put the database that a restore kept back under the live name; the restored one is kept instead."""
    record, request, live = restore.record, restore.request, restore.live
    kept = restore.standing.get(request.kept)
    if kept is None or live is None or live.oid != request.oid:
        raise Refused(
            f"{record.live} and {request.kept} are not the databases that they were.",
            "`workbench snapshot restore --undo` anew shows what there is.",
        )
    aside = name_beside(record.live, f"_undone_{datetime.now(UTC):%Y%m%d_%H%M%S}")
    record.note(new_oid=kept.oid, kept=aside)
    renames = {record.live: aside, request.kept: record.live}
    comments = {record.live: live.comment, aside: mark_of(record.request, record.live, "put aside")}
    record.note(swap_seconds=round(swap(restore.wb.database, restore.beside, renames, comments), 4))


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


def _told(state: Any) -> str:
    return "not there" if state is None else f"{state.rows:,} rows, {state.digest[:12] or 'no digest'}"


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
    Step("swap", "swapping", swap_new),
    *AFTER,
    Step("look back", "looking for late writes", look_back),
]

SWAP_BACK = [
    STOP,
    Step("settle", "writing what was done into the database that was kept", settle_kept),
    Step("swap", "swapping back", swap_back),
    *AFTER,
]
