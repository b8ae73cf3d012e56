"""What came after a snapshot: what differs, whose doing it is, what a restore would lose, and putting it back."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from workbench.answer import Answer, Part, Step, Table
from workbench.checks.finding import Finding
from workbench.covering import answering
from workbench.errors import UsageError, WrongEnvironment, unknown
from workbench.history.authors import NOBODY_KNOWN, UNKNOWN, Authors, story_of
from workbench.history.differences import (
    KINDS,
    Kind,
    Progress,
    TableDifference,
    compared,
    opened_side,
    side_of,
)
from workbench.history.plan import Replay
from workbench.mappings.queries import NEEDS, mapping_rows
from workbench.murmurant.importers import Strength
from workbench.murmurant.spellings import ENTITIES
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
    """One record's story (``wb.history("Member", key)``), and what came after a snapshot of an environment.

    Wherever a ``snapshot`` is taken it is a name, a file, ``latest``, or any dump of pg_dump; ``before`` names instead another
    environment that holds the state before, and which is only read. ``runs`` are the bad runs, whose doing is not wanted
    back; none to count everything. `UsageError` for what is not there, `WrongEnvironment` for a snapshot of another
    database, `DocumentError` when it is damaged, not what its manifest says, or of text that cannot be compared.
    """

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(self, entity: str, key: str) -> Answer:
        """Tell one record's story: who made it and what was done to it since, by the evidence that is here.

        Parameters
        ----------
        entity : {"Member", "Event", "Registration"}
            What it is.
        key : str
            Its id in Murmurant, also of one that is gone.

        Raises
        ------
        UsageError
            Where nothing here ever told of it.
        """
        if entity not in ENTITIES:
            raise unknown("entity", entity, ENTITIES)
        schema, runs = self.wb.schema, [run for run in self.wb.find_runs() if run.mode == "live"]
        with self.wb.reading() as connection:
            exists, story = story_of(connection, schema, runs, entity, key)
            rows = mapping_rows(connection, schema, records=[key]) if schema.has(*NEEDS) else ()
            wa_ids = sorted({row.wa_id for row in rows if row.entity == entity})
        if not exists and story.empty:
            raise UsageError(f"Nothing here tells of a {entity} {key}.", "Give its whole id in Murmurant.")
        mapped = f", mapped from Wild Apricot's {', '.join(wa_ids)}" if wa_ids else ""
        return Answer(
            f"{entity} {key} {'is there' if exists else 'is gone'}{mapped}.",
            {"story": Table(story, "What happened to it", first=("at", "what", "who"))},
            facts={"entity": entity, "key": key, "exists": exists, "wa_ids": wa_ids, "story": story},
        )

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
        progress: Progress = lambda *_: None,
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

        Returns
        -------
        Answer
            Its facts: ``snapshot``, ``other`` (None for the database itself);
            ``tables``, a frame with a row for each that differs: ``table``, ``before``, ``now`` (rows), ``added``,
            ``removed``, ``changed``, ``columns`` (in how many rows each changed, most first), ``remark``;
            ``authors``: ``table``, ``change``, ``who``, ``evidence``, ``rows``, of each table and change the most rows first;
            ``rows``, up to `limit` of each table and change: ``table``, ``change``, ``key``, ``who``, ``evidence``, and what
            the row ``was`` and is ``now``: columns by name, of a changed row those that changed, None where there is no row;
            ``same``: the tables in which nothing differs.
        """
        if (first := self._snapshot(snapshot, before)) is None:
            return self._without_snapshot(_UNEXPLAINED)
        with self._compared(first, other, tables, in_full, progress) as authors:
            compared = authors.comparison.tables.items()
            asked = [difference for table, difference in compared if not tables or table in tables]
            differing = [difference for difference in asked if difference.differs]
            cells = {(row.table, kind): row.rows[kind] for row in differing for kind in KINDS}
            facts: dict[str, Any] = {"snapshot": first.name, "other": str(other) if other else None}
            facts |= {"tables": _counted(differing), **_authored(authors, cells, limit)}
        same = facts["same"] = [difference.table for difference in asked if not difference.differs]
        since = f"between {first.name} and {other}" if other else f"since {first.name}"
        nobody = facts["authors"][facts["authors"]["who"] == UNKNOWN].rename(columns={"table": "key"})
        nobody = nobody[["key", "change", "rows"]].reset_index(drop=True)
        finding = _UNEXPLAINED("warn" if len(nobody) else "pass", int(nobody["rows"].sum()), nobody)
        if not differing:
            headline = f"Nothing changed {since}: {len(same)} tables are as they were."
            return Answer(headline, findings=[finding], facts=facts, sample=0)
        parts = _parts(facts, f"What changed {since} ({len(same)} other tables are as they were)")
        parts["changes"] = partial(differences_chart, facts["tables"])
        parts["whose"] = partial(authors_chart, facts["authors"])
        given = f"--before {before}" if before else shlex.quote(str(snapshot or first.name))
        step = Step("What a restore would lose", f"snapshot losses {given} --run RUN_ID")
        return Answer("", parts, [finding], () if other else [step], facts, sample=0, code=1)

    @answering
    def losses(
        self,
        snapshot: str | Path | None = None,
        runs: Sequence[str] = (),
        *,
        before: str | None = None,
        limit: int = SHOWN,
        min_evidence: str = "likely",
        progress: Progress = lambda *_: None,
    ) -> Answer:
        """Tell what a restore to a snapshot would lose: all that was done since but the doing of the bad runs.

        Returns
        -------
        Answer
            Its facts: ``snapshot``; ``runs``, whose doing is not counted: it is what the restore is for;
            ``total``: how many rows would be lost, whether or not a replay puts them back; ``differing``: how many differ;
            ``tables``: ``table``, rows ``added``, ``changed`` and ``removed`` since, and of these the ``conflicts`` (rows
            and values that a replay cannot put back, or that a run wrote too) and what is ``unresolved``;
            ``authors`` and ``rows`` as of `differences`; ``conflicts`` and ``unresolved`` as a replay would list them.
        """
        if (first := self._snapshot(snapshot, before)) is None:
            return self._without_snapshot(_LOSES)
        with self._replay(first, runs, min_evidence=min_evidence, progress=progress) as replay:
            facts = losses_of(replay, limit)
        names, lost = facts["runs"], facts["total"]
        but = f" but the doing of {', '.join(names)}" if runs else ""
        finding = _LOSES("warn" if lost else "pass", lost, facts["tables"].rename(columns={"table": "key"}))
        if not lost:
            headline = f"A restore to {first.name} would lose nothing{but}."
            return Answer(headline, findings=[finding], facts=facts, sample=0)
        given = f"--before {before}" if before else f"--snapshot {shlex.quote(str(snapshot or first.name))}"
        steps = [Step("Perhaps no restore is needed; the ways out side by side", "triage")]
        if runs:
            replay_runs = " ".join(f"--run {run}" for run in names)
            command = f"plan replay {given} {replay_runs}"
            steps.append(Step("Before the restore, plan what is put back after it", command))
        parts = _parts(facts, f"A restore to {first.name} would lose {lost:,} rows{but}")
        parts["conflicts"] = Table(facts["conflicts"], "Conflicts: could not be put back", "", limit=_MANY)
        parts["unresolved"] = Table(facts["unresolved"], "Unresolved", "", limit=_MANY)
        return Answer("", parts, [finding], steps, facts, sample=0, code=1)

    def _without_snapshot(self, finding: Callable[..., Finding]) -> Answer:
        reason = f"There is no snapshot of {self.wb.environment.name} to compare with."
        missing = finding("not run", reason=reason)
        table = pd.DataFrame([{"check": missing.check, "status": missing.status, "reason": reason}])
        return Answer(
            f"{reason} Any archive of pg_dump can be named instead.",
            {"findings": Table(table)},
            [missing],
            next_steps=[Step("Take a snapshot", "snapshot create --reason TEXT")],
            facts={"snapshot": None},
        )

    def plan_replay(
        self,
        snapshot: str | Path | None,
        runs: Sequence[str],
        *,
        before: str | None = None,
        on_conflict: Literal["keep", "restore"] = "keep",
        min_evidence: str = "likely",
        progress: Progress = lambda *_: None,
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
        first = self._snapshot(snapshot or None, before)
        assert first is not None
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
        progress: Progress = lambda *_: None,
    ) -> Iterator[Replay]:
        way, least = way_with_conflicts(on_conflict), Strength.named(min_evidence)
        known = self.wb.find_runs()
        bad = [*{run.run: run for run in (pick_run(known, name)[0] for name in runs)}.values()]
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
        progress: Progress,
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
                later = self._snapshot(other)
                assert later is not None
                now = stack.enter_context(opened_side(later, now, settings))
            comparison = stack.enter_context(
                compared(
                    snapshot, now, schema.catalogue, settings, only=only, in_full=in_full, progress=progress
                )
            )
            yield Authors(live, schema, runs, comparison, snapshot.taken_at)

    def _snapshot(self, name: str | Path | None, before: str | None = None) -> Snapshot | None:
        """Find a snapshot of this database; the latest where its name is empty, None where there is no such."""
        wb = self.wb
        if name == "":
            if not before and not list_snapshots(wb.settings.backups, wb.environment.name):
                return None
            name = None if before else "latest"
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


def _parts(facts: dict[str, Any], caption: str) -> dict[str, Part]:
    """Return the frames that differences and losses have in common."""
    return {
        "tables": Table(facts["tables"], caption),
        "authors": Table(facts["authors"], "Who did it, by the evidence"),
        "rows": Table(facts["rows"], "Rows, some of each table", "", limit=_MANY),
    }


def _counted(differences: Sequence[TableDifference]) -> pd.DataFrame:
    rows = [
        (
            *(row.table, row.before, row.now, *(len(row.rows[kind]) for kind in KINDS)),
            ", ".join(f"{name} {count:,}" for name, count in row.columns.most_common()),
            row.remarks,
        )
        for row in differences
    ]
    frame = pd.DataFrame(rows, columns=["table", "before", "now", *KINDS, "columns", "remark"])
    return frame.astype({"before": "Int64", "now": "Int64"})


def losses_of(replay: Replay, limit: int) -> dict[str, Any]:
    """Draw up what a restore would lose: see `History.losses`."""
    listed = replay.draft.listed
    conflicts, unresolved = (sorted(listed[name], key=str) for name in ("conflict", "unresolved"))
    lost = {
        (table, kind): set(rows)
        for kind, tables in replay.back.items()
        for table, rows in tables.items()
        if rows
    }
    kinds = {
        (table, key): kind
        for table in {str(row[0]) for row in conflicts}
        for kind in KINDS
        for key in replay.comparison.tables[table].rows[kind]
    }
    for row in conflicts:
        table, key = str(row[0]), str(row[1])
        lost.setdefault((table, kinds.get((table, key), "changed")), set()).add(key)
    cells = {cell: sorted(lost[cell]) for cell in sorted(lost)}
    in_conflict, left_open = (Counter(str(row[0]) for row in rows) for rows in (conflicts, unresolved))
    summary = [
        (table, *(len(cells.get((table, kind), ())) for kind in KINDS), in_conflict[table], left_open[table])
        for table in sorted({table for table, _ in cells} | set(left_open))
    ]
    columns = ["table", "key", "column", "before", "run", "now", "reason"]
    return {
        "snapshot": replay.snapshot,
        "runs": replay.names,
        "total": sum(map(len, cells.values())) + len(unresolved),
        "differing": sum(difference.total for difference in replay.comparison.different),
        "tables": pd.DataFrame(summary, columns=["table", *KINDS, "conflicts", "unresolved"]),
        **_authored(replay.authors, cells, limit),
        "conflicts": pd.DataFrame(conflicts, columns=columns),
        "unresolved": pd.DataFrame(unresolved, columns=["table", "key", "reason", "resolved_by"]),
    }


def _authored(
    authors: Authors, cells: Mapping[tuple[str, Kind], Sequence[str]], limit: int
) -> dict[str, pd.DataFrame]:
    """Count rows by who did it, and list some of them; they are given by table and kind, sorted."""
    counts, sample = [], []
    for (table, kind), keys in cells.items():
        known = authors.of(table, kind)
        tally = Counter(known.get(key, NOBODY_KNOWN) for key in keys)
        for author, rows in sorted(tally.items(), key=lambda pair: (-pair[1], pair[0])):
            counts.append((table, kind, *author, rows))
        values = authors.comparison.values(table, kind, keys[:limit])
        for key, sides in zip(keys[:limit], values, strict=True):
            if kind != "changed":  # of whole rows what is empty says nothing
                sides = [
                    row and {name: cell for name, cell in row.items() if cell is not None} for row in sides
                ]  # type: ignore[assignment]
            sample.append((table, kind, key, *known.get(key, NOBODY_KNOWN), *sides))
    return {
        "authors": pd.DataFrame(counts, columns=["table", "change", "who", "evidence", "rows"]),
        "rows": pd.DataFrame(sample, columns=["table", "change", "key", "who", "evidence", "was", "now"]),
    }
