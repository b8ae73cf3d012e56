"""``wb.restores``: a restore of a snapshot asked for, carried out, gone on with, given up, taken back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from workbench.database.connection import Session
from workbench.database.databases import cannot_replace, connect_beside, standing
from workbench.database.exclusion import (
    HALF_MADE,
    hold_for_restore,
    read_mark,
    refuse_half_made,
    restoring,
    wait_for_writers,
)
from workbench.documents import Target, refuse_other_target, valid_approval
from workbench.errors import DocumentError, Drift, NotMurmurant, Refused, WrongEnvironment
from workbench.plans.journal import restores
from workbench.session import Session as Workbench
from workbench.snapshots.application import Application, Say
from workbench.snapshots.contents import Tables, changed, live_tables, tables_in
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.namespace import Snapshots, silent
from workbench.snapshots.restore.conditions import elsewhere, examine
from workbench.snapshots.restore.request import (
    ABANDONED,
    DONE,
    Record,
    Request,
    Way,
    interrupted,
    refuse_interrupted,
    requests_in,
)
from workbench.snapshots.restore.steps import STEPS, Progress, Restore

_PATIENCE = 3.0  # seconds for the session of a killed restore to end
_PAUSE = 0.05


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
        tables: Tables = {}
        lost: list[dict[str, Any]] = []
        with connect_beside(database) as beside:
            target, live = self._target(beside), standing(beside).get(self._live)
            notes = examine(self._wb, beside, manifest, target, way, live, from_elsewhere)
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
            target, there = self._target(beside), standing(beside)
            live, reason = there.get(self._live), cannot_replace(beside, there.get(self._live))
        if name is None and live is not None:
            with database.session() as connection:
                name = next((restore.request for restore in reversed(restores(connection))), None)
        marks = {kept: read_mark(there[kept].comment, self._live) for kept in there}
        kept = [kept for kept, mark in marks.items() if mark[0] == name and not mark[1].startswith(HALF_MADE)]
        if live is None or name is None or not kept:
            raise Refused(
                f"No database that {name or 'a restore'} kept of {self._live} stands on the server.",
                "Restore its safety backup instead: `workbench snapshot list` has it.",
            )
        if reason:
            raise Refused(f"The databases cannot be renamed: {reason}.", "Ask somebody who may.")
        stays = f"What was written to {live.name} since the restore stays in the database that is put aside; nothing is deleted."
        request = Request(
            target=target,
            planned_by=settings.operator,
            way="swap back",
            snapshot=name,
            file=kept[0],
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
            return self._restore(request, record, beside, progress, say).carry_out()

    def resume(self, name: str | None = None, progress: Progress = silent, say: Say | None = None) -> Record:
        """Go on with the restore that was interrupted, where it stopped; `Refused` when none was."""
        with self._interrupted(name, progress, say) as restore:
            self._wait_for_writers(restore.beside, restore.request, progress)
            return restore.carry_out()

    def abandon(self, name: str | None = None, say: Say | None = None) -> Record:
        """Give the restore up that was interrupted: nothing of it stays; `Refused` when what was restored is live."""
        with self._interrupted(name, silent, say) as restore:
            record = restore.record
            if record.swapped:
                raise Refused(
                    f"The restore {record.request} cannot be given up any more: the restored database is the live one.",
                    "`workbench snapshot restore --resume` finishes it; after that --undo puts the old database back.",
                )
            restore.put_back()
            record.outcome = ABANDONED
            record.note()
            return record

    def steps(self, request: Request) -> list[str]:
        """Return what would be done, step by step, in words."""
        return [step.called for step in STEPS[request.way]]

    def estimate(self, request: Request) -> float | None:
        """Return how many seconds it took to restore this snapshot when it was verified; None where it was not."""
        if request.way == "swap back":
            return None
        tries = Manifest.read(Path(request.file)).verifications
        return next((tried.seconds for tried in reversed(tries) if tried.outcome == "pass"), None)

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
        open_rows = {"conflicts": "cannot be put back by a replay", "unresolved": "are unresolved"}
        notes += [
            f"{len(lost[name]):,} rows or values {what}; `workbench snapshot losses SNAPSHOT` lists them."
            for name, what in open_rows.items()
            if len(lost[name])
        ]
        return json.loads(lost["authors"].to_json(orient="records")), notes

    def _target(self, beside: Session) -> Target:
        """Return which database is restored, whether or not it is there any more."""
        [(server,)] = beside.execute("SELECT system_identifier::text FROM pg_control_system()")
        address, environment = self._wb.database.address, self._wb.environment
        return Target(server, address.database, address.schema, environment.name, environment.kind)

    @contextmanager
    def _alone(self, request: Request) -> Iterator[Session]:
        """Hold the server's lock that lets one restore of a database run at a time, wherever it was begun."""
        deadline = monotonic() + _PATIENCE
        with connect_beside(self._wb.database) as beside:
            # The session of a killed one may take a moment to notice.
            while not hold_for_restore(beside, self._live, self._wb.settings.operator):
                if monotonic() > deadline:
                    raise Refused(
                        f"Another restore of {self._live} is running at this moment.",
                        "Wait for it to end, or end it.",
                    )
                sleep(_PAUSE)
            with restoring():
                refuse_other_target(request, self._target(beside))
                yield beside

    @contextmanager
    def _interrupted(self, name: str | None, progress: Progress, say: Say | None) -> Iterator[Restore]:
        """Take up the restore that was interrupted, where it really stopped."""
        request, record = interrupted(self._wb.settings, self._wb.environment.name, name)
        with self._alone(request) as beside:
            restore = self._restore(request, record, beside, progress, say)
            restore.find_out()
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
        examine(self._wb, beside, manifest, request.target, request.way, live, bool(request.elsewhere))


def _refuse_once_more(request: Request, before: Record, approval: str) -> None:
    """Refuse a request that was carried out, or an approval that was used."""
    if before.outcome == DONE:
        raise Refused(
            f"The request {request.id} was carried out by {before.operator} at {before.facts['ended']}.",
            f"Nothing is restored twice by one request. {request.remedy}",
        )
    if before.approval == approval:
        raise Refused(
            f"The approval of {request.id} was used before; that restore {'was given up' if before.outcome == ABANDONED else 'failed'}.",
            "Approve it again.",
        )
