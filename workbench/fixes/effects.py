"""What a run did to the database, sorted by what undoing it would have to do, each piece with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from workbench.investigate.records import Fates, record_fates
from workbench.murmurant.importers import Run, Strength
from workbench.murmurant.schema import Schema
from workbench.plans.draft import Draft


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
    min_evidence : Strength
        Records attributed to the run on weaker evidence are not acted on, and are listed as unresolved.
    """
    found, schema = Effects(), draft.context.schema
    undone = {each.run for each in others if each.rolled_back}
    unsorted: set[str] = set()
    for fates in record_fates(draft.context.connection, schema, run, others):
        found.records += len(fates.record_ids)
        if fates.action in ("existing", "skipped") or (
            fates.action == "mapped" and fates.strength < min_evidence
        ):
            continue  # whether a mapping is the run's is asked of the mapping itself
        touched = "" if fates.touched_since in undone else fates.touched_since
        if fates.strength < min_evidence:
            for row in _too_weak(schema, fates):
                draft.unresolved(*row)
        elif not fates.exists:
            found.gone += len(fates.record_ids) if fates.action != "mapped" else 0
        elif fates.action == "mapped":
            pairs = zip(fates.record_ids, fates.wa_ids, strict=True)
            found.mapped += [Mapped(fates.entity, str(key), str(wa_ids), touched) for key, wa_ids in pairs]
        elif fates.action == "updated":
            found.updated.setdefault(fates.entity, {}).update((str(key), touched) for key in fates.record_ids)
        elif touched:
            for table, key, reason in _kept(schema, fates, touched):
                draft.keep(table, key, reason)
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


def _too_weak(schema: Schema, fates: Fates) -> list[tuple[str, str, str, str]]:
    reason = f"{fates.action} by the run on {fates.strength.name} evidence only"
    resolved_by = f"--min-evidence {fates.strength.name}, or a report file that names it"
    return [
        (schema.table_of(fates.entity), key or f"WA id {wa_id}", reason, resolved_by)
        for key, wa_id in zip(fates.record_ids, fates.wa_ids, strict=True)
    ]


def _kept(schema: Schema, fates: Fates, by: str) -> list[tuple[str, str, str]]:
    later = f"run {by} changed it since; roll that run back first"
    after = f"{by} changed it since the run" if by in ("a person", "somebody") else later
    table = schema.table_of(fates.entity)
    return [(table, str(key), f"created by the run, but {after}") for key in fates.record_ids]
