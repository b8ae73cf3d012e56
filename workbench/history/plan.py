"""Plan what comes back after a restore (guide §3, level 2): planned before it, applied after it.

A restore loses everything since the snapshot. This plan holds what of that is not the bad runs' doing, and says
of each row what the snapshot has: apply refuses it until the restored database has the live one's name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from workbench.errors import Refused
from workbench.history.authors import WORKBENCH, Authors
from workbench.history.listing import rows_of
from workbench.history.standing import Back, Columns, clash, leave_out_what_cannot_stand
from workbench.investigate.differences.found import Kind, TableDifference
from workbench.investigate.records import record_fates, writers
from workbench.murmurant.catalogue import Catalogue
from workbench.murmurant.importers import REPLAYED, Run, Strength
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans import rows
from workbench.plans.current import rows_by_key
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.runs.effects import leave_too_weak
from workbench.runs.pointers import written_mappings
from workbench.runs.restoring import refuse_a_later_snapshot
from workbench.runs.sync_state import written_sync_states
from workbench.runs.three_way import OnConflict, Outcome, Testimony, Unknown, judge
from workbench.runs.witnesses import Witnesses

_KEYS = 100_000
_ROWS = 5_000  # whole rows of two databases, so fewer at a time than keys

BAD_ROW = "was made by the run"


@dataclass
class Claims:
    """What bad runs did to some rows: made or updated them, to who came after; tied too weakly, to what and how."""

    made: dict[str, str] = field(default_factory=dict)
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
    back : Back
        What comes back, and what does not.
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
        self.context, self.connection, self.schema = context, context.connection, context.schema
        self.authors, self.compared = authors, authors.compared
        self.bad, self.known, self.snapshot = bad, known, snapshot
        self.on_conflict, self.least = on_conflict, min_evidence
        self.names = [run.run for run in bad]
        self.concepts = {found.table: name for name, found in self.schema.resolved.items()}
        self.entities = {
            self.schema.table_of(entity): entity for entity in ENTITIES if self.schema.has(CONCEPT_OF[entity])
        }
        self.back, before = Back(), self.compared.before
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
        self._refuse_what_is_no_restore()
        for difference in self.compared.different:
            self._sort(difference)
        leave_out_what_cannot_stand(self.compared, context.references, self.back, self.draft)

    def plan(self, evidence: Iterable[str]) -> Plan:
        """Write what comes back as a plan.

        Parameters
        ----------
        evidence : iterable of str
            What it rests on, in words.

        Raises
        ------
        Refused
            When there is nothing to put back.
        """
        with self.draft as draft:
            draft.reasons.append(
                f"Puts back, after a restore to {self.snapshot}, what was done since and is not the doing of"
                f" {', '.join(self.names)}."
            )
            draft.evidence += evidence
            draft.notes[:0] = [
                "For the restored database: before the restore its rows are not as this plan expects them.",
                *self._by_nobody(),
            ]
            for table, keys in self.back.deletes.items():
                draft.delete(table, keys)
            for table, keys in sorted(self.back.inserts.items()):
                self._insert(table, sorted(keys))
            for table, changed in self.back.updates.items():
                for key, columns in changed.items():
                    draft.update(table, key, {name: new for name, (_, new) in columns.items()})
            whose = {"run_id": self.names[0]} if len(self.names) == 1 else {"runs": self.names}
            draft.log(REPLAYED, backup_file=self.snapshot, records_affected=draft.total, **whose)
        return draft.plan

    def _insert(self, table: str, keys: Sequence[str]) -> None:
        shape, now = self.compared.tables[table].shape, self.compared.now
        assert shape is not None
        there = self.draft.catalogue.tables[table]
        names = [name for name in shape.columns if not there.columns[name].generated]
        described = replace(now.catalogue.tables[table], primary_key=there.primary_key)
        for chunk in rows.in_chunks(keys, _ROWS):
            found = rows_by_key(now.connection, now.schema, described, chunk, names)
            for key in chunk:
                self.draft.insert(table, found[key].values)

    def _by_nobody(self) -> list[str]:
        """Say how many rows come back of which nothing tells who wrote them."""
        count = 0
        for kind, tables in self.back.by_kind.items():
            for table, keys in tables.items():
                for chunk in rows.in_chunks(sorted(keys), _KEYS):
                    count += len(chunk) - len(self.authors.of(table, kind, chunk))
        told = (
            f"Of {count:,} rows that are put back nothing tells who wrote them; no run left a mark on them."
        )
        return [told] if count else []

    def _refuse_what_is_no_restore(self) -> None:
        for run in self.bad:
            if run.mode == "dry":
                raise Refused(f"{run.run} was a dry run: it wrote nothing, so nothing is lost by keeping it.")
            others = [each for each in self.known if each is not run]
            for fates in record_fates(self.connection, self.schema, run, others):
                if fates.action == "created" and fates.exists and fates.strength >= self.least:
                    made = {key for key in fates.record_ids if key is not None}
                    for chunk in self.compared.tables[self.schema.table_of(fates.entity)].added.chunks(_KEYS):
                        made.difference_update(chunk)
                    refuse_a_later_snapshot("The snapshot", run, fates.entity, made)

    def _sort(self, each: TableDifference) -> None:
        """Go through a table that differs."""
        shape = each.shape
        if shape is None or len(shape.key) != 1:
            reason = "it is not in the snapshot" if each.before is None else "it is gone"
            reason = "its rows have no key of one column" if shape else reason
            how = "the migration that made the table, or by hand from the safety backup"
            if each.rows:
                self.draft.unresolved(each.table, "", f"{each.rows:,} rows differ, and {reason}", how)
            return
        if columns := (*shape.only_now, *shape.retyped):
            self.draft.note(
                f"{each.table}: columns that the snapshot has not so ({', '.join(columns)}) are not put back."
            )
        for chunk in each.added.chunks(_KEYS):
            self._added(each.table, chunk)
        for chunk in each.changed.chunks(_ROWS):
            self._changed(each, chunk)
        for chunk in each.removed.chunks(_KEYS):
            by_runs = self.authors.entries.of_runs
            self.back.deletes[each.table].update(
                key for key in chunk if by_runs.get((each.table, key)) not in self.names
            )

    def _added(self, table: str, keys: Sequence[str]) -> None:
        claims, left = self._claims(table, "added", keys), self.back.left[table]
        for key in sorted(claims.updated.keys() - claims.made.keys()):
            clash(
                self.draft,
                table,
                key,
                "added since, and changed by the run after that: it is put back as it is now, for what it was in between is"
                " not known",
            )
        for key, by in sorted(claims.made.items()):
            left[key] = BAD_ROW
            if by:
                clash(
                    self.draft,
                    table,
                    key,
                    f"made by the run, but {by} changed it since: that goes with it",
                )
        for key, (action, strength) in sorted(claims.weak.items()):
            left[key] = "may have been made by the run"
            leave_too_weak(self.draft, table, key, action, strength)
        self.back.inserts[table].update(key for key in keys if key not in left)

    def _changed(self, each: TableDifference, keys: Sequence[str]) -> None:
        """Decide, column by column, what of some rows that are in both is put back."""
        assert self.compared.before is not None
        assert each.shape is not None
        table, claims = each.table, self._claims(each.table, "changed", keys)
        for key, (action, strength) in sorted(claims.weak.items()):
            leave_too_weak(self.draft, table, key, action, strength)
        was = rows_of(self.compared.before, each, self.compared, keys)
        now = rows_of(self.compared.now, each, self.compared, keys)
        known = self._testimonies(table, self.bad, claims.updated)
        others = self._testimonies(table, self._good_writers(table, claims.updated), claims.updated)
        found = self.schema.resolved.get(self.concepts.get(table, ""))
        bookkeeping = found.spelling.get("updated_at") if found else None
        for key in keys:
            if key in claims.weak or key not in was or key not in now:
                continue
            before, after = ({name: row[key][name] for name in each.shape.columns} for row in (was, now))
            if key in claims.updated:
                by = claims.updated[key]
                columns = self._judge(table, key, before, after, by, known[key], others[key], bookkeeping)
            else:
                columns = {
                    name: (before[name], after[name]) for name in before if before[name] != after[name]
                }
            if columns:
                self.back.updates[table][key] = columns

    def _judge(
        self,
        table: str,
        key: str,
        before: Mapping[str, str | None],
        now: Mapping[str, str | None],
        by: str,
        known: Sequence[Testimony],
        others: Sequence[Testimony],
        bookkeeping: str | None,
    ) -> Columns:
        """Decide for a row that a bad run updated, `others` being what the good ones say of it."""
        columns: Columns = {}
        for each in judge(before, now, known, by, bookkeeping):
            name = each.column
            if each.outcome is Outcome.RESTORE:
                # Another run may have written it before this one; that stays done.
                earlier = [one.written[name] for one in others if name in one.written]
                if earlier and not isinstance(earlier[-1], Unknown):
                    columns[name] = before[name], earlier[-1]
                continue
            if each.outcome is Outcome.CONFLICT:
                left, why = each.conflict(by)
                stays = self.on_conflict == "restore"
                what = "stays as the snapshot has it" if stays else "what is there now is put back"
                self.draft.conflict(table, key, name, before[name], left, now[name], f"{why}; {what}")
                if stays:
                    continue
            columns[name] = before[name], now[name]
        columns = {name: pair for name, pair in columns.items() if pair[0] != pair[1]}
        if bookkeeping and (by or columns) and before[bookkeeping] != now[bookkeeping]:
            columns[bookkeeping] = before[bookkeeping], now[bookkeeping]
        return columns

    def _claims(self, table: str, kind: Kind, keys: Sequence[str]) -> Claims:
        """Tell what the bad runs did to some rows of a table that were added, or changed."""
        concept = self.concepts.get(table, "")
        if table in self.entities:
            return self._claims_on_records(self.entities[table], keys)
        if concept == "audit" and kind == "added":
            who = {key: author.who for key, author in self.authors.of(table, "added", keys).items()}
            made = {key: "" for key in keys if who.get(key) in self.names}
            own = [key for key in keys if who.get(key) == WORKBENCH]
            self.back.left[table] |= dict.fromkeys(own, "is the workbench's own")
            told = "The workbench's own audit entries are not put back: they tell of what is restored away."
            if own and told not in self.draft.notes:
                self.draft.note(told)
            return Claims(made)
        written = {key: by for key, by in self._written.get(concept, {}).items() if key in set(keys)}
        return Claims(written, written)

    @cached_property
    def _written(self) -> dict[str, dict[str, str]]:
        """The mappings and sync states that a bad run wrote, to who wrote to them since."""
        found: dict[str, dict[str, str]] = {"mappings": {}, "sync_state": {}}
        for run in self.bad:
            pointers = written_mappings(self.connection, self.schema, run)
            found["mappings"] |= {key: each.by for key, each in pointers.items()}
            found["sync_state"] |= written_sync_states(self.connection, self.schema, run)
        return found

    def _claims_on_records(self, entity: str, keys: Sequence[str]) -> Claims:
        claims = Claims()
        for key, wrote in writers(self.connection, self.schema, self.bad, self.known, entity, keys).items():
            for each in wrote:
                by = "" if each.touched_since in self.names else each.touched_since
                # Of a record that the guide's importer mapped, a later change hides that it was changed too.
                hidden = each.action == "mapped" and each.run.importer == "guide" and by
                if each.action not in ("created", "updated") and not hidden:
                    continue
                if each.strength < self.least:
                    claims.weak[key] = each.action, each.strength
                elif each.action == "created":
                    claims.made[key] = by
                else:
                    claims.updated[key] = by
        for key in claims.made.keys() | claims.updated.keys():
            claims.weak.pop(key, None)
        return claims

    def _good_writers(self, table: str, keys: Collection[str]) -> list[Run]:
        """Return the other runs since the snapshot that updated one of these rows, as far as the evidence goes."""
        good = [run for run in self.authors.since if run.run not in self.names and not run.rolled_back]
        if table not in self.entities:
            return []
        wrote = writers(self.connection, self.schema, good, (), self.entities[table], keys)
        named = {
            each.run.run
            for of_row in wrote.values()
            for each in of_row
            if each.action == "updated" and each.strength >= Strength.likely
        }
        return [run for run in good if run.run in named]

    def _testimonies(
        self, table: str, runs: Sequence[Run], keys: Collection[str]
    ) -> dict[str, list[Testimony]]:
        """Ask for each run what is known of the values it wrote, in order of the runs."""
        found: dict[str, list[Testimony]] = {key: [] for key in keys}
        for run in runs if keys and table in self.entities else ():
            witnesses = Witnesses(self.connection, self.schema, run, self.entities[table])
            for key, each in witnesses.ask(list(keys)).items():
                found[key].append(each)
        return found


def _as_restored(before: Catalogue, live: Catalogue) -> Catalogue:
    """Return how the restored database will describe itself: the snapshot's columns, the live one's keys."""
    tables = {
        name: replace(found, primary_key=live.tables[name].primary_key, unique=live.tables[name].unique)
        for name, found in before.tables.items()
        if name in live.tables
    }
    return replace(before, tables=tables)
