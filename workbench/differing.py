"""What differs between a snapshot and an environment, or between two snapshots, and who did it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from workbench.covering import covering
from workbench.errors import ReportFileError, SnapshotError, UsageError, WrongEnvironment
from workbench.history.authors import Authors
from workbench.history.listing import by_author, listing, summary
from workbench.history.losses import Losses, losses
from workbench.history.plan import Replay
from workbench.investigate.differences.comparing import Progress, compared, keys_of
from workbench.investigate.differences.found import KINDS
from workbench.investigate.differences.sides import Side, side_of
from workbench.investigate.runs import pick_run
from workbench.murmurant.importers import Strength
from workbench.plans.plan import Plan
from workbench.runs.three_way import way_with_conflicts
from workbench.session import Session
from workbench.snapshots.compare import Snapshot, earlier, state_before
from workbench.snapshots.store import list_snapshots

SHOWN = 10


@dataclass(frozen=True)
class Differences:
    """What differs between a snapshot and what came after it.

    Attributes
    ----------
    snapshot, other : str
        Their names; ``other`` is empty where it is the database itself.
    tables : pandas.DataFrame
        See `workbench.history.listing.summary`: a row for each table that differs.
    authors : pandas.DataFrame
        ``table``, ``change``, ``who``, ``evidence``, ``rows``.
    rows : pandas.DataFrame
        Rows that differ, up to a limit for each table and change.
    same : tuple of str
        The tables in which nothing differs.
    why_in_full : str
        Why rows were compared in full, where all had to be.
    """

    snapshot: str
    other: str
    tables: pd.DataFrame
    authors: pd.DataFrame
    rows: pd.DataFrame
    same: tuple[str, ...]
    why_in_full: str = ""


@dataclass(frozen=True)
class CameAfter:
    """What came after a snapshot, and what restoring it would lose; or why that cannot be said.

    Attributes
    ----------
    snapshot : str
        Its name; empty where there is none.
    about : str
        When it was taken, by whom and why, as far as it says.
    given : str
        How a command is told of it: ``--snapshot NAME`` or ``--before ENVIRONMENT``.
    missing : str
        Why nothing was compared; empty where it was.
    differences : Differences or None
        What differs.
    losses : Losses or None
        What a restore would lose.
    """

    snapshot: str
    about: str = ""
    given: str = ""
    missing: str = ""
    differences: Differences | None = None
    losses: Losses | None = None

    @property
    def tables(self) -> pd.DataFrame:
        """The tables that differ; none where nothing was compared."""
        names = ["table", "before", "now", *KINDS, "columns", "compared", "remark"]
        return self.differences.tables if self.differences else pd.DataFrame(columns=names)

    @property
    def authors(self) -> pd.DataFrame:
        """Who did it; nobody where nothing was compared."""
        names = ["table", "change", "who", "evidence", "rows"]
        return self.differences.authors if self.differences else pd.DataFrame(columns=names)


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
            Whether every row is compared, whatever the server's transaction numbers say.

        Raises
        ------
        UsageError
            For a snapshot or table that is not there.
        WrongEnvironment
            For a snapshot of another database.
        SnapshotError
            When the snapshot is damaged, or not what its manifest says.
        """
        first = self._snapshot(snapshot, before)
        with self._compared(first, other, tables, in_full, progress) as (authors, was):
            return self._differing(authors, was, str(other or ""), tables, limit)

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
        with self._replay(first, runs, progress=progress) as (replay, was):
            given = f"--before {before}" if before else f"--snapshot {snapshot or was.name}"
            taken = f"{was.taken_at:%Y-%m-%d %H:%M} UTC" if was.taken_at else "nobody wrote down when"
            kept = was.manifest
            by = f", by {kept.created_by}" if kept and kept.created_by else ""
            why = f", {kept.reason}" if kept and kept.reason else ""
            return CameAfter(
                was.name,
                f"the environment {was.database.environment}"
                if before and was.database
                else f"{taken}{by}{why}",
                given,
                differences=self._differing(replay.authors, was, "", (), limit),
                losses=losses(replay, limit),
            )

    def _differing(
        self, authors: Authors, was: Snapshot, other: str, tables: Sequence[str], limit: int
    ) -> Differences:
        found = authors.compared
        audit = self.schema.resolved.get("audit")
        asked = [
            each
            for each in found.tables.values()
            if not tables or each.table in tables or audit is None or each.table != audit.table
        ]
        names = [each.table for each in asked if each.differs]
        return Differences(
            was.name,
            other,
            summary(found, names),
            by_author(authors, names),
            listing(found, authors, names, limit),
            tuple(each.table for each in asked if not each.differs),
            found.why,
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
        SnapshotError
            When the snapshot cannot be read, or the importers' reports that tell whose work came after it.
        """
        first = self._snapshot(snapshot, before)
        try:
            _ = self.reports
        except ReportFileError as error:
            # As for a snapshot that cannot be read: a restore goes on without, and tells the tables alone.
            raise SnapshotError(
                f"Whose work came after {first.name} cannot be told: {error.what}", error.next_step
            ) from None
        with self._replay(first, runs, min_evidence=min_evidence, progress=progress) as (replay, _):
            return losses(replay, limit)

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
        with self._replay(first, runs, on_conflict, min_evidence, progress) as (replay, was):
            sha256 = f", SHA-256 {was.manifest.sha256}" if was.manifest and was.manifest.sha256 else ""
            runs_known = [f"run {run.run}: {run.evidence}" for run in replay.bad]
            return replay.plan([f"the snapshot {was.name}{sha256}", *runs_known])

    @contextmanager
    def _replay(
        self,
        snapshot: Snapshot,
        runs: Sequence[str],
        on_conflict: str = "keep",
        min_evidence: str = "likely",
        progress: Progress | None = None,
    ) -> Iterator[tuple[Replay, Snapshot]]:
        way, least = way_with_conflicts(on_conflict), Strength.named(min_evidence)
        known = self.find_runs()
        bad = [pick_run(known, each)[0] for each in dict.fromkeys(runs)]
        with (
            self._compared(snapshot, None, (), False, progress) as (authors, was),
            self.planning() as context,
        ):
            yield Replay(context, authors, bad, known, was.name, way, least), was

    @contextmanager
    def _compared(
        self,
        was: Snapshot,
        other: str | Path | None,
        tables: Sequence[str],
        in_full: bool,
        progress: Progress | None,
    ) -> Iterator[tuple[Authors, Snapshot]]:
        """Compare, and hold both sides open; the audit log is always among the tables: it tells who did it."""
        schema = self.schema
        name = self.database.address.schema
        only = list(tables)
        if only and "audit" in schema.resolved:
            only.append(schema.resolved["audit"].table)
        runs = self.find_runs()
        with ExitStack() as stack:
            live = stack.enter_context(self.reading())
            now: Side = side_of(live, name)
            if other is None:
                start = earlier(was, self.settings, now, name)
            else:
                later = earlier(self._snapshot(other), self.settings, None, name)
                start = earlier(was, self.settings, None, name)
                now = stack.enter_context(later.opened(sorted(later.tables)))
            found = stack.enter_context(
                compared(
                    start,
                    now,
                    keys=keys_of(schema.catalogue.tables),
                    only=only,
                    in_full=in_full,
                    progress=progress or (lambda what, done, total: None),
                )
            )
            yield Authors(live, schema, runs, found, was.taken_at), was

    def _snapshot(self, name: str | Path | Snapshot | None, before: str | None = None) -> Snapshot:
        found = state_before(name, before, settings=self.settings, live=self.database)
        if found.manifest is not None:
            target = found.manifest.target
            if (target.environment, target.database) != (self.environment.name, self.identity.database):
                raise WrongEnvironment(
                    f"The snapshot {found.name} is of {target.environment} (database {target.database!r}),"
                    f" not of {self.environment.name} (database {self.identity.database!r}).",
                    f"Give one of this database, or name the other with --environment {target.environment}.",
                )
        return found
