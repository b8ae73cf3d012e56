"""What differs between a snapshot and an environment, or between two snapshots, and who did it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from workbench.covering import covering
from workbench.errors import DocumentError, ReportFileError, UsageError, WrongEnvironment
from workbench.history.authors import Authors
from workbench.history.differences import Progress, compared, opened_side, side_of
from workbench.history.ledger import CameAfter, Differences, Losses, differences_of, losses_of
from workbench.history.plan import Replay
from workbench.murmurant.importers import Strength
from workbench.plans.plan import Plan
from workbench.runs.discovery import pick_run
from workbench.runs.three_way import way_with_conflicts
from workbench.session import Session
from workbench.snapshots.compare import Snapshot, state_before
from workbench.snapshots.store import list_snapshots

SHOWN = 10


class Differing(Session):
    """The questions about snapshots and what came after them."""

    @covering
    def differences(
        self,
        snapshot: str | Path | None = None,
        other: str | Path | None = None,
        *,
        before: str | None = None,
        tables: Sequence[str] = (),
        limit: int = SHOWN,
        in_full: bool = False,
        progress: Progress | None = None,
    ) -> Differences:
        """Compare a snapshot with the database as it is, or with a later snapshot.

        Parameters
        ----------
        snapshot, other : str or path
            A snapshot's name, its file, ``latest``, or any dump of pg_dump.
        before : str, optional
            Instead of a snapshot another environment that holds the state before; here, and wherever one is taken.
        tables : sequence of str
            The tables to compare; else all.
        limit : int
            How many rows of each table and change are listed; the counts are of all.
        in_full : bool
            Whether every row is compared, whatever the snapshot's own digests say.

        Raises
        ------
        UsageError
            For a snapshot or table that is not there.
        WrongEnvironment
            For a snapshot of another database.
        DocumentError
            When the snapshot is damaged, not what its manifest says, or of text that cannot be compared.
        """
        first = self._snapshot(snapshot, before)
        with self._compared(first, other, tables, in_full, progress) as authors:
            return differences_of(authors, first.name, str(other or ""), tables, limit)

    @covering
    def came_after(
        self,
        snapshot: str | Path = "",
        runs: Sequence[str] = (),
        *,
        before: str | None = None,
        limit: int = SHOWN,
        progress: Progress | None = None,
    ) -> CameAfter:
        """Compare a snapshot with the database once, and tell both what differs and what a restore would lose.

        Parameters
        ----------
        snapshot : str or path
            As for `differences`; empty for the latest. Where there is none at all, that is what is returned.
        runs : sequence of str
            The bad runs, whose doing is not wanted back; none to count everything.
        """
        if not snapshot and not before and not list_snapshots(self.settings.backups, self.environment.name):
            return CameAfter(
                "",
                missing=f"There is no snapshot of {self.environment.name} to compare with."
                " `workbench snapshot create` takes one; any archive of pg_dump can be named instead.",
            )
        first = self._snapshot(snapshot or (None if before else "latest"), before)
        with self._replay(first, runs, progress=progress) as replay:
            about = f"the environment {before}"
            if not before:
                about = f"{first.taken_at:%Y-%m-%d %H:%M} UTC" if first.taken_at else "nobody wrote down when"
            if kept := first.manifest:
                about += f", by {kept.created_by}" if kept.created_by else ""
                about += f", {kept.reason}" if kept.reason else ""
            return CameAfter(
                first.name,
                about,
                f"--before {before}" if before else f"--snapshot {snapshot or first.name}",
                differences=differences_of(replay.authors, first.name, "", (), limit),
                losses=losses_of(replay, limit),
            )

    @covering
    def losses(
        self,
        snapshot: str | Path | None = None,
        runs: Sequence[str] = (),
        *,
        before: str | None = None,
        limit: int = SHOWN,
        min_evidence: str = "likely",
        progress: Progress | None = None,
    ) -> Losses:
        """Tell what a restore to a snapshot would lose: all that was done since but the doing of some runs.

        Parameters
        ----------
        runs : sequence of str
            The bad runs, whose doing is not wanted back; none to count everything.

        Raises
        ------
        DocumentError
            When the snapshot cannot be read, or the importers' reports that tell whose work came after it.
        """
        first = self._snapshot(snapshot, before)
        try:
            _ = self.reports
        except ReportFileError as error:
            # As for a snapshot that cannot be read: a restore goes on without, and tells the tables alone.
            raise DocumentError(
                f"Whose work came after {first.name} cannot be told: {error.what}", error.next_step
            ) from None
        with self._replay(first, runs, min_evidence=min_evidence, progress=progress) as replay:
            return losses_of(replay, limit)

    def plan_replay(
        self,
        snapshot: str | Path | None,
        runs: Sequence[str],
        *,
        before: str | None = None,
        on_conflict: Literal["keep", "restore"] = "keep",
        min_evidence: str = "likely",
        progress: Progress | None = None,
    ) -> Plan:
        """Plan what is put back after a restore to a snapshot; writes a plan file and nothing else.

        It is planned before the restore and applied after it, to the database that then has the live one's name.

        Parameters
        ----------
        runs : sequence of str
            The bad runs, whose doing is not wanted back.
        on_conflict : {"keep", "restore"}
            What becomes of a column that both a run and somebody after it changed.
        min_evidence : {"certain", "strong", "likely", "weak"}
            Records tied to a run more weakly are not put back, and are listed as unresolved.
        """
        if not runs:
            raise UsageError(
                "No run is named whose doing is not to be put back.", "Name it with --run RUN_ID."
            )
        first = self._snapshot(snapshot, before)
        with self._replay(first, runs, on_conflict, min_evidence, progress) as replay:
            sha256 = f", SHA-256 {first.manifest.sha256}" if first.manifest and first.manifest.sha256 else ""
            runs_known = [f"run {run.run}: {run.evidence}" for run in replay.bad]
            return replay.plan([f"the snapshot {first.name}{sha256}", *runs_known])

    @contextmanager
    def _replay(
        self,
        snapshot: Snapshot,
        runs: Sequence[str],
        on_conflict: str = "keep",
        min_evidence: str = "likely",
        progress: Progress | None = None,
    ) -> Iterator[Replay]:
        way, least = way_with_conflicts(on_conflict), Strength.named(min_evidence)
        known = self.find_runs()
        bad = [pick_run(known, run)[0] for run in dict.fromkeys(runs)]
        with self._compared(snapshot, None, (), False, progress) as authors, self.planning() as context:
            yield Replay(context, authors, bad, known, snapshot.name, way, least)

    @contextmanager
    def _compared(
        self,
        snapshot: Snapshot,
        other: str | Path | None,
        tables: Sequence[str],
        in_full: bool,
        progress: Progress | None,
    ) -> Iterator[Authors]:
        """Compare, and hold both sides open; the audit log is always among the tables: it tells who did it."""
        schema, runs, only = self.schema, self.find_runs(), set(tables)
        if only and "audit" in schema.resolved:
            only.add(schema.resolved["audit"].table)
        with ExitStack() as stack:
            live = stack.enter_context(self.reading())
            now = side_of(live, schema.catalogue.schema)
            if other is not None:
                now = stack.enter_context(opened_side(self._snapshot(other), now, self.settings))
            comparison = stack.enter_context(
                compared(
                    snapshot,
                    now,
                    schema.catalogue,
                    self.settings,
                    only=only,
                    in_full=in_full,
                    progress=progress or (lambda what, done, total: None),
                )
            )
            yield Authors(live, schema, runs, comparison, snapshot.taken_at)

    def _snapshot(self, name: str | Path | None, before: str | None = None) -> Snapshot:
        snapshot = state_before(name, before, settings=self.settings, live=self.database)
        if snapshot.manifest is not None:
            target = snapshot.manifest.target
            if (target.environment, target.database) != (self.environment.name, self.identity.database):
                raise WrongEnvironment(
                    f"The snapshot {snapshot.name} is of {target.environment} (database {target.database!r}),"
                    f" not of {self.environment.name} (database {self.identity.database!r}).",
                    f"Give one of this database, or name the other with --environment {target.environment}.",
                )
        return snapshot
