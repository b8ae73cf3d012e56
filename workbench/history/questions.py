"""What came after a snapshot: what differs, whose doing it is, what a restore would lose, and putting it back."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from workbench.answer import Answer, Part, Step, Table
from workbench.checks.finding import Finding
from workbench.covering import answering
from workbench.errors import DocumentError, UsageError, WrongEnvironment
from workbench.history.authors import UNKNOWN, Authors
from workbench.history.differences import KINDS, Progress, compared, opened_side, side_of
from workbench.history.ledger import differences_of, losses_of
from workbench.history.plan import Replay
from workbench.murmurant.importers import Strength
from workbench.plans.plan import Plan
from workbench.reporting.charts import authors_chart, differences_chart
from workbench.runs.discovery import pick_run
from workbench.runs.three_way import way_with_conflicts
from workbench.session import Session
from workbench.snapshots.compare import Snapshot, state_before
from workbench.snapshots.store import list_snapshots

SHOWN, _MANY = 10, 60

_LOSES = partial(
    Finding,
    "restore-loses",
    "Work that a restore would lose",
    guide="§3",
    question="Could the snapshot be restored without losing anybody's work?",
    remedy="Before a restore, plan what is put back after it: `workbench plan replay --snapshot SNAPSHOT --run BAD_RUN`.",
    severity="warn",
    risk="critical",
)
_UNEXPLAINED = partial(
    Finding,
    "changes-unexplained",
    "Changes that nothing explains",
    guide="§5.2",
    question="Does something tell of every change who made it?",
    remedy="Ask who works on the database itself; give the importers' report files (`--import-report`), which may tell.",
    severity="warn",
)


class History:
    """What came after a snapshot of an environment.

    Wherever a ``snapshot`` is taken it is a name, a file, ``latest``, or any dump of pg_dump; ``before`` names instead another
    environment that holds the state before, and which is only read. ``runs`` are the bad runs, whose doing is not wanted
    back; none to count everything. `UsageError` for what is not there, `WrongEnvironment` for a snapshot of another
    database, `DocumentError` when it is damaged, not what its manifest says, or of text that cannot be compared.
    """

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
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
    ) -> Answer:
        """Compare a snapshot with the database as it is, or with a later snapshot (`other`).

        Parameters
        ----------
        tables : sequence of str
            The tables to compare; else all.
        limit : int
            How many rows of each table and change are listed; the counts are of all.
        in_full : bool
            Whether every row is compared, whatever the snapshot's own digests say.
        """
        first = self._snapshot(snapshot, before)
        with self._compared(first, other, tables, in_full, progress) as authors:
            facts = differences_of(authors, first.name, str(other or ""), tables, limit)
        since = f"between {first.name} and {other}" if other else f"since {first.name}"
        why, same = facts["compared_in_full_because"], len(facts["same"])
        if facts["tables"].empty:
            return Answer(f"Nothing changed {since}: {same} tables are as they were.", facts=facts)
        given = f"--before {before}" if before else shlex.quote(str(snapshot))
        step = Step("What a restore would lose", f"snapshot losses {given} --run RUN_ID")
        return Answer(
            f"Every row was compared: {why}." if why else "",
            _parts(facts, f"What changed {since} ({same} other tables are as they were)"),
            next_steps=() if other else [step],
            facts=facts,
            code=1,
        )

    @answering
    def losses(
        self,
        snapshot: str | Path | None = None,
        runs: Sequence[str] = (),
        *,
        before: str | None = None,
        limit: int = SHOWN,
        min_evidence: str = "likely",
        progress: Progress | None = None,
    ) -> Answer:
        """Tell what a restore to a snapshot would lose: all that was done since but the doing of the bad runs."""
        first = self._snapshot(snapshot, before)
        try:
            _ = self.wb.reports
        except DocumentError as error:
            # As for a snapshot that cannot be read: a restore goes on without, and tells the tables alone.
            raise DocumentError(
                f"Whose work came after {first.name} cannot be told: {error.what}", error.next_step
            ) from None
        with self._replay(first, runs, min_evidence=min_evidence, progress=progress) as replay:
            facts = losses_of(replay, limit)
        but = f" but the doing of {', '.join(facts['runs'])}" if runs else ""
        if not facts["total"]:
            return Answer(f"A restore to {first.name} would lose nothing{but}.", facts=facts)
        given = f"--before {before}" if before else f"--snapshot {shlex.quote(str(snapshot))}"
        return Answer(
            parts=_lost_parts(facts, f"A restore to {first.name} would lose {facts['total']:,} rows{but}"),
            next_steps=[_replay_step(given, facts["runs"])] if runs else (),
            facts=facts,
            code=1,
        )

    @answering
    def since(
        self,
        snapshot: str | Path = "",
        runs: Sequence[str] = (),
        *,
        before: str | None = None,
        limit: int = SHOWN,
        progress: Progress | None = None,
    ) -> Answer:
        """Compare a snapshot, else the latest, with the database once: what differs, and what a restore would lose.

        Where there is no snapshot at all, its findings are ``not run``.
        """
        environment = self.wb.environment.name
        if not snapshot and not before and not list_snapshots(self.wb.settings.backups, environment):
            missing = f"There is no snapshot of {environment} to compare with."
            findings = [finding("not run", reason=missing) for finding in (_LOSES, _UNEXPLAINED)]
            rows = [(finding.check, finding.status, finding.reason) for finding in findings]
            return Answer(
                f"{missing} Any archive of pg_dump can be named instead.",
                {"findings": Table(pd.DataFrame(rows, columns=["check", "status", "reason"]))},
                findings,
                next_steps=[Step("Take a snapshot", "snapshot create --reason TEXT")],
                facts={"snapshot": None},
            )
        first = self._snapshot(snapshot or (None if before else "latest"), before)
        with self._replay(first, runs, progress=progress) as replay:
            lost = losses_of(replay, limit)
            differing = differences_of(replay.authors, first.name, "", (), limit)
        tables, authors = differing["tables"], differing["authors"]
        nobody = authors[authors["who"] == UNKNOWN][["table", "change", "rows"]].reset_index(drop=True)
        nobody, losing = (frame.rename(columns={"table": "key"}) for frame in (nobody, lost["tables"]))
        given = f"--before {before}" if before else f"--snapshot {snapshot or first.name}"
        counts = {kind: int(tables[kind].sum()) for kind in KINDS}
        summary = {
            "Snapshot": _about(first, before),
            "Since then": ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
            + f", in {len(tables)} tables; {len(differing['same'])} are as they were",
            "The bad runs": ", ".join(lost["runs"]) or "none was named: everything since then counts as work",
            "A restore would lose": f"{lost['total']:,} rows"
            + (" that are not the bad runs' doing" if runs else ""),
            "Cannot be put back after it": f"{len(lost['conflicts']):,} conflicts, {len(lost['unresolved']):,} undecided",
        }
        if why := differing["compared_in_full_because"]:
            summary["Every row was compared"] = why
        parts: dict[str, Part] = {"summary": summary}
        if len(tables):
            parts["changes"] = partial(differences_chart, tables)
            parts["whose"] = partial(authors_chart, authors)
        parts |= _parts(differing, "Tables that differ")
        parts |= {f"lost_{name}": part for name, part in _lost_parts(lost, "Lost by a restore").items()}
        steps = [Step("Nothing would be lost by a restore to it.")]
        if lost["total"]:
            named = _named(lost["runs"] or ["BAD_RUN"])
            steps = [
                *([] if runs else [Step("Name the bad runs, so that their doing is not counted as work.")]),
                Step("Perhaps no restore is needed; the ways out side by side", "triage"),
                _replay_step(given, lost["runs"] or ["BAD_RUN"]),
                Step("Then ask for the restore", f"snapshot restore {first.name} {named}"),
            ]
        return Answer(
            f"A restore to {first.name} would lose {lost['total']:,} rows.",
            parts,
            [
                _LOSES("warn" if lost["total"] else "pass", lost["total"], losing),
                _UNEXPLAINED("warn" if len(nobody) else "pass", int(nobody["rows"].sum()), nobody),
            ],
            steps,
            {
                "snapshot": first.name,
                "runs": lost["runs"],
                "differs": tables[["table", *KINDS]].set_index("table").to_dict("index"),
                "lost": lost["total"],
            },
        )

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
            evidence = [f"run {run.run}: {run.evidence}" for run in replay.bad]
            return replay.plan([f"the snapshot {first.name}{sha256}", *evidence])

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
        known = self.wb.find_runs()
        bad = [pick_run(known, run)[0] for run in dict.fromkeys(runs)]
        with (
            self._compared(snapshot, None, (), False, progress) as authors,
            self.wb.planning() as context,
        ):
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
        schema, runs, settings = self.wb.schema, self.wb.find_runs(), self.wb.settings
        only = set(tables)
        if only and "audit" in schema.resolved:
            only.add(schema.resolved["audit"].table)
        with ExitStack() as stack:
            live = stack.enter_context(self.wb.reading())
            now = side_of(live, schema.catalogue.schema)
            if other is not None:
                now = stack.enter_context(opened_side(self._snapshot(other), now, settings))
            comparison = stack.enter_context(
                compared(
                    snapshot, now, schema.catalogue, settings, only=only, in_full=in_full, progress=progress
                )
            )
            yield Authors(live, schema, runs, comparison, snapshot.taken_at)

    def _snapshot(self, name: str | Path | None, before: str | None = None) -> Snapshot:
        wb = self.wb
        snapshot = state_before(name, before, settings=wb.settings, live=wb.database)
        if snapshot.manifest is not None:
            target = snapshot.manifest.target
            if (target.environment, target.database) != (wb.environment.name, wb.identity.database):
                raise WrongEnvironment(
                    f"The snapshot {snapshot.name} is of {target.environment} (database {target.database!r}),"
                    f" not of {wb.environment.name} (database {wb.identity.database!r}).",
                    f"Give one of this database, or name the other with --environment {target.environment}.",
                )
        return snapshot


def _named(runs: Sequence[str]) -> str:
    return " ".join(f"--run {run}" for run in runs)


def _replay_step(given: str, runs: Sequence[str]) -> Step:
    return Step("Before the restore, plan what is put back after it", f"plan replay {given} {_named(runs)}")


def _about(snapshot: Snapshot, before: str | None) -> str:
    """Say which state this is: when it was taken, by whom and why, as far as it says."""
    if before:
        return f"the environment {before}"
    kept = snapshot.manifest
    told = [f"{snapshot.taken_at:%Y-%m-%d %H:%M} UTC" if snapshot.taken_at else "nobody wrote down when"]
    if kept is not None:
        told += [f"by {kept.created_by}"] * bool(kept.created_by) + [kept.reason or ""] * bool(kept.reason)
    return f"{snapshot.name}: {', '.join(told)}"


def _parts(facts: dict[str, Any], caption: str) -> dict[str, Part]:
    """Return the frames that differences and losses have in common."""
    shown = facts["rows"].copy()
    for name in ("was", "now"):  # of whole rows neither what is empty nor the key says anything
        cells = zip(shown["change"], shown["key"], shown[name], strict=True)
        shown[name] = [
            row
            if change == "changed" or row is None
            else {column: value for column, value in row.items() if value not in (None, key)}
            for change, key, row in cells
        ]
    return {
        "tables": Table(facts["tables"], caption),
        "authors": Table(facts["authors"], "Who did it, by the evidence"),
        "rows": Table(shown, "Rows, some of each table", "", limit=_MANY),
    }


def _lost_parts(facts: dict[str, Any], caption: str) -> dict[str, Part]:
    return {
        **_parts(facts, caption),
        "conflicts": Table(facts["conflicts"], "Conflicts: could not be put back", "", limit=_MANY),
        "unresolved": Table(facts["unresolved"], "Unresolved", "", limit=_MANY),
    }
