"""What imports wrote into records that were merged, from the duplicates' side: both WA ids still lead there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, null, select

from workbench.mappings.traces import traces_of
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, as_text, is_one_of, same_id
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES
from workbench.plans.journal import Entry
from workbench.runs.evidence import TOLERANCE

_LOGGED = tuple(
    f"audit.{name}" for name in ("metadata", "resource_type", "resource_id", "action", "created_at")
)

Write = tuple[str, str, str, str | None, datetime | None, str]
"""Entity, record and WA id of what an import wrote, the run, when, and what tells."""


def written_since(
    connection: Connection, schema: Schema, runs: Sequence[Run], plans: Sequence[Entry]
) -> list[dict[str, Any]] | None:
    """List what imports wrote into merged records, since the merge, for the WA id of a duplicate.

    An audit row of the sync says so, or a report that lists records; where the log names no records, a mapping
    that was written again, with the record it leads to.

    Parameters
    ----------
    plans : sequence of Entry
        The merges that stand.

    Returns
    -------
    list of dict or None
        ``key`` (the record that stayed), ``entity``, ``wa_id`` (the duplicate's), ``run``, ``at``, ``evidence``,
        ``plan`` (the merge); None where nothing can tell.
    """
    merges = {
        (plan.parameters["entity"], each["canonical"], wa_id): plan
        for plan in plans
        for each in plan.parameters.get("merges", ())
        for duplicate in each["duplicates"]
        for wa_id in each.get("wa_ids", {}).get(duplicate, ())
    }
    writes: list[Write] = [
        (each.entity, each.record, each.wa_id, each.run or None, each.at, each.trace)
        for each in (
            traces_of(connection, schema, runs).claims(wa_ids={wa_id for *_, wa_id in merges})
            if merges
            else ()
        )
        if each.action == "updated"
    ]
    logged = schema.has(*_LOGGED)
    if not logged:
        writes += _mapped(connection, schema, {record for _, record, _ in merges})
    can_tell = (
        logged
        or schema.has("mappings.synced_at")
        or any(each.records for run in runs for each in run.reports)
    )
    if merges and not can_tell:
        return None
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entity, record, wa_id, run, at, evidence in sorted(
        writes, key=lambda write: str(write[4]), reverse=True
    ):
        merge = merges.get((entity, record, wa_id))
        if merge is not None and at is not None and at > merge.at:
            facts = {"key": record, "entity": entity, "wa_id": wa_id, "run": run, "at": at}
            found.setdefault((record, wa_id, run or ""), {**facts, "evidence": evidence, "plan": merge.plan})
    return [found[each] for each in sorted(found)]


def _mapped(connection: Connection, schema: Schema, records: set[str]) -> Iterator[Write]:
    """Yield the mappings that were written again, and the record that each leads to with it."""
    evidence = "mapping written again, and the record with it"
    for entity in ENTITIES:
        if not schema.has("mappings.synced_at", f"{CONCEPT_OF[entity]}.updated_at"):
            continue
        mappings, record = schema.mappings.c, schema.entity(entity)
        columns: list[Any] = [
            as_text(record.c.id),
            as_text(mappings.wa_id),
            mappings.run_id if "run_id" in mappings else null(),
        ]
        query = select(*columns, mappings.synced_at, record.c.updated_at).select_from(
            schema.mappings.join(record, same_id(mappings.target, record.c.id))
        )
        query = query.where(mappings.entity_type.in_(ENTITY_TYPES[entity]), is_one_of(record.c.id, records))
        rows: Iterable[Any] = connection.execute(query)
        for key, wa_id, run, at, written in rows:
            if at and written:  # either after the merge
                yield entity, key, wa_id, run, min(at, written + TOLERANCE), evidence
