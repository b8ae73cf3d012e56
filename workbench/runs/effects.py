"""What a run did to the database, sorted by what undoing it would have to do, each piece with its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from workbench.murmurant.importers import Run, Strength
from workbench.plans.draft import Draft
from workbench.runs.pointers import Pointer
from workbench.runs.records import record_fates

LEADS_TO_KEPT = "leads to a record that is kept"
_FROM_BEFORE = "the state before the run: --snapshot FILE (or its name), or --before ENVIRONMENT"


class Mapped(NamedTuple):
    """A record that was there before the run, and that it mapped one or more WA ids onto."""

    entity: str
    record_id: str
    wa_ids: str
    touched_since: str


@dataclass
class Effects:
    """What a run did, by entity.

    Attributes
    ----------
    created : dict of str to (list of str, list of str or None)
        Records that it made and nobody touched since: ids, sorted, and the WA ids of each as text.
    updated : dict of str to dict of str to str
        Records that were there before and that it changed: id to who touched it since, if anybody.
    mapped : list of Mapped
        Records that were there before and that it only mapped.
    kept : set of (table, key)
        Records that it made and that bear somebody's later work.
    gone : int
        Records that it made or changed and that are not there any more.
    """

    created: dict[str, tuple[list[str], list[str | None]]] = field(default_factory=dict)
    updated: dict[str, dict[str, str]] = field(default_factory=dict)
    mapped: list[Mapped] = field(default_factory=list)
    kept: set[tuple[str, str]] = field(default_factory=set)
    gone: int = 0
    records: int = 0


def find_effects(draft: Draft, run: Run, others: Sequence[Run], min_evidence: Strength) -> Effects:
    """Sort a run's records by what undoing it would have to do.

    Parameters
    ----------
    draft : Draft
        Where records are listed that stay: those that somebody touched since, and those on weaker evidence.
    """
    found, schema = Effects(), draft.context.schema
    undone = {each.run for each in others if each.rolled_back}
    unsorted: set[str] = set()
    for fates in record_fates(draft.context.connection, schema, run, others):
        found.records += len(fates.record_ids)
        weak = fates.strength < min_evidence
        if fates.action in ("existing", "skipped") or (fates.action == "mapped" and weak):
            continue  # whether a mapping is the run's is asked of the mapping itself
        table, pairs = schema.table_of(fates.entity), zip(fates.record_ids, fates.wa_ids, strict=True)
        touched = "" if fates.touched_since in undone else fates.touched_since
        if weak:
            for key, wa_id in pairs:
                leave_too_weak(draft, table, key or f"WA id {wa_id}", fates.action, fates.strength)
        elif not fates.exists:
            found.gone += len(fates.record_ids) if fates.action != "mapped" else 0
        elif fates.action == "mapped":
            found.mapped += [Mapped(fates.entity, str(key), str(wa_ids), touched) for key, wa_ids in pairs]
        elif fates.action == "updated":
            found.updated.setdefault(fates.entity, {}).update((str(key), touched) for key in fates.record_ids)
        elif touched:
            person = touched in ("a person", "somebody")
            since = "it since the run" if person else "it since; roll that run back first"
            by = touched if person else f"run {touched}"
            for key in map(str, fates.record_ids):
                draft.keep(table, key, f"created by the run, but {by} changed {since}")
                found.kept.add((table, key))
        else:
            keys, wa_ids = found.created.setdefault(fates.entity, ([], []))
            unsorted |= {fates.entity} if keys else set()  # of several strengths, each sorted by itself
            keys += fates.record_ids  # type: ignore[arg-type]  # what exists has an id
            wa_ids += fates.wa_ids
    for entity in unsorted:
        together = sorted(zip(*found.created[entity], strict=True), key=itemgetter(0))
        found.created[entity] = [key for key, _ in together], [wa_id for _, wa_id in together]
    return found


def leave_too_weak(draft: Draft, table: str, key: str, action: str, strength: Strength) -> None:
    """List a record that is tied to a run on weaker evidence than was asked for."""
    draft.unresolved(
        table,
        key,
        f"{action} by the run on {strength.name} evidence only",
        f"--min-evidence {strength.name}, or a report file that names it",
    )


def only_mapped(wa_ids: str) -> str:
    """Say why a record stays that the run did not make."""
    return f"was there before; the run only mapped WA id {wa_ids} onto it"


def leave_updates_open(draft: Draft, effects: Effects, written: Mapping[str, Pointer], own: set[str]) -> None:
    """List what cannot go back without a snapshot, since nothing else knows what was there.

    Parameters
    ----------
    written : mapping of str to Pointer
        The mappings that bear a mark of the run.
    own : set of str
        Those of them that lead to records the run created: they are its own whatever was before.
    """
    schema = draft.context.schema
    for fate in effects.mapped:
        draft.keep(schema.table_of(fate.entity), fate.record_id, only_mapped(fate.wa_ids))
    for entity, found in effects.updated.items():
        for key in sorted(found):
            what = "updated by the run; what it was before is not written anywhere"
            draft.unresolved(schema.table_of(entity), key, what, _FROM_BEFORE)
    for key in sorted(written.keys() - own):
        each = written[key]
        table = schema.resolved["mappings"].table
        if (schema.table_of(each.entity), each.target) in effects.kept:
            draft.keep(table, key, LEADS_TO_KEPT)
        else:
            what = f"mapping of {each.entity} records: the run made, refreshed or re-pointed it; nothing tells which"
            draft.unresolved(table, key, what, _FROM_BEFORE)
