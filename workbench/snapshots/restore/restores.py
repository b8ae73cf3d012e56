"""``wb.restores``: a restore of a snapshot asked for, carried out, gone on with, given up, taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from workbench.database.archives import Listing, read_listing
from workbench.database.connection import Database, Session
from workbench.database.databases import Standing, connect_beside, may_not_replace, standing
from workbench.database.exclusion import (
    HALF_MADE,
    RESTORING,
    hold_for_restore,
    read_mark,
    refuse_half_made,
    restoring,
    wait_for_writers,
)
from workbench.database.programs import program_for
from workbench.documents import Target, refuse_other_target, valid_approval
from workbench.errors import (
    DatabaseUnreachable,
    DocumentError,
    Drift,
    NotMurmurant,
    Refused,
    WorkbenchError,
    WrongEnvironment,
)
from workbench.plans.journal import restores
from workbench.session import Session as Workbench
from workbench.snapshots.application import Application, Say
from workbench.snapshots.archive import refuse_damaged, refuse_older_server
from workbench.snapshots.contents import Tables, changed, live_tables, tables_in
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.namespace import Snapshots, silent
from workbench.snapshots.restore.request import (
    ABANDONED,
    DONE,
    FAILED,
    GO_ON,
    Record,
    Request,
    Way,
    interrupted,
    refuse_interrupted,
    requests_in,
)
from workbench.snapshots.restore.steps import (
    IN_PLACE,
    SWAP,
    SWAP_BACK,
    Progress,
    Restore,
    Step,
    drop_half_made,
    refuse_prepared,
    refuse_what_is_not_ours,
    settle_replacement,
)

STEPS: dict[Way, list[Step]] = {"swap": SWAP, "in place": IN_PLACE, "swap back": SWAP_BACK}

_PATIENCE = 3.0  # seconds for the session of a killed restore to end
_PAUSE = 0.05

_MORE = 1.1  # room than the database's size

_ROOM = """
    SELECT coalesce((SELECT pg_database_size(oid) FROM pg_database WHERE oid = %s), 0),
        pg_size_bytes(current_setting('max_wal_size')),
        CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END
"""

# The extensions that this user may make in a database of their own.
_EXTENSIONS = """
    SELECT name FROM pg_available_extensions e JOIN pg_available_extension_versions v USING (name)
    WHERE v.version = e.default_version
    AND (v.trusted OR NOT v.superuser OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
"""


class Restores:
    """``wb.restores``: snapshots put back over the live database (guide §3, level 2).

    One is asked for, which writes a request and nothing else; approved as a plan is, by ``wb.approve``; and carried
    out: all its steps, or nothing that lasts.
    """

    def __init__(
        self, wb: Workbench, snapshots: Snapshots, app: Application, losses: Callable[..., Any]
    ) -> None:
        self._wb, self._snapshots, self._app, self._tell_losses = wb, snapshots, app, losses
        self._live = wb.database.address.database

    def ask(
        self,
        snapshot: str,
        *,
        in_place: bool = False,
        keep_sync_state: bool = False,
        from_elsewhere: bool = False,
        runs: Sequence[str] = (),
    ) -> Request:
        """Ask for the restore of a snapshot; writes a request file and nothing else.

        Parameters
        ----------
        snapshot : str
            Its name or its file.
        in_place : bool
            Whether to replace the live database's contents in one transaction, instead of the database.
        keep_sync_state : bool
            Whether the sync state stays as the snapshot has it, instead of being reset (guide §7.3).
        from_elsewhere : bool
            Whether a snapshot of another server will do: the club has moved since.
        runs : sequence of str
            The bad runs, whose doing is not counted among what would be lost.

        Raises
        ------
        DocumentError
            When it is not what its manifest says, or needs a newer server.
        WrongEnvironment
            When it is another database's.
        Refused
            When this user may not do it this way, or there is no room.
        """
        database = self._wb.database
        way: Way = "in place" if in_place else "swap"
        manifest = self._snapshots.find(snapshot)
        with connect_beside(database) as beside:
            live = standing(beside).get(self._live)
            notes = examine(self._wb, beside, manifest, way, live, from_elsewhere)
            tables: Tables = {}
            lost: list[dict[str, Any]] = []
            if live is None:
                notes.insert(0, "What was in it is lost already.")
            else:
                with database.session() as connection:
                    tables = live_tables(connection, database.address.schema)
                lost, more = self._losses(manifest, tables, runs)
                notes = more + notes
            target = target_of(database, beside)
        last = manifest.verifications[-1] if manifest.verifications else None
        request = Request(
            target=target,
            planned_by=self._wb.settings.operator,
            way=way,
            snapshot=manifest.snapshot,
            file=str(manifest.archive.resolve()),
            oid=live.oid if live else 0,
            sha256=manifest.sha256,
            created_at=manifest.created_at.isoformat(),
            manifest=manifest.facts_digest,
            verified=f"{last.outcome} at {last.at} by {last.by} ({last.detail})"
            if last
            else "never verified",
            elsewhere=elsewhere(manifest, target),
            tables=tables,
            losses=tuple(sorted(lost, key=lambda row: json.dumps(row, sort_keys=True))),
            notes=tuple(notes),
            keep_sync_state=keep_sync_state,
        )
        return requests_in(self._wb.settings).write(request)

    def ask_undo(self, name: str | None = None) -> Request:
        """Ask to put the database back that a restore kept; writes a request file.

        Parameters
        ----------
        name : str, optional
            The restore's id; else it is the last one, as the live database itself knows it.

        Raises
        ------
        Refused
            When that is not there any more, a restore is not finished, or this user may not rename.
        """
        database, settings = self._wb.database, self._wb.settings
        refuse_interrupted(settings, database)
        with connect_beside(database) as beside:
            there = standing(beside)
            live = there.get(self._live)
            if name is None and live is not None:
                with database.session() as connection:
                    name = next((each.request for each in reversed(restores(connection))), None)
            marks = [(each, *read_mark(each.comment, self._live)) for each in there.values()]
            of_it = [
                each for each, request, what in marks if request == name and not what.startswith(HALF_MADE)
            ]
            if live is None or name is None or not of_it:
                raise Refused(
                    f"No database that {name or 'a restore'} kept of {self._live} stands on the server.",
                    "Restore its safety backup instead: `workbench snapshot list` has it.",
                )
            if reason := may_not_replace(beside, live):
                raise Refused(
                    f"The databases cannot be renamed: {reason}.",
                    "Ask somebody who may. Nothing was changed.",
                )
            stays = f"What was written to {live.name} since the restore stays in the database that is put aside; nothing is deleted."
            request = Request(
                target=target_of(database, beside),
                planned_by=settings.operator,
                way="swap back",
                snapshot=name,
                file=of_it[0].name,
                oid=live.oid,
                verified=f"kept by {name}",
                notes=(stays,),
                keep_sync_state=True,
            )
        return requests_in(settings).write(request)

    def find(self, name: str) -> Request:
        """Return a request by its id, an unambiguous beginning of it, or its file."""
        return requests_in(self._wb.settings).find(name)

    def carry_out(self, request: Request, progress: Progress = silent, say: Say | None = None) -> Record:
        """Carry an approved request out: all its steps, or nothing that lasts.

        Parameters
        ----------
        progress, say : callable, optional
            Told every step, and what the application's commands write.

        Raises
        ------
        NotApproved
            Nobody's valid approval of exactly this digest.
        WrongEnvironment
            Another database than the one it was made for.
        Drift
            The live database has changed since; nothing was changed.
        Refused
            It was carried out before, another restore runs or was interrupted, or it is not possible any more.
        DatabaseUnreachable
            The server was lost on the way; `resume` goes on.
        """
        with self._alone(request) as beside:
            approval = valid_approval(request)
            refuse_interrupted(self._wb.settings, self._wb.database)
            path = request.path.with_name(f"{request.id}{Record.suffix}")
            if path.exists():
                _refuse_once_more(request, Record.read(path), approval.number)
            refuse_half_made(beside, self._live)
            self._wait_for_writers(beside, request, progress)
            progress("checking the snapshot and the server", 0, len(STEPS[request.way]))
            self._refuse_impossible(beside, request)
            record = Record(
                request=request.id,
                approval=approval.number,
                approved_by=approval.approver,
                operator=self._wb.settings.operator,
                live=self._live,
                environment=request.target.environment,
                facts={"begun": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"},
            ).write(path)
            return _carry_out(self._restore(request, record, beside, progress, say))

    def resume(self, name: str | None = None, progress: Progress = silent, say: Say | None = None) -> Record:
        """Go on with the restore that was interrupted, where it stopped; `Refused` when none was."""
        with self._interrupted(name, progress, say) as restore:
            self._wait_for_writers(restore.beside, restore.request, progress)
            return _carry_out(restore)

    def abandon(self, name: str | None = None, say: Say | None = None) -> Record:
        """Give the restore up that was interrupted: nothing of it stays; `Refused` when what was restored is live."""
        with self._interrupted(name, silent, say) as restore:
            record = restore.record
            if record.swapped:
                raise Refused(
                    f"The restore {record.request} cannot be given up any more: the restored database is the live one.",
                    "`workbench snapshot restore --resume` finishes it; after that --undo puts the old database back.",
                )
            _put_back(restore)
            record.outcome = ABANDONED
            record.note()
            return record

    def steps(self, request: Request) -> list[str]:
        """Return what would be done, step by step, in words."""
        return [each.called for each in STEPS[request.way]]

    def estimate(self, request: Request) -> float | None:
        """Return how many seconds it took to restore this snapshot when it was verified; None where it was not."""
        if request.way == "swap back":
            return None
        proved = [each for each in Manifest.read(Path(request.file)).verifications if each.outcome == "pass"]
        return proved[-1].seconds if proved else None

    def _losses(
        self, manifest: Manifest, tables: Tables, runs: Sequence[str]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Tell what a restore would take away: whose work, by the evidence, or else which tables; and what could not be told."""
        try:
            lost = self._tell_losses(manifest.archive, runs, limit=0).facts
        except (NotMurmurant, DocumentError, WrongEnvironment) as error:
            different = changed(tables_in(manifest.contents, manifest.target.schema), tables)
            return [
                {"table": table, "rows in the snapshot": was and was.rows, "rows now": now and now.rows}
                for table, (was, now) in different.items()
            ], [f"Whose work would be lost could not be told, only which tables: {error.what}"]
        notes = [f"Not counted: the doing of {', '.join(lost['runs'])}."] if lost["runs"] else []
        notes += [
            f"{len(lost[name]):,} rows or values {what}; `workbench snapshot losses SNAPSHOT` lists them."
            for name, what in (
                ("conflicts", "cannot be put back by a replay"),
                ("unresolved", "are unresolved"),
            )
            if len(lost[name])
        ]
        return json.loads(lost["authors"].to_json(orient="records")), notes

    @contextmanager
    def _alone(self, request: Request) -> Iterator[Session]:
        """Hold the server's lock that lets one restore of a database run at a time, wherever it was begun."""
        deadline = perf_counter() + _PATIENCE
        with connect_beside(self._wb.database) as beside:
            # The session of a killed one may take a moment to notice.
            while not hold_for_restore(beside, self._live, self._wb.settings.operator):
                if perf_counter() > deadline:
                    raise Refused(
                        f"Another restore of {self._live} is running at this moment.",
                        "Wait for it to end, or end it.",
                    )
                sleep(_PAUSE)
            with restoring():
                refuse_other_target(request, target_of(self._wb.database, beside))
                yield beside

    @contextmanager
    def _interrupted(self, name: str | None, progress: Progress, say: Say | None) -> Iterator[Restore]:
        """Take up the restore that was interrupted, and find out whether the server committed what its record does not know."""
        request, record = interrupted(self._wb.settings, self._wb.environment.name, name)
        with self._alone(request) as beside:
            restore = self._restore(request, record, beside, progress, say)
            made, live = record.facts.get("new_oid"), restore.live
            if request.way == "in place":
                settle_replacement(restore)
            elif made and live is not None and live.oid == made:
                record.note("swap")
            yield restore

    def _restore(
        self, request: Request, record: Record, beside: Session, progress: Progress, say: Say | None
    ) -> Restore:
        return Restore(self._wb, self._app, self._snapshots.create, request, record, beside, progress, say)

    def _wait_for_writers(self, beside: Session, request: Request, progress: Progress) -> None:
        steps, seconds = len(STEPS[request.way]), self._wb.database.lock_timeout
        wait_for_writers(beside, self._live, seconds, lambda what: progress(what, 0, steps))

    def _refuse_impossible(self, beside: Session, request: Request) -> None:
        """Refuse what has become impossible since a request was made, before anything is touched."""
        if request.way == "swap back":
            return
        manifest, live = Manifest.read(Path(request.file)), standing(beside).get(self._live)
        if manifest.facts_digest != request.manifest:
            raise DocumentError(
                f"The manifest of {manifest.snapshot} is another than when the restore was asked for.",
                request.remedy,
            )
        if (live.oid if live else 0) != request.oid:
            raise Drift(
                f"{self._live} is not the database that it was when the restore was asked for.",
                request.remedy,
            )
        examine(self._wb, beside, manifest, request.way, live, bool(request.elsewhere))


def _refuse_once_more(request: Request, before: Record, approval: str) -> None:
    """Refuse a request that was carried out, or an approval that was used."""
    if before.outcome == DONE:
        raise Refused(
            f"The request {request.id} was carried out by {before.operator} at {before.facts['ended']}.",
            f"Nothing is restored twice by one request. {request.remedy}",
        )
    if before.approval == approval:
        ended = "was given up" if before.outcome == ABANDONED else "failed"
        raise Refused(
            f"The approval of {request.id} was used before; that restore {ended}.", "Approve it again."
        )


def _carry_out(restore: Restore) -> Record:
    """Do the steps that are not done yet; after a failure before the swap put everything back.

    A server that was lost, and ctrl-C, leave what was done, to be resumed; the message says what stands.
    """
    record, steps = restore.record, STEPS[restore.request.way]
    restore.total = len(steps)
    for restore.place, step in enumerate(steps):
        if step.name in record.done:
            continue
        begun = perf_counter()
        try:
            restore.progress(step.called, restore.place, restore.total)
            with restore.wb.database.speaking_plainly():
                step.carry_out(restore)
            seconds = {**record.facts.get("seconds", {}), step.name: round(perf_counter() - begun, 3)}
            record.note(step.name, seconds=seconds)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Interrupted while {step.called}. {_stands(restore)}") from None
        except WorkbenchError as error:
            lost = record.swapped or isinstance(error, DatabaseUnreachable)
            stands = _stands(restore) if lost else _fail(restore, error)
            error.next_step = f"{error.next_step} {stands}".strip()
            error.args = (f"{error.what} {error.next_step}",)
            raise
    restore.progress("done", restore.total, restore.total)
    record.outcome = DONE
    record.note(ended=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", snapshot=restore.request.snapshot)
    return record


def _fail(restore: Restore, error: WorkbenchError) -> str:
    """After a failure before the swap: put everything back, and say how it stands."""
    record = restore.record
    try:
        _put_back(restore)
    except WorkbenchError as trouble:
        return f"Putting things back failed as well: {trouble} {_stands(restore)}"
    record.outcome = FAILED
    record.note(error=error.what)
    started = " The application was started again." if record.facts.get("restarted") else ""
    return f"Nothing was changed: {record.live} is as it was.{started}"


def _put_back(restore: Restore) -> None:
    """Drop what was made, and start the application."""
    facts = restore.record.facts
    with restore.wb.database.speaking_plainly():
        drop_half_made(restore)
    if facts.get("stopped") and restore.wb.options.app_start and not facts.get("restarted"):
        restore.app.start(restore.say)
        restore.record.note(restarted=True)


def _stands(restore: Restore) -> str:
    """Say what stands, and what can be done: one that has swapped is not given up any more."""
    record, step = restore.record, STEPS[restore.request.way][restore.place].name
    live, go_on = "as it was", GO_ON
    if record.swapped:
        live, go_on = (
            "what was restored",
            "`workbench snapshot restore --resume` finishes it; then --undo leads back.",
        )
    elif step in {"swap", "replace"}:
        live = "whole: the one that was there, or the restored one"
    stopped = record.facts.get("stopped") and not record.facts.get("restarted")
    return f"The live database {record.live} is {live}.{' The application is stopped.' if stopped else ''} {go_on}"


def examine(
    wb: Workbench, beside: Session, manifest: Manifest, way: Way, live: Standing | None, from_elsewhere: bool
) -> list[str]:
    """Refuse what cannot be restored, or not this way; return what whoever approves should know.

    Parameters
    ----------
    beside : psycopg.Connection
        A session at another database of the server.
    live : Standing or None
        As it stands; None where it is not there any more.
    from_elsewhere : bool
        Whether a snapshot of another server or database will do.
    """
    database, tools = wb.database, wb.settings.client_tools
    refuse_prepared(beside, [database.address.database])
    _refuse_another_database(manifest, target_of(database, beside), from_elsewhere)
    refuse_damaged(manifest)
    remedy = "Restore it on a server of at least that version."
    refuse_older_server(manifest.snapshot, manifest.server_version, beside, database, remedy)
    if live is not None:  # for the safety backup
        version = beside.info.parameter_status("server_version") or ""
        program_for("pg_dump", version, tools, database.address.parameters())
    place = database.at(beside.info.dbname).address.parameters() if way == "swap" else None
    listing = read_listing(manifest.archive, tools, place)
    _refuse_extensions(beside, database, listing, way, _refuse_rights(beside, database, way, live))
    notes = []
    if not manifest.verified:
        notes.append("This snapshot was never proved by restoring; it will be before it replaces anything.")
    if live is None:
        notes.append("There is no database of this name any more: nothing is replaced.")
    elif way == "swap" and not live.comment.startswith(RESTORING):
        notes.append("The replaced database stays under a dated name until you drop it; it takes its room.")
    if not _refuse_without_room(beside, database, manifest, live):
        notes.append("Whether there is room for a second database on the server could not be asked.")
    return notes


def target_of(database: Database, beside: Session) -> Target:
    """Return which database is restored, whether or not it is there any more."""
    row = beside.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    assert row is not None
    address, here = database.address, database.environment
    return Target(row[0], address.database, address.schema, here.name, here.kind)


def elsewhere(manifest: Manifest, target: Target) -> str:
    """Return where a snapshot was taken, if that is another server or database."""
    of = manifest.target
    if (of.system_identifier, of.database) == (target.system_identifier, target.database):
        return ""
    return f"database {of.database} of server {of.system_identifier}"


def _refuse_another_database(manifest: Manifest, target: Target, from_elsewhere: bool) -> None:
    for what in ("environment", "kind", "schema"):
        if (theirs := getattr(manifest.target, what)) != (ours := getattr(target, what)):
            raise WrongEnvironment(
                f"The snapshot {manifest.snapshot} is of {what} {theirs!r}, this is {ours!r}.",
                "Restore it where it belongs.",
            )
    if (place := elsewhere(manifest, target)) and not from_elsewhere:
        raise WrongEnvironment(
            f"The snapshot {manifest.snapshot} was taken from {place}; this is database {target.database} of"
            f" server {target.system_identifier}.",
            "If the club has moved to another server since, add --from-elsewhere: the request will say so.",
        )


def _refuse_rights(beside: Session, database: Database, way: Way, live: Standing | None) -> set[str]:
    """Refuse who may not restore this way; return the extensions of the live database."""
    name = database.address.database
    if way == "swap" and (reason := may_not_replace(beside, live)):
        raise Refused(
            f"{name} cannot be restored into a new database: {reason}.",
            "Restore it in place, in one transaction: --in-place.",
        )
    if live is None:
        if way == "in place":
            raise Refused(
                f"There is no database {name} to be restored in place.", "Restore it without --in-place."
            )
        return set()
    with database.session() as connection:
        if way == "in place":
            refuse_what_is_not_ours(connection)
        return {name for (name,) in connection.execute("SELECT extname FROM pg_extension")}


def _refuse_extensions(
    beside: Session, database: Database, listing: Listing, way: Way, there: set[str]
) -> None:
    """Refuse where this user may not make an extension that the snapshot needs."""
    needed = {entry.split("EXTENSION - ")[1].split()[0] for entry in listing.of("EXTENSION")}
    needed -= there if way == "in place" else set()
    if lacking := needed.difference(name for (name,) in beside.execute(_EXTENSIONS)):
        names, place = ", ".join(sorted(lacking)), database.address.database
        raise Refused(
            f"This user cannot make the extension {names}, which {listing.path.stem} needs.",
            f"It stands in {place} already: restore --in-place."
            if there.issuperset(lacking)
            else f"Let a superuser CREATE EXTENSION {names} in {place}, then restore --in-place.",
        )


def _refuse_without_room(
    beside: Session, database: Database, manifest: Manifest, live: Standing | None
) -> bool:
    """Refuse when there is no room for a second copy, and for the log that is written with it; False where nobody can tell.

    Both ways of restoring need that much: also in place nothing of the old is freed before the commit.
    """
    size, log, folder = beside.execute(_ROOM, [live.oid if live else 0]).fetchall()[0]
    if folder is None or not database.address.on_this_machine or not Path(folder).is_dir():
        return False
    size = max(size, manifest.database_size) * _MORE
    needed, free = size + min(size, log), shutil.disk_usage(folder).free
    if free < needed:
        raise Refused(
            f"There is no room on the server for a second database and the log that is written with it: {free / 1e6:,.0f} MB"
            f" are free, {needed / 1e6:,.0f} MB are needed.",
            "Make room there first: a disk that is full can stop the whole server.",
        )
    return True
