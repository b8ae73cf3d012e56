"""A restore and its steps: into a new database that is renamed, and the way back (guide §3, level 2).

Until the swap the live database is only read; the swap is one transaction; after it nothing is left but to start
the application and to look. So killed at any moment, the live name holds a whole database: the old one or the new.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.database import databases, programs
from workbench.database.connection import SPELLING, WITHOUT_LIMITS, Database, Session
from workbench.database.databases import name_beside, properties_in
from workbench.database.exclusion import HALF_MADE, is_half_made, mark_of
from workbench.errors import DocumentError, Drift, NotMurmurant, Refused
from workbench.session import Session as Workbench
from workbench.snapshots.application import Application, Say
from workbench.snapshots.contents import SHOWN, WORKERS, Connect, contents_of, differences
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.request import Record, Request
from workbench.snapshots.restore.settling import settle
from workbench.snapshots.restore.swap import others, refuse_who_stays, swap
from workbench.snapshots.restore.tables import changed, tables_in

JOBS = 2

Progress = Callable[[str, int, int], None]
"""Told what begins, how many steps are done, and how many there are."""


@dataclass
class Restore:
    """A restore that is under way: what its steps share.

    Attributes
    ----------
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
    def living_archive(self) -> Path:
        """The archive that says what the live database itself is like: its safety backup, if there is one."""
        return Path(self.record.facts.get("safety", self.request.file))

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


def safety(restore: Restore) -> None:
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
        tables = {name: asdict(state) for name, state in now.items()}
        record.note(safety=str(_back_up(restore)), safety_tables=tables)


def create(restore: Restore) -> None:
    """Make a new database beside the live one, with its encoding and locale; an earlier half one goes."""
    record = restore.record
    drop_half_made(restore)
    standing, attempt = restore.standing, int(record.facts.get("attempt", 0)) + 1
    while (name := name_beside(record.live, f"_{record.request[-6:]}_{attempt}")) in standing:
        attempt += 1
    # Noted first, so that one whose mark was never written can be found and dropped.
    record.note(attempt=attempt, new=name, new_oid=None, filling=False)
    databases.create(restore.beside, name, properties_in(restore.living_archive, restore.tools, name)[0])
    _mark_half_made(restore)
    record.note(new_oid=restore.standing[name].oid)


def fill(restore: Restore) -> None:
    """Restore the archive into the new database."""
    record = restore.record
    new = restore.standing.get(str(record.facts["new"]))
    if new is None or new.oid != record.facts.get("new_oid") or record.facts.get("filling"):
        create(restore)  # an earlier attempt has filled a part of it
    record.note(filling=True)
    unchecked, _ = programs.restore(
        *(restore.archive, restore.new, restore.tools, f"--jobs={JOBS}"),
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
    beside, live, new = restore.beside, restore.live, restore.new.address.database
    _, statements, comment = properties_in(restore.living_archive, restore.tools, new)
    said = live.comment if live else ""
    with beside.transaction():
        for statement in statements:
            beside.execute(statement.encode())
        if live is None and comment:
            # For a moment, so that the server takes the text out of its quotes; until the swap it says something else.
            with beside.transaction(force_rollback=True):
                beside.execute(comment.encode())
                said = restore.standing[new].comment
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
    if kept is None or was is None or kept not in restore.standing:
        return
    with restore.at(kept).session() as connection:
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
    name, oid = record.facts.get("new"), record.facts.get("new_oid")
    for each in restore.standing.values():
        # One that was killed before it could mark its database as its own had noted the name.
        unmarked = each.name == name and oid is None and not each.comment
        if unmarked or is_half_made(each.comment, record.live, record.request):
            databases.drop(restore.beside, each.name)


def _mark_half_made(restore: Restore) -> None:
    """Let the new database say whose it is, committed to the disk."""
    record = restore.record
    whose = f"{HALF_MADE}, begun by {record.operator} at {record.facts['begun']}"
    mark = mark_of(record.request, record.live, whose)
    databases.rename(restore.beside, {}, {str(record.facts["new"]): mark})


def _back_up(restore: Restore) -> Path:
    """Take the safety backup: a snapshot with its manifest, or of what is not Murmurant's any more a bare dump."""
    try:
        reason = f"before a restore of {restore.record.environment}"
        return restore.create_snapshot(reason=reason).archive
    except NotMurmurant:
        live, folder = restore.at(restore.record.live), restore.wb.settings.backups
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"pre_restore_{datetime.now(UTC):%Y%m%d_%H%M%S}.dump"
    part = path.with_name(f".{path.name}.part")
    parameters = live.address.parameters(f"{WITHOUT_LIMITS}{SPELLING}")
    version = restore.beside.info.parameter_status("server_version") or ""
    program = programs.program_for("pg_dump", version, restore.tools, parameters)
    try:
        programs.dump(program, live, parameters, part)
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _told(state: Any) -> str:
    return "not there" if state is None else f"{state.rows:,} rows, {state.digest[:12] or 'no digest'}"


_STOP = Step("stop", "stopping the application", stop)
_SAFETY = Step("safety", "backing the live database up", safety)
_AFTER = [
    Step("start", "starting the application", start),
    Step("health", "asking the application how it is", health),
]

SWAP = [
    _STOP,
    _SAFETY,
    Step("create", "making a new database", create),
    Step("fill", "restoring into it", fill),
    Step("verify", "comparing it with the manifest", verify),
    Step("settle", "writing what was done into it", settle_new),
    Step("liken", "giving it the live one's owner, rights and settings", liken),
    Step("swap", "swapping", swap_new),
    *_AFTER,
    Step("look back", "looking for late writes", look_back),
]

SWAP_BACK = [
    _STOP,
    Step("settle", "writing what was done into the database that was kept", settle_kept),
    Step("swap", "swapping back", swap_back),
    *_AFTER,
]


def in_place(replace: Callable[[Restore], None]) -> list[Step]:
    """Return the steps around a replacement of the contents where they stand."""
    return [_STOP, _SAFETY, Step("replace", "replacing the contents in one transaction", replace), *_AFTER]
