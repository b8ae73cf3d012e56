"""``wb.restores``: ask for the restore of a snapshot, carry it out, resume it, give it up, undo it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from workbench.database import exclusion
from workbench.database.archives import read_listing
from workbench.database.connection import Session
from workbench.database.databases import Standing, cannot_replace, connect_beside, standing
from workbench.database.programs import program_for
from workbench.documents import Target, refuse_other_target, valid_approval
from workbench.errors import DocumentError, Drift, NotMurmurant, Refused, WrongEnvironment
from workbench.plans.journal import restores
from workbench.session import Session as Workbench
from workbench.snapshots.application import Application, Say
from workbench.snapshots.archive import refuse_damaged, refuse_older_server
from workbench.snapshots.contents import Tables, changed, live_tables
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.namespace import Snapshots, silent
from workbench.snapshots.restore.request import (
    ABANDONED,
    DONE,
    Record,
    Request,
    Way,
    interrupted_in,
    refuse_interrupted,
    requests_in,
)
from workbench.snapshots.restore.steps import STEPS, Progress, Restore

_PATIENCE = 3.0  # seconds for the session of a killed restore to end
_PAUSE = 0.05
_MARGIN = 1.1  # of the database's size

_ROOM = """
    SELECT pg_size_bytes(current_setting('max_wal_size')),
        CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END
"""

# The extensions that this user may create in a database of their own.
_EXTENSIONS = """
    SELECT name FROM pg_available_extensions e JOIN pg_available_extension_versions v USING (name)
    WHERE v.version = e.default_version
    AND (v.trusted OR NOT v.superuser OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
"""


class Restores:
    """``wb.restores``: restore a snapshot over the live database (guide §3, level 2).

    A restore is asked for, which only writes a request; approved like a plan, with ``wb.plans.approve``; and carried out:
    all of its steps, or nothing.
    """

    def __init__(
        self, wb: Workbench, snapshots: Snapshots, app: Application, losses: Callable[..., Any]
    ) -> None:
        self._wb, self._snapshots, self._find_losses = wb, snapshots, losses
        self._live = wb.database.address.database
        self._restore = partial(Restore, wb, app, snapshots.create)

    def ask(
        self,
        snapshot: str,
        *,
        in_place: bool = False,
        keep_sync_state: bool = False,
        from_elsewhere: bool = False,
        runs: Sequence[str] = (),
    ) -> Request:
        """Ask for the restore of a snapshot; this writes a request file and nothing else.

        Parameters
        ----------
        snapshot : str
            Its name or its file.
        in_place : bool
            Whether to replace the contents of the live database in one transaction, instead of the database.
        keep_sync_state : bool
            Whether the sync state stays as it is in the snapshot, instead of being reset (guide §7.3).
        from_elsewhere : bool
            Whether the snapshot may be of another server or database, because the club has moved.
        runs : sequence of str
            The bad runs; their changes are not counted as losses.

        Raises
        ------
        DocumentError
            When it differs from its manifest.
        WrongEnvironment
            When it is another database's.
        Refused
            When this user may not restore it this way, the server is older, or there is no room.
        """
        database = self._wb.database
        way: Way = "in place" if in_place else "swap"
        manifest = self._snapshots.find(snapshot)
        tables: Tables = {}
        lost: list[dict[str, Any]] = []
        with connect_beside(database) as server:
            target, live = self._target(server), standing(server).get(self._live)
            elsewhere = _elsewhere(manifest, target, from_elsewhere)
            notes = self._preconditions(server, manifest, way, live)
            if live is not None:
                with database.session() as connection:
                    tables = live_tables(connection, database.address.schema)
                lost, more = self._losses(manifest, tables, runs)
                notes = more + notes
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
            verified=str(manifest.verifications[-1]) if manifest.verifications else "never verified",
            elsewhere=elsewhere,
            tables=tables,
            losses=tuple(sorted(lost, key=lambda row: json.dumps(row, sort_keys=True))),
            notes=tuple(notes),
            keep_sync_state=keep_sync_state,
        )
        return requests_in(self._wb.settings).write(request)

    def ask_undo(self, name: str | None = None) -> Request:
        """Ask to bring back the database that a restore kept; this writes a request file.

        Parameters
        ----------
        name : str, optional
            The restore's id; by default the last one, as the live database knows it.

        Raises
        ------
        Refused
            When that database is gone, a restore is unfinished, or this user may not rename.
        """
        database, settings = self._wb.database, self._wb.settings
        refuse_interrupted(settings, database)
        with connect_beside(database) as server:
            target, existing = self._target(server), standing(server)
            live = existing.get(self._live)
            reason = cannot_replace(server, live)
        if name is None and live is not None:
            with database.session() as connection:
                name = next((restore.request for restore in reversed(restores(connection))), None)
        marks = {
            kept: exclusion.read_mark(database.comment, self._live) for kept, database in existing.items()
        }
        kept = [
            kept for kept, (restore, what) in marks.items() if restore == name and what.startswith("kept")
        ]
        if live is None or name is None or not kept:
            raise Refused(
                f"The database of {self._live} that {name or 'a restore'} kept is not on the server any more.",
                "Restore its safety backup instead: `workbench snapshot list`.",
            )
        if reason:
            raise Refused(f"The databases cannot be renamed: {reason}.", "Ask a user who may.")
        note = f"What was written to {live.name} since the restore stays in the database that is kept now; nothing is deleted."
        request = Request(
            target=target,
            planned_by=settings.operator,
            way="swap back",
            snapshot=name,
            file=kept[0],
            oid=live.oid,
            verified=f"kept by {name}",
            notes=(note,),
            keep_sync_state=True,
        )
        return requests_in(settings).write(request)

    def find(self, name: str) -> Request:
        """Return a request by its id, an unambiguous beginning of it, or its file."""
        return requests_in(self._wb.settings).find(name)

    def carry_out(self, request: Request, progress: Progress = silent, say: Say | None = None) -> Record:
        """Carry out an approved request: all of its steps, or nothing.

        Parameters
        ----------
        progress, say : callable, optional
            Called for every step, and with the output of the application's commands.

        Raises
        ------
        NotApproved
            When there is no valid approval of exactly this digest.
        WrongEnvironment
            When this is not the database that the request was made for.
        Drift
            When the live database has changed since; nothing was changed.
        Refused
            When it was carried out before, another restore runs or was interrupted, or it has become impossible.
        DatabaseUnreachable
            When the connection was lost; `resume` continues.
        """
        with self._locked(request, progress) as server:
            approval = valid_approval(request)
            refuse_interrupted(self._wb.settings, self._wb.database)
            path = request.path.with_name(f"{request.id}{Record.suffix}")
            before = Record.read(path) if path.exists() else None
            if before and (before.outcome == DONE or before.approval == approval.number):
                raise Refused(
                    f"The request {request.id} was carried out with this approval by {before.operator}: {before.outcome}.",
                    f"If it is not done, approve it again. {request.remedy}",
                )
            exclusion.refuse_half_made(server, self._live)
            progress("checking the snapshot and the server", 0, len(STEPS[request.way]))
            if request.way != "swap back":
                manifest, live = Manifest.read(Path(request.file)), standing(server).get(self._live)
                if (manifest.facts_digest, live.oid if live else 0) != (request.manifest, request.oid):
                    raise Drift(f"{manifest.snapshot} or {self._live} was replaced since.", request.remedy)
                self._preconditions(server, manifest, request.way, live)
            record = Record(
                request=request.id,
                approval=approval.number,
                approved_by=approval.approver,
                operator=self._wb.settings.operator,
                live=self._live,
                environment=request.target.environment,
                facts={"begun": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"},
            ).write(path)
            return self._restore(request, record, server, progress, say).carry_out()

    def resume(self, name: str | None = None, progress: Progress = silent, say: Say | None = None) -> Record:
        """Continue the restore that was interrupted; `Refused` if there is none."""
        with self._interrupted(name, progress, say) as restore:
            return restore.carry_out()

    def abandon(self, name: str | None = None, say: Say | None = None) -> Record:
        """Give up the restore that was interrupted and clean up; `Refused` once the restored database is live."""
        with self._interrupted(name, silent, say) as restore:
            record = restore.record
            if record.swapped:
                raise Refused(
                    f"The restore {record.request} cannot be given up any more: the restored database is live.",
                    "`workbench snapshot restore --resume` finishes it; then --undo brings the old database back.",
                )
            restore.clean_up()
            record.outcome = ABANDONED
            record.note()
            return record

    def steps(self, request: Request) -> list[str]:
        """Return the descriptions of a request's steps."""
        return [step.called for step in STEPS[request.way]]

    def estimate(self, request: Request) -> float | None:
        """Return how many seconds the last passed verification of the snapshot took; None if there is none."""
        if request.way == "swap back":
            return None
        attempts = Manifest.read(Path(request.file)).verifications
        return next((attempt.seconds for attempt in reversed(attempts) if attempt.outcome == "pass"), None)

    def _losses(
        self, manifest: Manifest, tables: Tables, runs: Sequence[str]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Return what a restore would lose, by author or else by table only, and notes about that."""
        try:
            lost = self._find_losses(manifest.archive, runs, limit=0).facts
        except (NotMurmurant, DocumentError, WrongEnvironment) as error:
            different = changed(manifest.contents, tables)
            return [
                {"table": table, "rows in the snapshot": old and old.rows, "rows now": new and new.rows}
                for table, (old, new) in different.items()
            ], [f"The authors of the losses are unknown, only the tables are listed: {error.what}"]
        notes = [f"Not counted: the changes of {', '.join(lost['runs'])}."] if lost["runs"] else []
        return json.loads(lost["authors"].to_json(orient="records")), notes

    def _target(self, server: Session) -> Target:
        """Return the database to restore, whether or not it still exists."""
        [(identifier,)] = server.execute("SELECT system_identifier::text FROM pg_control_system()")
        address, environment = self._wb.database.address, self._wb.environment
        return Target(identifier, address.database, address.schema, environment.name, environment.kind)

    @contextmanager
    def _locked(self, request: Request, progress: Progress) -> Iterator[Session]:
        """Hold the server's lock that allows one restore of a database at a time, and wait for applies to end."""
        deadline = monotonic() + _PATIENCE
        with connect_beside(self._wb.database) as server:
            # The session of a killed restore may take a moment to end.
            while not exclusion.hold_for_restore(server, self._live, self._wb.settings.operator):
                if monotonic() > deadline:
                    raise Refused(f"Another restore of {self._live} is running.", "Wait for it to end.")
                sleep(_PAUSE)
            with exclusion.restoring():
                refuse_other_target(request, self._target(server))
                steps, seconds = len(STEPS[request.way]), self._wb.database.lock_timeout
                exclusion.wait_for_writers(server, self._live, seconds, lambda what: progress(what, 0, steps))
                yield server

    @contextmanager
    def _interrupted(self, name: str | None, progress: Progress, say: Say | None) -> Iterator[Restore]:
        """Take up the restore that was interrupted, where it really stopped."""
        settings, environment = self._wb.settings, self._wb.environment.name
        records = interrupted_in(settings, environment)
        records = [record for record in records if name in (None, record.request)]
        if not records:
            raise Refused(f"No restore of {environment} was interrupted.", "There is nothing to resume.")
        requests = requests_in(settings)
        request = requests.read(requests.path(records[0].request))
        with self._locked(request, progress) as server:
            restore = self._restore(request, records[0], server, progress, say)
            restore.catch_up()
            yield restore

    def _preconditions(
        self, server: Session, manifest: Manifest, way: Way, live: Standing | None
    ) -> list[str]:
        """Refuse what cannot be restored, or not this way; return notes for the approver."""
        database, tools = self._wb.database, self._wb.settings.client_tools
        refuse_damaged(manifest)
        refuse_older_server(manifest.snapshot, manifest.server_version, server, database)
        if live is not None:  # for the safety backup
            version = server.info.parameter_status("server_version") or ""
            program_for("pg_dump", version, tools, database.address.parameters())
        place = database.at(server.info.dbname).address.parameters() if way == "swap" else None
        listing = read_listing(manifest.archive, tools, place)
        if way == "swap" and (reason := cannot_replace(server, live)):
            raise Refused(
                f"{self._live} cannot be restored into a new database: {reason}.",
                "Restore it in place, in one transaction: --in-place.",
            )
        if way == "in place" and live is None:
            raise Refused(f"There is no database {self._live}.", "Restore it without --in-place.")
        query = "SELECT string_agg(gid, ', ') FROM pg_prepared_xacts WHERE database = %s"
        [(prepared,)] = server.execute(query, [self._live])
        if prepared:
            raise Refused(f"{self._live} has prepared transactions: {prepared}.", "Commit or roll them back.")
        needed = {entry.split("EXTENSION - ")[1].split()[0] for entry in listing.of("EXTENSION")}
        lacking = needed.difference(name for (name,) in server.execute(_EXTENSIONS))
        if way == "swap" and lacking:
            raise Refused(
                f"This user cannot create the extension {', '.join(sorted(lacking))}, which {manifest.snapshot} needs.",
                f"If {self._live} has it, restore --in-place; else let a superuser create it there first.",
            )
        notes = []
        if not manifest.verified:
            notes.append("This snapshot was never verified; it will be before it replaces anything.")
        if live is None:
            notes.append("There is no database of this name any more: its contents are lost already.")
        elif way == "swap" and not live.comment.startswith(exclusion.RESTORING):
            notes.append("The replaced database stays, under a dated name, until you drop it.")
        self._refuse_without_room(server, manifest)
        return notes

    def _refuse_without_room(self, server: Session, manifest: Manifest) -> None:
        """Refuse if a server on this machine has no room for a second copy and its write-ahead log.

        Both ways need that much: in place, too, nothing is freed before the commit.
        """
        [(log, folder)] = server.execute(_ROOM)
        if folder is None or not self._wb.database.address.on_this_machine or not Path(folder).is_dir():
            return
        size = manifest.database_size * _MARGIN
        needed, free = size + min(size, log), shutil.disk_usage(folder).free
        if free < needed:
            raise Refused(
                f"No room for a second database and its log: {needed / 1e6:,.0f} MB needed, {free / 1e6:,.0f} MB free.",
                "Make room first: a full disk can stop the whole server.",
            )


def _elsewhere(manifest: Manifest, target: Target, allowed: bool) -> str:
    """Return where a snapshot was taken, if that is another server or database and allowed."""
    source = manifest.target
    place = f"database {source.database} of server {source.system_identifier}"
    if place == f"database {target.database} of server {target.system_identifier}":
        place = ""
    purpose = source.environment, source.kind, source.schema
    if purpose != (target.environment, target.kind, target.schema) or (place and not allowed):
        raise WrongEnvironment(
            f"The snapshot {manifest.snapshot} is of {source.environment} ({source.kind}), schema {source.schema},"
            f" {place or 'as here'}; this is {target.environment} ({target.kind}), schema {target.schema}.",
            "If the club has moved to another server or database since, add --from-elsewhere.",
        )
    return place
