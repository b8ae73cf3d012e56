"""Plan what comes back after a restore (guide §3, level 2): planned before it, applied after it.

A restore loses everything since the snapshot. This plan holds what of that is not the bad runs' doing, and says
of each row what the snapshot has: apply refuses it until the restored database has the live one's name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from workbench.errors import Refused
from workbench.history.authors import WORKBENCH, Authors
from workbench.history.differences import Kind, TableDifference, Values, rows_of
from workbench.history.standing import Columns, Standing
from workbench.murmurant.catalogue import Catalogue
from workbench.murmurant.importers import REPLAYED, Run, Strength
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.plans.rows import in_chunks
from workbench.runs.evidence import record_fates, writers
from workbench.runs.restoring import refuse_a_later_snapshot
from workbench.runs.rollback import leave_too_weak
from workbench.runs.three_way import UNKNOWN, OnConflict, Outcome, Testimony, judge, testimonies
from workbench.runs.written import sync_states, written_mappings

_ROWS = 5_000  # whole rows of two databases at a time


@dataclass
class Claims:
    """What bad runs did to some rows: made or updated them, to who came after; tied too weakly, to what and how."""

    created: dict[str, str] = field(default_factory=dict)
    updated: dict[str, str] = field(default_factory=dict)
    weak: dict[str, tuple[str, Strength]] = field(default_factory=dict)


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
        self.connection, self.schema = context.connection, context.schema
        self.authors, self.comparison = authors, authors.comparison
        self.bad, self.known, self.snapshot = bad, known, snapshot
        self.on_conflict, self.min_evidence = on_conflict, min_evidence
        self.names, before = [run.run for run in bad], self.comparison.before
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
            catalogue=_as_restored(before.catalogue, self.schema.catalogue) if before else None,
        )
        standing = Standing(self.comparison, context.references, self.draft)
        self.back, self.left = standing.back, standing.left
        self._refuse_what_is_no_restore()
        for difference in self.comparison.different:
            self._sort(difference)
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

    def _refuse_what_is_no_restore(self) -> None:
        for run in self.bad:
            if run.mode == "dry":
                raise Refused(f"{run.run} was a dry run: it wrote nothing, so nothing is lost by keeping it.")
            others = [other for other in self.known if other is not run]
            for group in record_fates(self.connection, self.schema, run, others):
                if group.action == "created" and group.exists and group.strength >= self.min_evidence:
                    added = self.comparison.tables[self.schema.table_of(group.entity)].rows["added"]
                    present = {key for key in group.record_ids if key is not None}.difference(added)
                    refuse_a_later_snapshot("The snapshot", run, group.entity, present)

    def _sort(self, difference: TableDifference) -> None:
        """Go through a table that differs."""
        table, rows = difference.table, difference.rows
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
        self._added(table, rows["added"])
        for chunk in in_chunks(rows["changed"], _ROWS):
            self._changed(difference, chunk)
        by_runs = self.authors.deleted_by_run
        going = (key for key in rows["removed"] if by_runs.get((table, key)) not in self.names)
        self.back["removed"][table].update((key, {}) for key in going)

    def _added(self, table: str, keys: Sequence[str]) -> None:
        claims, left = self._claims(table, "added", keys), self.left[table]
        between = "added since, and changed by the run after that: it is put back as it is now; what it was between is not known"
        why = dict.fromkeys(claims.updated.keys() - claims.created.keys(), between)
        for key, by in claims.created.items():
            left[key] = "was made by the run"
            if by:
                why[key] = f"made by the run, but {by} changed it since: that goes with it"
        left |= dict.fromkeys(claims.weak, "may have been made by the run")
        for key, reason in why.items():
            self.draft.conflict(table, key, "", None, None, None, reason)
        self.back["added"][table].update((key, {}) for key in keys if key not in left)

    def _changed(self, difference: TableDifference, keys: Sequence[str]) -> None:
        """Decide, column by column, what of some rows that are in both is put back."""
        table, entity = difference.table, self.authors.entities.get(difference.table)
        claims = self._claims(table, "changed", keys)
        names = [name for name in difference.types if name not in difference.retyped]
        was, now = (
            rows_of(side, difference, keys, names) if side else {}
            for side in (self.comparison.before, self.comparison.now)
        )
        of_bad = self._testimonies(entity, self.bad, claims.updated)
        of_good = self._testimonies(entity, self._good_writers(entity, claims.updated), claims.updated)
        for key in keys:
            before, after = was[key], now[key]
            if key in claims.updated:
                by = claims.updated[key]
                columns = self._judge(table, key, before, after, by, of_bad[key], of_good[key])
            else:
                columns = {name: (old, after[name]) for name, old in before.items() if old != after[name]}
            if columns and key not in claims.weak:
                self.back["changed"][table][key] = columns

    def _judge(
        self,
        table: str,
        key: str,
        before: Values,
        now: Values,
        by: str,
        of_bad: Sequence[Testimony],
        of_good: Sequence[Testimony],
    ) -> Columns:
        """Decide for a row that a bad run updated, by what the runs say of it."""
        resolved = self.schema.resolved.get(self.authors.concepts.get(table, ""))
        bookkeeping = resolved.spelling.get("updated_at") if resolved else None
        columns: Columns = {}
        for verdict in judge(before, now, of_bad, by, bookkeeping):
            name, put = verdict.column, now[verdict.column]
            if verdict.outcome is Outcome.RESTORE:
                # Another run may have written it before this one; that stays done.
                earlier = [row.written[name] for row in of_good if name in row.written]
                put = earlier[-1] if earlier and earlier[-1] is not UNKNOWN else before[name]
            elif verdict.outcome is Outcome.CONFLICT:
                left, why = verdict.conflict(by)
                stays = self.on_conflict == "restore"
                what = "stays as the snapshot has it" if stays else "what is there now is put back"
                self.draft.conflict(table, key, name, before[name], left, put, f"{why}; {what}")
                put = before[name] if stays else put
            if put != before[name]:
                columns[name] = before[name], put
        if bookkeeping and (by or columns) and before[bookkeeping] != now[bookkeeping]:
            columns[bookkeeping] = before[bookkeeping], now[bookkeeping]
        return columns

    def _claims(self, table: str, kind: Kind, keys: Sequence[str]) -> Claims:
        """Tell what the bad runs did to some rows of a table that were added, or changed."""
        concept = self.authors.concepts.get(table, "")
        if table in self.authors.entities:
            return self._claims_on_records(table, keys)
        if concept == "audit" and kind == "added":
            who = {key: author.who for key, author in self.authors.of(table, "added").items()}
            own = [key for key in keys if who.get(key) == WORKBENCH]
            self.left[table] |= dict.fromkeys(own, "is the workbench's own")
            if own:
                self.draft.note(
                    "The workbench's own audit entries are not put back: they tell of what is restored away."
                )
            return Claims({key: "" for key in keys if who.get(key) in self.names})
        written = self._written.get(concept, {})
        claimed = {key: written[key] for key in keys if key in written}
        return Claims(claimed, claimed)

    @cached_property
    def _written(self) -> dict[str, dict[str, str]]:
        """The mappings and sync states that a bad run wrote, to who wrote to them since."""
        mappings, states = dict[str, str](), dict[str, str]()
        for run in self.bad:
            pointers = written_mappings(self.connection, self.schema, run)
            mappings |= {key: pointer.by for key, pointer in pointers.items()}
            rows = sync_states(self.connection, self.schema, run)
            states |= {row.key: row.by for row in rows if row.written}
        return {"mappings": mappings, "sync_state": states}

    def _claims_on_records(self, table: str, keys: Sequence[str]) -> Claims:
        claims, entity = Claims(), self.authors.entities[table]
        for key, writes in writers(self.connection, self.schema, self.bad, self.known, entity, keys).items():
            for write in writes:
                by = "" if write.touched_since in self.names else write.touched_since
                # Of a record that the guide's importer mapped, a later change hides that it was changed too.
                hidden = write.action == "mapped" and write.run.importer == "guide" and by
                if write.action not in ("created", "updated") and not hidden:
                    continue
                if write.strength < self.min_evidence:
                    claims.weak[key] = write.action, write.strength
                elif write.action == "created":
                    claims.created[key] = by
                else:
                    claims.updated[key] = by
        for key in claims.created.keys() | claims.updated.keys():
            claims.weak.pop(key, None)
        for key, (action, strength) in claims.weak.items():
            leave_too_weak(self.draft, table, key, action, strength)
        return claims

    def _good_writers(self, entity: str | None, keys: Collection[str]) -> list[Run]:
        """Return the other runs since the snapshot that updated one of these rows, as far as the evidence goes."""
        if entity is None:
            return []
        good = [run for run in self.authors.since if run.run not in self.names and not run.rolled_back]
        names = {
            write.run.run
            for writes in writers(self.connection, self.schema, good, (), entity, keys).values()
            for write in writes
            if write.action == "updated" and write.strength >= Strength.likely
        }
        return [run for run in good if run.run in names]

    def _testimonies(
        self, entity: str | None, runs: Sequence[Run], keys: Collection[str]
    ) -> dict[str, list[Testimony]]:
        """Ask for each run what is known of the values it wrote, in order of the runs."""
        if not keys or entity is None:
            runs = ()
        by_run = [testimonies(self.connection, self.schema, run, str(entity), [*keys]) for run in runs]
        return {key: [known[key] for known in by_run] for key in keys}


def _as_restored(before: Catalogue, live: Catalogue) -> Catalogue:
    """Return how the restored database will describe itself: the snapshot's columns, the live one's keys."""
    tables = {
        name: replace(table, primary_key=live.tables[name].primary_key, unique=live.tables[name].unique)
        for name, table in before.tables.items()
        if name in live.tables
    }
    return replace(before, tables=tables)
