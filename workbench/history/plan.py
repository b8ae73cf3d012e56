"""Plan what comes back after a restore (guide §3, level 2): planned before it, applied after it.

A restore loses everything since the snapshot. What is put back is what there would be now had the bad runs been rolled
back instead. The plan says of each row what the snapshot has: apply refuses it until the restored database has the live
one's name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from workbench.errors import Refused
from workbench.history.authors import WORKBENCH, Authors
from workbench.history.differences import TableDifference, rows_of
from workbench.history.standing import Columns, Standing
from workbench.murmurant.catalogue import Catalogue
from workbench.murmurant.importers import REPLAYED, Run, Strength
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.plans.rows import in_chunks
from workbench.runs.evidence import writers
from workbench.runs.restoring import Restoration
from workbench.runs.rollback import Rollback
from workbench.runs.three_way import UNKNOWN, OnConflict, testimonies

_ROWS = 5_000  # whole rows of two databases at a time


class _Undoing(Draft):
    """What rolling the bad runs back would do to the database as it is: remembered, and never a plan."""

    def __init__(self, context: PlanContext) -> None:
        super().__init__(context, "rollback")
        self.gone = defaultdict[str, set[str]](set)
        self.restored = defaultdict[tuple[str, str], dict[str, str | None]](dict)
        self.weak = set[tuple[str, str]]()

    def delete(self, table: str, keys: Iterable[str]) -> None:
        self.gone[table].update(keys)

    def update(
        self, table: str, wanted: Mapping[str, Mapping[str, str | None]], *, together: Collection[str] = ()
    ) -> None:
        for key, columns in wanted.items():
            self.restored[table, key] |= columns


class Replay:
    """What was done since a snapshot, sorted: the bad runs' doing, which a restore is for, and everybody else's.

    Parameters
    ----------
    authors : Authors
        Both sides, held open, and whose doing each difference is.
    bad : sequence of Run
        The runs whose doing is not wanted back; none for a list of everything.
    known : sequence of Run
        Every run that is known.

    Attributes
    ----------
    back, left : dict
        What comes back, and what does not: see `Standing`.
    draft : Draft
        Of the plan, for the database that the restore puts in the live one's place.

    Raises
    ------
    Refused
        For a dry run, or a snapshot that is not from before the run.
    """

    def __init__(
        self,
        context: PlanContext,
        authors: Authors,
        bad: Sequence[Run],
        known: Sequence[Run],
        snapshot: str,
        on_conflict: OnConflict = "keep",
        min_evidence: Strength = Strength.likely,
    ) -> None:
        self.context, self.authors, self.comparison = context, authors, authors.comparison
        self.bad, self.snapshot, self.names = bad, snapshot, [run.run for run in bad]
        before = self.comparison.before
        self.draft = Draft(
            context,
            "replay",
            parameters={
                "snapshot": snapshot,
                "runs": self.names,
                "on_conflict": on_conflict,
                "min_evidence": min_evidence.name,
            },
            nothing=f"Nothing was done since {snapshot} but by {', '.join(self.names)} that can be put back",
            connection=before.connection if before else None,
            catalogue=_as_restored(before.catalogue, context.schema.catalogue) if before else None,
        )
        standing = Standing(self.comparison, context.references, self.draft)
        self.back, self.left = standing.back, standing.left
        undoing = self._undo(known, on_conflict, min_evidence)
        for difference in self.comparison.different:
            self._sort(difference, undoing)
        if before is not None:
            standing.leave_out_the_rest(before)

    def plan(self, evidence: Iterable[str]) -> Plan:
        """Write what comes back as a plan; `evidence` is what it rests on, in words. `Refused` where nothing does."""
        with self.draft as draft:
            names = ", ".join(self.names)
            draft.reasons.append(
                f"Puts back, after a restore to {self.snapshot}, what was done since and is not the doing of {names}."
            )
            draft.evidence += evidence
            notes = [
                "For the restored database: before the restore its rows are not as this plan expects them."
            ]
            unknown = sum(
                len(rows.keys() - self.authors.of(table, kind).keys())
                for kind, tables in self.back.items()
                for table, rows in tables.items()
            )
            if unknown:
                notes.append(f"Of {unknown:,} rows that are put back nothing tells who wrote them.")
            draft.notes[:0] = notes
            for table, rows in self.back["removed"].items():
                draft.delete(table, rows)
            for table, rows in sorted(self.back["added"].items()):
                difference = self.comparison.tables[table]
                for chunk in in_chunks(sorted(rows), _ROWS):
                    values = rows_of(self.comparison.now, difference, chunk, difference.types)
                    for key in chunk:
                        draft.insert(table, values[key])
            for table, rows in self.back["changed"].items():
                put = {key: {name: new for name, (_, new) in row.items()} for key, row in rows.items()}
                draft.update(table, put)
            runs = {"run_id": self.names[0]} if len(self.names) == 1 else {"runs": self.names}
            draft.log(REPLAYED, backup_file=self.snapshot, records_affected=draft.total, **runs)
        return draft.plan

    def _undo(self, known: Sequence[Run], on_conflict: OnConflict, min_evidence: Strength) -> _Undoing:
        """Find out what rolling back the bad runs would do, and list what it would leave open."""
        undoing, before = _Undoing(self.context), self.comparison.before
        for run in self.bad:
            if run.mode == "dry":
                raise Refused(f"{run.run} was a dry run: it wrote nothing, so nothing is lost by keeping it.")
            # What another bad run did after this one goes as well.
            others = [
                replace(other, rollbacks={"": {}}) if other.run in self.names else other
                for other in known
                if other is not run
            ]
            rollback = Rollback(undoing, run, others, min_evidence)
            side = (before.connection, before.catalogue.schema) if before else None
            Restoration(rollback, "The snapshot", side, on_conflict).bring_back(sync_state=True)
            rollback.delete(rollback.own_sync_states())
            undoing.weak |= rollback.weak
        self.draft.listed["conflict"] += undoing.listed["conflict"]
        self.draft.listed["unresolved"] += undoing.listed["unresolved"]
        for table, key, reason in undoing.listed["kept"]:
            difference = self.comparison.tables.get(str(table))
            if difference and key in difference.rows["added"]:
                self.draft.keep(str(table), str(key), str(reason))
        return undoing

    def _sort(self, difference: TableDifference, undoing: _Undoing) -> None:
        """Go through a table that differs."""
        table, rows, left = difference.table, difference.rows, self.left[difference.table]
        reason = "" if len(difference.key) == 1 else "its rows have no key of one column"
        if difference.now is None or difference.before is None:
            reason = "it is gone" if difference.now is None else "it is not in the snapshot"
        if reason:
            how = "the migration that made the table, or by hand from the safety backup"
            if difference.total:
                self.draft.unresolved(table, "", f"{difference.total:,} rows differ, and {reason}", how)
            return
        if columns := difference.only_now + difference.retyped:
            names = ", ".join(columns)
            self.draft.note(f"{table}: columns that the snapshot has not so ({names}) are not put back.")
        left |= dict.fromkeys(undoing.gone[table], "was made by the run")
        left |= {key: "may have been made by the run" for name, key in undoing.weak if name == table}
        if self.authors.concepts.get(table) == "audit":
            self._leave_entries(table)
        self.back["added"][table].update((key, {}) for key in rows["added"] if key not in left)
        for chunk in in_chunks(rows["changed"], _ROWS):
            self._changed(difference, [key for key in chunk if (table, key) not in undoing.weak], undoing)
        by_runs = self.authors.deleted_by_run
        going = (key for key in rows["removed"] if by_runs.get((table, key)) not in self.names)
        self.back["removed"][table].update((key, {}) for key in going)

    def _leave_entries(self, table: str) -> None:
        """Leave out the audit entries of the bad runs, and the workbench's own."""
        for key, author in self.authors.of(table, "added").items():
            if author.who in self.names:
                self.left[table][key] = "was made by the run"
            elif author.who == WORKBENCH:
                self.left[table][key] = "is the workbench's own"
        if WORKBENCH in {author.who for author in self.authors.of(table, "added").values()}:
            self.draft.note(
                "The workbench's own audit entries are not put back: they tell of what is restored away."
            )

    def _changed(self, difference: TableDifference, keys: Sequence[str], undoing: _Undoing) -> None:
        """Say, column by column, what of some rows that are in both is put back."""
        table = difference.table
        names = [name for name in difference.types if name not in difference.retyped]
        was, now = (
            rows_of(side, difference, keys, names) if side else {}
            for side in (self.comparison.before, self.comparison.now)
        )
        earlier = self._written_by_others(table, [key for key in keys if (table, key) in undoing.restored])
        for key in keys:
            before, after = was[key], dict(now[key])
            for name in undoing.restored.get((table, key), {}).keys() & after.keys():
                # Another run may have written it before the bad one; that stays done.
                after[name] = earlier.get(key, {}).get(name, before[name])
            columns: Columns = {
                name: (old, after[name]) for name, old in before.items() if old != after[name]
            }
            if columns:
                self.back["changed"][table][key] = columns

    def _written_by_others(self, table: str, keys: Sequence[str]) -> dict[str, dict[str, str | None]]:
        """Return what the other runs since the snapshot wrote into some rows, as far as the evidence goes."""
        entity, written = self.authors.entities.get(table), dict[str, dict[str, str | None]]()
        good = [run for run in self.authors.since if run.run not in self.names and not run.rolled_back]
        connection, schema = self.context.connection, self.context.schema
        if entity is None or not keys or not good:
            return written
        names = {
            write.run.run
            for writes in writers(connection, schema, good, (), entity, keys).values()
            for write in writes
            if write.action == "updated" and write.strength >= Strength.likely
        }
        for run in good:
            known = testimonies(connection, schema, run, entity, keys) if run.run in names else {}
            for key, testimony in known.items():
                values = {name: value for name, value in testimony.written.items() if value is not UNKNOWN}
                written[key] = written.get(key, {}) | values
        return written


def _as_restored(before: Catalogue, live: Catalogue) -> Catalogue:
    """Return how the restored database will describe itself: the snapshot's columns, the live one's keys."""
    tables = {
        name: replace(table, primary_key=live.tables[name].primary_key, unique=live.tables[name].unique)
        for name, table in before.tables.items()
        if name in live.tables
    }
    return replace(before, tables=tables)
