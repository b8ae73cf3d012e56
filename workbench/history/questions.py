"""Changes since a snapshot: the differences, their authors, what a restore would lose, and putting it back."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
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
from workbench.runs.restoring import way_with_conflicts
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
    "Changes by unknown authors",
    guide="§5.2",
    question="Is the author of every change known?",
    remedy="Ask who works on the database directly; name the importers' report files (`--import-report`), which may tell.",
    severity="warn",
)


class History:
    """A record's history (``wb.history("Member", key)``), and the changes since a snapshot.

    A ``snapshot`` is a name, a file, ``latest``, or any archive of pg_dump; ``before`` names an environment that holds the
    earlier state instead, which is only read. ``runs`` are the bad runs, whose changes are not put back; none counts
    everything. `UsageError` for unknown names, `WrongEnvironment` for a snapshot of another database, `DocumentError` for a
    damaged one.
    """

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(self, entity: str, key: str) -> Answer:
        """Show a record's history: who created it and what was done to it since, by the evidence.

        Parameters
        ----------
        entity : {"Member", "Event", "Registration"}
        key : str
            Its id in Murmurant, also of a deleted record.

        Raises
        ------
        UsageError
            When nothing is known of it.
        """
        if entity not in ENTITIES:
            raise unknown("entity", entity, ENTITIES)
        schema, runs = self.wb.schema, [run for run in self.wb.find_runs() if run.mode == "live"]
        with self.wb.reading() as connection:
            exists, story = story_of(connection, schema, runs, entity, key)
            rows = mapping_rows(connection, schema, records=[key]) if schema.has(*NEEDS) else ()
            wa_ids = sorted({row.wa_id for row in rows if row.entity == entity})
        if not exists and story.empty:
            raise UsageError(f"Nothing is known of {entity} {key}.", "Give its full id in Murmurant.")
        mapped = f", mapped from Wild Apricot's {', '.join(wa_ids)}" if wa_ids else ""
        return Answer(
            f"{entity} {key} {'exists' if exists else 'does not exist any more'}{mapped}.",
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
            The tables to compare; all when empty.
        limit : int
            The most rows of each table and change that are listed; all are counted.
        in_full : bool
            Compare every row, even where the snapshot's digests agree.

        Returns
        -------
        Answer
            Its facts: ``snapshot``, ``other`` (None for the database itself);
            ``tables``, a row for each that differs: ``table``, ``before``, ``now`` (rows), ``added``, ``removed``, ``changed``,
            ``columns`` (in how many rows each changed), ``remark``; ``authors``: ``table``, ``change``, ``who``,
            ``evidence``, ``rows``; ``rows``, up to `limit` of each table and change: ``table``, ``change``, ``key``, ``who``,
            ``evidence``, and the columns as they ``was`` and are ``now`` (of a changed row those that changed);
            ``same``: the tables without differences.
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
            headline = f"Nothing changed {since}: {len(same)} tables are the same."
            return Answer(headline, findings=[finding], facts=facts, sample=0)
        parts = _parts(facts, f"Changes {since} ({len(same)} other tables are the same)")
        parts["changes"] = partial(differences_chart, facts["tables"])
        parts["by_author"] = partial(authors_chart, facts["authors"])
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
        """Show what a restore to a snapshot would lose: all changes since, except those of the bad runs.

        Returns
        -------
        Answer
            Its facts: ``snapshot``; ``runs``, the bad ones; ``total``: how many rows would be lost, whether or not a replay
            puts them back; ``differing``: how many differ; ``tables``: ``table``, rows ``added``, ``changed``, ``removed``,
            ``conflicts`` (rows and values that a replay cannot put back, or that a run wrote too), ``unresolved``;
            ``authors`` and ``rows`` as in `differences`; ``conflicts`` and ``unresolved`` as a replay would list them.
        """
        if (first := self._snapshot(snapshot, before)) is None:
            return self._without_snapshot(_LOSES)
        with self._replay(first, runs, min_evidence=min_evidence, progress=progress) as replay:
            facts = losses_of(replay, limit)
        names, lost = facts["runs"], facts["total"]
        but = f", apart from the changes of {', '.join(names)}" if runs else ""
        finding = _LOSES("warn" if lost else "pass", lost, facts["tables"].rename(columns={"table": "key"}))
        if not lost:
            headline = f"A restore to {first.name} would lose nothing{but}."
            return Answer(headline, findings=[finding], facts=facts, sample=0)
        given = f"--before {before}" if before else f"--snapshot {shlex.quote(str(snapshot or first.name))}"
        steps = [Step("Compare the other ways out, which may need no restore", "triage")]
        if runs:
            replay_runs = " ".join(f"--run {run}" for run in names)
            command = f"plan replay {given} {replay_runs}"
            steps.append(Step("Before the restore, plan what to put back after it", command))
        parts = _parts(facts, f"A restore to {first.name} would lose {lost:,} rows{but}")
        parts["conflicts"] = Table(facts["conflicts"], "Conflicts: could not be put back", "", limit=_MANY)
        parts["unresolved"] = Table(facts["unresolved"], "Unresolved", "", limit=_MANY)
        return Answer("", parts, [finding], steps, facts, sample=0, code=1)

    def _without_snapshot(self, finding: Callable[..., Finding]) -> Answer:
        reason = f"There is no snapshot of {self.wb.environment.name} to compare with."
        steps = [Step("Take a snapshot", "snapshot create --reason TEXT")]
        return Answer(
            f"{reason} Any archive of pg_dump can be named instead.",
            findings=[finding("not run", reason=reason)],
            next_steps=steps,
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
        """Plan what to put back after a restore to a snapshot; writes only a plan file.

        It is planned before the restore and applied after it.

        Parameters
        ----------
        on_conflict : {"keep", "restore"}
            Whether a column that a run and then somebody else changed keeps the later value.
        min_evidence : {"certain", "strong", "likely", "weak"}
            Records tied to a run by weaker evidence are not put back, and are listed as unresolved.
        """
        if not runs:
            raise UsageError(
                "No bad run is named.", "Name the run whose changes are not put back with --run RUN_ID."
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
        """Compare, with both sides open; the audit log is always compared, since it names authors."""
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
        """Find a snapshot of this database; for an empty name the latest, or None where there is none."""
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
                    f"Name one of this database, or the other environment with --environment {target.environment}.",
                )
        return snapshot


def _parts(facts: dict[str, Any], caption: str) -> dict[str, Part]:
    """Return the tables that differences and losses share."""
    return {
        "tables": Table(facts["tables"], caption),
        "authors": Table(facts["authors"], "Authors, by the evidence"),
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
    """Return what a restore would lose: see `History.losses`."""
    listed = replay.draft.listed
    conflicts, unresolved = (sorted(listed[name], key=str) for name in ("conflict", "unresolved"))
    lost = defaultdict[tuple[str, Kind], set[str]](set)
    for kind, tables in replay.back.items():
        for table, rows in tables.items():
            lost[table, kind].update(rows)
    kinds = {
        (table, key): kind
        for table in {str(row[0]) for row in conflicts}
        for kind in KINDS
        for key in replay.comparison.tables[table].rows[kind]
    }
    for row in conflicts:
        table, key = str(row[0]), str(row[1])
        lost[table, kinds.get((table, key), "changed")].add(key)
    cells = {cell: sorted(lost[cell]) for cell in sorted(lost) if lost[cell]}
    counts = Counter(str(row[0]) for row in conflicts), Counter(str(row[0]) for row in unresolved)
    summary = [
        (table, *(len(cells.get((table, kind), ())) for kind in KINDS), *(count[table] for count in counts))
        for table in sorted({table for table, _ in cells} | {*counts[1]})
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
    """Count rows by author, and list some of them; `cells` are the keys by table and kind."""
    counts, sample = [], []
    for (table, kind), keys in cells.items():
        known = authors.of(table, kind)
        tally = Counter(known.get(key, NOBODY_KNOWN) for key in keys)
        for author, rows in sorted(tally.items(), key=lambda pair: (-pair[1], pair[0])):
            counts.append((table, kind, *author, rows))
        values = authors.comparison.values(table, kind, keys[:limit])
        for key, sides in zip(keys[:limit], values, strict=True):
            if kind != "changed":  # empty columns of whole rows are not shown
                sides = [
                    row and {name: cell for name, cell in row.items() if cell is not None} for row in sides
                ]  # type: ignore[assignment]
            sample.append((table, kind, key, *known.get(key, NOBODY_KNOWN), *sides))
    return {
        "authors": pd.DataFrame(counts, columns=["table", "change", "who", "evidence", "rows"]),
        "rows": pd.DataFrame(sample, columns=["table", "change", "key", "who", "evidence", "was", "now"]),
    }
