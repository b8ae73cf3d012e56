"""With a snapshot from before the run: what the run updated goes back to what it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import exists, select

from workbench.checkpoints.manifest import read_manifest
from workbench.checkpoints.scratch import Archive, Scratch
from workbench.errors import Refused, SnapshotError
from workbench.fixes.effects import Effects
from workbench.fixes.pointers import Pointer, made_sync_states, written_sync_states
from workbench.fixes.restoring import Comparison, OnConflict, columns_of
from workbench.fixes.witnesses import Witnesses
from workbench.murmurant.importers import Run, Strength
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES
from workbench.plans.draft import Draft

LEADS_TO_KEPT = "leads to a record that is kept"
ENOUGH = 100
"""Records looked for to tell a snapshot of this database from another's."""


def only_mapped(wa_ids: str) -> str:
    """Say why a record stays that the run did not make."""
    return f"was there before; the run only mapped WA id {wa_ids} onto it"


FROM_BEFORE = "the state before the run: --snapshot FILE (or its name), or --before ENVIRONMENT"


def snapshot_tables(schema: Schema) -> list[str]:
    """Return the tables that an importer writes to; no other is needed of a snapshot."""
    concepts = [*(CONCEPT_OF[entity] for entity in ENTITIES), "mappings", "sync_state"]
    return [schema.resolved[each].table for each in concepts if each in schema.resolved]


def leave_updates_open(draft: Draft, effects: Effects, written: Mapping[str, Pointer], own: set[str]) -> None:
    """List what cannot go back without a snapshot (DESIGN §1, trap 2).

    Parameters
    ----------
    written : mapping of str to Pointer
        The mappings that bear a mark of the run.
    own : set of str
        Those of them that lead to records the run created: they are its own whatever was before.
    """
    schema = draft.context.schema
    for entity, found in effects.updated.items():
        for key in sorted(found):
            what = "updated by the run; what it was before is not written anywhere"
            draft.unresolved(schema.table_of(entity), key, what, FROM_BEFORE)
    for key in sorted(written.keys() - own):
        each = written[key]
        table = schema.resolved["mappings"].table
        if (schema.table_of(each.entity), each.target) in effects.kept:
            draft.keep(table, key, LEADS_TO_KEPT)
        else:
            what = f"mapping of {each.entity} records: the run made, refreshed or re-pointed it; nothing tells which"
            draft.unresolved(table, key, what, FROM_BEFORE)


class Restoration:
    """One run's updates brought back from one snapshot."""

    def __init__(
        self,
        draft: Draft,
        run: Run,
        effects: Effects,
        written: Mapping[str, Pointer],
        scratch: Scratch,
        there: psycopg.Connection[Any],
        on_conflict: OnConflict,
    ) -> None:
        self.draft, self.run, self.effects, self.written = draft, run, effects, written
        self.connection, self.schema = draft.context.connection, draft.context.schema
        self.archive: Archive = scratch.archive
        self.comparison = Comparison(
            draft, there, scratch.schema, columns_of(there, scratch.schema), on_conflict
        )

    def bring_back(
        self, own: list[str], min_evidence: Strength, *, sync_state: bool
    ) -> tuple[list[str], set[str]]:
        """Compare what the run wrote with the snapshot, and note what goes back.

        Parameters
        ----------
        own : list of str
            Mappings that lead to records the run created.
        sync_state : bool
            Whether the sync state goes back too.

        Returns
        -------
        tuple of (list of str, set of str)
            The mappings that the run made, sorted: its own, and those onto records that were there before.
            And those that go back to leading elsewhere.

        Raises
        ------
        Refused
            When the snapshot is not from before the run, or of another database.
        """
        self._refuse_a_later_snapshot()
        self._refuse_another_database()
        for entity, touched in sorted(self.effects.updated.items()):
            witnesses = Witnesses(self.connection, self.schema, self.run, entity)
            self._restore(CONCEPT_OF[entity], touched, witnesses)
        if self.run.importer == "guide":
            # Where only a row's own time told that the run changed it, a later change hides that it did.
            for fate in self.effects.mapped:
                if fate.touched_since and fate.record_id:
                    self._restore(CONCEPT_OF[fate.entity], {fate.record_id: fate.touched_since}, None)
        made, turned = self._mappings(set(own), min_evidence)
        states = written_sync_states(self.connection, self.schema, self.run) if sync_state else {}
        own_states = made_sync_states(self.connection, self.schema, self.run)
        if states := {key: by for key, by in states.items() if key not in own_states}:
            self._restore("sync_state", states, None)
        return made, turned

    def _restore(self, concept: str, touched: dict[str, str], witnesses: Witnesses | None) -> None:
        found = self.schema.resolved[concept]
        self.comparison.restore(found.table, touched, witnesses, found.spelling.get("updated_at"))

    def _mappings(self, own: set[str], min_evidence: Strength) -> tuple[list[str], set[str]]:
        written = self.written
        if not written:
            return sorted(own), set()
        table = self.schema.resolved["mappings"].table
        here = self.comparison.present(table, sorted(own.union(written)))
        self._restore("mappings", {key: each.by for key, each in written.items() if key in here}, None)
        made = own - here
        found: dict[tuple[str, str], set[str]] = {}
        for key, each in written.items():
            if key in here or key in own:
                continue
            # Its time alone is weak; that it was not there before the run either makes it likely.
            strength = max(each.strength, Strength.likely)
            if each.by:
                self.draft.keep(table, key, f"made by the run, but {each.by} changed it since")
            elif (self.schema.table_of(each.entity), each.target) in self.effects.kept:
                self.draft.keep(table, key, LEADS_TO_KEPT)
            elif strength >= min_evidence:
                made.add(key)
                found.setdefault((each.entity, each.target), set()).add(each.wa_id)
            else:
                what = f"mapping of {each.entity} {each.wa_id}, new since the snapshot; only its time ties it to the run"
                self.draft.unresolved(table, key, what, f"--min-evidence {strength.name}")
        new = {entity: set(keys) for entity, (keys, _) in self.effects.created.items()} if found else {}
        for (entity, key), wa_ids in found.items():
            if key not in new.get(entity, ()) and key not in self.effects.updated.get(entity, ()):
                self.draft.keep(self.schema.table_of(entity), key, only_mapped(", ".join(sorted(wa_ids))))
        return sorted(made), {key for key in own & here if key in written and not written[key].by}

    def _refuse_a_later_snapshot(self) -> None:
        """Refuse one that has what the run created: it was taken when the run had begun."""
        for entity, (keys, _) in self.effects.created.items():
            found = self.comparison.present(self.schema.table_of(entity), keys)
            if found:
                raise Refused(
                    f"The snapshot {self.archive.path.name} is not from before the run: it has {len(found):,} of the"
                    f" {entity} records that the run created, {min(found)} for one.",
                    "Give one that was taken before it began.",
                )

    def _refuse_another_database(self) -> None:
        """Refuse one that shares no record with this database, unless it was taken here or neither had any."""
        asked = False
        for entity in ENTITIES:
            if not self.schema.has(CONCEPT_OF[entity]):
                continue
            table = self.schema.table_of(entity)
            new = [*self.effects.created.get(entity, ([], []))[0]]
            new += [key for name, key in self.effects.kept if name == table]
            created = self.schema.resolved[CONCEPT_OF[entity]].spelling.get("created_at")
            ours = sorted(self.effects.updated.get(entity, ()))[:ENOUGH]
            ours = ours or self.comparison.old_keys(table, new, ENOUGH, created, self.run.started)
            shared, any_there = self.comparison.shares_rows(table, ours, ENOUGH)
            if shared:
                return
            asked = asked or any_there
        ours_by_name = self._is_named_as_ours()
        if ours_by_name is False or (asked and not ours_by_name):
            raise Refused(
                f"The snapshot {self.archive.path.name} (of database {self.archive.database!r}) is of another database:"
                " it has none of the records that were here before the run.",
                "Give one of this database.",
            )

    def _is_named_as_ours(self) -> bool | None:
        """Whether the audit log knows the archive, or its manifest names this database; None where neither says."""
        if self.schema.has("audit.metadata"):
            named = self.schema.audit.c.metadata["sha256"].astext == self.archive.sha256
            if self.connection.execute(select(exists().where(named))).scalar_one():
                return True
        try:
            manifest = read_manifest(self.archive.path.with_suffix(".json"))
        except SnapshotError:
            return None  # it was made with pg_dump alone
        if manifest.sha256 != self.archive.sha256:
            return None
        target = self.draft.context.target
        ours = target.system_identifier, target.database
        theirs = manifest.target["system_identifier"], manifest.target["database"]
        return True if theirs == ours else None if theirs[0] == ours[0] else False
